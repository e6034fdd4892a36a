//! Which of the headers that decide something a message has.

use ::http::{HeaderMap, HeaderName};

/// Which of them are there, found in one pass: most messages have few headers, and to look each of these up in a map
/// costs more than all the rest of reading a head.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Seen(u16);

macro_rules! headers {
    ($($mark:ident $name:literal,)*) => {
        #[repr(u16)]
        #[allow(non_camel_case_types, clippy::upper_case_acronyms, reason = "they are named as the headers' constants")]
        enum Place { $($mark,)* }

        impl Seen {
            $(pub(crate) const $mark: Self = Self(1 << Place::$mark as u16);)*

            fn one(name: &HeaderName) -> Self {
                match name.as_str() {
                    $($name => Self::$mark,)*
                    _ => Self(0),
                }
            }

            /// The one of that name, or none of them.
            pub(crate) fn named(name: &str) -> Self {
                $(if name.eq_ignore_ascii_case($name) {
                    return Self::$mark;
                })*
                Self::default()
            }
        }
    };
}

headers! {
    CONNECTION "connection",
    CONTENT_LENGTH "content-length",
    CONTENT_TYPE "content-type",
    DATE "date",
    EXPECT "expect",
    HOST "host",
    NOSNIFF "x-content-type-options",
    ORIGIN "origin",
    SERVER "server",
    TE "te",
    TRANSFER_ENCODING "transfer-encoding",
    UPGRADE "upgrade",
    USER_AGENT "user-agent",
}

impl Seen {
    /// Those of a message.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let mut seen = Self::default();
        headers.keys().for_each(|name| seen.note(name));
        seen
    }

    /// Notes one more.
    pub(crate) fn note(&mut self, name: &HeaderName) {
        self.0 |= Self::one(name).0;
    }

    /// Whether that one is there.
    pub(crate) fn has(self, header: Self) -> bool {
        self.0 & header.0 != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_header_is_seen_alone() {
        let all = [
            (::http::header::CONNECTION, Seen::CONNECTION),
            (::http::header::CONTENT_LENGTH, Seen::CONTENT_LENGTH),
            (::http::header::CONTENT_TYPE, Seen::CONTENT_TYPE),
            (::http::header::DATE, Seen::DATE),
            (::http::header::EXPECT, Seen::EXPECT),
            (::http::header::HOST, Seen::HOST),
            (::http::header::X_CONTENT_TYPE_OPTIONS, Seen::NOSNIFF),
            (::http::header::ORIGIN, Seen::ORIGIN),
            (::http::header::SERVER, Seen::SERVER),
            (::http::header::TE, Seen::TE),
            (::http::header::TRANSFER_ENCODING, Seen::TRANSFER_ENCODING),
            (::http::header::UPGRADE, Seen::UPGRADE),
            (::http::header::USER_AGENT, Seen::USER_AGENT),
        ];
        for (name, mark) in &all {
            let seen = Seen::of(&HeaderMap::from_iter([(name.clone(), ::http::HeaderValue::from_static("a"))]));
            for (other, one) in &all {
                assert_eq!(seen.has(*one), mark == one, "{name} and {other}");
            }
            assert_eq!(Seen::named(&name.as_str().to_uppercase()), *mark, "{name}");
        }
    }
}
