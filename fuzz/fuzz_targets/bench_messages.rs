//! `cargo +nightly fuzz run bench_messages`

#![no_main]

#[path = "../bodies.rs"]
#[allow(dead_code, reason = "each target runs its own part of this")]
mod bodies;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| bodies::bench_messages(bytes));
