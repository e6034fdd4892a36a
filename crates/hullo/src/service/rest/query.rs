//! What a list is asked for: `?age:gte=18&sort=-age,name&fields=id,name&limit=20&q=ada&count=true`.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use percent_encoding::percent_decode_str;

use super::{
    foreign,
    problem::{Answer, Problem},
};
use crate::error::nearest;

/// The items of one answer, unless `limit` says another number; and the most that it may say.
pub(crate) const LIMIT: usize = 100;
pub(crate) const MOST: usize = 1000;

/// How many conditions, values of one, and keys of an order there may be: each is a part of the database's statement.
const FILTERS: usize = 32;
const VALUES: usize = 100;
pub(crate) const KEYS: usize = 4;
pub(crate) const FIELDS: usize = 32;

/// The longest search.
pub(crate) const SEARCH: usize = 200;

/// The longest that names of fields may be, with all of their dots and commas.
pub(crate) const FIELD: usize = 200;

/// The parameters that are no filters.
pub(crate) const RESERVED: &[&str] = &["count", "cursor", "fields", "limit", "q", "sort"];

/// What a list is asked for.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Listing {
    pub(crate) collection: String,
    pub(crate) filters: Vec<Filter>,
    pub(crate) sort: Vec<Key>,
    pub(crate) fields: Vec<Path>,
    pub(crate) limit: usize,
    pub(crate) after: Option<Cursor>,
    pub(crate) words: Option<Vec<Word>>,
    pub(crate) count: bool,
}

/// The way to a field: the names of objects' members, of which dots are between.
pub(crate) type Path = Vec<String>;

/// A condition on a field.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Filter {
    pub(crate) path: Path,
    pub(crate) operator: Operator,
    pub(crate) values: Vec<String>,
}

macro_rules! operators {
    ($($name:ident $word:literal $about:literal;)*) => {
        /// How a field is compared.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Operator { $($name),* }

        /// Every operator as it is written after a field's name, and what it asks for.
        pub(crate) const OPERATORS: &[(&str, Operator, &str)] = &[$(($word, Operator::$name, $about)),*];
    };
}

operators! {
    Equal "eq" "is that (what no operator means too)";
    NotEqual "ne" "is anything else, or not there";
    Less "lt" "is less";
    AtMost "lte" "is less or that";
    Greater "gt" "is greater";
    AtLeast "gte" "is greater or that";
    Like "like" "is a text that has that in it, upper and lower case of ASCII alike";
    In "in" "is one of those, with commas between";
}

/// One part of an order.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Key {
    pub(crate) path: Path,
    pub(crate) down: bool,
}

/// A word that is searched, or its beginning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Word {
    pub(crate) text: String,
    pub(crate) begins: bool,
}

/// Where a page ended: what its last item is sorted by. For each key of the order there is a rank of the kind of value,
/// a number and a text, and last the item's place in the collection.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Cursor {
    pub(crate) keys: Vec<Position>,
    pub(crate) place: i64,
}

/// What a value is sorted by: first its kind, then as a number, then as a text.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Position {
    pub(crate) rank: i64,
    pub(crate) number: String,
    pub(crate) text: String,
}

impl Listing {
    /// Everything in a collection, in the order in which it came.
    pub(crate) fn all(collection: &str, limit: usize, after: Option<Cursor>) -> Self {
        Self { collection: collection.to_owned(), limit, after, ..Self::default() }
    }

    pub(crate) fn read(collection: &str, query: &str) -> Answer<Self> {
        let mut listing = Self::all(collection, LIMIT, None);
        let (mut cursor, mut seen) = (None, Vec::new());
        for (name, given) in pairs(query)? {
            let value = given.as_deref().unwrap_or_default();
            if RESERVED.contains(&&*name) {
                if seen.contains(&name) {
                    return Err(Problem::bad(format!("{name} is there twice")));
                }
                seen.push(name.clone());
            }
            match &*name {
                "limit" => listing.limit = limit(value)?,
                "sort" => listing.sort = sort(value)?,
                "fields" => listing.fields = fields(value)?,
                "cursor" => cursor = Some(value.to_owned()).filter(|cursor| !cursor.is_empty()),
                "q" => listing.words = search(value)?,
                "count" => listing.count = flag(&name, value)?,
                _ => listing.filters.push(filter(&name, given.as_deref())?),
            }
        }
        if listing.filters.len() > FILTERS {
            return Err(Problem::bad(format!("a list has at most {FILTERS} filters")));
        }
        listing.after = cursor.map(|cursor| Cursor::read(&cursor, &listing.sort)).transpose()?;
        Ok(listing)
    }
}

/// The query with another cursor, for the link to the next page.
pub(crate) fn turned(query: &str, cursor: &str) -> String {
    let others = query.split('&').filter(|pair| !pair.is_empty() && pair.split('=').next() != Some("cursor"));
    others.chain([&*format!("cursor={cursor}")]).collect::<Vec<_>>().join("&")
}

/// The parameters of a query, decoded as forms are; one without a `=` has no value.
pub(crate) fn pairs(query: &str) -> Answer<Vec<(String, Option<String>)>> {
    let decode = |text: &str| {
        let text = text.replace('+', " ");
        let decoded = percent_decode_str(&text).decode_utf8().map(|text| text.into_owned());
        decoded.map_err(|_| Problem::bad("the query is not UTF-8"))
    };
    let pair = |pair: &str| {
        let (name, value) = pair.split_once('=').map_or((pair, None), |(name, value)| (name, Some(value)));
        Ok((decode(name)?, value.map(decode).transpose()?))
    };
    query.split('&').filter(|text| !text.is_empty()).map(pair).collect()
}

fn limit(value: &str) -> Answer<usize> {
    let wrong = || Problem::bad(format!("limit is a number from 1 to {MOST}"));
    value.parse().ok().filter(|limit| (1..=MOST).contains(limit)).ok_or_else(wrong)
}

/// A parameter that is `true` or `false`.
pub(crate) fn flag(name: &str, value: &str) -> Answer<bool> {
    match value {
        "true" | "" => Ok(true),
        "false" => Ok(false),
        _ => Err(Problem::bad(format!("{name} is true or false"))),
    }
}

fn sort(value: &str) -> Answer<Vec<Key>> {
    short(value)?;
    let key = |text: &str| {
        let (name, down) = text.strip_prefix('-').map_or((text, false), |name| (name, true));
        Ok(Key { path: path(name)?, down })
    };
    let keys = value.split(',').map(key).collect::<Answer<Vec<_>>>()?;
    if keys.len() > KEYS {
        return Err(Problem::bad(format!("sort has at most {KEYS} keys")));
    }
    Ok(keys)
}

fn fields(value: &str) -> Answer<Vec<Path>> {
    short(value)?;
    let fields = value.split(',').map(path).collect::<Answer<Vec<_>>>()?;
    if fields.len() > FIELDS {
        return Err(Problem::bad(format!("there are at most {FIELDS} fields to choose")));
    }
    Ok(fields)
}

fn short(value: &str) -> Answer<()> {
    let wrong = || Problem::bad(format!("names of fields have at most {FIELD} characters in all"));
    if value.chars().count() <= FIELD { Ok(()) } else { Err(wrong()) }
}

fn path(name: &str) -> Answer<Path> {
    short(name)?;
    let path: Path = name.split('.').map(str::to_owned).collect();
    if path.iter().any(String::is_empty) || name.contains('\0') {
        return Err(Problem::bad(format!("'{}' names no field", crate::error::brief(name))));
    }
    Ok(path)
}

fn filter(name: &str, value: Option<&str>) -> Answer<Filter> {
    foreign::refuse(name)?;
    let Some(value) = value else {
        let name = crate::error::brief(name);
        return Err(Problem::bad(format!("{name} has no value: a filter is {name}=value, and q={name} searches")));
    };
    let (field, operator) = match name.rsplit_once(':') {
        None => (name, Operator::Equal),
        Some((field, word)) => {
            let Some((_, operator, _)) = OPERATORS.iter().find(|(known, ..)| *known == word) else {
                let words = || OPERATORS.iter().map(|(word, ..)| *word);
                let all = || words().collect::<Vec<_>>().join(", ");
                let word = crate::error::brief(word);
                let hint = nearest(&word, words()).map_or_else(all, |near| format!("did you mean '{near}'?"));
                return Err(Problem::bad(format!("no operator is called '{word}': {hint}")));
            };
            (field, *operator)
        }
    };
    let values: Vec<String> = match operator {
        Operator::In => value.split(',').map(str::to_owned).collect(),
        _ => vec![value.to_owned()],
    };
    if values.len() > VALUES || value.contains('\0') {
        return Err(Problem::bad(format!("a filter has at most {VALUES} values, and no zero byte")));
    }
    Ok(Filter { path: path(field)?, operator, values })
}

/// The words of a search; none where nothing is searched. The last one, which somebody may still be typing, and one with
/// a `*` after it mean whatever begins so.
fn search(text: &str) -> Answer<Option<Vec<Word>>> {
    if text.chars().count() > SEARCH {
        return Err(Problem::bad(format!("a search has at most {SEARCH} characters")));
    }
    if text.trim().is_empty() {
        return Ok(None);
    }
    let mut words = Vec::new();
    for part in text.split_whitespace() {
        let pieces: Vec<_> = part.split(|c: char| !c.is_alphanumeric()).filter(|piece| !piece.is_empty()).collect();
        let last = pieces.len().saturating_sub(1);
        words.extend(
            pieces
                .iter()
                .enumerate()
                .map(|(at, piece)| Word { text: (*piece).to_owned(), begins: at == last && part.ends_with('*') }),
        );
    }
    if let Some(last) = words.last_mut() {
        last.begins = true;
    }
    Ok(Some(words))
}

impl Cursor {
    /// As it stands in a link. It says which order it belongs to, and holds nothing that a client does not know.
    pub(crate) fn write(&self, sort: &[Key]) -> String {
        let keys = self.keys.iter().flat_map(|key| [key.rank.to_string(), key.number.clone(), key.text.clone()]);
        let words: Vec<String> = [order(sort), self.place.to_string()].into_iter().chain(keys).collect();
        URL_SAFE_NO_PAD.encode(serde_json::Value::from(words).to_string())
    }

    fn read(text: &str, sort: &[Key]) -> Answer<Self> {
        let words = || {
            let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
            let words: Vec<String> = serde_json::from_slice(&bytes).ok()?;
            let (head, keys) = words.split_at_checked(2).filter(|(head, _)| head[0] == order(sort))?;
            let keys = keys.chunks_exact(3).map(Position::read).collect::<Option<Vec<_>>>()?;
            (keys.len() == sort.len()).then_some(())?;
            Some(Self { keys, place: head[1].parse().ok()? })
        };
        words().ok_or_else(|| Problem::missing("no page of this list is under this cursor: begin again without one"))
    }
}

impl Position {
    fn read(words: &[String]) -> Option<Self> {
        let [rank, number, text] = words else { return None };
        let number = number.parse::<f64>().is_ok_and(|number| !number.is_nan()).then(|| number.clone())?;
        (!text.contains('\0')).then_some(())?;
        Some(Self { rank: rank.parse().ok()?, number, text: text.clone() })
    }
}

/// An order in words.
fn order(sort: &[Key]) -> String {
    let key = |key: &Key| format!("{}{}", if key.down { "-" } else { "" }, key.path.join("."));
    sort.iter().map(key).collect::<Vec<_>>().join(",")
}

/// Only what is asked for of an item, and always its id.
pub(crate) fn chosen(object: &serde_json::Value, fields: &[Path]) -> serde_json::Value {
    let mut picked = serde_json::json!({ "id": object.get("id") });
    for path in fields {
        let found = path.iter().try_fold(object, |value, name| value.as_object()?.get(name));
        if let Some(found) = found {
            put(&mut picked, path, found.clone());
        }
    }
    picked
}

fn put(into: &mut serde_json::Value, path: &[String], value: serde_json::Value) {
    let [name, rest @ ..] = path else { return *into = value };
    if !into.is_object() {
        *into = serde_json::json!({});
    }
    put(&mut into[name], rest, value);
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_query_is_read() {
        let listing =
            Listing::read("x", "a.b:gte=1&c=d+e%2C&sort=-n,m&limit=5&q=Foo-ba*&count=true&fields=a.b").unwrap();
        assert_eq!(listing.filters[0].path, ["a", "b"]);
        assert_eq!((listing.filters[0].operator, &*listing.filters[1].values[0]), (Operator::AtLeast, "d e,"));
        assert_eq!(listing.sort[0], Key { path: vec!["n".into()], down: true });
        let words = listing.words.unwrap();
        assert_eq!(
            words.iter().map(|word| (&*word.text, word.begins)).collect::<Vec<_>>(),
            [("Foo", false), ("ba", true)]
        );
        assert!(listing.count && listing.limit == 5);
        for bad in [
            "limit=0",
            "limit=1001",
            "limit=x",
            "limit=1&limit=2",
            "sort=",
            "sort=a,,b",
            "a:gt3=1",
            "=1",
            "a..b=1",
            "cursor=x",
            "cursor=W10",
            "count=2",
            "%ff=1",
            "sort=a,b,c,d,e",
            "fields=",
        ] {
            assert!(Listing::read("x", bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_cursor_belongs_to_its_order() {
        let sort = sort("-a.b,c").unwrap();
        let key = |number: &str, text: &str| Position { rank: 3, number: number.into(), text: text.into() };
        let cursor = Cursor { keys: vec![key("0", "\"ü"), key("-1.5e300", "")], place: 42 };
        let text = cursor.write(&sort);
        assert_eq!(Cursor::read(&text, &sort).unwrap(), cursor);
        assert!(Cursor::read(&text, &[]).is_err() && Cursor::read(&text, &sort[..1]).is_err());
        assert_eq!(turned("a=1&cursor=x&b=2", "y"), "a=1&b=2&cursor=y");
    }

    #[test]
    fn fields_are_chosen() {
        let item = json!({ "id": 7, "a": { "b": 1, "c": [2] }, "d": null });
        let fields = |text: &str| text.split(',').map(|name| path(name).unwrap()).collect::<Vec<_>>();
        assert_eq!(chosen(&item, &fields("a.c,d,none,a.c.d")), json!({ "id": 7, "a": { "c": [2] }, "d": null }));
    }
}
