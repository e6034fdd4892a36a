//! What is read out, for programs: one JSON object a line.

use std::str::from_utf8;

use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::{Map, Value, json};

use super::{
    item::{Body, Item, Part, What},
    page::Most,
};
use crate::report::{object as named, safe};

/// Writes the item as a line. Of a piece so much is in it at most, and `hidden` says how many bytes are not.
pub(super) fn object(item: &Item, max: Most, out: &mut String) {
    let (event, facts) = facts(&item.what, max);
    let time = humantime::format_rfc3339_millis(item.when).to_string();
    let mut all = json!({ "time": time, "flow": item.flow });
    if let Some(all) = all.as_object_mut() {
        all.extend(item.way.map(|way| ("way".to_owned(), way.to_string().into())));
        all.extend(facts);
    }
    line(event, all, out);
}

/// Writes that so many events are not there.
pub(super) fn lost(count: u64, out: &mut String) {
    line("lost", json!({ "events": count }), out);
}

fn line(event: &str, facts: Value, out: &mut String) {
    *out += &safe(&named(event, facts));
    out.push('\n');
}

fn facts(what: &What, max: Most) -> (&'static str, Map<String, Value>) {
    let (event, facts) = match what {
        What::Opened { relay, client, server } => {
            ("opened", json!({ "relay": &**relay, "client": client.to_string(), "server": server.to_string() }))
        }
        What::Text(part) => ("piece", piece(part, max.text)),
        What::Hex(part) => ("piece", piece(part, max.hex)),
        What::Value { size, text } => {
            let value: Value = serde_json::from_str(text).unwrap_or_default();
            let is_long = *size > max.text as u64;
            (
                "value",
                if is_long {
                    json!({ "bytes": size, "hidden": size })
                } else {
                    json!({ "bytes": size, "value": value })
                },
            )
        }
        What::Head { size, lines } => ("head", head(*size, lines)),
        What::Body(body) => ("body", of_body(body)),
        What::Waiting { of, part } => {
            let mut facts = piece(part, max.text);
            facts["of"] = (*of).into();
            ("waiting", facts)
        }
        What::Remark(remark) => ("remark", json!({ "message": remark })),
        What::Missed(count) => ("missed", json!({ "bytes": count })),
        What::End => ("end", json!({})),
        What::Closed(closed) => (
            "closed",
            json!({ "seconds": closed.took.as_secs_f64(), "up": closed.up, "down": closed.down, "why": closed.why }),
        ),
    };
    match facts {
        Value::Object(facts) => (event, facts),
        _ => (event, Map::new()),
    }
}

fn piece(part: &Part, max: usize) -> Value {
    let first = part.first(max);
    let mut facts = json!({ "at": part.at, "bytes": part.size });
    if part.message {
        facts["message"] = true.into();
    }
    match from_utf8(first) {
        Ok(text) => facts["text"] = text.into(),
        Err(_) => facts["base64"] = BASE64_STANDARD.encode(first).into(),
    }
    let hidden = part.size.saturating_sub(first.len() as u64);
    if hidden > 0 {
        facts["hidden"] = hidden.into();
    }
    facts
}

fn head(size: u64, lines: &[String]) -> Value {
    let headers = lines.iter().skip(1).map(|line| match line.split_once(':') {
        Some((name, value)) => json!([name, value.trim()]),
        None => json!([line, null]),
    });
    json!({ "bytes": size, "first": lines.first(), "headers": headers.collect::<Vec<_>>() })
}

fn of_body(body: &Body) -> Value {
    let mut facts = json!({ "bytes": body.size, "type": body.kind, "coding": body.coding, "whole": body.whole });
    if let Ok(text) = from_utf8(&body.text)
        && !text.is_empty()
    {
        facts["text"] = text.into();
    }
    facts
}
