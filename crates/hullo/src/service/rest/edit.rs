//! One change to one item: what it is, and what comes of it. It is decided here, whatever database keeps the outcome.

use http::StatusCode;
use json_patch::{Patch, PatchErrorKind, PatchOperation};
use serde_json::Value;

use super::{
    condition::Condition,
    item::{Item, Object, SCHEMAS, id_of, words},
    problem::{Answer, Problem},
    schema::Schema,
};

/// The deepest that arrays and objects may be nested, which is also what is read of a body.
const DEPTH: usize = 120;

/// The most operations of a JSON Patch.
const OPERATIONS: usize = 1000;

/// A change that somebody asks for.
pub(crate) struct Edit {
    pub(crate) collection: String,
    pub(crate) id: String,
    pub(crate) deed: Deed,
    pub(crate) condition: Condition,
    /// The most bytes that the item may have then.
    pub(crate) max: usize,
}

/// What is to be done.
pub(crate) enum Deed {
    /// Make it, unless it is there.
    Create(Object, Conflict),
    /// Make it so, whatever it was.
    Put(Object),
    /// RFC 7396.
    Merge(Value),
    /// RFC 6902.
    Patch(Patch),
    Remove,
}

/// What happens where there is an item already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Conflict {
    Fail,
    Skip,
    Replace,
}

/// What is to be kept.
pub(crate) enum Effect {
    Write { body: String, words: String },
    Remove,
    Nothing,
}

/// What became of an edit.
pub(crate) struct Outcome {
    /// The item as it is now, where there is one.
    pub(crate) item: Option<Item>,
    pub(crate) made: bool,
    pub(crate) changed: bool,
}

impl Edit {
    /// Whether a schema must be looked up to decide it.
    pub(crate) fn is_held_to_a_schema(&self) -> bool {
        self.collection != SCHEMAS && !matches!(self.deed, Deed::Remove)
    }

    /// What it makes of what is there.
    pub(crate) fn decide(&self, current: Option<&Item>, schema: Option<&Schema>) -> Answer<Effect> {
        // Only what would otherwise be done is subject to a condition (RFC 9110, section 13.2.1).
        let missing = || match self.collection.as_str() {
            SCHEMAS => Problem::missing(format!("{} has no schema", self.id)),
            collection => Problem::missing(format!("there is no {} in {collection}", self.id)),
        };
        let wanted = match (&self.deed, current) {
            (Deed::Create(_, Conflict::Fail), Some(_)) => {
                let why = format!("there is a {} in {} already", self.id, self.collection);
                return Err(Problem::new(StatusCode::CONFLICT, why));
            }
            (Deed::Create(_, Conflict::Skip), Some(_)) => return Ok(Effect::Nothing),
            (Deed::Create(object, _) | Deed::Put(object), _) => Value::Object(object.clone()),
            (Deed::Merge(_) | Deed::Patch(_) | Deed::Remove, None) => return Err(missing()),
            (Deed::Merge(patch), Some(item)) => {
                let mut value = Value::Object(item.object()?);
                json_patch::merge(&mut value, patch);
                value
            }
            (Deed::Patch(patch), Some(item)) => {
                self.condition.allows(current)?;
                patched(item, patch, self.max)?
            }
            (Deed::Remove, Some(_)) => {
                self.condition.allows(current)?;
                return Ok(Effect::Remove);
            }
        };
        self.condition.allows(current)?;
        self.check(&wanted, schema)?;
        let body = wanted.to_string();
        if body.len() > self.max {
            let why = format!("the item has {} bytes, and {} are allowed", body.len(), self.max);
            return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, why));
        }
        let words = if self.collection == SCHEMAS { String::new() } else { words(&wanted) };
        Ok(Effect::Write { body, words })
    }

    fn check(&self, wanted: &Value, schema: Option<&Schema>) -> Answer<()> {
        let Value::Object(object) = wanted else {
            return Err(Problem::unfit("an item is a JSON object, and this would not be one"));
        };
        if depth(wanted) > DEPTH {
            return Err(Problem::unfit(format!("arrays and objects may be nested {DEPTH} deep")));
        }
        if self.collection == SCHEMAS {
            return Ok(());
        }
        if id_of(object)?.as_deref() != Some(&self.id) {
            let why = format!("it is {} in the path", self.id);
            return Err(Problem::unfit("an item keeps its id").at("/id", why));
        }
        schema.map_or(Ok(()), |schema| schema.check(wanted))
    }
}

/// The item after a JSON Patch. What is copied counts: twenty copies of the whole, each into the next, would be a million.
fn patched(item: &Item, patch: &Patch, max: usize) -> Answer<Value> {
    if patch.0.len() > OPERATIONS {
        return Err(Problem::unfit(format!("a patch has at most {OPERATIONS} operations")));
    }
    let mut value = Value::Object(item.object()?);
    let mut copied = 0;
    for (at, operation) in patch.0.iter().enumerate() {
        if let PatchOperation::Copy(copy) = operation {
            copied += value.pointer(copy.from.as_str()).map_or(0, |from| from.to_string().len());
        }
        if copied > max {
            return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, format!("the patch copies more than {max} bytes")));
        }
        json_patch::patch_unsafe(&mut value, std::slice::from_ref(operation)).map_err(|error| {
            let place = format!("/{at}");
            match error.kind {
                PatchErrorKind::TestFailed => {
                    let why = "a test of the patch does not hold: nothing was changed";
                    Problem::new(StatusCode::CONFLICT, why).at(place, format!("{} is another value", error.path))
                }
                kind => Problem::unfit("the patch does not fit the item: nothing was changed")
                    .at(place, format!("{}: {kind}", error.path)),
            }
        })?;
        if depth(&value) > DEPTH {
            return Err(Problem::unfit(format!("arrays and objects may be nested {DEPTH} deep")));
        }
    }
    Ok(value)
}

/// How deep arrays and objects are nested. Nothing deeper than twice the bound comes here, since a body and an item are
/// each within it.
pub(crate) fn depth(value: &Value) -> usize {
    match value {
        Value::Array(values) => 1 + values.iter().map(depth).max().unwrap_or_default(),
        Value::Object(object) => 1 + object.values().map(depth).max().unwrap_or_default(),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn decided(current: &Value, patch: Value) -> Answer<String> {
        let item = Item { id: "a".into(), body: current.to_string(), revision: 1, modified: 0 };
        let deed = match patch {
            Value::Array(_) => Deed::Patch(serde_json::from_value(patch).unwrap()),
            patch => Deed::Merge(patch),
        };
        let edit =
            Edit { collection: "x".into(), id: "a".into(), deed, condition: Condition::default(), max: 100_000 };
        match edit.decide(Some(&item), None)? {
            Effect::Write { body, .. } => Ok(body),
            _ => panic!("nothing is written"),
        }
    }

    #[test]
    fn patches_do_what_the_rfcs_say() {
        let item = json!({ "id": "a", "n": 1.10, "list": [1, 2] });
        for (patch, wanted) in [
            (json!({ "n": null, "b": { "c": null, "d": 1 } }), r#"{"id":"a","list":[1,2],"b":{"d":1}}"#),
            (json!([{ "op": "add", "path": "/list/-", "value": 3 }]), r#"{"id":"a","n":1.1,"list":[1,2,3]}"#),
            (json!([{ "op": "move", "from": "/list/0", "path": "/n" }]), r#"{"id":"a","n":1,"list":[2]}"#),
            (json!([{ "op": "test", "path": "/id", "value": "a" }, { "op": "remove", "path": "/n" }]), r#"{"id":"a","list":[1,2]}"#),
        ] {
            assert_eq!(decided(&item, patch.clone()).unwrap(), wanted, "{patch}");
        }
        for (patch, status) in [
            (json!([{ "op": "test", "path": "/n", "value": 2 }]), 409),
            (json!([{ "op": "remove", "path": "/none" }]), 422),
            (json!([{ "op": "remove", "path": "/id" }]), 422),
            (json!([{ "op": "replace", "path": "", "value": 7 }]), 422),
            (json!({ "id": "b" }), 422),
            (json!(7), 422),
        ] {
            assert_eq!(decided(&item, patch.clone()).unwrap_err().status, status, "{patch}");
        }
    }

    #[test]
    fn a_patch_cannot_grow_without_bound() {
        let item = json!({ "id": "a", "text": "x".repeat(1000) });
        let copies: Vec<_> = (0..40).map(|at| json!({ "op": "copy", "from": "", "path": format!("/{at}") })).collect();
        assert_eq!(decided(&item, Value::Array(copies)).unwrap_err().status, 413);
        let nested: Vec<_> =
            (0..300).map(|_| json!([{ "op": "copy", "from": "/n", "path": "/n/n" }][0])).collect();
        let status = decided(&json!({ "id": "a", "n": {} }), Value::Array(nested)).unwrap_err().status;
        assert!([413, 422].contains(&status.as_u16()), "{status}");
    }
}
