//! `hullo relay --fault slicer:100~50,delay=10us :9000 tcp://db:5432`: a stream leaves in small pieces.
//!
//! Each has as many bytes as are said, give or take; the last of what has come is what is left. It is for streams: a
//! packet is whole.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{
    Attribute, On, Spec,
    draw::Draw,
    line::Item,
    stage::{Hold, Kind, Place, Stage},
    words::{Words, about, about_of, size, size_of, time, time_of},
};
use crate::{error::Result, message::Message};

/// This fault's line of the table.
pub(super) const SPEC: Spec = Spec {
    name: "slicer",
    about: "a stream leaves in pieces of so many bytes, and as many more or less (~)",
    example: "slicer:100~50,delay=10us",
    unit: "SIZE[~SIZE]",
    attributes: &[Attribute { name: "delay", about: "the time between two pieces, otherwise none" }],
    on: On::Streams,
    read,
};

fn read(words: &mut Words<'_>) -> Result<Arc<dyn Kind>> {
    let (size, spread) = words.needed(|value| about(value, size).filter(|(size, spread)| spread < size))?;
    let delay = words.optional("delay", "a time like 10us", time)?.unwrap_or_default();
    Ok(Arc::new(Slicer { size, spread, delay }))
}

#[derive(Clone, Copy)]
struct Slicer {
    size: u64,
    spread: u64,
    delay: Duration,
}

impl Kind for Slicer {
    fn words(&self) -> String {
        let size = about_of(size_of(self.size), (self.spread > 0).then(|| size_of(self.spread)));
        if self.delay.is_zero() { size } else { format!("{size},delay={}", time_of(self.delay)) }
    }

    fn stage(&self, _: &Place<'_>) -> Box<dyn Stage> {
        Box::new(Slicing { slicer: *self, next: None })
    }
}

struct Slicing {
    slicer: Slicer,
    /// When the next piece may leave.
    next: Option<Instant>,
}

impl Stage for Slicing {
    fn take(&mut self, piece: Message, at: Instant, hold: &mut Hold) {
        hold.pass(Item::Piece(piece), at);
    }

    fn book(&mut self, bytes: usize, since: Instant, _: Instant, draw: &mut Draw) -> Option<(usize, Instant)> {
        let Slicer { size, spread, delay } = self.slicer;
        let size = size - spread + draw.up_to(2 * spread);
        let when = self.next.map_or(since, |next| next.max(since));
        self.next = Some(when + delay);
        Some((bytes.min(usize::try_from(size).unwrap_or(usize::MAX)), when))
    }
}
