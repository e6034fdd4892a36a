//! Who we are to a server: basic (RFC 7617), bearer (RFC 6750) and digest (RFC 7616).

use std::fmt;

use base64::{Engine, prelude::BASE64_STANDARD};
use http::{HeaderMap, HeaderValue, Response, StatusCode, header::WWW_AUTHENTICATE};

use super::{Call, digest::Digest};
use crate::{
    error::{Error, Result},
    io::exchange::Body,
};

/// Who we are, and how that is proven.
#[derive(Clone)]
pub struct Auth {
    /// How.
    pub scheme: Scheme,
    /// The name; a bearer has none.
    pub user: String,
    /// The password, or the bearer's token.
    pub secret: String,
}

impl fmt::Debug for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} as '{}'", self.scheme, self.user)
    }
}

/// How it is proven who we are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// As the server asks for, once it does.
    Auto,
    /// The name and the password, as they are.
    Basic,
    /// A token, as it is.
    Bearer,
    /// A proof that we know the password.
    Digest,
}

/// What the server has asked for so far.
#[derive(Default)]
pub(super) struct Challenges {
    state: State,
    taken: u32,
}

/// How many challenges are taken: a server whose nonces are always too old asks for ever.
const TAKEN: u32 = 4;

#[derive(Default)]
enum State {
    #[default]
    Unasked,
    Basic,
    Digest(Digest),
}

impl Challenges {
    /// The value of `Authorization` for the next request, if there is one yet.
    pub(super) async fn answer(&mut self, auth: &Auth, call: &Call) -> Result<Option<HeaderValue>> {
        let text = match (&mut self.state, auth.scheme) {
            (State::Digest(digest), _) => digest.answer(auth, call).await?,
            (_, Scheme::Bearer) => format!("Bearer {}", auth.secret),
            (State::Basic, _) | (_, Scheme::Basic) => {
                format!("Basic {}", BASE64_STANDARD.encode(format!("{}:{}", auth.user, auth.secret)))
            }
            (State::Unasked, Scheme::Auto | Scheme::Digest) => return Ok(None),
        };
        let mut value = HeaderValue::from_bytes(text.as_bytes())
            .map_err(|_| Error::usage("the name or the password has a character that no header can have"))?;
        value.set_sensitive(true);
        Ok(Some(value))
    }

    /// Takes what a response asks for. Says whether there is an answer to it that was not given before.
    pub(super) fn take(&mut self, auth: &Auth, response: &Response<Body>) -> bool {
        let answers = matches!(auth.scheme, Scheme::Auto | Scheme::Digest);
        if response.status() != StatusCode::UNAUTHORIZED || !answers || self.taken == TAKEN {
            return false;
        }
        self.taken += 1;
        let asked = challenges(response.headers());
        let digests = asked.iter().filter(|asked| asked.scheme == "digest").filter_map(Digest::from_challenge);
        let Some(next) = digests.max_by_key(Digest::strength) else {
            let basic = auth.scheme == Scheme::Auto && asked.iter().any(|asked| asked.scheme == "basic");
            let new = basic && matches!(self.state, State::Unasked);
            if new {
                self.state = State::Basic;
            }
            return new;
        };
        // Asked again for the same proof, the password is wrong; unless only the nonce had become too old.
        let new = match &self.state {
            State::Digest(_) => next.is_stale(),
            _ => true,
        };
        if new {
            self.state = State::Digest(next);
        }
        new
    }
}

/// One thing that a server asks for.
#[derive(Debug, PartialEq)]
pub(super) struct Challenge {
    /// In small letters.
    pub(super) scheme: String,
    parameters: Vec<(String, String)>,
}

impl Challenge {
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

fn challenges(headers: &HeaderMap) -> Vec<Challenge> {
    let mut all: Vec<Challenge> = Vec::new();
    for value in headers.get_all(WWW_AUTHENTICATE) {
        let text = String::from_utf8_lossy(value.as_bytes());
        for item in items(&text) {
            let mut parameter = item;
            // A word with another one behind it, and no sign between, begins a challenge (RFC 9110, section 11.6.1).
            let first = item.find([' ', '\t', '=']).unwrap_or(item.len());
            let behind = item[first..].trim_start();
            if !behind.starts_with('=') {
                all.push(Challenge { scheme: item[..first].to_ascii_lowercase(), parameters: Vec::new() });
                parameter = behind;
            }
            if let (Some(challenge), Some((name, value))) = (all.last_mut(), parameter.split_once('=')) {
                challenge.parameters.push((name.trim().to_ascii_lowercase(), unquoted(value.trim())));
            }
        }
    }
    all
}

/// The items of a list, whose commas do not stand in quotes.
fn items(text: &str) -> Vec<&str> {
    let (mut items, mut from, mut quoted, mut escaped) = (Vec::new(), 0, false, false);
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            ',' if !quoted => {
                items.push(&text[from..at]);
                from = at + 1;
            }
            _ => {}
        }
    }
    items.push(&text[from..]);
    items.into_iter().map(str::trim).filter(|item| !item.is_empty()).collect()
}

fn unquoted(text: &str) -> String {
    let Some(inner) = text.strip_prefix('"') else { return text.to_owned() };
    let inner = inner.strip_suffix('"').unwrap_or(inner);
    let mut plain = String::new();
    let mut letters = inner.chars();
    while let Some(c) = letters.next() {
        plain.extend(if c == '\\' { letters.next() } else { Some(c) });
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenges_are_read_in_all_their_shapes() {
        let mut headers = HeaderMap::new();
        for value in [
            r#"Newauth realm="apps, all", type=1, title="Login to \"apps\"", Basic realm="simple""#,
            "Negotiate",
            r#"Digest realm = "x", qop="auth,auth-int",nonce=abc== , stale=TRUE"#,
            "NTLM TlRMTVNTUAAC==",
        ] {
            headers.append(WWW_AUTHENTICATE, HeaderValue::from_str(value).unwrap());
        }
        let all = challenges(&headers);
        let schemes: Vec<_> = all.iter().map(|challenge| challenge.scheme.as_str()).collect();
        assert_eq!(schemes, ["newauth", "basic", "negotiate", "digest", "ntlm"], "{all:?}");
        assert_eq!(all[0].get("realm"), Some("apps, all"));
        assert_eq!(all[0].get("title"), Some("Login to \"apps\""));
        assert_eq!(all[3].get("realm"), Some("x"));
        assert_eq!(all[3].get("qop"), Some("auth,auth-int"));
        assert_eq!((all[3].get("nonce"), all[3].get("stale")), (Some("abc=="), Some("TRUE")));
    }
}
