//! Bodies as Toxiproxy reads them: names in upper and lower case are the same, what is null is not said, what is unknown
//! is passed over, and so is what follows the first value.

use serde_json::{Deserializer, Map, Value};

use super::answer::Problem;

/// The value that a body begins with.
pub(super) fn read(body: &[u8]) -> Result<Value, Problem> {
    match Deserializer::from_slice(body).into_iter().next() {
        Some(Ok(value)) => Ok(value),
        Some(Err(error)) if error.is_eof() => Err(Problem::body("unexpected EOF")),
        Some(Err(error)) => Err(Problem::body(error)),
        None => Err(Problem::body("EOF")),
    }
}

/// The fields of an object.
pub(super) struct Fields(Map<String, Value>);

impl Fields {
    /// `what` is what the object is, for whoever wrote something else.
    pub(super) fn of(value: Value, what: &str) -> Result<Self, Problem> {
        match value {
            Value::Object(fields) => Ok(Self(fields)),
            Value::Null => Ok(Self(Map::new())),
            other => Err(wrong(what, "an object", &other)),
        }
    }

    pub(super) fn text(&self, name: &str) -> Result<Option<String>, Problem> {
        self.get(name, "a string", |value| value.as_str().map(str::to_owned))
    }

    pub(super) fn flag(&self, name: &str) -> Result<Option<bool>, Problem> {
        self.get(name, "true or false", Value::as_bool)
    }

    pub(super) fn whole(&self, name: &str) -> Result<Option<i64>, Problem> {
        self.get(name, "a whole number", Value::as_i64)
    }

    pub(super) fn real(&self, name: &str) -> Result<Option<f64>, Problem> {
        self.get(name, "a number", |value| value.as_f64().filter(|number| number.is_finite()))
    }

    /// The fields of an object in it; none where there is no such object.
    pub(super) fn inner(&self, name: &str) -> Result<Self, Problem> {
        Self::of(self.value(name).cloned().unwrap_or_default(), name)
    }

    /// The items of a list in it.
    pub(super) fn list(&self, name: &str) -> Result<Vec<Value>, Problem> {
        Ok(self.get(name, "a list", |value| value.as_array().cloned())?.unwrap_or_default())
    }

    fn get<T>(&self, name: &str, kind: &str, read: impl Fn(&Value) -> Option<T>) -> Result<Option<T>, Problem> {
        let Some(value) = self.value(name).filter(|value| !value.is_null()) else { return Ok(None) };
        read(value).map(Some).ok_or_else(|| wrong(name, kind, value))
    }

    /// Where a name is there in several spellings the last one counts.
    fn value(&self, name: &str) -> Option<&Value> {
        self.0.iter().rev().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }
}

/// That value is of another kind.
pub(super) fn wrong(name: &str, wanted: &str, value: &Value) -> Problem {
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "this number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    };
    Problem::body(format!("{name} is {wanted}, and not {kind}"))
}

#[cfg(test)]
mod tests {
    use http::StatusCode;

    use super::*;

    #[test]
    fn names_are_the_same_in_any_case_and_null_says_nothing() {
        let fields = Fields::of(read(br#"{"Name":"a","NAME":null,"rate":5} and more"#).unwrap(), "it").unwrap();
        assert_eq!(fields.text("name").unwrap(), None, "the last of two spellings counts");
        assert_eq!(fields.whole("Rate").unwrap(), Some(5));
        assert_eq!(fields.text("listen").unwrap(), None);
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (body, wanted) in [
            ("", "bad request body: EOF"),
            ("  ", "bad request body: EOF"),
            ("{\"a\":1", "bad request body: unexpected EOF"),
            ("[]", "bad request body: it is an object, and not a list"),
            ("{\"rate\":\"5\"}", "bad request body: rate is a whole number, and not a string"),
            ("{\"rate\":1.5}", "bad request body: rate is a whole number, and not this number"),
            ("{\"rate\":99999999999999999999}", "bad request body: rate is a whole number, and not this number"),
        ] {
            let read = read(body.as_bytes()).and_then(|value| Fields::of(value, "it"));
            let problem = read.and_then(|fields| fields.whole("rate")).unwrap_err();
            assert_eq!((problem.error.as_str(), problem.status), (wanted, StatusCode::BAD_REQUEST), "{body}");
        }
        assert!(read(b"{,}").unwrap_err().error.starts_with("bad request body: "));
    }
}
