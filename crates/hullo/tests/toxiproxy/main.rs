#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
//! Toxiproxy's API over real sockets: what is answered, and what happens to connections.

mod cases;
mod client;
mod live;
mod load;
