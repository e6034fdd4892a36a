#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
//! Faults, driven as a relay drives them, under a clock of our own.

mod bench;
mod changes;
mod packets;
mod seeds;
mod streams;
mod words;
