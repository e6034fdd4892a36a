//! Data that is made: random bytes, base64, links, identifiers.

use std::fmt::Write;

use base64::{
    Engine,
    alphabet::URL_SAFE,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig, general_purpose},
};
use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header::CONTENT_TYPE, header::LOCATION};
use serde_json::json;

use super::{
    answer::{Answer, Pace, With, bare, json, typed, value},
    bounds,
    call::Call,
    digest::hex,
    random::{self, Random},
};
use crate::{
    error::{Error, Result},
    html::escaped,
};

pub(super) const OCTETS: &str = "application/octet-stream";

/// Version 4 (RFC 9562, section 5.4).
pub(super) async fn uuid(_: Call) -> Answer {
    let mut bytes = random::bytes::<16>()?;
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let digits = hex(&bytes);
    let groups = [&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]];
    Ok(json(json!({ "uuid": groups.join("-") })))
}

pub(super) async fn bytes(call: Call) -> Answer {
    Ok(typed(OCTETS, drawn(&call)?))
}

pub(super) async fn stream_bytes(call: Call) -> Answer {
    let size = chunk_size(&call)?;
    let mut left = Bytes::from(drawn(&call)?);
    let pace = Pace { count: left.len().div_ceil(size) as u64, ..Pace::default() };
    let body = pace.body(move |_| left.split_to(size.min(left.len())));
    Ok(Response::new(body).with(CONTENT_TYPE, HeaderValue::from_static(OCTETS)))
}

fn drawn(call: &Call) -> Result<Vec<u8>> {
    let mut random = Random::seeded(call.arg("seed"))?;
    Ok((0..call.number(0).min(bounds::BYTES)).map(|_| random.byte()).collect())
}

/// `?chunk_size`, at least one byte.
pub(super) fn chunk_size(call: &Call) -> Result<usize> {
    Ok(call.count("chunk_size", 10 << 10)?.clamp(1, bounds::BYTES) as usize)
}

pub(super) async fn decode(call: Call) -> Answer {
    decoded(&call, call.part(0))
}

pub(super) async fn base64(call: Call) -> Answer {
    match call.part(0) {
        "decode" => decoded(&call, call.part(1)),
        "encode" => plain(&call, general_purpose::URL_SAFE.encode(call.part(1)).into_bytes()),
        other => Err(Error::usage(format!("base64 can encode and decode, and not '{other}'"))),
    }
}

/// Of both alphabets, with padding or without.
fn decoded(call: &Call, text: &str) -> Answer {
    let engine = GeneralPurpose::new(
        &URL_SAFE,
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
    );
    let safe = text.replace('+', "-").replace('/', "_");
    let wrong = |error| Error::usage("Incorrect Base64 data try: SFRUUEJJTiBpcyBhd2Vzb21l").because(error);
    plain(call, engine.decode(safe).map_err(wrong)?)
}

/// As text, or as what `?content-type` says.
fn plain(call: &Call, bytes: Vec<u8>) -> Answer {
    let kind = call.arg("content-type").unwrap_or("text/plain; charset=utf-8");
    let body = match String::from_utf8(bytes) {
        Ok(text) => escaped_for(kind, text).into_bytes(),
        // Without escapes only where nobody runs it.
        Err(_) if !is_harmless(kind) => return Err(Error::usage(format!("what is not text cannot be sent as {kind}"))),
        Err(error) => error.into_bytes(),
    };
    Ok(typed(OCTETS, body).with(CONTENT_TYPE, value(kind)?))
}

/// The text with its markup escaped, unless the type is one that no browser runs: what came in a link must not become a
/// page of ours.
pub(super) fn escaped_for(kind: &str, text: String) -> String {
    if is_harmless(kind) { text } else { escaped(&text) }
}

fn is_harmless(kind: &str) -> bool {
    let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    matches!(kind.as_str(), "application/json" | "text/plain" | OCTETS)
}

pub(super) async fn links(call: Call) -> Answer {
    Ok(bare(StatusCode::FOUND).with(LOCATION, value(&format!("/links/{}/0", call.number(0)))?))
}

pub(super) async fn links_at(call: Call) -> Answer {
    let (count, here) = (call.number(0).clamp(1, bounds::LINKS), call.number(1));
    let mut page = String::from("<html><head><title>Links</title></head><body>");
    for at in 0..count {
        // Writing into a string cannot fail.
        let _ = match at == here {
            true => write!(page, "{at} "),
            false => write!(page, "<a href='/links/{count}/{at}'>{at}</a> "),
        };
    }
    Ok(typed("text/html; charset=utf-8", page + "</body></html>"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_no_browser_runs_stays_as_it_is() {
        let script = "<script>alert('1')</script>".to_owned();
        for kind in ["text/plain", "application/json; charset=utf-8", "Application/Octet-Stream"] {
            assert_eq!(escaped_for(kind, script.clone()), script, "{kind}");
        }
        for kind in [
            "text/html",
            "TEXT/HTML;charset=utf-8",
            "image/svg+xml",
            "application/xhtml+xml",
            "text/xml",
            "",
            "text/plainx",
        ] {
            assert!(!escaped_for(kind, script.clone()).contains(['<', '>', '\'']), "{kind}");
        }
    }
}
