//! Answers that come late, bit by bit, or in more than one part.

use std::{
    convert::Infallible,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use futures_util::stream;
use http::{
    HeaderMap, HeaderName, HeaderValue, Response, StatusCode,
    header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, TRAILER, UPGRADE},
};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use serde_json::{Map, Value, json};
use tokio::time::sleep;

use super::{
    answer::{Answer, Pace, With, bare, json as document, name, print, print_line, value, words},
    bounds,
    call::{Call, time},
    data::OCTETS,
};
use crate::error::{Error, Result};

pub(super) async fn delay(call: Call) -> Answer {
    let delay = time(call.part(0))?.min(bounds::DELAY);
    // What is sent is read first: a client that is still sending does not wait for its answer yet.
    let told = call.dict(&["url", "args", "form", "data", "origin", "headers", "files"]).await?;
    sleep(delay).await;
    Ok(document(told))
}

pub(super) async fn drip(call: Call) -> Answer {
    let bytes = match call.count("numbytes", 10) {
        Ok(0) | Err(_) => return Ok(words(StatusCode::BAD_REQUEST, "number of bytes must be positive")),
        Ok(bytes) => bytes.min(bounds::DRIP),
    };
    let code = call.count("code", 200)?;
    let code = u16::try_from(code).ok().and_then(|code| StatusCode::from_u16(code).ok());
    let Some(code) = code.filter(|code| !code.is_informational()) else {
        return Err(Error::usage("the code is not a status from 200 to 999"));
    };
    let pace = Pace::of_bytes(bytes, call.time("duration", Duration::from_secs(2), bounds::DURATION)?);
    sleep(call.time("delay", Duration::ZERO, bounds::DELAY)?).await;
    if matches!(code, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED) {
        // These have no body that could drip (RFC 9110, section 6.4.1).
        return Ok(bare(code));
    }
    let due = move |piece: u64| bytes * piece / pace.count;
    let body = pace.body(move |piece| Bytes::from(vec![b'*'; (due(piece + 1) - due(piece)) as usize]));
    let response = Response::new(body).of(code).with(CONTENT_TYPE, HeaderValue::from_static(OCTETS));
    Ok(response.with(CONTENT_LENGTH, bytes.into()))
}

pub(super) async fn stream(call: Call) -> Answer {
    let told = told(&call).await?;
    lines(told, Pace { count: call.number(0).min(bounds::LINES), ..Pace::default() }, "application/json")
}

pub(super) async fn jsonl(call: Call) -> Answer {
    let told = told(&call).await?;
    lines(told, paced(&call).await?, "application/jsonl")
}

async fn told(call: &Call) -> Result<Map<String, Value>> {
    call.dict(&["url", "args", "headers", "origin"]).await
}

fn lines(mut told: Map<String, Value>, pace: Pace, kind: &'static str) -> Answer {
    let body = pace.body(move |id| {
        told.insert("id".to_owned(), id.into());
        print_line(&Value::Object(told.clone())).into()
    });
    Ok(Response::new(body).with(CONTENT_TYPE, HeaderValue::from_static(kind)))
}

/// What `?count`, `?duration` and `?delay` ask for, once the delay is over.
async fn paced(call: &Call) -> Result<Pace> {
    let count = call.count("count", 10)?.clamp(1, bounds::LINES);
    let duration = call.time("duration", Duration::from_secs(5), bounds::DURATION)?;
    sleep(call.time("delay", Duration::ZERO, bounds::DELAY)?).await;
    Ok(Pace { count, duration })
}

pub(super) async fn sse(call: Call) -> Answer {
    let body = paced(&call).await?.body(|id| {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let data = json!({ "id": id, "timestamp": now.as_millis() as u64 });
        format!("event: ping\ndata: {data}\n\n").into()
    });
    let response = Response::new(body).with(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    Ok(response.with(CACHE_CONTROL, HeaderValue::from_static("no-cache")))
}

/// Over HTTP/1.1 a client must say `TE: trailers` to get them (RFC 9110, section 6.5.1).
pub(super) async fn trailers(call: Call) -> Answer {
    let mut trailers = HeaderMap::new();
    for (key, text) in &call.args {
        trailers.append(trailing(key)?, value(text)?);
    }
    let names: Vec<_> = trailers.keys().map(HeaderName::as_str).collect();
    let names = value(&names.join(", "))?;
    let told = call.dict(&["url", "args", "form", "data", "origin", "headers", "files", "json", "method"]).await?;
    let frames = [Frame::data(Bytes::from(print(told.into()))), Frame::trailers(trailers)];
    let body = StreamBody::new(stream::iter(frames.map(Ok::<_, Infallible>))).map_err(|never| match never {});
    let response = Response::new(body.boxed_unsync()).with(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(if names.is_empty() { response } else { response.with(TRAILER, names) })
}

/// The name of a field that may come after the body: not one that is needed before it (section 6.5.1).
fn trailing(key: &str) -> Result<HeaderName> {
    const BEFORE: &[&str] = &[
        "authorization",
        "cache-control",
        "connection",
        "content-encoding",
        "content-length",
        "content-range",
        "content-type",
        "expect",
        "host",
        "keep-alive",
        "location",
        "max-forwards",
        "range",
        "set-cookie",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "www-authenticate",
    ];
    let name = name(key)?;
    if BEFORE.contains(&name.as_str()) {
        return Err(Error::usage(format!("{key} cannot be a trailer: it is needed before the body")));
    }
    Ok(name)
}

/// Who asks for no WebSocket where there is one.
pub(super) async fn websocket(_: Call) -> Answer {
    let about = "here a WebSocket is spoken: hullo connect ws://HOST:PORT/websocket/echo\n";
    Ok(words(StatusCode::UPGRADE_REQUIRED, about).with(UPGRADE, HeaderValue::from_static("websocket")))
}
