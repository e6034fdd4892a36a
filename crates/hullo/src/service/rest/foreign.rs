//! Parameters of other servers' lists, such as `?_sort=year` of json-server: taken for filters they would quietly find
//! nothing, so whoever types one from habit is told what it is called here.

use super::problem::{Answer, Problem};

const SORT: &str = "sort=field sorts, and sort=-field has the greatest first";
const LIMIT: &str = "limit=20 says how many";
const PAGE: &str = "limit=20 says how many, and the Link header of each page leads to the next one (by cursor=)";
const FIELDS: &str = "fields=id,name chooses fields";
const OPERATOR: &str = "an operator stands after a colon, as in field:gte=18";

/// Names of which nobody knows that they are meant otherwise, and what there is instead.
const NAMES: &[(&str, &str)] = &[
    ("_end", PAGE),
    ("_expand", "an item has all that it has"),
    ("_embed", "an item has all that it has"),
    ("_fields", FIELDS),
    ("_limit", LIMIT),
    ("_order", SORT),
    ("_page", PAGE),
    ("_per_page", LIMIT),
    ("_q", "q=word searches"),
    ("_sort", SORT),
    ("_start", PAGE),
    ("offset", PAGE),
    ("page", PAGE),
    ("page_size", LIMIT),
    ("per_page", LIMIT),
    ("skip", PAGE),
];

/// How a comparison is written elsewhere, as in `year_gte=1900` or `year__gte=1900`.
const ENDINGS: &[&str] = &["gt", "gte", "like", "lt", "lte", "ne"];

/// Refuses a filter without an operator whose name is a parameter elsewhere.
pub(super) fn refuse(name: &str) -> Answer<()> {
    if name.contains(':') {
        return Ok(());
    }
    let known = NAMES.iter().find(|(known, _)| *known == name).map(|(_, instead)| (*instead).to_owned());
    let Some(instead) = known.or_else(|| compared(name)).or_else(|| private(name)) else { return Ok(()) };
    let name = crate::error::brief(name);
    Err(Problem::bad(format!("there is no parameter {name}: {instead} (for a field of that name, {name}:eq=value)")))
}

fn compared(name: &str) -> Option<String> {
    let (field, word) = name.rsplit_once('_')?;
    let field = field.trim_end_matches('_');
    (ENDINGS.contains(&word) && !field.is_empty())
        .then(|| format!("{OPERATOR}, so it is {}:{word}=value", crate::error::brief(field)))
}

fn private(name: &str) -> Option<String> {
    name.starts_with('_').then(|| "those of a list are count, cursor, fields, limit, q and sort".to_owned())
}

/// The same for OpenAPI: the names, and a pattern of others.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    NAMES.iter().map(|(name, _)| *name)
}

/// See [`names`].
pub(super) fn pattern() -> String {
    format!("^_[^:]*$|_({})$", ENDINGS.join("|"))
}
