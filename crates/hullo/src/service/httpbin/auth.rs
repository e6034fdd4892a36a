//! Basic (RFC 7617) and Bearer (RFC 6750).

use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};
use http::{
    HeaderValue, StatusCode,
    header::{AUTHORIZATION, WWW_AUTHENTICATE},
};
use serde_json::json;

use super::{
    answer::{Answer, With, bare, json},
    call::Call,
    statuses,
};

pub(super) async fn basic(call: Call) -> Answer {
    if !knows_basic(&call) {
        return Ok(statuses::answer(StatusCode::UNAUTHORIZED));
    }
    Ok(json(json!({ "authenticated": true, "user": call.part(0) })))
}

pub(super) async fn hidden_basic(call: Call) -> Answer {
    if !knows_basic(&call) {
        return Ok(statuses::answer(StatusCode::NOT_FOUND));
    }
    Ok(json(json!({ "authenticated": true, "user": call.part(0) })))
}

fn knows_basic(call: &Call) -> bool {
    let wanted = format!("{}:{}", call.part(0), call.part(1));
    credentials(call, "basic").is_some_and(|told| {
        let decoded = STANDARD_NO_PAD.decode(told.trim_end_matches('='));
        decoded.is_ok_and(|told| told == wanted.as_bytes())
    })
}

pub(super) async fn bearer(call: Call) -> Answer {
    let Some(token) = credentials(&call, "bearer") else {
        return Ok(bare(StatusCode::UNAUTHORIZED).with(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer")));
    };
    Ok(json(json!({ "authenticated": true, "token": token })))
}

/// What the client says after the name of a scheme, which may be in any case (RFC 9110, section 11.1).
pub(super) fn credentials(call: &Call, scheme: &str) -> Option<String> {
    let told = call.header(AUTHORIZATION.as_str())?;
    let (name, rest) = told.split_once(' ')?;
    name.eq_ignore_ascii_case(scheme).then(|| rest.trim().to_owned())
}
