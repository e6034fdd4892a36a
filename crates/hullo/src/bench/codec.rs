//! Requests and replies on a stream: how the ones are written, and where the others end.

use std::fmt;

use crate::{
    error::{Kind, Result},
    link::BoxStream,
};

/// One connection's requests and replies. It is pure: bytes in, bytes out.
pub(crate) trait Codec: Send {
    /// Appends request number `n` of the run.
    fn ask(&mut self, n: u64, out: &mut Vec<u8>);

    /// Looks at what has come, and tells each reply that is whole; says how much of it is used up. The rest comes again,
    /// with more behind it.
    ///
    /// # Errors
    /// What comes can never become a reply: the connection is of no further use.
    fn hear(&mut self, input: &[u8], reply: &mut dyn FnMut(Reply)) -> Result<usize>;

    /// The peer has ended: a reply that has no end of its own is whole now.
    ///
    /// # Errors
    /// It is not.
    fn end(&mut self, _reply: &mut dyn FnMut(Reply)) -> Result<()> {
        Ok(())
    }

    /// Appends what must be said besides requests: a preface, acknowledgements, answers to pings.
    fn owed(&mut self, _out: &mut Vec<u8>) {}

    /// Appends what is said before the connection is closed.
    fn farewell(&mut self, _out: &mut Vec<u8>) {}

    /// Whether one more request may be under way, beside those that are.
    fn room(&self, _under_way: usize) -> bool {
        true
    }
}

/// Which request was answered, and with which status, 0 where there are none, or how that failed.
pub type Replies = Vec<(u64, std::result::Result<u16, Failure>)>;

/// What bytes, in whatever pieces they come, are to a connection on which so many requests were asked.
pub(super) fn replies<'a>(
    codec: &mut dyn Codec,
    asked: u64,
    pieces: impl IntoIterator<Item = &'a [u8]>,
) -> (Replies, Result<()>) {
    (0..asked).for_each(|n| codec.ask(n, &mut Vec::new()));
    let (mut replies, mut rest) = (Vec::new(), Vec::new());
    let mut take = |reply: Reply| {
        let to = reply.to.unwrap_or(replies.len() as u64);
        // What nobody has asked for answers nothing.
        if to >= asked && reply.outcome == Outcome::Undone {
            return;
        }
        let outcome = match reply.outcome {
            Outcome::Answered(status) => Ok(status.unwrap_or_default()),
            Outcome::Failed(failure) => Err(failure),
            Outcome::Undone => Err(Failure::Kind(Kind::Cut)),
        };
        replies.push((to, outcome));
    };
    let mut heard = Ok(());
    for piece in pieces {
        rest.extend_from_slice(piece);
        heard = codec.hear(&rest, &mut take).map(|used| drop(rest.drain(..used)));
        codec.owed(&mut Vec::new());
        if heard.is_err() {
            break;
        }
    }
    let heard = heard.and_then(|()| codec.end(&mut take));
    (replies, heard)
}

/// A connection that stands, and what is spoken on it.
pub(crate) type Opened = (BoxStream, Box<dyn Codec>);

/// A reply that is whole.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Reply {
    /// The request on this connection, counted from 0, that it answers; none is the oldest one.
    pub(crate) to: Option<u64>,
    /// What became of the request.
    pub(crate) outcome: Outcome,
    /// Whether the connection ends behind it.
    pub(crate) last: bool,
}

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Outcome {
    /// It was answered as expected: with that status, where there are statuses.
    Answered(Option<u16>),
    /// It was not.
    Failed(Failure),
    /// The peer did nothing about it, and it can be asked again elsewhere.
    Undone,
}

/// How a request failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Failure {
    /// By an error of that kind, as everywhere: refused, cut, timeout.
    Kind(Kind),
    /// By an HTTP status that was not expected.
    Status(u16),
    /// By a reply that was not expected.
    Unexpected,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kind(kind) => f.write_str(kind.word()),
            Self::Status(status) => write!(f, "status {status}"),
            Self::Unexpected => f.write_str("unexpected reply"),
        }
    }
}
