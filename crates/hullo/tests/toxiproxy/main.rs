#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
#![allow(clippy::print_stdout, reason = "how long calls take under load is told, and not asserted")]
//! Toxiproxy's API over real sockets: what is answered, and what happens to connections.

mod cases;
mod client;
mod live;
mod load;
