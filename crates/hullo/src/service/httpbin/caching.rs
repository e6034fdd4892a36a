//! What caches look at, and headers at will.

use http::{
    HeaderName, StatusCode,
    header::{
        CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, ETAG, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH,
        LAST_MODIFIED, TRAILER, TRANSFER_ENCODING, UPGRADE,
    },
};
use serde_json::Value;

use super::{
    answer::{Answer, With, bare, grouped, name, print, typed, value},
    call::Call,
    data::escaped_for,
    digest::hex,
    inspect, random,
};
use crate::error::{Error, Result};

pub(super) async fn cache(call: Call) -> Answer {
    let is_conditional = [IF_MODIFIED_SINCE, IF_NONE_MATCH].iter().any(|name| call.headers.contains_key(name));
    if is_conditional {
        return Ok(bare(StatusCode::NOT_MODIFIED));
    }
    let now = httpdate::fmt_http_date(std::time::SystemTime::now());
    let tag = hex(&random::bytes::<16>()?);
    Ok(inspect::told(call).await?.with(LAST_MODIFIED, value(&now)?).with(ETAG, value(&tag)?))
}

pub(super) async fn control(call: Call) -> Answer {
    let control = value(&format!("public, max-age={}", call.number(0)))?;
    Ok(inspect::told(call).await?.with(CACHE_CONTROL, control))
}

pub(super) async fn etag(call: Call) -> Answer {
    let tag = call.part(0).to_owned();
    let asked = |name: HeaderName| Some(tags(&call.header(name.as_str())?)).filter(|tags| !tags.is_empty());
    let has = |tags: &[String]| tags.iter().any(|one| *one == tag || one == "*");
    match (asked(IF_NONE_MATCH), asked(IF_MATCH)) {
        (Some(none), _) if has(&none) => return Ok(bare(StatusCode::NOT_MODIFIED).with(ETAG, value(&tag)?)),
        (None, Some(some)) if !has(&some) => return Ok(bare(StatusCode::PRECONDITION_FAILED)),
        _ => {}
    }
    Ok(inspect::told(call).await?.with(ETAG, value(&tag)?))
}

/// The tags of a list, without their quotes and marks of weakness (RFC 9110, section 8.8.3).
fn tags(list: &str) -> Vec<String> {
    let bare = |tag: &str| {
        let tag = tag.trim();
        tag.strip_prefix("W/").unwrap_or(tag).trim_matches('"').to_owned()
    };
    list.split(',').map(bare).filter(|tag| !tag.is_empty()).collect()
}

/// The headers of the query, as headers and as JSON; that JSON tells its own length, and so is made until it fits.
pub(super) async fn response_headers(call: Call) -> Answer {
    let mut headers = Vec::new();
    for (key, text) in &call.args {
        headers.push((settable(key)?, key.clone(), value(text)?, text.clone()));
    }
    let kind = headers.iter().rfind(|(name, ..)| name == CONTENT_TYPE).map(|(.., text)| text.clone());
    let kind = kind.unwrap_or_else(|| "application/json".to_owned());
    let said = headers.iter().filter(|(name, ..)| name != CONTENT_TYPE);
    let said: Vec<(String, Value)> = said.map(|(_, key, _, text)| (key.clone(), text.clone().into())).collect();
    let mut body = String::new();
    // A length of one digit more makes the body one longer, once or twice.
    for _ in 0..4 {
        let own = [("Content-Type", kind.clone()), ("Content-Length", body.len().to_string())];
        let own = own.map(|(name, text)| (name.to_owned(), text.into()));
        let next = print(Value::Object(grouped(own.into_iter().chain(said.clone()))));
        let next = escaped_for(&kind, next);
        if next.len() == body.len() {
            body = next;
            break;
        }
        body = next;
    }
    let mut response = typed("application/json", body);
    for (name, _, value, _) in headers {
        response = if name == CONTENT_TYPE { response.with(name, value) } else { response.and(name, value) };
    }
    Ok(response)
}

/// The name of a header that a client may set: not one that would cut the response off.
fn settable(key: &str) -> Result<HeaderName> {
    const OURS: &[HeaderName] = &[CONNECTION, CONTENT_LENGTH, TRAILER, TRANSFER_ENCODING, UPGRADE];
    let name = name(key)?;
    if OURS.contains(&name) {
        return Err(Error::usage(format!("{key} is for the server to set")));
    }
    Ok(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_come_in_lists() {
        assert_eq!(tags(r#""a", W/"b" ,c, *"#), ["a", "b", "c", "*"]);
        assert!(tags(" , ").is_empty());
        assert!(settable("Transfer-Encoding").is_err() && settable("a b").is_err() && settable("X-Color").is_ok());
    }
}
