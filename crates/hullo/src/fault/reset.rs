//! `hullo relay --fault reset:after=1MB :9000 tcp://db:5432`: both ends are reset.
//!
//! It is a real reset (on TCP an RST) of both connections: after a time, whether or not anything is said, or behind so
//! many bytes of one way, or at once. Until then everything passes.

use std::{sync::Arc, time::Duration};

use super::{
    On, Spec,
    stage::{End, Kind, Pass, Place, Stage},
    words::{Words, time, time_of},
};
use crate::error::Result;

/// This fault's line of the table.
pub(super) const SPEC: Spec = Spec {
    name: "reset",
    about: "both ends are reset (a TCP RST), after a time or at once",
    example: "reset:2s",
    unit: "TIME",
    attributes: &[],
    on: On::Both,
    read,
};

fn read(words: &mut Words<'_>) -> Result<Arc<dyn Kind>> {
    Ok(Arc::new(Reset { wait: words.value_or(time)?.unwrap_or_default() }))
}

struct Reset {
    wait: Duration,
}

impl Kind for Reset {
    fn words(&self) -> String {
        if self.wait.is_zero() { String::new() } else { time_of(self.wait) }
    }

    fn stage(&self, _: &Place<'_>) -> Box<dyn Stage> {
        Box::new(Pass)
    }

    fn end(&self) -> Option<(Duration, End)> {
        Some((self.wait, End::Reset))
    }
}
