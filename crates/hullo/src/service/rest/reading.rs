//! What is read: lists, items, changes, and everything at once.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream::unfold;
use http::{
    HeaderName, HeaderValue, Response, StatusCode,
    header::{CACHE_CONTROL, ETAG, LAST_MODIFIED, LINK, VARY},
};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use serde_json::{Value, json};

use super::{
    Asked, bare, follow,
    item::{Item, SCHEMAS},
    json, overview,
    problem::{Answer, Problem},
    query::{Cursor, Listing, chosen, pairs, turned},
    route::{EVENTS, HTML, LINES, SCHEMA},
    store::{Change, Store},
    typed, value,
};
use crate::{
    error::{Error, Kind},
    io::exchange::{Body, full},
};

/// Changes in an answer that is no stream.
const CHANGES: usize = 1000;

/// Items that an export reads at once.
const CHUNK: usize = 500;

impl Asked {
    pub(super) async fn overview(self) -> Answer<Response<Body>> {
        let collections = self.store.collections().await?;
        let listed = || collections.iter().map(|(name, items)| json!({ "name": name, "items": items }));
        let mut response = match self.wants(HTML) {
            true => overview::page(&collections),
            false => json(StatusCode::OK, json!({ "collections": listed().collect::<Vec<_>>() }).to_string() + "\n"),
        };
        let headers = response.headers_mut();
        headers.insert(VARY, HeaderValue::from_static("accept"));
        // RFC 8631: where the description for programs is.
        headers.insert(LINK, HeaderValue::from_static("</openapi.json>; rel=\"service-desc\""));
        Ok(response)
    }

    pub(super) async fn list(self) -> Answer<Response<Body>> {
        let listing = Listing::read(&self.names.collection, self.query())?;
        // Before the items: a change in between then makes the tag too old, and never too new.
        let tag = format!("\"{}\"", self.store.revision(&listing.collection).await?);
        if self.condition().is_fresh(&tag, None)? {
            let mut response = bare(StatusCode::NOT_MODIFIED);
            response.headers_mut().insert(ETAG, value(tag));
            return Ok(response);
        }
        let (fields, sort) = (listing.fields.clone(), listing.sort.clone());
        let page = self.store.list(listing).await?;
        let mut response = json(StatusCode::OK, array(&page.items, &fields)?);
        let headers = response.headers_mut();
        headers.insert(ETAG, value(tag));
        if let Some(next) = page.next {
            let query = turned(self.query(), &next.write(&sort));
            headers.insert(LINK, value(format!("</{}?{query}>; rel=\"next\"", self.names.collection)));
        }
        if let Some(count) = page.count {
            headers.insert(HeaderName::from_static("x-total-count"), HeaderValue::from(count));
        }
        Ok(response)
    }

    pub(super) async fn read(self) -> Answer<Response<Body>> {
        let Some(item) = self.store.item(&self.names.collection, &self.names.id).await? else {
            return Err(Problem::missing(format!("there is no {} in {}", self.names.id, self.names.collection)));
        };
        self.unless_fresh(item, super::route::JSON)
    }

    pub(super) async fn read_schema(self) -> Answer<Response<Body>> {
        let Some(item) = self.store.item(SCHEMAS, &self.names.collection).await? else {
            return Err(Problem::missing(format!("{} has no schema", self.names.collection)));
        };
        self.unless_fresh(item, SCHEMA)
    }

    fn unless_fresh(&self, item: Item, kind: &'static str) -> Answer<Response<Body>> {
        let fresh = self.condition().is_fresh(&item.tag(), Some(item.last_modified()))?;
        let mut response = bare(StatusCode::NOT_MODIFIED);
        tagged(&mut response, &item);
        if !fresh {
            let headers = std::mem::take(response.headers_mut());
            response = typed(StatusCode::OK, kind, full(item.body + "\n"));
            response.headers_mut().extend(headers);
        }
        Ok(response)
    }

    pub(super) async fn changes(self) -> Answer<Response<Body>> {
        let collection = &self.names.collection;
        let after = match self.after()? {
            Some(after) => after,
            None => self.store.revision(collection).await?,
        };
        if self.wants(EVENTS) {
            let body = follow::events(self.store.clone(), collection.clone(), after, self.scope.clone());
            let mut response = typed(StatusCode::OK, EVENTS, body);
            response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
            response.headers_mut().insert(VARY, HeaderValue::from_static("accept"));
            return Ok(response);
        }
        let found = self.store.changes(collection, after, CHANGES).await?;
        let last = found.changes.last().map_or(after, |change| change.revision);
        let changes: String = found.changes.iter().map(change).collect::<Vec<_>>().join(",\n ");
        let body = format!("{{\"after\":{last},\"reset\":{},\"changes\":[{changes}]}}\n", found.forgotten);
        let mut response = json(StatusCode::OK, body);
        response.headers_mut().insert(VARY, HeaderValue::from_static("accept"));
        Ok(response)
    }

    /// Where whoever follows was: a number that it has from us.
    fn after(&self) -> Answer<Option<i64>> {
        let header =
            self.head.headers.get("last-event-id").map(|id| String::from_utf8_lossy(id.as_bytes()).into_owned());
        let parameter = pairs(self.query())?
            .into_iter()
            .find(|(name, _)| name == "after")
            .map(|(_, value)| value.unwrap_or_default());
        let wrong = || Problem::bad("after, and Last-Event-ID, is the number of a change, or 0 for all that is there");
        let number = |text: String| text.parse().ok().filter(|number| *number >= 0).ok_or_else(wrong);
        let header = header.map(number).transpose()?;
        let parameter = parameter.map(number).transpose()?;
        // A browser that comes back says it by the header, and its URL says still where it began.
        Ok(header.or(parameter))
    }

    /// Everything, one item a line, as it is read from the database.
    pub(super) fn export(self) -> Response<Body> {
        let export = Export { store: self.store, collection: self.names.collection, next: Some(None) };
        let pieces = unfold(export, |mut export| async move {
            let piece = export.piece().await?;
            Some((piece.map(Frame::data), export))
        });
        typed(StatusCode::OK, LINES, BodyExt::boxed_unsync(StreamBody::new(pieces)))
    }
}

/// The headers that name a version.
pub(super) fn tagged(response: &mut Response<Body>, item: &Item) {
    response.headers_mut().insert(ETAG, value(item.tag()));
    response.headers_mut().insert(LAST_MODIFIED, value(httpdate::fmt_http_date(item.last_modified())));
}

/// Items as an array, one a line. They are not read again unless fields are to be chosen.
fn array(items: &[Item], fields: &[Vec<String>]) -> Answer<String> {
    let mut all = String::with_capacity(items.iter().map(|item| item.body.len() + 3).sum::<usize>() + 3);
    for (at, item) in items.iter().enumerate() {
        all.push_str(if at == 0 { "[" } else { ",\n " });
        match fields {
            [] => all.push_str(&item.body),
            fields => all.push_str(&chosen(&Value::Object(item.object()?), fields).to_string()),
        }
    }
    all.push_str(if items.is_empty() { "[]\n" } else { "]\n" });
    Ok(all)
}

fn change(change: &Change) -> String {
    let (number, id) = (change.revision, &change.id);
    match &change.body {
        Some(body) => format!("{{\"change\":{number},\"event\":\"put\",\"item\":{body}}}"),
        None => json!({ "change": number, "event": "delete", "item": { "id": id } }).to_string(),
    }
}

/// An export under way: where the next part begins, until there is none.
struct Export {
    store: Arc<dyn Store>,
    collection: String,
    next: Option<Option<Cursor>>,
}

impl Export {
    async fn piece(&mut self) -> Option<Result<Bytes, Error>> {
        let from = self.next.take()?;
        match self.store.list(Listing::all(&self.collection, CHUNK, from)).await {
            Ok(page) => {
                self.next = page.next.map(Some);
                Some(Ok(page.items.into_iter().map(|item| item.body + "\n").collect::<String>().into()))
            }
            // What was sent already cannot be taken back: the answer is cut off, which a client sees.
            Err(problem) => {
                Some(Err(Error::new(Kind::Other, format!("cannot export {}: {}", self.collection, problem.detail))))
            }
        }
    }
}
