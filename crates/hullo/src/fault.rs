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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ways {
    Up,
    Down,
    Both,
}
#[derive(Clone)]
pub struct Fault {
    pub name: String,
    pub ways: Ways,
    pub share: f64,
    text: String,
}
impl Fault {
    pub fn parse(text: &str) -> crate::Result<Self> {
        Ok(Self { name: String::new(), ways: Ways::Both, share: 1.0, text: text.to_owned() })
    }
}
impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}
impl Faults {
    pub fn new(_: u64, _: Option<()>) -> Self {
        Self
    }
    pub fn set(&self, _: Vec<Fault>) {}
    pub fn list(&self) -> Vec<Fault> {
        Vec::new()
    }
}
