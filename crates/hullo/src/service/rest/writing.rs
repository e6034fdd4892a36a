//! What is written: items, one at a time, and schemas.

use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode,
    header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, LOCATION},
};
use serde_json::Value;

use super::{
    Asked, Condition, bare,
    edit::{Conflict, Deed, Edit, Outcome},
    item::{Object, SCHEMAS, id_of, new_id, with_id},
    patch,
    problem::{Answer, Problem},
    reading::tagged,
    route::{JSON, Operation, PATCH, SCHEMA},
    schema::Schema,
    typed, value,
};
use crate::io::exchange::{Body, full};

/// The type of a request's body, which must be one that the operation reads; without a type it is the first of those.
pub(super) fn kind(operation: &Operation, headers: &HeaderMap) -> Answer<&'static str> {
    let Some(first) = operation.reads.first().copied() else { return Ok("") };
    if headers.get(CONTENT_ENCODING).is_some_and(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"identity")) {
        let problem = Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "a body here is not compressed");
        return Err(problem.with(ACCEPT_ENCODING, HeaderValue::from_static("identity")));
    }
    let Some(kind) = headers.get(CONTENT_TYPE) else { return Ok(first) };
    let kind = String::from_utf8_lossy(kind.as_bytes());
    let essence = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    operation.reads.iter().find(|known| **known == essence).copied().ok_or_else(|| {
        let all = operation.reads.join(", ");
        let why =
            format!("a body here is {all}: say which by Content-Type (hullo request and curl --json send {JSON})");
        let header = match operation.method {
            Method::PATCH => HeaderName::from_static("accept-patch"),
            Method::POST => HeaderName::from_static("accept-post"),
            _ => http::header::ACCEPT,
        };
        Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, why).with(header, value(all))
    })
}

impl Asked {
    pub(super) async fn create(self) -> Answer<Response<Body>> {
        let object = object(self.parsed()?)?;
        let id = match id_of(&object)? {
            Some(id) => id,
            None => new_id()?,
        };
        let deed = Deed::Create(with_id(object, &id)?, Conflict::Fail);
        let outcome = self.one(&self.names.collection, &id, deed, Condition::default()).await?;
        Ok(written(outcome, JSON, &format!("/{}/{id}", self.names.collection)))
    }

    pub(super) async fn put(self) -> Answer<Response<Body>> {
        let deed = Deed::Put(with_id(object(self.parsed()?)?, &self.names.id)?);
        let outcome = self.one(&self.names.collection, &self.names.id, deed, self.condition()).await?;
        Ok(written(outcome, JSON, &format!("/{}/{}", self.names.collection, self.names.id)))
    }

    pub(super) async fn patch(self) -> Answer<Response<Body>> {
        let value = self.parsed()?;
        let deed = match self.kind {
            PATCH => Deed::Patch(patch::read(value)?),
            JSON if value.is_array() => return Err(Problem::unfit(format!("a JSON Patch is sent as {PATCH}"))),
            _ => Deed::Merge(value),
        };
        let outcome = self.one(&self.names.collection, &self.names.id, deed, self.condition()).await?;
        Ok(written(outcome, JSON, ""))
    }

    pub(super) async fn remove(self) -> Answer<Response<Body>> {
        self.one(&self.names.collection, &self.names.id, Deed::Remove, self.condition()).await?;
        Ok(bare(StatusCode::NO_CONTENT))
    }

    pub(super) async fn put_schema(self) -> Answer<Response<Body>> {
        let schema = self.parsed()?;
        Schema::new(&schema)?;
        let deed = Deed::Put(object(schema)?);
        let outcome = self.one(SCHEMAS, &self.names.collection, deed, self.condition()).await?;
        Ok(written(outcome, SCHEMA, &format!("/{}/-/schema", self.names.collection)))
    }

    pub(super) async fn remove_schema(self) -> Answer<Response<Body>> {
        self.one(SCHEMAS, &self.names.collection, Deed::Remove, self.condition()).await?;
        Ok(bare(StatusCode::NO_CONTENT))
    }

    pub(super) fn edit(&self, collection: &str, id: &str, deed: Deed, condition: Condition) -> Edit {
        Edit { collection: collection.to_owned(), id: id.to_owned(), deed, condition, max: self.max }
    }

    /// Makes one change, and says what came of it.
    async fn one(&self, collection: &str, id: &str, deed: Deed, condition: Condition) -> Answer<Outcome> {
        let outcomes = self.store.edit(vec![self.edit(collection, id, deed, condition)]).await?;
        outcomes.into_iter().next().ok_or_else(|| Problem::of_store("it did not say what came of the change"))
    }

    /// The body as a value.
    fn parsed(&self) -> Answer<Value> {
        serde_json::from_slice(&self.body).map_err(|error| Problem::bad(format!("the body is not JSON: {error}")))
    }
}

pub(super) fn object(value: Value) -> Answer<Object> {
    match value {
        Value::Object(object) => Ok(object),
        _ => Err(Problem::unfit("this is JSON, but no object")),
    }
}

/// What was written, as it is now.
fn written(outcome: Outcome, kind: &'static str, place: &str) -> Response<Body> {
    let status = if outcome.made { StatusCode::CREATED } else { StatusCode::OK };
    let Some(item) = outcome.item else { return bare(StatusCode::NO_CONTENT) };
    let mut response = typed(status, kind, full(String::new()));
    tagged(&mut response, &item);
    if outcome.made {
        response.headers_mut().insert(LOCATION, HeaderValue::try_from(place).unwrap_or(HeaderValue::from_static("/")));
    }
    *response.body_mut() = full(item.body + "\n");
    response
}
