//! `hullo relay --fault reset:after=1MB :9000 tcp://db:5432`: both ends are reset.
//!
//! It is a real reset (on TCP an RST) of both connections: after a time, whether or not anything is said, or behind so
//! many bytes of one way, or at once. Until then everything passes; with `swallow=true` nothing does, as in Toxiproxy.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{
    Attribute, On, Spec, attribute,
    stage::{End, Hold, Kind, Pass, Place, Stage},
    words::{Words, time, time_of},
};
use crate::{error::Result, message::Message};

/// This fault's line of the table.
pub(super) const SPEC: Spec = Spec {
    name: "reset",
    about: "both ends are reset (a TCP RST), after a time or at once",
    example: "reset:2s",
    unit: "TIME",
    attributes: OWN,
    on: On::Both,
    read,
};

const OWN: &[Attribute] = &[attribute("swallow", "true: nothing passes until then")];

fn read(words: &mut Words<'_>) -> Result<Arc<dyn Kind>> {
    let wait = words.value_or(time)?.unwrap_or_default();
    let swallow = words.optional("swallow", "true or false", |text| text.parse().ok())?.unwrap_or(false);
    Ok(Arc::new(Reset { wait, swallow }))
}

struct Reset {
    wait: Duration,
    swallow: bool,
}

impl Kind for Reset {
    fn words(&self) -> String {
        let wait = (!self.wait.is_zero()).then(|| time_of(self.wait));
        let swallow = self.swallow.then(|| "swallow=true".to_owned());
        wait.into_iter().chain(swallow).collect::<Vec<_>>().join(",")
    }

    fn stage(&self, _: &Place<'_>) -> Box<dyn Stage> {
        if self.swallow { Box::new(Gulf) } else { Box::new(Pass) }
    }

    fn end(&self) -> Option<(Duration, End)> {
        Some((self.wait, End::Reset))
    }
}

/// Swallows everything, the end too.
struct Gulf;

impl Stage for Gulf {
    fn take(&mut self, _: Message, _: Instant, _: &mut Hold) {}

    fn end(&mut self, _: Instant, _: &mut Hold) {}
}
