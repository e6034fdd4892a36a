//! JSON as people read it.

use serde_json::Value;

use super::paint::Paint;
use crate::report::steers;

/// The text indented and painted, if it is a JSON object or array.
pub(crate) fn pretty(text: &str, paint: Paint) -> Option<String> {
    let value: Value = serde_json::from_str(text).ok().filter(|value: &Value| value.is_object() || value.is_array())?;
    let mut out = String::new();
    write(&value, 0, paint, &mut out);
    Some(out)
}

fn write(value: &Value, depth: usize, paint: Paint, out: &mut String) {
    let indent = |depth: usize| "  ".repeat(depth);
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            out.push('{');
            for (at, (name, value)) in fields.iter().enumerate() {
                let comma = if at == 0 { "" } else { "," };
                *out += &format!("{comma}\n{}{}: ", indent(depth + 1), paint.name(&quoted(name)));
                write(value, depth + 1, paint, out);
            }
            *out += &format!("\n{}}}", indent(depth));
        }
        Value::Array(items) if !items.is_empty() => {
            out.push('[');
            for (at, value) in items.iter().enumerate() {
                *out += &format!("{}\n{}", if at == 0 { "" } else { "," }, indent(depth + 1));
                write(value, depth + 1, paint, out);
            }
            *out += &format!("\n{}]", indent(depth));
        }
        Value::String(text) => *out += &paint.good(&quoted(text)),
        Value::Number(_) | Value::Bool(_) | Value::Null => *out += &paint.number(&value.to_string()),
        empty => *out += &empty.to_string(),
    }
}

/// A string as JSON, with what could steer a terminal or turn the direction of writing escaped too.
fn quoted(text: &str) -> String {
    let mut quoted = String::new();
    for c in Value::from(text).to_string().chars() {
        if c.is_control() || steers(c) {
            quoted += &format!("\\u{:04x}", u32::from(c));
        } else {
            quoted.push(c);
        }
    }
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_indented_and_the_rest_left_alone() {
        let pretty = |text| pretty(text, Paint::PLAIN);
        assert_eq!(
            pretty(r#"{"b":[1,{}],"a":"x"}"#).unwrap(),
            "{\n  \"b\": [\n    1,\n    {}\n  ],\n  \"a\": \"x\"\n}"
        );
        assert_eq!(pretty("[\"\u{9b}31m\u{202e}\"]").unwrap(), "[\n  \"\\u009b31m\\u202e\"\n]");
        assert_eq!(pretty("12"), None);
        assert_eq!(pretty("{"), None);
    }
}
