//! The ways to the kernel, and the adapters between the two kinds of wire.

pub(crate) mod alarm;
pub(crate) mod bulk;
pub(crate) mod by_peer;
pub(crate) mod codings;
pub(crate) mod condition;
pub(crate) mod connected;
pub(crate) mod datagrams;
pub(crate) mod dropped;
pub(crate) mod exchange;
pub(crate) mod file;
pub(crate) mod give;
pub(crate) mod guard;
pub(crate) mod linger;
pub(crate) mod nearby;
pub(crate) mod paced;
pub(crate) mod packet_stream;
pub(crate) mod prefixed;
pub(crate) mod program;
pub(crate) mod proxied;
pub(crate) mod ranges;
pub(crate) mod registered;
pub(crate) mod reliable;
pub(crate) mod scratch;
pub(crate) mod socket;
pub(crate) mod splice;
pub(crate) mod unread;
