//! All that a live view of a load test knows: progress and keys go in, and rows come out. It touches no terminal, and
//! its only clock is that of the load.

use std::time::Duration;

use hullo::bench::{
    Counts, Plan, Progress, Rate, Shape, buckets,
    words::{bytes, count},
};
use ratatui::crossterm::event::{Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use self::history::History;
use super::page::duration;

pub(crate) mod draw;
mod history;
mod plot;

#[cfg(test)]
mod tests;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    Nothing,
    /// To end the load before its time.
    End,
    Redraw,
}

/// A load test as it goes.
pub(crate) struct Live {
    /// Where the load goes, and what kind of load it is.
    target: String,
    how: String,
    is_bulk: bool,
    colours: bool,
    /// Which of several loads it is, and what is known of those before it.
    about: String,
    known: Vec<String>,
    rate: Option<Rate>,
    span: Option<Duration>,
    most: Option<u64>,
    /// How many requests can be under way; what waits beyond them waits for its turn.
    places: u64,
    progress: Option<Progress>,
    history: History,
    /// Answers so far by their buckets.
    latency: Box<[u64]>,
    /// The person wants it to end, and it does.
    ending: bool,
}

impl Live {
    pub(crate) fn new(plan: &Plan, colours: bool) -> Self {
        Self {
            target: plan.to.to_string(),
            how: how(plan),
            is_bulk: matches!(plan.shape, Shape::Bulk(_)),
            colours,
            about: String::new(),
            known: Vec::new(),
            rate: plan.requests(),
            span: plan.span(),
            most: plan.count,
            places: (plan.connections * plan.depth) as u64,
            progress: None,
            history: History::new(plan.span()),
            latency: vec![0; buckets::COUNT].into(),
            ending: false,
        }
    }

    /// The same as one of several.
    pub(crate) fn among(mut self, about: &str, known: &[String]) -> Self {
        (self.about, self.known) = (about.to_owned(), known.to_vec());
        self
    }

    /// Takes in how it goes.
    pub(crate) fn hear(&mut self, progress: &Progress) {
        let mut progress = progress.clone();
        // What nobody has come to yet is due all the same, as the report will have it.
        let due = self.rate.as_ref().map_or(0, |rate| rate.count(progress.at).min(self.most.unwrap_or(u64::MAX)));
        progress.counts.offered = progress.counts.offered.max(due);
        if progress.at > Duration::ZERO {
            self.history.add(&progress);
            for (bucket, count) in &progress.latency {
                self.latency[usize::from(*bucket)] += u64::from(*count);
            }
        }
        self.progress = Some(progress);
    }

    /// Takes in what the person did.
    pub(crate) fn act(&mut self, event: &Event) -> Wish {
        match event {
            Event::Key(key) if key.kind != KeyEventKind::Release => self.key(*key),
            _ => Wish::Nothing,
        }
    }

    /// It is to end before its time.
    pub(crate) fn end(&mut self) {
        self.ending = true;
    }

    /// All of it in a line, for where there is no room for more.
    pub(crate) fn line(&self) -> String {
        let (counts, at) = (self.counts(), duration(self.at().as_secs() as f64));
        let at = if self.about.is_empty() { at } else { format!("{}  {at}", self.about) };
        if self.is_bulk {
            return format!(
                "{at}  {} sent, {} received",
                bytes(counts.bytes_sent as f64),
                bytes(counts.bytes_received as f64)
            );
        }
        let [answered, failed, waiting] = [counts.answered, counts.failed, self.waiting()].map(count);
        format!("{at}  {answered} answered, {failed} failed, {waiting} without an answer")
    }

    fn key(&mut self, key: KeyEvent) -> Wish {
        match (key.code, key.modifiers.contains(KeyModifiers::CONTROL)) {
            (KeyCode::Char('c' | 'd'), true) | (KeyCode::Char('q'), false) => Wish::End,
            (KeyCode::Char('l'), true) => Wish::Redraw,
            _ => Wish::Nothing,
        }
    }

    fn counts(&self) -> Counts {
        self.progress.as_ref().map_or_else(Counts::default, |progress| progress.counts)
    }

    /// How many requests are due and have come to nothing yet.
    fn waiting(&self) -> u64 {
        waiting(&self.counts())
    }

    fn at(&self) -> Duration {
        self.progress.as_ref().map_or(Duration::ZERO, |progress| progress.at)
    }

    /// How much of the run has been, from 0 to 1; nothing where nobody knows.
    pub(crate) fn done(&self) -> Option<f64> {
        let of_time = self.span.map(|span| self.at().as_secs_f64() / span.as_secs_f64().max(1e-9));
        let counts = self.counts();
        let of_count = self.most.map(|most| (counts.answered + counts.failed) as f64 / most.max(1) as f64);
        Some(of_time.into_iter().chain(of_count).reduce(f64::max)?.clamp(0.0, 1.0))
    }

    /// The time within which that share of the answers so far came, in milliseconds: the middle of its bucket.
    fn percentile(&self, share: f64) -> Option<f64> {
        let all: u64 = self.latency.iter().sum();
        let mut left = ((all as f64 * share).ceil() as u64).clamp(1, all.max(1));
        let bucket = self.latency.iter().position(|count| {
            let is_here = *count >= left && left > 0;
            left = left.saturating_sub(*count);
            is_here
        })?;
        let bounds = buckets::bounds(bucket as u16);
        Some((bounds.start * bounds.end).sqrt() / 1e6)
    }
}

fn waiting(counts: &Counts) -> u64 {
    counts.offered.saturating_sub(counts.answered + counts.failed)
}

fn how(plan: &Plan) -> String {
    let many = plan.connections;
    let over = format!("over {many} connection{}", if many == 1 { "" } else { "s" });
    let what = match (&plan.shape, &plan.rate) {
        (Shape::Bulk(_), None) => format!("bulk ({}) {over}", plan.shape.name()),
        (Shape::Bulk(_), Some(rate)) => format!("bulk ({}), {rate} {over}", plan.shape.name()),
        (Shape::Connect, _) => format!("connecting, {many} at once"),
        (_, Some(rate)) if rate.is_bits() => format!("open loop, {rate} {over}"),
        (_, Some(rate)) => format!("open loop, {rate} requests a second {over}"),
        (_, None) => format!("closed loop {over}"),
    };
    let most = plan.count.map_or_else(String::new, |most| format!(", {most} requests at most"));
    plan.span()
        .map_or_else(|| format!("{what}{most}"), |span| format!("{what}{most}, {}", duration(span.as_secs_f64())))
}
