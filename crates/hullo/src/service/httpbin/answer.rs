//! What answers are made of: JSON as httpbin prints it, headers, and bodies that come over a time.

use std::{convert::Infallible, time::Duration};

use bytes::Bytes;
use futures_util::stream;
use http::{HeaderName, HeaderValue, Response, StatusCode, header::CONTENT_TYPE};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use serde_json::{Map, Value};
use tokio::time::{Instant, sleep_until};

use super::bounds;
use crate::{
    error::{Error, Result},
    io::exchange::{Body, empty, full},
};

/// What a handler gives. An error is told to the client, with a status of 4xx.
pub(super) type Answer = Result<Response<Body>>;

/// A JSON document, printed as httpbin does: sorted keys, indented by two, ASCII alone, a newline at the end.
pub(super) fn json(value: impl Into<Value>) -> Response<Body> {
    typed("application/json", print(value.into()))
}

/// A body of that type.
pub(super) fn typed(kind: &'static str, body: impl Into<Bytes>) -> Response<Body> {
    Response::new(full(body)).with(CONTENT_TYPE, HeaderValue::from_static(kind))
}

/// No body, and that status.
pub(super) fn bare(status: StatusCode) -> Response<Body> {
    Response::new(empty()).of(status)
}

/// Text for the eyes of people.
pub(super) fn words(status: StatusCode, said: impl Into<Bytes>) -> Response<Body> {
    typed("text/plain; charset=utf-8", said).of(status)
}

/// Adds to a response in one line.
pub(super) trait With {
    /// With that header, instead of those of this name.
    fn with(self, name: HeaderName, value: HeaderValue) -> Self;
    /// With that header besides those of this name.
    fn and(self, name: HeaderName, value: HeaderValue) -> Self;
    /// With that status.
    fn of(self, status: StatusCode) -> Self;
}

impl With for Response<Body> {
    fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers_mut().insert(name, value);
        self
    }

    fn and(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers_mut().append(name, value);
        self
    }

    fn of(mut self, status: StatusCode) -> Self {
        *self.status_mut() = status;
        self
    }
}

/// A header's value out of what a client has written.
pub(super) fn value(text: &str) -> Result<HeaderValue> {
    let about = |error| Error::usage(format!("{text:?} cannot be a header's value")).because(error);
    HeaderValue::from_bytes(text.as_bytes()).map_err(about)
}

/// A header's name out of what a client has written.
pub(super) fn name(text: &str) -> Result<HeaderName> {
    let about = |error| Error::usage(format!("{text:?} cannot be a header's name")).because(error);
    HeaderName::from_bytes(text.as_bytes()).map_err(about)
}

/// As httpbin prints JSON.
pub(super) fn print(value: Value) -> String {
    ascii(&format!("{:#}\n", sorted(value)))
}

/// On one line, in the order it is in.
pub(super) fn print_line(value: &Value) -> String {
    ascii(&value.to_string()) + "\n"
}

fn sorted(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            let mut fields: Vec<_> = map.into_iter().map(|(name, value)| (name, sorted(value))).collect();
            fields.sort_by(|(a, _), (b, _)| a.cmp(b));
            Value::Object(fields.into_iter().collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(sorted).collect()),
        scalar => scalar,
    }
}

/// With everything that is not printable ASCII written as `\uXXXX`. Outside of strings JSON has none but newlines.
fn ascii(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        match c {
            ' '..='~' | '\n' => out.push(c),
            _ => out.extend(c.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}"))),
        }
    }
    out
}

/// One value as it is, several as a list.
pub(super) fn grouped(pairs: impl IntoIterator<Item = (String, Value)>) -> Map<String, Value> {
    let mut map = Map::new();
    let mut many = std::collections::HashSet::new();
    for (name, value) in pairs {
        match map.get_mut(&name) {
            None => {
                map.insert(name, value);
            }
            Some(Value::Array(values)) if many.contains(&name) => values.push(value),
            Some(first) => {
                *first = Value::Array(vec![first.take(), value]);
                many.insert(name);
            }
        }
    }
    map
}

/// When the pieces of an answer come.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pace {
    /// How many there are.
    pub(super) count: u64,
    /// The time from the first to the last.
    pub(super) duration: Duration,
}

impl Pace {
    /// That number of bytes in pieces: one byte a piece, unless they would follow each other too fast. None is large.
    pub(super) fn of_bytes(bytes: u64, duration: Duration) -> Self {
        let ticks = (duration.as_nanos() / bounds::TICK.as_nanos()) as u64 + 1;
        Self { count: bytes.min(ticks.max(bytes.div_ceil(bounds::PIECE))), duration }
    }

    /// A body of pieces, each made when its time has come.
    pub(super) fn body(self, piece: impl FnMut(u64) -> Bytes + Send + 'static) -> Body {
        let begun = Instant::now();
        let step =
            self.duration.checked_div(self.count.saturating_sub(1).try_into().unwrap_or(u32::MAX)).unwrap_or_default();
        let pieces = stream::unfold((0, piece), move |(at, mut make)| async move {
            if at == self.count {
                return None;
            }
            let due = begun + step.saturating_mul(u32::try_from(at).unwrap_or(u32::MAX));
            if at > 0 && !step.is_zero() {
                sleep_until(due).await;
            }
            let frame = Frame::data(make(at));
            Some((Ok::<_, Infallible>(frame), (at + 1, make)))
        });
        StreamBody::new(pieces).map_err(|never| match never {}).boxed_unsync()
    }
}
