//! What a collection's items must be like: JSON Schema, draft 2020-12.

use std::{collections::HashMap, sync::Arc};

use jsonschema::{Draft, PatternOptions, Validator};
use serde_json::Value;

use super::{
    item::Item,
    problem::{Answer, Problem},
};

/// The most places of a body that one answer names.
const MOST: usize = 32;

/// A schema that items are held against.
pub(crate) struct Schema(Validator);

impl Schema {
    /// Nothing is fetched for a schema, and its patterns take linear time: whoever writes one must not hold the server.
    pub(crate) fn new(schema: &Value) -> Answer<Self> {
        let options = jsonschema::options().with_draft(Draft::Draft202012).offline();
        let built = options.with_pattern_options(PatternOptions::regex()).build(schema);
        built.map(Self).map_err(|error| {
            let pointer = error.instance_path().to_string();
            Problem::unfit("this is no JSON Schema (draft 2020-12) that can be used here").at(pointer, brief(&error))
        })
    }

    pub(crate) fn check(&self, item: &Value) -> Answer<()> {
        let mut errors = self.0.iter_errors(item).peekable();
        if errors.peek().is_none() {
            return Ok(());
        }
        let problem = Problem::unfit("the item is not as the collection's schema wants it");
        Err(errors
            .take(MOST)
            .fold(problem, |problem, error| problem.at(error.instance_path().to_string(), brief(&error))))
    }
}

/// An error's sentence, without the megabyte that it may quote.
fn brief(error: &jsonschema::ValidationError<'_>) -> String {
    let text = error.to_string();
    if text.len() < 300 { text } else { error.masked().to_string().chars().take(300).collect() }
}

/// The schemas that a writer has used lately, ready for use.
#[derive(Default)]
pub(crate) struct Schemas(HashMap<String, (i64, Arc<Schema>)>);

impl Schemas {
    const MOST: usize = 256;

    /// The schema that the item of [`SCHEMAS`](super::item::SCHEMAS) is.
    pub(crate) fn of(&mut self, item: &Item) -> Answer<Arc<Schema>> {
        if let Some((revision, schema)) = self.0.get(&item.id)
            && *revision == item.revision
        {
            return Ok(schema.clone());
        }
        let schema = Arc::new(Schema::new(&Value::Object(item.object()?))?);
        if self.0.len() >= Self::MOST {
            self.0.clear();
        }
        self.0.insert(item.id.clone(), (item.revision, schema.clone()));
        Ok(schema)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Neither the network, nor a file, nor a loop, nor a pattern that backtracks.
    #[test]
    fn a_schema_cannot_reach_out_or_hang() {
        for bad in [
            json!({ "$ref": "http://127.0.0.1:1/x.json" }),
            json!({ "$ref": "file:///etc/passwd" }),
            json!({ "properties": { "a": { "pattern": "(?=x)(a+)+$" } } }),
            json!({ "type": "objekt" }),
        ] {
            assert!(Schema::new(&bad).is_err(), "{bad}");
        }
        for round in [
            json!({ "allOf": [{ "$ref": "#" }] }),
            json!({ "$dynamicRef": "#x", "$dynamicAnchor": "x" }),
            json!({ "$ref": "#/$defs/a", "$defs": { "a": { "$ref": "#/$defs/b" }, "b": { "anyOf": [{ "$ref": "#/$defs/a" }] } } }),
        ] {
            assert!(Schema::new(&round).unwrap().check(&json!({ "a": [{}] })).is_ok(), "{round}");
        }
    }
}
