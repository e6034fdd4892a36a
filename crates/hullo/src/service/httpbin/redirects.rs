//! Redirects.

use http::{HeaderValue, StatusCode, header::LOCATION};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

use super::{
    answer::{Answer, With, bare, value},
    call::Call,
};
use crate::error::{Error, Result};

/// What may not stand in a header, and is no part of a URL.
const NO_URL: &AsciiSet =
    &CONTROLS.add(b' ').add(b'"').add(b'<').add(b'>').add(b'\\').add(b'^').add(b'`').add(b'{').add(b'|').add(b'}');

pub(super) async fn redirect(call: Call) -> Answer {
    let is_absolute = call.arg("absolute").is_some_and(|text| text.eq_ignore_ascii_case("true"));
    step(&call, if is_absolute { "absolute" } else { "relative" })
}

pub(super) async fn relative(call: Call) -> Answer {
    step(&call, "relative")
}

pub(super) async fn absolute(call: Call) -> Answer {
    step(&call, "absolute")
}

/// One redirect less, and `/get` at the end.
fn step(call: &Call, kind: &str) -> Answer {
    let path = match call.number(0) {
        0 => return Err(Error::usage("0 redirects are none: ask for 1 or more")),
        1 => "/get".to_owned(),
        n => format!("/{kind}-redirect/{}", n - 1),
    };
    let root = if kind == "absolute" { call.root() } else { String::new() };
    Ok(bare(StatusCode::FOUND).with(LOCATION, value(&(root + &path))?))
}

/// To wherever it is said, as httpbin does: who serves this to others serves them an open redirect.
pub(super) async fn redirect_to(call: Call) -> Answer {
    let Some(url) = call.arg("url") else {
        return Err(Error::usage("there is no url to redirect to").hint("/redirect-to?url=/get"));
    };
    let asked = call.arg("status_code").and_then(|code| code.parse().ok()).filter(|code| (300..400).contains(code));
    let code = asked.and_then(|code| StatusCode::from_u16(code).ok()).unwrap_or(StatusCode::FOUND);
    Ok(bare(code).with(LOCATION, location(url)?))
}

fn location(url: &str) -> Result<HeaderValue> {
    value(&utf8_percent_encode(url, NO_URL).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_location_is_one_header() {
        for (url, wire) in [
            ("https://example.org/a?b=c#d", "https://example.org/a?b=c#d"),
            ("/a b\r\nSet-Cookie: x", "/a%20b%0D%0ASet-Cookie:%20x"),
            ("/ü%20", "/%C3%BC%20"),
        ] {
            assert_eq!(location(url).unwrap(), wire);
        }
    }
}
