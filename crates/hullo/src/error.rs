//! What can go wrong, in one sentence that names the address and the attempt.

use std::{borrow::Cow, error, fmt, io};

/// The result of everything in this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error: a [`Kind`] to act on, a sentence to read, and perhaps a hint of what to do.
///
/// It is one pointer wide, so that a `Result` costs no more than what it carries.
pub struct Error(Box<Inner>);

struct Inner {
    kind: Kind,
    about: Cow<'static, str>,
    hint: Option<Cow<'static, str>>,
    source: Option<Box<dyn error::Error + Send + Sync>>,
}

macro_rules! kinds {
    ($($(#[doc = $doc:literal])* $name:ident = $code:literal, $word:literal;)*) => {
        /// What kind of thing went wrong. Each has a documented exit status.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum Kind { $($(#[doc = $doc])* $name,)* }

        impl Kind {
            /// Every kind, in the order of their exit statuses.
            pub const ALL: &'static [Kind] = &[$(Kind::$name),*];

            /// The exit status of the `hullo` command for this kind.
            pub const fn code(self) -> u8 {
                match self { $(Kind::$name => $code),* }
            }

            /// The kind in one word, as `--json` prints it.
            pub const fn word(self) -> &'static str {
                match self { $(Kind::$name => $word),* }
            }

            /// What the kind means, in the words of its documentation.
            pub const fn meaning(self) -> &'static str {
                match self { $(Kind::$name => concat!($($doc),*)),* }
            }
        }
    };
}

kinds! {
    /// Something else failed.
    Other = 1, "other";
    /// The words of the command, an address or a configuration cannot be meant.
    Usage = 2, "usage";
    /// The name has no address.
    Resolve = 10, "resolve";
    /// Nothing listens there.
    Refused = 11, "refused";
    /// No way leads there.
    Unreachable = 12, "unreachable";
    /// A deadline passed.
    Timeout = 13, "timeout";
    /// The other end could not be trusted, or no encryption could be agreed on.
    Tls = 14, "tls";
    /// The conversation was cut off: bytes may be missing.
    Cut = 15, "cut";
    /// The other end does not speak the protocol that the address names.
    Protocol = 16, "protocol";
    /// A message was larger than `max`.
    TooLarge = 17, "too-large";
    /// The address to listen on could not be had.
    Bind = 18, "bind";
    /// A file could not be read or written.
    File = 19, "file";
    /// A program could not be run.
    Program = 20, "program";
    /// The other end does not let us do that.
    Denied = 21, "denied";
    /// The answers were other ones than those they were compared with.
    Different = 22, "different";
    /// A load test missed what was asked of it.
    Missed = 23, "missed";
}

impl Error {
    /// An error of `kind`; `about` says what was being done and to which address, as in
    /// `cannot connect to tcp://127.0.0.1:1`.
    pub fn new(kind: Kind, about: impl Into<Cow<'static, str>>) -> Self {
        Self(Box::new(Inner { kind, about: about.into(), hint: None, source: None }))
    }

    /// A mistake in words: an address, an option, a command line.
    pub fn usage(about: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Kind::Usage, about)
    }

    /// An error whose kind follows from the operating system's answer.
    pub fn io(about: impl Into<Cow<'static, str>>, source: io::Error) -> Self {
        // An error of ours that travelled through an `AsyncRead` comes back as itself.
        match source.downcast::<Error>() {
            Ok(ours) => ours,
            Err(source) => Self::new(kind_of(&source), about).because(source),
        }
    }

    /// An error of that kind because of another's, in which there may be one of ours, as in hyper's: then the kind and the
    /// hint are that one's.
    pub(crate) fn carried(
        kind: Kind,
        about: impl Into<Cow<'static, str>>,
        source: impl error::Error + Send + Sync + 'static,
    ) -> Self {
        let Some(ours) = ours(&source) else { return Self::new(kind, about).because(source) };
        let carried = Self::new(ours.kind(), about).because(ours.to_string());
        Self(Box::new(Inner { hint: ours.0.hint.clone(), ..*carried.0 }))
    }

    /// The same error, with its cause.
    pub fn because(mut self, source: impl Into<Box<dyn error::Error + Send + Sync>>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// The same error, with a line that says what to do about it.
    pub fn hint(mut self, hint: impl Into<Cow<'static, str>>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    /// The same error under another kind.
    pub fn of(mut self, kind: Kind) -> Self {
        self.0.kind = kind;
        self
    }

    /// What kind of error this is.
    pub fn kind(&self) -> Kind {
        self.0.kind
    }

    /// What to do about it, where that is known.
    pub fn advice(&self) -> Option<&str> {
        self.0.hint.as_deref()
    }
}

/// The error of ours in another one, which may have come to it through an `AsyncRead`.
fn ours<'a>(error: &'a (dyn error::Error + 'static)) -> Option<&'a Error> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(ours) = error.downcast_ref() {
            return Some(ours);
        }
        // What an `io::Error` was made of is not its source, but it.
        let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        cause = inner.map(|inner| inner as _).or_else(|| error.source());
    }
    None
}

fn kind_of(error: &io::Error) -> Kind {
    use io::ErrorKind as E;
    match error.kind() {
        E::ConnectionRefused => Kind::Refused,
        E::NetworkUnreachable | E::HostUnreachable | E::AddrNotAvailable => Kind::Unreachable,
        E::TimedOut => Kind::Timeout,
        E::ConnectionReset | E::ConnectionAborted | E::BrokenPipe | E::UnexpectedEof | E::NotConnected => Kind::Cut,
        E::AddrInUse => Kind::Bind,
        E::NotFound | E::PermissionDenied | E::StorageFull => Kind::File,
        _ => Kind::Other,
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.about)?;
        let mut cause = error::Error::source(self);
        while let Some(error) = cause {
            write!(f, ": {}", plain(&error.to_string()))?;
            // The rest of our own chain is in that sentence already.
            cause = if error.is::<Error>() { None } else { error.source() };
        }
        Ok(())
    }
}

/// The operating system's sentence without its number, in the middle of ours.
pub(crate) fn plain(text: &str) -> String {
    let text = text.find(" (os error").map_or(text, |at| &text[..at]);
    let word = text.split(' ').next().unwrap_or_default();
    let mut rest = word.chars();
    let first = rest.next();
    let rest = rest.as_str();
    match first {
        // A name such as TLS or PostgreSQL stays as it is.
        Some(first) if rest.starts_with(char::is_lowercase) && !rest.contains(char::is_uppercase) => {
            first.to_lowercase().chain(text.chars().skip(1)).collect()
        }
        _ => text.to_owned(),
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {self}", self.0.kind)
    }
}

impl error::Error for Error {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        self.0.source.as_deref().map(|source| source as _)
    }
}

impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        io::Error::other(error)
    }
}

/// What to do about an address of that scheme where nobody listens.
pub(crate) fn nobody_there(scheme: &str) -> String {
    let its = if scheme.starts_with("unix") { "path" } else { "port" };
    format!("nothing listens there: is the server running, and is that its {its}?")
}

/// The name in `names` that `word` was probably meant to be.
pub(crate) fn nearest<'a>(word: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // What is so long is like no name, and to find that out would take long.
    let word = if word.len() <= 64 { word.to_lowercase() } else { return None };
    let score = |name: &str| strsim::normalized_damerau_levenshtein(&word, name);
    names.into_iter().max_by(|a, b| score(a).total_cmp(&score(b))).filter(|name| score(name) >= 0.5)
}

/// The beginning of a text that somebody typed or sent, without what could steer a terminal: an error is one sentence.
pub(crate) fn brief(text: &str) -> String {
    let mut brief: String = text.chars().take(100).flat_map(char::escape_debug).collect();
    if text.chars().nth(100).is_some() {
        brief.push('…');
    }
    brief
}

/// An error for a name that is not in a table, with the nearest one as the hint.
pub(crate) fn unknown<'a>(what: &str, word: &str, names: impl IntoIterator<Item = &'a str> + Clone) -> Error {
    let error = Error::usage(format!("no {what} is called '{}'", brief(word)));
    match nearest(word, names.clone()) {
        Some(name) => error.hint(format!("did you mean '{name}'?")),
        None => error.hint(format!("there are: {}", names.into_iter().collect::<Vec<_>>().join(", "))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_one_sentence_and_one_pointer() {
        let refused = io::Error::from_raw_os_error(111);
        let error = Error::io("cannot connect to tcp://127.0.0.1:1", refused);
        assert_eq!(error.to_string(), "cannot connect to tcp://127.0.0.1:1: connection refused");
        assert_eq!(error.kind(), Kind::Refused);
        assert_eq!(size_of::<Result<()>>(), size_of::<usize>());
        for name in ["PostgreSQL cannot be reached", "TLS is needed", "X.509 is odd"] {
            assert_eq!(plain(name), name);
        }
    }

    #[test]
    fn it_survives_a_journey_through_io() {
        let there = io::Error::from(Error::new(Kind::TooLarge, "a message over 1 MiB").hint("raise max"));
        let back = Error::io("cannot read", there);
        assert_eq!((back.kind(), back.advice()), (Kind::TooLarge, Some("raise max")));
    }

    #[test]
    fn it_is_found_in_the_error_of_others() {
        let theirs =
            io::Error::other(io::Error::from(Error::new(Kind::Tls, "it refuses us").hint("show a certificate")));
        let carried = Error::carried(Kind::Cut, "cannot ask", theirs);
        assert_eq!((carried.kind(), carried.advice()), (Kind::Tls, Some("show a certificate")));
        assert_eq!(carried.to_string(), "cannot ask: it refuses us");
        let other = Error::carried(Kind::Cut, "cannot ask", io::Error::other("why"));
        assert_eq!((other.kind(), other.to_string().as_str()), (Kind::Cut, "cannot ask: why"));
    }

    #[test]
    fn codes_are_distinct() {
        let codes: std::collections::HashSet<_> = Kind::ALL.iter().map(|kind| kind.code()).collect();
        assert_eq!(codes.len(), Kind::ALL.len());
    }

    #[test]
    fn the_nearest_name_is_near() {
        assert_eq!(nearest("ehco", ["chargen", "echo"]), Some("echo"));
        assert_eq!(nearest("qqq", ["chargen", "echo"]), None);
    }
}
