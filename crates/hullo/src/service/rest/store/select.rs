//! A list as a statement of SQL. Names and values of the request are parameters of it, and never a part of its text.

use super::super::query::{Cursor, Filter, Listing, Operator, Path, Position, Word};

/// A parameter of a statement.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Bind {
    Text(String),
    /// A number in the spelling of JSON.
    Number(String),
    Integer(i64),
}

/// What two databases say differently.
pub(super) trait Dialect {
    /// The place of the parameter of that number.
    fn hole(number: usize, bind: &Bind) -> String;

    /// A field of the body.
    fn field(path: &Path, binds: &mut Binds<Self>) -> Field
    where
        Self: Sized;

    /// A number of bounded length that sorts like it.
    fn sorted(number: &str) -> String;

    /// A number as a column that can be read.
    fn shown(number: &str) -> String;

    /// Whether a text has another one in it, where upper and lower case of ASCII are alike.
    fn contains(text: &str, part: &str) -> String;

    /// The items in which all those words are.
    fn search(words: &[Word], binds: &mut Binds<Self>) -> String
    where
        Self: Sized;
}

/// The value of a field, as expressions. Each is NULL where the value is of another kind.
pub(super) struct Field {
    /// Nothing and null 0, truth 1, numbers 2, texts 3, others 4.
    pub(super) rank: String,
    pub(super) number: String,
    pub(super) text: String,
    /// 0 or 1.
    pub(super) truth: String,
}

/// The parameters that a statement has so far.
pub(super) struct Binds<D>(pub(super) Vec<Bind>, std::marker::PhantomData<D>);

impl<D: Dialect> Binds<D> {
    fn new() -> Self {
        Self(Vec::new(), std::marker::PhantomData)
    }

    /// One parameter more, as it stands in the statement.
    pub(super) fn hole(&mut self, bind: Bind) -> String {
        let hole = D::hole(self.0.len() + 1, &bind);
        self.0.push(bind);
        hole
    }

    pub(super) fn text(&mut self, text: &str) -> String {
        self.hole(Bind::Text(text.to_owned()))
    }
}

/// A statement and its parameters.
pub(super) struct Statement {
    pub(super) sql: String,
    pub(super) binds: Vec<Bind>,
}

/// The items of a page and one more: place, id, body, revision, modified, and what they are sorted by.
pub(super) fn page<D: Dialect>(listing: &Listing) -> Statement {
    let mut binds = Binds::<D>::new();
    let mut conditions = conditions(listing, &mut binds);
    let keys: Vec<_> = listing.sort.iter().map(|key| (order(&key.path, &mut binds), key.down)).collect();
    if let Some(cursor) = &listing.after {
        conditions.push(beyond(&keys, cursor, &mut binds));
    }
    let shown = |([rank, number, text], _): &([String; 3], bool)| format!(", {rank}, {}, {text}", D::shown(number));
    let columns: String = keys.iter().map(shown).collect();
    let way = |down: bool| if down { "DESC" } else { "ASC" };
    let by = keys.iter().flat_map(|(key, down)| key.iter().map(move |part| format!("{part} {}, ", way(*down))));
    let by: String = by.collect();
    let sql = format!(
        "SELECT seq, id, body, revision, modified{columns} FROM items WHERE {} ORDER BY {by}seq LIMIT {}",
        conditions.join(" AND "),
        listing.limit + 1,
    );
    Statement { sql, binds: binds.0 }
}

/// How many items there are on all pages.
pub(super) fn count<D: Dialect>(listing: &Listing) -> Statement {
    let mut binds = Binds::<D>::new();
    let conditions = conditions(listing, &mut binds);
    Statement { sql: format!("SELECT count(*) FROM items WHERE {}", conditions.join(" AND ")), binds: binds.0 }
}

fn conditions<D: Dialect>(listing: &Listing, binds: &mut Binds<D>) -> Vec<String> {
    let mut all = vec![format!("collection = {}", binds.text(&listing.collection))];
    all.extend(listing.filters.iter().map(|filter| condition(filter, binds)));
    match listing.words.as_deref() {
        Some([]) => all.push("FALSE".to_owned()),
        Some(words) => all.push(D::search(words, binds)),
        None => {}
    }
    all
}

/// A value is compared within its kind: texts with the text that was given, numbers with the number that it spells.
fn condition<D: Dialect>(filter: &Filter, binds: &mut Binds<D>) -> String {
    let field = D::field(&filter.path, binds);
    let sign = match filter.operator {
        Operator::Equal | Operator::NotEqual | Operator::In => "=",
        Operator::Less => "<",
        Operator::AtMost => "<=",
        Operator::Greater => ">",
        Operator::AtLeast => ">=",
        Operator::Like => {
            let part = binds.text(filter.values.first().map_or("", String::as_str));
            return format!("coalesce({}, FALSE)", D::contains(&field.text, &part));
        }
    };
    let mut any = Vec::new();
    for value in &filter.values {
        any.push(format!("{} {sign} {}", field.text, binds.text(value)));
        if is_number(value) {
            any.push(format!("{} {sign} {}", field.number, binds.hole(Bind::Number(value.clone()))));
        }
        match (sign, value.as_str()) {
            ("=", "true") => any.push(format!("{} = 1", field.truth)),
            ("=", "false") => any.push(format!("{} = 0", field.truth)),
            ("=", "null") => any.push(format!("{} = 0", field.rank)),
            _ => {}
        }
    }
    let not = if filter.operator == Operator::NotEqual { "NOT " } else { "" };
    format!("{not}coalesce({}, FALSE)", any.join(" OR "))
}

/// Whether a text is a number in JSON.
fn is_number(text: &str) -> bool {
    serde_json::from_str::<serde_json::Number>(text).is_ok() && !text.contains(char::is_whitespace)
}

/// So much of a text counts where items are sorted: it stands in the link to the next page.
const SORTED: usize = 200;

/// What a field is sorted by.
fn order<D: Dialect>(path: &Path, binds: &mut Binds<D>) -> [String; 3] {
    let field = D::field(path, binds);
    let number = format!("coalesce({}, {}, 0)", field.number, field.truth);
    [field.rank, D::sorted(&number), format!("coalesce(substr({}, 1, {SORTED}), '')", field.text)]
}

/// What comes after a cursor: greater in the first key, or the same there and greater in the next, and so on.
fn beyond<D: Dialect>(keys: &[([String; 3], bool)], cursor: &Cursor, binds: &mut Binds<D>) -> String {
    let last = format!("seq > {}", binds.hole(Bind::Integer(cursor.place)));
    keys.iter().zip(&cursor.keys).rev().fold(
        last,
        |rest, (([rank, number, text], down), Position { rank: r, number: n, text: t })| {
            let there = [Bind::Integer(*r), Bind::Number(n.clone()), Bind::Text(t.clone())]
                .map(|bind| binds.hole(bind))
                .join(", ");
            let here = format!("({rank}, {number}, {text})");
            let sign = if *down { "<" } else { ">" };
            format!("({here} {sign} ({there}) OR ({here} = ({there}) AND {rest}))")
        },
    )
}
