//! Framings: where a message ends in a stream of bytes.
//!
//! A framing is pure: bytes in, messages out. It is bounded: a message over `max` is an error, so that nobody can make
//! us hold more than that.

use bytes::BytesMut;

use crate::{
    error::{Error, Kind, Result, unknown},
    message::Message,
};

/// Splits a stream into messages, and writes messages into a stream.
///
/// One value serves one link, and may remember how far it has looked.
pub trait Framing: Send + 'static {
    /// Takes the next whole message out of `buf`, or nothing while there is none.
    ///
    /// # Errors
    /// A message over `max`, or bytes that can never become one: the link is then of no further use.
    fn decode(&mut self, buf: &mut BytesMut) -> Result<Option<Message>>;

    /// The same where nothing will follow, since the peer half-closed or, if [`patience`](Framing::patience) says so,
    /// has paused: what is there may then count as whole.
    ///
    /// # Errors
    /// As [`decode`](Framing::decode).
    fn finish(&mut self, buf: &mut BytesMut) -> Result<Option<Message>> {
        self.decode(buf)
    }

    /// For how many times `quiet` the peer must have paused before what has come counts as whole; 0 means that a pause
    /// says nothing.
    fn patience(&self) -> u32 {
        0
    }

    /// Appends the message to `buf`.
    ///
    /// # Errors
    /// A message that this framing cannot carry.
    fn encode(&mut self, message: &Message, buf: &mut BytesMut) -> Result<()>;
}

/// A line of the table of framings.
#[derive(Debug)]
pub struct Spec {
    /// The name, as in `?frame=lines`.
    pub name: &'static str,
    /// One line of help.
    pub about: &'static str,
    /// Makes one for a link whose messages are at most `max` bytes.
    pub make: fn(max: usize) -> Box<dyn Framing>,
}

macro_rules! framings {
    ($($name:ident),* $(,)?) => {
        $(pub mod $name;)*

        /// Every framing, sorted by name.
        pub const FRAMINGS: &[Spec] = &[$($name::SPEC),*];
    };
}

framings! { json, len32, lines, nul, raw, text }

/// The framing of that name.
///
/// # Errors
/// An unknown name, with the nearest known one.
pub fn find(name: &str) -> Result<&'static Spec> {
    let names = FRAMINGS.iter().map(|spec| spec.name);
    FRAMINGS.iter().find(|spec| spec.name == name).ok_or_else(|| unknown("framing", name, names))
}

/// The error for a message over `max` bytes.
pub fn too_large(max: usize) -> Error {
    Error::new(Kind::TooLarge, format!("a message is longer than {max} bytes"))
        .hint("the address option max allows more, as in ?max=10MiB")
}
