//! The proof of a password by hashes (RFC 7616).

use aws_lc_rs::{
    digest::{Context, SHA256, SHA512, SHA512_256},
    rand,
};
use http_body_util::BodyExt;
use md5::{Digest as _, Md5};

use super::{
    Call,
    auth::{Auth, Challenge},
};
use crate::error::{Error, Kind, Result};

/// A server's challenge, as it is answered.
pub(super) struct Digest {
    realm: String,
    nonce: String,
    opaque: Option<String>,
    /// As the server spells it.
    named: Option<String>,
    hash: Hash,
    session: bool,
    protection: Option<Protection>,
    hides_user: bool,
    stale: bool,
    count: u32,
}

/// What is proven beside the password.
#[derive(Clone, Copy, PartialEq)]
enum Protection {
    /// The method and the target.
    Auth,
    /// The body too.
    AuthInt,
}

#[derive(Clone, Copy, PartialEq, PartialOrd, Eq, Ord)]
enum Hash {
    Md5,
    Sha256,
    Sha512_256,
    /// No standard has it, and servers and clients do (httpbin, requests).
    Sha512,
}

impl Digest {
    /// The challenge, unless it is one that nobody here can answer.
    pub(super) fn from_challenge(challenge: &Challenge) -> Option<Self> {
        let named = challenge.get("algorithm");
        let (hash, session) = match named.unwrap_or("MD5").to_ascii_uppercase() {
            name if name.ends_with("-SESS") => (Hash::find(&name[..name.len() - 5])?, true),
            name => (Hash::find(&name)?, false),
        };
        let protection = match challenge.get("qop") {
            None => None,
            Some(list) => {
                let offers = |word: &str| list.split(',').any(|offer| offer.trim().eq_ignore_ascii_case(word));
                let auth = offers("auth").then_some(Protection::Auth);
                Some(auth.or_else(|| offers("auth-int").then_some(Protection::AuthInt))?)
            }
        };
        let is_true = |name: &str| challenge.get(name).is_some_and(|value| value.eq_ignore_ascii_case("true"));
        Some(Self {
            realm: challenge.get("realm")?.to_owned(),
            nonce: challenge.get("nonce")?.to_owned(),
            opaque: challenge.get("opaque").map(str::to_owned),
            named: named.map(str::to_owned),
            hash,
            session,
            protection,
            hides_user: is_true("userhash"),
            stale: is_true("stale"),
            count: 0,
        })
    }

    /// How strong it is, beside other challenges of the same server.
    pub(super) fn strength(&self) -> impl Ord + use<> {
        self.hash
    }

    /// Whether only the nonce had become too old.
    pub(super) fn is_stale(&self) -> bool {
        self.stale
    }

    /// The next answer, as it stands in `Authorization`.
    pub(super) async fn answer(&mut self, auth: &Auth, call: &Call) -> Result<String> {
        let mut random = [0; 16];
        rand::fill(&mut random).map_err(|_| Error::new(Kind::Other, "this system has no randomness"))?;
        let body = match self.protection {
            Some(Protection::AuthInt) => Some(self.body(call).await?),
            _ => None,
        };
        self.count += 1;
        Ok(self.signed(auth, call.method.as_str(), &call.to.target(), &hex(&random), body.as_deref()))
    }

    fn signed(&self, auth: &Auth, method: &str, target: &str, ours: &str, body: Option<&str>) -> String {
        let Self { realm, nonce, count, .. } = self;
        let hash = |text: String| self.hash.of(&[text.as_bytes()]);
        let mut who = hash(format!("{}:{realm}:{}", auth.user, auth.secret));
        if self.session {
            who = hash(format!("{who}:{nonce}:{ours}"));
        }
        let what = match body {
            Some(body) => hash(format!("{method}:{target}:{body}")),
            None => hash(format!("{method}:{target}")),
        };
        let protection = self.protection.map(|is| if is == Protection::AuthInt { "auth-int" } else { "auth" });
        let response = match protection {
            Some(protection) => hash(format!("{who}:{nonce}:{count:08x}:{ours}:{protection}:{what}")),
            None => hash(format!("{who}:{nonce}:{what}")),
        };
        let user = if self.hides_user { hash(format!("{}:{realm}", auth.user)) } else { auth.user.clone() };
        let mut said = vec![format!("Digest username={}", quoted(&user))];
        let text = [("realm", realm), ("nonce", nonce), ("uri", &target.to_owned()), ("response", &response)];
        said.extend(text.map(|(name, value)| format!("{name}={}", quoted(value))));
        said.extend(self.opaque.iter().map(|opaque| format!("opaque={}", quoted(opaque))));
        said.extend(self.named.iter().map(|named| format!("algorithm={named}")));
        if let Some(protection) = protection {
            said.push(format!("qop={protection}, nc={count:08x}"));
        }
        if protection.is_some() || self.session {
            said.push(format!("cnonce={}", quoted(ours)));
        }
        if self.hides_user {
            said.push("userhash=true".to_owned());
        }
        said.join(", ")
    }

    /// The hash of the body that will be sent.
    async fn body(&self, call: &Call) -> Result<String> {
        let mut body = (call.body)()?;
        let mut hasher = self.hash.begin();
        while let Some(frame) = body.frame().await {
            if let Ok(data) = frame?.into_data() {
                hasher.update(&data);
            }
        }
        Ok(hasher.finish())
    }
}

impl Hash {
    fn find(name: &str) -> Option<Self> {
        match name {
            "MD5" => Some(Self::Md5),
            "SHA-256" => Some(Self::Sha256),
            "SHA-512-256" => Some(Self::Sha512_256),
            "SHA-512" => Some(Self::Sha512),
            _ => None,
        }
    }

    fn of(self, parts: &[&[u8]]) -> String {
        let mut hasher = self.begin();
        parts.iter().for_each(|part| hasher.update(part));
        hasher.finish()
    }

    fn begin(self) -> Hasher {
        match self {
            Self::Md5 => Hasher::Md5(Md5::new()),
            Self::Sha256 => Hasher::Sha(Context::new(&SHA256)),
            Self::Sha512_256 => Hasher::Sha(Context::new(&SHA512_256)),
            Self::Sha512 => Hasher::Sha(Context::new(&SHA512)),
        }
    }
}

enum Hasher {
    Md5(Md5),
    Sha(Context),
}

impl Hasher {
    fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Md5(hasher) => hasher.update(bytes),
            Self::Sha(hasher) => hasher.update(bytes),
        }
    }

    fn finish(self) -> String {
        match self {
            Self::Md5(hasher) => hex(&hasher.finalize()),
            Self::Sha(hasher) => hex(hasher.finish().as_ref()),
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::Scheme;

    /// The examples of RFC 7616, sections 3.9.1 and 3.9.2, and of RFC 2617, section 3.5.
    #[test]
    fn the_examples_of_the_standards_come_out() {
        let digest = |hash, named: &str, realm: &str, nonce: &str, hides_user| Digest {
            realm: realm.to_owned(),
            nonce: nonce.to_owned(),
            opaque: None,
            named: Some(named.to_owned()),
            hash,
            session: false,
            protection: Some(Protection::Auth),
            hides_user,
            stale: false,
            count: 1,
        };
        let auth = |user: &str, secret: &str| Auth {
            scheme: Scheme::Digest,
            user: user.to_owned(),
            secret: secret.to_owned(),
        };
        let nonce = "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v";
        let ours = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ";
        let mufasa = auth("Mufasa", "Circle of Life");
        for (hash, named, response) in [
            (Hash::Md5, "MD5", "8ca523f5e9506fed4657c9700eebdbec"),
            (Hash::Sha256, "SHA-256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
        ] {
            let digest = digest(hash, named, "http-auth@example.org", nonce, false);
            let said = digest.signed(&mufasa, "GET", "/dir/index.html", ours, None);
            assert!(said.contains(&format!("response=\"{response}\"")), "{named}: {said}");
        }
        let old = digest(Hash::Md5, "MD5", "testrealm@host.com", "dcd98b7102dd2f0e8b11d0f600bfb0c093", false);
        let said = old.signed(&auth("Mufasa", "Circle Of Life"), "GET", "/dir/index.html", "0a4f113b", None);
        assert!(said.contains("response=\"6629fae49393a05397450978507c4ef1\""), "{said}");
        let hidden = digest(Hash::Sha256, "SHA-256", "api@example.org", "n", true);
        let said = hidden.signed(&auth("a \"b\"", "x"), "GET", "/", "c", None);
        assert!(!said.contains("a \\\"b") && said.ends_with("userhash=true"), "{said}");
    }
}
