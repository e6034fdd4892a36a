//! How things look.

pub(crate) mod bench;
pub(crate) mod certificate;
pub(crate) mod chat;
pub(crate) mod hex;
pub(crate) mod json;
pub(crate) mod paint;
pub(crate) mod progress;
pub(crate) mod relay;
pub(crate) mod timeline;
