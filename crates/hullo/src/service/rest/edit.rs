//! One change to one item: what it is, and what comes of it. It is decided here, whatever database keeps the outcome.

use http::StatusCode;
use json_patch::PatchOperation;
use serde_json::Value;

use super::{
    Condition,
    item::{Item, Object, SCHEMAS, id_of, words},
    patch,
    problem::{Answer, Problem},
    schema::Schema,
};

/// The deepest that arrays and objects may be nested, which is also what is read of a body.
const DEPTH: usize = 120;

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
    /// The same for one of many, as JSON: so they take no more room than they are long.
    Import(String, Conflict),
    /// Make it so, whatever it was.
    Put(Object),
    /// RFC 7396.
    Merge(Value),
    /// RFC 6902.
    Patch(Vec<PatchOperation>),
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
            (Deed::Create(_, Conflict::Fail) | Deed::Import(_, Conflict::Fail), Some(_)) => {
                let why = format!("there is a {} in {} already", self.id, self.collection);
                return Err(Problem::new(StatusCode::CONFLICT, why));
            }
            (Deed::Create(_, Conflict::Skip) | Deed::Import(_, Conflict::Skip), Some(_)) => return Ok(Effect::Nothing),
            (Deed::Create(object, _) | Deed::Put(object), _) => Value::Object(object.clone()),
            (Deed::Import(text, _), _) => serde_json::from_str(text).map_err(Problem::of_store)?,
            (Deed::Merge(_) | Deed::Patch(_) | Deed::Remove, None) => return Err(missing()),
            (Deed::Merge(patch), Some(item)) => {
                let mut value = Value::Object(item.object()?);
                json_patch::merge(&mut value, patch);
                value
            }
            (Deed::Patch(patch), Some(item)) => {
                self.allowed(current)?;
                patch::applied(item, patch, self.max)?
            }
            (Deed::Remove, Some(_)) => {
                self.allowed(current)?;
                return Ok(Effect::Remove);
            }
        };
        self.allowed(current)?;
        self.check(&wanted, schema)?;
        let body = wanted.to_string();
        if body.len() > self.max {
            return Err(Problem::too_large(format!("the item has {} bytes, and may have {}", body.len(), self.max)));
        }
        let words = if self.collection == SCHEMAS { String::new() } else { words(&wanted) };
        Ok(Effect::Write { body, words })
    }

    /// Whether the client believes that to be there which is.
    fn allowed(&self, current: Option<&Item>) -> Answer<()> {
        let tag = current.map(Item::tag);
        Ok(self.condition.allows(tag.as_deref(), current.map(Item::last_modified))?)
    }

    fn check(&self, wanted: &Value, schema: Option<&Schema>) -> Answer<()> {
        // A patch says nothing wrong by itself: it does not go with what is there.
        let status =
            if matches!(self.deed, Deed::Patch(_)) { StatusCode::CONFLICT } else { StatusCode::UNPROCESSABLE_ENTITY };
        let Value::Object(object) = wanted else {
            return Err(Problem::new(status, "an item is a JSON object, and this would not be one"));
        };
        shallow(wanted, 0)?;
        if self.collection == SCHEMAS {
            return Ok(());
        }
        if id_of(object).ok().flatten().as_deref() != Some(&self.id) {
            return Err(Problem::new(status, "an item keeps its id").at("/id", format!("it is {}", self.id)));
        }
        schema.map_or(Ok(()), |schema| schema.check(wanted))
    }
}

/// Refuses what is nested too deeply, where it is so deep already.
pub(crate) fn shallow(value: &Value, within: usize) -> Answer<()> {
    match within + depth(value) {
        0..=DEPTH => Ok(()),
        _ => Err(Problem::unfit(format!("arrays and objects may be nested {DEPTH} deep"))),
    }
}

/// How deep arrays and objects are nested. Nothing deeper than twice the bound comes here, since a body and an item are
/// each within it.
fn depth(value: &Value) -> usize {
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
            Value::Array(_) => Deed::Patch(patch::read(patch)?),
            patch => Deed::Merge(patch),
        };
        let edit = Edit { collection: "x".into(), id: "a".into(), deed, condition: Condition::default(), max: 100_000 };
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
            (
                json!([{ "op": "test", "path": "/id", "value": "a" }, { "op": "remove", "path": "/n" }]),
                r#"{"id":"a","list":[1,2]}"#,
            ),
        ] {
            assert_eq!(decided(&item, patch.clone()).unwrap(), wanted, "{patch}");
        }
        for (patch, status) in [
            (json!([{ "op": "test", "path": "/n", "value": 2 }]), 409),
            (json!([{ "op": "remove", "path": "/none" }]), 409),
            (json!([{ "op": "remove", "path": "/id" }]), 409),
            (json!([{ "op": "replace", "path": "", "value": 7 }]), 409),
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
        let nested = vec![json!({ "op": "move", "from": "/n", "path": "/n/n" }); 2];
        assert_eq!(decided(&json!({ "id": "a", "n": {} }), Value::Array(nested)).unwrap_err().status, 409);
        let deeper = |at: usize| json!({ "op": "add", "path": format!("/n{}", "/n".repeat(at)), "value": {} });
        let deeper = (0..200).map(deeper).collect();
        assert_eq!(decided(&json!({ "id": "a" }), deeper).unwrap_err().status, 422);
    }

    #[test]
    fn a_number_in_a_patch_keeps_its_spelling() {
        let patch = serde_json::from_str(r#"[{"op":"add","path":"/n","value":[1.50,123456789012345678901234567890]}]"#);
        let body = decided(&json!({ "id": "a" }), patch.unwrap()).unwrap();
        assert_eq!(body, r#"{"id":"a","n":[1.50,123456789012345678901234567890]}"#);
    }
}
