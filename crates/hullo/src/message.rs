//! One message of a conversation.

use bytes::Bytes;

/// A message: its bytes, and whether they are meant as text.
///
/// On a WebSocket text travels as a text frame and the rest as binary frames; elsewhere the mark is only a hint.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    /// The content, without whatever the framing put around it.
    pub bytes: Bytes,
    /// Meant as text. Nobody has checked that it is UTF-8.
    pub text: bool,
}

impl Message {
    /// A text message.
    pub fn text(text: impl Into<String>) -> Self {
        Self { bytes: Bytes::from(text.into()), text: true }
    }

    /// A message of bytes.
    pub fn binary(bytes: impl Into<Bytes>) -> Self {
        Self { bytes: bytes.into(), text: false }
    }

    /// The content as text, with replacement characters where it is not UTF-8.
    pub fn to_text(&self) -> std::borrow::Cow<'_, str> {
        String::from_utf8_lossy(&self.bytes)
    }
}
