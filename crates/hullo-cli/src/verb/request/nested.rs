//! Fields inside of fields: `a[b][]:=1` makes `{"a":{"b":[1]}}`, as in HTTPie.

use hullo::{Error, Result};
use serde_json::{Map, Value};

/// The longest gap that an index may leave: what is missing before it becomes null.
const GAP: usize = 1000;

/// A step into a value.
#[derive(Debug, PartialEq)]
enum Step {
    Key(String),
    Index(usize),
    Append,
}

/// Puts `value` into `root` where `name` says, and makes what is missing on the way.
pub(super) fn insert(root: &mut Option<Value>, name: &str, value: Value) -> Result<()> {
    let steps = steps(name)?;
    let (last, way) = match steps.split_last() {
        Some(split) => split,
        None => return Err(wrong(name, "it is empty")),
    };
    let mut place = root.get_or_insert_with(|| empty(steps.first()));
    for (at, step) in way.iter().enumerate() {
        let next = enter(place, step, name)?;
        if next.is_null() {
            *next = empty(steps.get(at + 1));
        }
        place = next;
    }
    *enter(place, last, name)? = value;
    Ok(())
}

/// What a step can be taken into.
fn empty(step: Option<&Step>) -> Value {
    match step {
        Some(Step::Index(_) | Step::Append) => Value::Array(Vec::new()),
        _ => Value::Object(Map::new()),
    }
}

fn enter<'a>(place: &'a mut Value, step: &Step, name: &str) -> Result<&'a mut Value> {
    let is = match place {
        Value::Object(_) => "an object, which has keys",
        Value::Array(_) => "an array, which has indices",
        Value::String(_) => "a string",
        Value::Number(_) => "a number",
        Value::Bool(_) => "true or false",
        Value::Null => "null",
    };
    match (place, step) {
        (Value::Object(fields), Step::Key(key)) => Ok(fields.entry(key.clone()).or_insert(Value::Null)),
        (Value::Array(items), Step::Append | Step::Index(_)) => {
            let at = if let Step::Index(at) = step { *at } else { items.len() };
            if at > items.len() + GAP {
                return Err(wrong(name, "its index leaves too large a gap"));
            }
            if at >= items.len() {
                items.resize(at + 1, Value::Null);
            }
            Ok(&mut items[at])
        }
        (_, Step::Key(key)) => Err(wrong(name, &format!("there is no key '{key}' in {is}"))),
        (_, Step::Append | Step::Index(_)) => Err(wrong(name, &format!("there is no index in {is}"))),
    }
}

/// The steps of a name: a key, and what follows it in brackets. A backslash takes its meaning from a bracket or a digit.
fn steps(name: &str) -> Result<Vec<Step>> {
    let mut steps = Vec::new();
    let mut letters = name.chars().peekable();
    let first = key(&mut letters, |c| c == '[');
    if !first.0.is_empty() || letters.peek().is_none() {
        steps.push(Step::Key(first.0));
    }
    while let Some(bracket) = letters.next() {
        if bracket != '[' {
            return Err(wrong(name, &format!("a '[' is missing before '{bracket}'")));
        }
        let (text, escaped) = key(&mut letters, |c| c == ']' || c == '[');
        if letters.next() != Some(']') {
            return Err(wrong(name, "its '[' has no ']'"));
        }
        steps.push(match text.parse() {
            _ if text.is_empty() && !escaped => Step::Append,
            Ok(index) if !escaped => Step::Index(index),
            _ => Step::Key(text),
        });
    }
    Ok(steps)
}

fn key(letters: &mut std::iter::Peekable<std::str::Chars<'_>>, ends: impl Fn(char) -> bool) -> (String, bool) {
    let (mut text, mut escaped) = (String::new(), false);
    while let Some(c) = letters.next_if(|c| !ends(*c)) {
        match c {
            '\\' => match letters.next_if(|c| matches!(c, '[' | ']' | '\\') || c.is_ascii_digit()) {
                Some(c) => {
                    text.push(c);
                    escaped = true;
                }
                None => text.push('\\'),
            },
            c => text.push(c),
        }
    }
    (text, escaped)
}

fn wrong(name: &str, why: &str) -> Error {
    let name: String = name.chars().take(100).flat_map(char::escape_debug).collect();
    Error::usage(format!("the field '{name}' cannot be put into the body: {why}"))
        .hint("write a[b]=1 for a key, a[0]=1 for an index, a[]=1 for one more, and a\\[b for a name with a bracket")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn built(names: &[&str]) -> Result<Value> {
        let mut root = None;
        for (at, name) in names.iter().enumerate() {
            insert(&mut root, name, json!(at))?;
        }
        Ok(root.unwrap())
    }

    #[test]
    fn names_are_paths() {
        for (names, wanted) in [
            (&["a"][..], json!({ "a": 0 })),
            (&["a[b]", "a[c][d]"], json!({ "a": { "b": 0, "c": { "d": 1 } } })),
            (&["a[]", "a[]"], json!({ "a": [0, 1] })),
            (&["a[2]", "a[0]"], json!({ "a": [1, null, 0] })),
            (&["[]", "[]"], json!([0, 1])),
            (&["[0][x]", "[0][y]"], json!([{ "x": 0, "y": 1 }])),
            (&["0", "a[\\1]"], json!({ "0": 0, "a": { "1": 1 } })),
            (&["a\\[b", "a[\\]]"], json!({ "a[b": 0, "a": { "]": 1 } })),
            (&["a[][x]", "a[][x]"], json!({ "a": [{ "x": 0 }, { "x": 1 }] })),
            (&["a\\b"], json!({ "a\\b": 0 })),
            (&["a", "a"], json!({ "a": 1 })),
        ] {
            assert_eq!(built(names).unwrap(), wanted, "{names:?}");
        }
    }

    #[test]
    fn mistakes_are_named() {
        for (names, why) in [
            (&["a[b"][..], "has no ']'"),
            (&["a[b]c"], "missing before 'c'"),
            (&["a[]", "a[x]"], "no key 'x' in an array"),
            (&["a[x]", "a[]"], "no index in an object"),
            (&["a", "a[x]"], "in a number"),
            (&["a", "[]"], "no index in an object"),
            (&["a[99999999]"], "gap"),
        ] {
            let error = built(names).unwrap_err().to_string();
            assert!(error.contains(why), "{names:?}: {error}");
        }
    }
}
