//! `curl --json @books.json localhost:8000/books/-/import`: many items at once, all of them or none.
//!
//! An import may be 64 times as long as another body (64 MiB, unless `?max=` says otherwise), and have 100 000 items. While
//! it is written it takes about eight times its length of memory (with PostgreSQL fifteen times), however it is cut up:
//! items are read one by one, and wait as text. All other writes wait for it, which is for seconds where it is that long.
//! No more than two imports are taken at a time, and others wait before their bodies are read.

use std::fmt;

use http::{Response, StatusCode};
use serde::{
    Deserialize, Deserializer,
    de::{SeqAccess, Visitor},
};
use serde_json::{Value, error::Category, json, value::RawValue};

use super::{
    Asked, Condition,
    edit::{Conflict, Deed, Edit, Outcome},
    item::{id_of, new_id, with_id},
    json,
    problem::{Answer, Problem},
    query::pairs,
    route::LINES,
    writing::object,
};
use crate::io::exchange::Body;

/// How many times as long as another body an import may be.
pub(super) const LONGER: usize = 64;

/// The most items of an import: the database's one writer does nothing else meanwhile.
const ITEMS: usize = 100_000;

/// Imports that are taken at the same time.
pub(super) const AT_ONCE: usize = 2;

impl Asked {
    pub(super) async fn import(self) -> Answer<Response<Body>> {
        let conflict = self.on_conflict()?;
        let store = self.store.clone();
        // That takes too long for a thread on which others are answered.
        let read = tokio::task::spawn_blocking(move || self.edits(conflict));
        let edits = read.await.map_err(Problem::of_store)??;
        let outcomes = store.edit(edits).await?;
        let count = |which: fn(&Outcome) -> bool| outcomes.iter().filter(|outcome| which(outcome)).count();
        let body = json!({
            "made": count(|outcome| outcome.made),
            "replaced": count(|outcome| outcome.changed && !outcome.made),
            "skipped": count(|outcome| !outcome.changed),
        });
        Ok(json(StatusCode::OK, body.to_string() + "\n"))
    }

    fn on_conflict(&self) -> Answer<Conflict> {
        let given = pairs(self.query())?.into_iter().find(|(name, _)| name == "on-conflict");
        match given.map(|(_, value)| value.unwrap_or_default()).as_deref() {
            None | Some("fail") => Ok(Conflict::Fail),
            Some("skip") => Ok(Conflict::Skip),
            Some("replace") => Ok(Conflict::Replace),
            Some(_) => Err(Problem::bad("on-conflict is fail, skip or replace")),
        }
    }

    /// The items of an import, in their order, each as it is to be made.
    fn edits(&self, conflict: Conflict) -> Answer<Vec<Edit>> {
        if self.body.is_empty() {
            return Err(Problem::bad("there is nothing to import"));
        }
        let items = if self.kind == LINES { lines(&self.body)? } else { array(&self.body)? };
        let edit = |(at, item)| self.imported(item, conflict).map_err(|problem| problem.within(at));
        items.into_iter().enumerate().map(edit).collect()
    }

    fn imported(&self, item: &RawValue, conflict: Conflict) -> Answer<Edit> {
        let text = item.get();
        if text.len() > self.max {
            return Err(Problem::too_large(format!("the item has {} bytes, and may have {}", text.len(), self.max)));
        }
        let item = serde_json::from_str(text).map_err(|error| Problem::bad(format!("it is not JSON: {error}")))?;
        let object = object(item)?;
        let id = match id_of(&object)? {
            Some(id) => id,
            None => new_id()?,
        };
        let text = Value::Object(with_id(object, &id)?).to_string();
        Ok(self.edit(&self.names.collection, &id, Deed::Import(text, conflict), Condition::default()))
    }
}

fn lines(body: &[u8]) -> Answer<Vec<&RawValue>> {
    let lines = body.split(|byte| *byte == b'\n').enumerate();
    let mut items = Vec::new();
    for (at, line) in lines.filter(|(_, line)| !line.trim_ascii().is_empty()) {
        if items.len() == ITEMS {
            return Err(too_many());
        }
        let wrong = |error| Problem::bad(format!("line {} is not JSON: {error}", at + 1));
        items.push(serde_json::from_slice(line).map_err(wrong)?);
    }
    Ok(items)
}

fn array(body: &[u8]) -> Answer<Vec<&RawValue>> {
    match serde_json::from_slice(body) {
        Ok(Items(Some(items))) => Ok(items),
        Ok(Items(None)) => Err(too_many()),
        Err(error) if error.classify() == Category::Data => {
            Err(Problem::unfit(format!("an import is an array of items, or lines of them as {LINES}")))
        }
        Err(error) => Err(Problem::bad(format!("the body is not JSON: {error}"))),
    }
}

fn too_many() -> Problem {
    let why = format!("an import has at most {ITEMS} items: send it in parts");
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, why)
}

/// The texts of an array's items; none where there are too many, which are then not kept.
struct Items<'a>(Option<Vec<&'a RawValue>>);

impl<'de: 'a, 'a> Deserialize<'de> for Items<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_seq(Reader)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Items<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of items")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut all: A) -> Result<Items<'de>, A::Error> {
        let mut items = Some(Vec::new());
        while let Some(item) = all.next_element()? {
            items = items.filter(|items| items.len() < ITEMS);
            if let Some(items) = &mut items {
                items.push(item);
            }
        }
        Ok(Items(items))
    }
}
