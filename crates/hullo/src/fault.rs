#![allow(missing_docs, dead_code)]
use crate::{message::Message, peer::Peer, traffic::Way};
use std::{sync::Arc, task::Context};
use tokio::time::Instant;
pub struct Faults;
pub struct Chain;
pub enum Out {
    Piece(Message),
    End,
    Reset,
    Cut,
    Until(Instant),
    Nothing,
}
impl Faults {
    pub fn refuses(&self, _: u64) -> bool {
        false
    }
    pub fn chain(self: &Arc<Self>, _flow: u64, _peer: &Peer, _way: Way, _packets: bool) -> Chain {
        Chain
    }
}
impl Chain {
    pub fn has_room(&self) -> bool {
        true
    }
    pub fn take(&mut self, _: Message, _: Instant) {}
    pub fn end(&mut self, _: Instant) {}
    pub fn give(&mut self, _: Instant) -> Out {
        Out::Nothing
    }
    pub fn poll_changed(&mut self, _: &mut Context<'_>, _: Instant) -> bool {
        false
    }
}
