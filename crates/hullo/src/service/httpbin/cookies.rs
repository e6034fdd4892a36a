//! Cookies (RFC 6265), quoted as httpbin's own library quotes them.

use http::{
    HeaderMap, HeaderValue, Response, StatusCode,
    header::{COOKIE, LOCATION, SET_COOKIE},
};
use serde_json::{Map, json};

use super::{
    answer::{Answer, With, bare, json, value},
    call::{Call, decoded},
};
use crate::{
    error::{Error, Result},
    io::exchange::Body,
};

pub(super) async fn show(call: Call) -> Answer {
    let mut cookies = Map::new();
    for (name, value) in of(&call.headers) {
        // The first is the one for the nearest path (section 5.4).
        cookies.entry(name).or_insert(value.into());
    }
    Ok(json(json!({ "cookies": cookies })))
}

pub(super) async fn set(call: Call) -> Answer {
    let secure = call.is_secure();
    first_of_each(&call)
        .try_fold(shown(), |response, (name, value)| Ok(response.and(SET_COOKIE, setting(name, value, secure)?)))
}

pub(super) async fn set_one(call: Call) -> Answer {
    Ok(shown().with(SET_COOKIE, setting(call.part(0), call.part(1), call.is_secure())?))
}

pub(super) async fn delete(call: Call) -> Answer {
    first_of_each(&call).try_fold(shown(), |response, (name, _)| {
        let gone = format!("{}=; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Max-Age=0; Path=/", named(name)?);
        Ok(response.and(SET_COOKIE, value(&gone)?))
    })
}

fn first_of_each(call: &Call) -> impl Iterator<Item = (&str, &str)> {
    let is_first = |at: usize, name: &str| call.args[..at].iter().all(|(other, _)| other != name);
    let args = call.args.iter().enumerate().filter(move |(at, (name, _))| is_first(*at, name));
    args.map(|(_, (name, value))| (name.as_str(), value.as_str()))
}

/// A redirect to where all of them are shown.
fn shown() -> Response<Body> {
    bare(StatusCode::FOUND).with(LOCATION, HeaderValue::from_static("/cookies"))
}

/// The value of a `Set-Cookie` header.
pub(super) fn setting(name: &str, text: &str, secure: bool) -> Result<HeaderValue> {
    let secure = if secure { "Secure; " } else { "" };
    value(&format!("{}={}; {secure}Path=/", named(name)?, quoted(text)))
}

fn named(name: &str) -> Result<&str> {
    let good = !name.is_empty() && name.bytes().all(|c| c.is_ascii_graphic() && !b"()<>@,;:\\\"/[]?={}".contains(&c));
    if good { Ok(name) } else { Err(Error::usage(format!("{name:?} cannot be a cookie's name"))) }
}

/// All cookies of a request, in its order.
pub(super) fn of(headers: &HeaderMap) -> Vec<(String, String)> {
    let lines = headers.get_all(COOKIE).iter().map(|line| decoded(line.as_bytes()));
    let pairs = |line: String| {
        let pairs = line.split(';').filter_map(|pair| pair.split_once('='));
        pairs.map(|(name, value)| (name.trim().to_owned(), unquoted(value.trim()))).collect::<Vec<_>>()
    };
    lines.flat_map(pairs).filter(|(name, _)| !name.is_empty()).collect()
}

/// A value as it is, or in quotes with what may not stand there in octal.
fn quoted(text: &str) -> String {
    if text.bytes().all(|c| c.is_ascii_alphanumeric() || b"_!#$%&'()*+-./:<=>?@[]^`{|}~".contains(&c)) {
        return text.to_owned();
    }
    let mut out = String::from("\"");
    for byte in text.bytes() {
        match byte {
            b'"' | b'\\' => out.extend(['\\', char::from(byte)]),
            b',' | b';' | 0..b' ' | 0x7f.. => out.push_str(&format!("\\{byte:03o}")),
            _ => out.push(char::from(byte)),
        }
    }
    out + "\""
}

/// The reverse of [`quoted`].
fn unquoted(text: &str) -> String {
    let Some(inner) = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) else { return text.to_owned() };
    let (mut bytes, mut rest) = (Vec::new(), inner.as_bytes());
    loop {
        rest = match rest {
            [] => return String::from_utf8_lossy(&bytes).into_owned(),
            [b'\\', a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', rest @ ..] => {
                bytes.push((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'));
                rest
            }
            [b'\\', escaped, rest @ ..] => {
                bytes.push(*escaped);
                rest
            }
            [byte, rest @ ..] => {
                bytes.push(*byte);
                rest
            }
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_quoted_comes_back() {
        for (text, wire) in [
            ("blue", "blue"),
            ("a b", "\"a b\""),
            ("a;b,c", "\"a\\073b\\054c\""),
            ("say \"hi\" \\", "\"say \\\"hi\\\" \\\\\""),
            ("ü", "\"\\303\\274\""),
            ("\r\nSet-Cookie: x=y", "\"\\015\\012Set-Cookie: x=y\""),
        ] {
            assert_eq!((&*quoted(text), &*unquoted(wire)), (wire, text));
        }
        assert_eq!(unquoted("\"\\"), "\"\\");
        assert!(named("a b").is_err() && named("").is_err() && named("__Host-a").is_ok());
    }
}
