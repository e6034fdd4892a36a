//! All conversations as they are read out: what was heard goes in, lines come out.

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use hullo::traffic::Way;

pub(crate) use super::read::View;
use super::{
    heard::{Fact, Heard},
    item::{Item, What},
    objects::{lost, object},
    talk::Talk,
    words::Words,
};
use crate::view::{chat::clock::Clock, paint::Paint};

/// The most conversations that are kept in mind. Where more begin than end, their ends were missed.
const TALKS: usize = 1 << 17;

/// How many bytes may be held of what is not whole yet, in all conversations together.
const HELD: usize = 64 << 20;

/// Whom it is for.
pub(crate) enum Reader {
    /// Somebody, with or without colours.
    Person(Paint, Clock),
    /// A program: one JSON object a line.
    Program,
}

/// How many bytes of a piece are shown.
#[derive(Clone, Copy)]
pub(crate) struct Most {
    pub(crate) text: usize,
    /// As hex.
    pub(crate) hex: usize,
}

/// What is read out.
pub(crate) struct Page {
    view: View,
    max: Most,
    form: Form,
    talks: BTreeMap<u64, Talk>,
    /// Conversations in which something is held that nobody has been told of, since then.
    silent: BTreeMap<u64, SystemTime>,
    /// When it was looked through them last.
    waited: SystemTime,
    /// How many bytes all conversations hold.
    held: usize,
}

enum Form {
    Words(Words),
    Objects,
}

impl Page {
    /// How long something may be held until it is shown as it is.
    pub(crate) const PATIENCE: Duration = Duration::from_secs(1);

    /// A page that shows so much of each piece.
    pub(crate) fn new(view: View, max: Most, reader: Reader) -> Self {
        let form = match reader {
            Reader::Person(paint, clock) => Form::Words(Words { paint, clock, max }),
            Reader::Program => Form::Objects,
        };
        Self { view, max, form, talks: BTreeMap::new(), silent: BTreeMap::new(), waited: UNIX_EPOCH, held: 0 }
    }

    /// Takes in what was heard, and writes what there is to read.
    pub(crate) fn take(&mut self, heard: Heard, out: &mut String) {
        let Heard { when, flow, what } = heard;
        for (way, what) in self.read(when, flow, what) {
            self.write(&Item { when, flow, way, what }, out);
        }
    }

    /// Whether something is held that will have to be shown.
    pub(crate) fn waits(&self) -> bool {
        !self.silent.is_empty()
    }

    /// Shows what has been held for too long, as far as it has come.
    pub(crate) fn wait(&mut self, now: SystemTime, out: &mut String) {
        if now.duration_since(self.waited).unwrap_or_default() < Self::PATIENCE / 4 {
            return;
        }
        self.waited = now;
        let is_due = |since: &SystemTime| now.duration_since(*since).unwrap_or_default() >= Self::PATIENCE;
        let due: Vec<u64> = self.silent.iter().filter(|(_, since)| is_due(since)).map(|(flow, _)| *flow).collect();
        for flow in due {
            let mut whats = Vec::new();
            self.silent.remove(&flow);
            for way in [Way::Up, Way::Down] {
                let mut said = Vec::new();
                if let Some(talk) = self.talks.get_mut(&flow) {
                    talk.wait(way, &mut said);
                }
                whats.extend(said.into_iter().map(|what| (way, what)));
            }
            for (way, what) in whats {
                self.write(&Item { when: now, flow, way: Some(way), what }, out);
            }
        }
    }

    /// Says that so many beginnings and ends are not there, since they were too many for whoever reads this.
    pub(crate) fn lost(&self, count: u64, out: &mut String) {
        match &self.form {
            Form::Words(words) => words.lost(count, out),
            Form::Objects => lost(count, out),
        }
    }

    fn read(&mut self, when: SystemTime, flow: u64, what: Fact) -> Vec<(Option<Way>, What)> {
        match what {
            Fact::Opened { relay, client, server } => {
                self.talk(flow);
                vec![(None, What::Opened { relay, client, server })]
            }
            Fact::Piece(piece) => self.ask(when, flow, piece.way, |talk, out| talk.piece(&piece, out)),
            Fact::End { way, at } => self.ask(when, flow, way, |talk, out| {
                talk.end(way, at, out);
                out.push(What::End);
            }),
            Fact::Closed(closed) => {
                let mut whats = self.ask(when, flow, Way::Up, |talk, out| talk.end(Way::Up, closed.up, out));
                whats.extend(self.ask(when, flow, Way::Down, |talk, out| talk.end(Way::Down, closed.down, out)));
                self.forget(flow);
                whats.push((None, What::Closed(closed)));
                whats
            }
        }
    }

    /// What a conversation has to say in that direction.
    fn ask(
        &mut self,
        when: SystemTime,
        flow: u64,
        way: Way,
        ask: impl FnOnce(&mut Talk, &mut Vec<What>),
    ) -> Vec<(Option<Way>, What)> {
        let mut whats = Vec::new();
        let talk = self.talk(flow);
        let before = talk.held();
        ask(talk, &mut whats);
        let (after, is_silent) = (talk.held(), talk.is_silent());
        self.held = (self.held + after).saturating_sub(before);
        if is_silent {
            self.silent.insert(flow, when);
        } else {
            self.silent.remove(&flow);
        }
        if self.held > HELD && after > 0 {
            whats.extend(self.let_go(flow, way));
        }
        whats.into_iter().map(|what| (Some(way), what)).collect()
    }

    /// Shows what a conversation holds, since too much is held.
    fn let_go(&mut self, flow: u64, way: Way) -> Vec<What> {
        let mut whats = Vec::new();
        let talk = self.talk(flow);
        let before = talk.held();
        talk.let_go(way, &mut whats);
        let after = talk.held();
        self.held = (self.held + after).saturating_sub(before);
        whats
    }

    fn talk(&mut self, flow: u64) -> &mut Talk {
        if self.talks.len() >= TALKS
            && !self.talks.contains_key(&flow)
            && let Some(oldest) = self.talks.keys().next().copied()
        {
            self.forget(oldest);
        }
        self.talks.entry(flow).or_insert_with(|| Talk::new(self.view, self.max.text))
    }

    fn forget(&mut self, flow: u64) {
        let held = self.talks.remove(&flow).map_or(0, |talk| talk.held());
        self.held = self.held.saturating_sub(held);
        self.silent.remove(&flow);
    }

    fn write(&self, item: &Item, out: &mut String) {
        match &self.form {
            Form::Words(words) => words.write(item, out),
            Form::Objects => object(item, self.max, out),
        }
    }
}
