//! An item, the names of items and collections, and what is searched in them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Map, Number, Value};

use super::problem::{Answer, Problem};

/// The object that an item is.
pub(crate) type Object = Map<String, Value>;

/// The collection in which the schemas of the others are kept, under the names of those. No request can name it.
pub(crate) const SCHEMAS: &str = "-schema";

/// The names of collections, as a pattern for people and for OpenAPI.
pub(crate) const COLLECTION: &str = "^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$";

/// The ids of items. They begin with a letter or digit, so that `-` is free for what belongs to a collection.
pub(crate) const ID: &str = "^[A-Za-z0-9][A-Za-z0-9._~:@-]{0,127}$";

/// What is kept of an item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Item {
    pub(crate) id: String,
    /// The object as JSON, with its `id`.
    pub(crate) body: String,
    /// The number of the change that made it so. No two changes of a database have the same.
    pub(crate) revision: i64,
    /// When that was, in milliseconds since 1970.
    pub(crate) modified: i64,
}

impl Item {
    pub(crate) fn tag(&self) -> String {
        format!("\"{}\"", self.revision)
    }

    pub(crate) fn last_modified(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(u64::try_from(self.modified).unwrap_or_default() / 1000)
    }

    /// The object itself.
    pub(crate) fn object(&self) -> Answer<Object> {
        serde_json::from_str(&self.body).map_err(Problem::of_store)
    }
}

pub(crate) fn is_collection(name: &str) -> bool {
    is_name(name, 64, b"_-")
}

pub(crate) fn is_id(id: &str) -> bool {
    is_name(id, 128, b"._~:@-")
}

fn is_name(name: &str, longest: usize, marks: &[u8]) -> bool {
    let bytes = name.as_bytes();
    bytes.len() <= longest
        && bytes.first().is_some_and(u8::is_ascii_alphanumeric)
        && bytes.iter().all(|c| c.is_ascii_alphanumeric() || marks.contains(c))
}

/// The greatest whole number that everybody reads alike (RFC 8259, section 6).
pub(crate) const WHOLE: u64 = (1 << 53) - 1;

fn whole(number: &Number) -> Option<u64> {
    // 7.0 is a whole number too, and what is spelled with more digits than a float has may round to one: so both.
    let float = number.as_f64().filter(|float| float.fract() == 0.0 && (0.0..=WHOLE as f64).contains(float))?;
    number.as_u64().or(Some(float as u64)).filter(|whole| *whole <= WHOLE)
}

/// The id in an object. A whole number is one too, and keeps its spelling.
pub(crate) fn id_of(object: &Object) -> Answer<Option<String>> {
    let id = match object.get("id") {
        None => return Ok(None),
        Some(Value::String(id)) => id.clone(),
        Some(Value::Number(number)) => whole(number).map(|whole| whole.to_string()).unwrap_or_default(),
        Some(_) => String::new(),
    };
    if is_id(&id) {
        return Ok(Some(id));
    }
    let why = format!("an id is a string like {ID}, or a whole number from 0 to {WHOLE}");
    Err(Problem::unfit("this id cannot be one").at("/id", why))
}

/// The object with that id in front; one that says the same is kept as it is.
pub(crate) fn with_id(object: Object, id: &str) -> Answer<Object> {
    match id_of(&object)? {
        Some(same) if same == id => Ok(object),
        Some(other) => {
            let why = format!("the body says {other}, and the path says {id}");
            Err(Problem::unfit("an item keeps its id").at("/id", why))
        }
        None => {
            let mut whole = Object::with_capacity(object.len() + 1);
            whole.insert("id".to_owned(), Value::String(id.to_owned()));
            whole.extend(object);
            Ok(whole)
        }
    }
}

/// A new id: the time in milliseconds and 80 random bits, in the letters of ULID, so that later ones sort later.
pub(crate) fn new_id() -> Answer<String> {
    let mut random = [0; 16];
    aws_lc_rs::rand::fill(&mut random[6..]).map_err(|_| Problem::of_store("there is no randomness"))?;
    let bits = (u128::from(now().unsigned_abs()) << 80) | u128::from_be_bytes(random);
    Ok((0..26).rev().map(|at| LETTERS[((bits >> (at * 5)) & 31) as usize] as char).collect())
}

const LETTERS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// Milliseconds since 1970.
pub(crate) fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// The most that is searched of an item, and of a word. (PostgreSQL has bounds near these.)
const SEARCHED: usize = 256 << 10;
const WORD: usize = 200;

/// The words of all strings and numbers in a value, one space between them: what full-text search looks in. Both
/// databases get the same words, however they would cut a text themselves.
pub(crate) fn words(value: &Value) -> String {
    let mut all = String::new();
    collect(value, &mut all);
    all
}

fn collect(value: &Value, all: &mut String) {
    match value {
        Value::String(text) => add(text, all),
        Value::Number(number) => add(&number.to_string(), all),
        Value::Array(values) => values.iter().for_each(|value| collect(value, all)),
        Value::Object(object) => object.values().for_each(|value| collect(value, all)),
        Value::Null | Value::Bool(_) => {}
    }
}

fn add(text: &str, all: &mut String) {
    for word in text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty() && word.len() <= WORD) {
        if all.len() + word.len() < SEARCHED {
            all.push_str(word);
            all.push(' ');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn new_ids_are_ids_and_sort_by_time() {
        let (a, b) = (new_id().unwrap(), new_id().unwrap());
        assert!(is_id(&a) && a != b && a.len() == 26);
        assert!(a[..9] <= b[..9], "{a} {b}");
    }

    #[test]
    fn names_are_names() {
        for good in ["a", "people", "2024_x-y", &"a".repeat(64)] {
            assert!(is_collection(good) && is_id(good), "{good}");
        }
        for bad in ["", "-", "-schema", "_a", "a b", "a/b", "a\0", "ä", "a.b", "..", &"a".repeat(65)] {
            assert!(!is_collection(bad), "{bad}");
        }
        assert!(is_id("a.b~c:d@e") && !is_id(".") && !is_id("-") && !is_id(&"a".repeat(129)));
    }

    #[test]
    fn an_id_in_a_body_keeps_its_spelling() {
        let object = |text: &str| serde_json::from_str::<Object>(text).unwrap();
        assert_eq!(id_of(&object(r#"{"id":7}"#)).unwrap().as_deref(), Some("7"));
        assert_eq!(id_of(&object(r#"{"id":7.0}"#)).unwrap().as_deref(), Some("7"));
        assert_eq!(with_id(object(r#"{"a":1}"#), "7").unwrap(), object(r#"{"id":"7","a":1}"#));
        assert_eq!(with_id(object(r#"{"a":1,"id":7}"#), "7").unwrap(), object(r#"{"a":1,"id":7}"#));
        for bad in [
            r#"{"id":null}"#,
            r#"{"id":-1}"#,
            r#"{"id":1.5}"#,
            r#"{"id":1e300}"#,
            r#"{"id":{}}"#,
            r#"{"id":""}"#,
            r#"{"id":true}"#,
        ] {
            assert!(id_of(&object(bad)).is_err(), "{bad}");
        }
    }
}
