//! HTTP under load.

use super::{
    codec::Opened,
    payload::{Expect, Payload},
};
use crate::{address::Address, error::{Error, Kind, Result}, scope::Scope};

/// The request that is made again and again.
#[derive(Clone, Debug)]
pub struct Exchange {
    /// Its method.
    pub method: ::http::Method,
    /// Its headers, beside those that every request has.
    pub headers: ::http::HeaderMap,
    /// Its body.
    pub body: Option<Payload>,
    /// What its response must be.
    pub expect: Expect,
    /// The version to speak; none is HTTP/1.1, or over TLS what the server prefers.
    pub version: Option<::http::Version>,
}

pub(super) async fn open(_: &Address, _: &Exchange, _: &Scope) -> Result<Opened> {
    Err(Error::new(Kind::Other, "under construction"))
}
