//! `find . -print0 | hullo connect 'tcp://host:8080?frame=nul'`: a message ends at a zero byte.

use super::{Spec, lines::Delimited};

/// This framing's line of the table.
pub const SPEC: Spec =
    Spec { name: "nul", about: "a message ends at a zero byte", make: |max| Box::new(Delimited::new(0, max)) };
