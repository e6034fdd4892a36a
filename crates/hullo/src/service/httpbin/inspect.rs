//! What came: methods, headers, bodies, and who is asked.

use http::{StatusCode, header::HOST};
use http_body_util::BodyExt;
use serde_json::{Map, json};

use super::{
    answer::{Answer, json, words},
    call::Call,
};

pub(super) async fn get(call: Call) -> Answer {
    told(call).await
}

/// What `/get` answers, to which others add their headers.
pub(super) async fn told(call: Call) -> Answer {
    Ok(json(call.dict(&["url", "args", "headers", "origin"]).await?))
}

pub(super) async fn body(call: Call) -> Answer {
    Ok(json(call.dict(&["url", "args", "form", "data", "origin", "headers", "files", "json"]).await?))
}

pub(super) async fn anything(call: Call) -> Answer {
    const ALL: &[&str] = &["url", "args", "headers", "origin", "method", "form", "data", "files", "json"];
    Ok(json(call.dict(ALL).await?))
}

pub(super) async fn headers(call: Call) -> Answer {
    Ok(json(call.dict(&["headers"]).await?))
}

pub(super) async fn ip(call: Call) -> Answer {
    if call.arg("format") == Some("text") {
        return Ok(words(StatusCode::OK, call.origin()));
    }
    Ok(json(json!({ "origin": call.origin() })))
}

pub(super) async fn user_agent(call: Call) -> Answer {
    Ok(json(json!({ "user-agent": call.header("user-agent") })))
}

/// The head as HTTP/1.1 has it, whichever version it came in, and the body.
pub(super) async fn dump(call: Call) -> Answer {
    let mut text = format!("{} {} {:?}\r\n", call.method, call.target(), call.version).into_bytes();
    if let (None, Some(host)) = (call.headers.get(HOST), call.uri.authority()) {
        text.extend_from_slice(format!("host: {host}\r\n").as_bytes());
    }
    for (name, value) in &call.headers {
        text.extend_from_slice(format!("{name}: ").as_bytes());
        text.extend_from_slice(value.as_bytes());
        text.extend_from_slice(b"\r\n");
    }
    text.extend_from_slice(b"\r\n");
    text.extend_from_slice(&call.take().await?);
    Ok(words(StatusCode::OK, text))
}

pub(super) async fn upload(call: Call) -> Answer {
    let mut body = call.body();
    let mut received = 0;
    while let Some(frame) = body.frame().await {
        received += frame?.data_ref().map_or(0, |data| data.len() as u64);
    }
    let mut told = call.dict(&["url", "args", "headers", "origin", "method"]).await?;
    told.insert("bytes_received".to_owned(), received.into());
    Ok(json(told))
}

pub(super) async fn hostname(_: Call) -> Answer {
    Ok(json(json!({ "hostname": rustix::system::uname().nodename().to_string_lossy() })))
}

pub(super) async fn env(call: Call) -> Answer {
    let shown = call.service.env.iter().map(|(name, value)| (name.clone(), value.clone().into()));
    let shown: Map<_, _> = shown.collect();
    Ok(json(json!({ "env": shown })))
}
