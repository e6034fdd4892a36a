//! Transports: what turns an address into links.

use std::sync::Arc;

use crate::{
    address::{Address, no_scheme},
    error::Result,
    link::Link,
    options::End,
    scope::{BoxFuture, Scope},
    service::Service,
};

pub(crate) mod accept;

/// Both ends of one kind of address.
pub trait Transport: Sync {
    /// Makes a listener: from then on the kernel takes connections, and port 0 has become a real one.
    fn bind(&self, at: Address, scope: Scope) -> BoxFuture<'static, Result<Box<dyn Listener>>>;

    /// Makes a link to that address.
    fn connect(&self, to: Address, scope: Scope) -> BoxFuture<'static, Result<Link>>;
}

/// Something that is bound, and can be served.
///
/// Serving is the transport's part since only it knows what it has: streams, one socket of datagrams, or HTTP exchanges.
/// It calls the service's method for that.
pub trait Listener: Send {
    /// Where it listens, with the real port.
    fn address(&self) -> Address;

    /// What a person should know about it, such as the fingerprint of a certificate that was made for it.
    fn notes(&self) -> Vec<String> {
        Vec::new()
    }

    /// Serves until the scope stops.
    fn serve(self: Box<Self>, service: Arc<dyn Service>, scope: Scope) -> BoxFuture<'static, Result<()>>;
}

/// A line of the table of transports.
pub struct Spec {
    /// The scheme, as in `tcp://`.
    pub scheme: &'static str,
    /// One line of help.
    pub about: &'static str,
    /// An example of an address.
    pub example: &'static str,
    /// Its two ends.
    pub transport: &'static dyn Transport,
}

macro_rules! transports {
    ($($name:ident),* $(,)?) => {
        $(pub(crate) mod $name;)*

        /// Every transport's schemes.
        pub const TRANSPORTS: &[&[Spec]] = &[$($name::SCHEMES),*];
    };
}

transports! { exec, http, memory, stdio, tcp, tls, udp, unix, unix_dgram, ws }

/// Every scheme, in the order of the table.
pub fn schemes() -> impl Iterator<Item = &'static Spec> {
    TRANSPORTS.iter().copied().flatten()
}

/// The transport of that address, whose options suit it at that end.
///
/// # Errors
/// An unknown scheme, with the nearest known one, or an option that means nothing there.
pub fn find(address: &Address, end: End) -> Result<&'static Spec> {
    let known: Vec<_> = schemes().map(|spec| spec.scheme).collect();
    let spec = schemes().find(|spec| spec.scheme == address.scheme).ok_or_else(|| no_scheme(address, &known))?;
    address.options.suit(spec.scheme, end)?;
    Ok(spec)
}
