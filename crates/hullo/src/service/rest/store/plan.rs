//! What a group of jobs comes to, before anything of it is written.

use std::collections::HashMap;

use super::super::{
    edit::{Deed, Edit, Effect, Outcome},
    item::{Item, SCHEMAS, now},
    problem::Answer,
    schema::Schemas,
};

/// An item and its place in the collection, if it is there.
pub(super) type Found = Option<(i64, Item)>;

/// What is to be written for one edit.
pub(super) enum Step {
    Write { place: i64, collection: String, item: Item, words: String, made: bool },
    Remove { place: i64, collection: String, id: String, revision: i64 },
    Nothing(Found),
}

impl Step {
    /// The item that is there after it.
    pub(super) fn leaves(&self) -> Found {
        match self {
            Step::Write { place, item, .. } => Some((*place, item.clone())),
            Step::Remove { .. } => None,
            Step::Nothing(found) => found.clone(),
        }
    }

    pub(super) fn outcome(self) -> Outcome {
        match self {
            Step::Write { item, made, .. } => Outcome { item: Some(item), made, changed: true },
            Step::Remove { .. } => Outcome { item: None, made: false, changed: true },
            Step::Nothing(found) => Outcome { item: found.map(|(_, item)| item), made: false, changed: false },
        }
    }
}

/// Gives each change its number.
pub(super) struct Plan<'a> {
    schemas: &'a mut Schemas,
    /// The number of the last change so far.
    pub(super) revision: i64,
    /// Whether anything is removed.
    pub(super) removes: bool,
    now: i64,
}

impl<'a> Plan<'a> {
    pub(super) fn new(schemas: &'a mut Schemas, revision: i64) -> Self {
        Self { schemas, revision, removes: false, now: now() }
    }

    /// What each edit of a job makes of what the ones before it leave behind: all of them, or the first that cannot be
    /// made. `find` looks an item up as the jobs before have left it.
    pub(super) fn job<E>(
        &mut self,
        edits: &[Edit],
        mut find: impl FnMut(&str, &str) -> Result<Found, E>,
    ) -> Result<Answer<Vec<Step>>, E> {
        let before = (self.revision, self.removes);
        let mut touched: HashMap<&str, Found> = HashMap::new();
        let mut steps = Vec::with_capacity(edits.len());
        for (at, edit) in edits.iter().enumerate() {
            let current = match touched.remove(edit.id.as_str()) {
                Some(found) => found,
                None => find(&edit.collection, &edit.id)?,
            };
            let schema = match edit.is_held_to_a_schema() {
                true => find(SCHEMAS, &edit.collection)?,
                false => None,
            };
            match self.step(edit, current, schema) {
                Ok(step) => {
                    if edits.len() > 1 {
                        touched.insert(&edit.id, step.leaves());
                    }
                    steps.push(step);
                }
                Err(problem) => {
                    (self.revision, self.removes) = before;
                    let imported = matches!(edit.deed, Deed::Import(..));
                    return Ok(Err(if imported { problem.within(at) } else { problem }));
                }
            }
        }
        Ok(Ok(steps))
    }

    fn step(&mut self, edit: &Edit, current: Found, schema: Found) -> Answer<Step> {
        let schema = schema.map(|(_, item)| self.schemas.of(&item)).transpose()?;
        let effect = edit.decide(current.as_ref().map(|(_, item)| item), schema.as_deref())?;
        let collection = edit.collection.clone();
        Ok(match (effect, current) {
            (Effect::Write { body, words }, current) => {
                self.revision += 1;
                let item = Item { id: edit.id.clone(), body, revision: self.revision, modified: self.now };
                let place = current.as_ref().map_or(self.revision, |(place, _)| *place);
                Step::Write { place, collection, item, words, made: current.is_none() }
            }
            (Effect::Remove, Some((place, item))) => {
                self.revision += 1;
                self.removes = true;
                Step::Remove { place, collection, id: item.id, revision: self.revision }
            }
            (_, current) => Step::Nothing(current),
        })
    }
}
