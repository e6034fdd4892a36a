//! Digest (RFC 7616). The server remembers nothing: as in httpbin, what it wants to know again is in cookies.

use std::{collections::HashMap, fmt::Write};

use aws_lc_rs::{
    constant_time,
    digest::{self as hashes, Algorithm},
};
use http::{HeaderValue, Response, StatusCode, header::SET_COOKIE, header::WWW_AUTHENTICATE};
use md5::{Digest as _, Md5};
use serde_json::json;

use super::{
    answer::{Answer, With, bare, json, value},
    auth::credentials,
    call::Call,
    cookies, random,
};
use crate::{error::Result, io::exchange::Body};

const REALM: &str = "hullo";

/// A way to hash.
#[derive(Clone, Copy)]
struct Hash {
    name: &'static str,
    /// MD5 is in nobody's library of cryptography any more.
    by: Option<&'static Algorithm>,
}

const MD5: Hash = Hash { name: "MD5", by: None };

const HASHES: &[Hash] = &[
    MD5,
    Hash { name: "SHA-256", by: Some(&hashes::SHA256) },
    Hash { name: "SHA-512", by: Some(&hashes::SHA512) },
    Hash { name: "SHA-512-256", by: Some(&hashes::SHA512_256) },
];

impl Hash {
    fn of(self, parts: &[&str]) -> String {
        self.of_bytes(parts.join(":").as_bytes())
    }

    fn of_bytes(self, bytes: &[u8]) -> String {
        match self.by {
            None => hex(&Md5::digest(bytes)),
            Some(algorithm) => hex(hashes::digest(algorithm, bytes).as_ref()),
        }
    }
}

/// Bytes in hexadecimal.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        // Writing into a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// What the path asks for.
struct Wanted {
    qop: Option<String>,
    hash: Hash,
    stale_after: String,
}

impl Wanted {
    fn of(call: &Call) -> Self {
        let qop = Some(call.part(0)).filter(|qop| matches!(*qop, "auth" | "auth-int")).map(str::to_owned);
        let hash = HASHES.iter().find(|hash| hash.name == call.part(3)).copied().unwrap_or(MD5);
        let stale_after = Some(call.part(4)).filter(|text| !text.is_empty()).unwrap_or("never").to_owned();
        Self { qop, hash, stale_after }
    }

    fn challenge(&self, stale: bool, last: Option<&str>) -> Answer {
        let (nonce, opaque) = (self.hash.of_bytes(&random::bytes::<16>()?), hex(&random::bytes::<16>()?));
        let qop = self.qop.as_deref().unwrap_or("auth, auth-int");
        let stale = if stale { "TRUE" } else { "FALSE" };
        let told = format!(
            "Digest realm=\"{REALM}\", nonce=\"{nonce}\", qop=\"{qop}\", opaque=\"{opaque}\", algorithm={}, stale={stale}",
            self.hash.name
        );
        let mut response = with_cookie(bare(StatusCode::UNAUTHORIZED), "stale_after", &self.stale_after)?;
        if let Some(last) = last {
            response = with_cookie(response, "last_nonce", last)?;
        }
        with_cookie(response.with(WWW_AUTHENTICATE, value(&told)?), "fake", "fake_value")
    }

    fn offers(&self, qop: &str) -> bool {
        match &self.qop {
            Some(wanted) => wanted == qop,
            None => matches!(qop, "auth" | "auth-int"),
        }
    }
}

pub(super) async fn digest(call: Call) -> Answer {
    let wanted = Wanted::of(&call);
    let cookie_is_needed =
        call.arg("require-cookie").is_some_and(|text| matches!(text.to_ascii_lowercase().as_str(), "1" | "t" | "true"));
    let Some(told) = credentials(&call, "digest").map(|told| parameters(&told)) else {
        return wanted.challenge(false, None);
    };
    if cookie_is_needed && !call.headers.contains_key(http::header::COOKIE) {
        return wanted.challenge(false, None);
    }
    if cookie_is_needed && call.cookie("fake").as_deref() != Some("fake_value") {
        let refusal = json(json!({ "errors": ["missing cookie set on challenge"] })).of(StatusCode::FORBIDDEN);
        return with_cookie(refusal, "fake", "fake_value");
    }
    let nonce = told.get("nonce").map(String::as_str).unwrap_or_default();
    let left = call.cookie("stale_after");
    if call.cookie("last_nonce").is_some_and(|last| last == nonce) || left.as_deref() == Some("0") {
        return wanted.challenge(true, Some(nonce));
    }
    if !knows(&call, &wanted, &told).await? {
        return wanted.challenge(false, Some(nonce));
    }
    let answer = json(json!({ "authenticated": true, "user": call.part(1) }));
    let answer = with_cookie(answer, "fake", "fake_value")?;
    match left {
        None => Ok(answer),
        Some(left) => {
            let left = left.parse().map_or("never".to_owned(), |left: i64| left.saturating_sub(1).to_string());
            with_cookie(answer, "stale_after", &left)
        }
    }
}

async fn knows(call: &Call, wanted: &Wanted, told: &HashMap<String, String>) -> Result<bool> {
    let field = |name: &str| told.get(name).map(String::as_str).unwrap_or_default();
    let qop = told.get("qop").map(String::as_str);
    let algorithm = told.get("algorithm").map_or("MD5", String::as_str);
    let (algorithm, is_session) = algorithm.strip_suffix("-sess").map_or((algorithm, false), |bare| (bare, true));
    if field("username") != call.part(1)
        || !algorithm.eq_ignore_ascii_case(wanted.hash.name)
        || qop.is_some_and(|qop| !wanted.offers(qop))
    {
        return Ok(false);
    }
    let body = if qop == Some("auth-int") { call.take().await? } else { bytes::Bytes::new() };
    let asked = Asked {
        hash: wanted.hash,
        is_session,
        username: call.part(1),
        realm: field("realm"),
        password: call.part(2),
        nonce: field("nonce"),
        cnonce: field("cnonce"),
        nc: field("nc"),
        qop,
        method: call.method.as_str(),
        uri: call.target(),
        body: &body,
    };
    Ok(constant_time::verify_slices_are_equal(asked.response().as_bytes(), field("response").as_bytes()).is_ok())
}

/// What the response of a client is made of (section 3.4.1).
struct Asked<'a> {
    hash: Hash,
    is_session: bool,
    username: &'a str,
    realm: &'a str,
    password: &'a str,
    nonce: &'a str,
    cnonce: &'a str,
    nc: &'a str,
    /// None is what RFC 2069 had.
    qop: Option<&'a str>,
    method: &'a str,
    uri: &'a str,
    body: &'a [u8],
}

impl Asked<'_> {
    fn response(&self) -> String {
        let hash = self.hash;
        let mut secret = hash.of(&[self.username, self.realm, self.password]);
        if self.is_session {
            secret = hash.of(&[&secret, self.nonce, self.cnonce]);
        }
        let what = match self.qop {
            Some("auth-int") => hash.of(&[self.method, self.uri, &hash.of_bytes(self.body)]),
            _ => hash.of(&[self.method, self.uri]),
        };
        match self.qop {
            None => hash.of(&[&secret, self.nonce, &what]),
            Some(qop) => hash.of(&[&secret, self.nonce, self.nc, self.cnonce, qop, &what]),
        }
    }
}

/// The parameters of credentials: `name=token` and `name="quoted \"string\""`, by commas (RFC 9110, section 11.4).
fn parameters(told: &str) -> HashMap<String, String> {
    let mut found = HashMap::new();
    let mut rest = told;
    while let Some((name, after)) = rest.split_once('=') {
        let name = name.trim_matches([' ', '\t', ',']).to_ascii_lowercase();
        let value = match after.trim_start().strip_prefix('"') {
            Some(quoted) => {
                let (value, after) = unquoted(quoted);
                rest = after;
                value
            }
            None => {
                let (value, after) = after.split_once(',').unwrap_or((after, ""));
                rest = after;
                value.trim().to_owned()
            }
        };
        found.entry(name).or_insert(value);
    }
    found
}

/// A quoted string behind its first quote, and what comes after its last.
fn unquoted(text: &str) -> (String, &str) {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return (value, &text[at + 1..]),
            '\\' => value.extend(chars.next().map(|(_, escaped)| escaped)),
            _ => value.push(c),
        }
    }
    (value, "")
}

fn with_cookie(response: Response<Body>, name: &str, text: &str) -> Answer {
    let cookie: HeaderValue = cookies::setting(name, text, false)?;
    Ok(response.and(SET_COOKIE, cookie))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 7616, section 3.9.1.
    #[test]
    fn the_responses_of_the_rfc_are_right() {
        for (hash, nonce, response) in [
            (HASHES[0], "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", "8ca523f5e9506fed4657c9700eebdbec"),
            (
                HASHES[1],
                "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v",
                "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1",
            ),
        ] {
            let asked = Asked {
                hash,
                is_session: false,
                username: "Mufasa",
                realm: "http-auth@example.org",
                password: "Circle of Life",
                nonce,
                cnonce: "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ",
                nc: "00000001",
                qop: Some("auth"),
                method: "GET",
                uri: "/dir/index.html",
                body: b"",
            };
            assert_eq!(asked.response(), response, "{}", hash.name);
        }
    }

    /// RFC 2617, section 3.5, and RFC 2069, section 2.4 with the response of its erratum.
    #[test]
    fn older_responses_are_right_too() {
        let mufasa = Asked {
            hash: MD5,
            is_session: false,
            username: "Mufasa",
            realm: "testrealm@host.com",
            password: "Circle Of Life",
            nonce: "dcd98b7102dd2f0e8b11d0f600bfb0c093",
            cnonce: "0a4f113b",
            nc: "00000001",
            qop: Some("auth"),
            method: "GET",
            uri: "/dir/index.html",
            body: b"",
        };
        assert_eq!(mufasa.response(), "6629fae49393a05397450978507c4ef1");
        let older = Asked { password: "CircleOfLife", qop: None, ..mufasa };
        assert_eq!(older.response(), "1949323746fe6a43ef61f9606e7febea");
    }

    #[test]
    fn parameters_are_read_as_they_are_quoted() {
        let found = parameters(r#"username="M\"u, f=a", uri="/a?b=c,d", qop=auth , NC=00000001,response="00""#);
        let field = |name: &str| found.get(name).map(String::as_str).unwrap_or_default();
        assert_eq!((field("username"), field("uri")), ("M\"u, f=a", "/a?b=c,d"));
        assert_eq!((field("qop"), field("nc"), field("response")), ("auth", "00000001", "00"));
        for broken in ["", "=", "a", "a=\"", "a=\"\\", ",,,=,=", "a=\"b\"c=d"] {
            parameters(broken);
        }
    }
}
