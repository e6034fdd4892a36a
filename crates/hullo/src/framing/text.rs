//! `hullo serve convert 'tcp://:8080?frame=text'`: a message ends at a newline, or where the sender pauses.
//!
//! Clients from tutorials send no newline and wait for the answer; a pause of `quiet` (200 ms) ends their message.

use super::{Spec, lines::Delimited};

/// This framing's line of the table.
pub const SPEC: Spec = Spec {
    name: "text",
    about: "a message ends at a newline, where the sender pauses for quiet, or at the end",
    make: |max| Box::new(Delimited::new(b'\n', max).or_pause()),
};
