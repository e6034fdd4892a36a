//! All that a live table of relayed conversations knows: what is seen and typed goes in, and rows come out. It touches no
//! terminal and no network, and takes the time as an argument.

use std::{
    cmp::Reverse,
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

use hullo::{
    Peer,
    traffic::{Flow, Total, Way},
};

use super::heard::Closed;

pub(crate) mod draw;
mod keys;
mod words;

#[cfg(test)]
mod tests;

/// How many ended conversations, notes and measured rates are kept.
pub(crate) const GONE: usize = 200;
const NOTES: usize = 200;
const RATES: usize = 512;

/// How much of a rate is what was measured last.
const NEWEST: f64 = 0.4;

/// A conversation as it is at a moment.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    pub(crate) number: u64,
    pub(crate) client: Peer,
    pub(crate) server: Peer,
    pub(crate) since: Instant,
    pub(crate) up: u64,
    pub(crate) down: u64,
}

/// A conversation that is over.
#[derive(Clone, Debug)]
pub(crate) struct Gone {
    pub(crate) number: u64,
    pub(crate) client: Peer,
    pub(crate) server: Peer,
    pub(crate) closed: Closed,
}

/// What the table knows of one that goes on.
struct Row {
    sample: Sample,
    up_rate: f64,
    down_rate: f64,
    /// In which look at the traffic it was there last.
    look: u64,
}

/// By what conversations are sorted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Sort {
    Number,
    Client,
    Server,
    Age,
    Up,
    UpRate,
    Down,
    DownRate,
    /// By both rates together.
    #[default]
    Rate,
}

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    Nothing,
    Quit,
    Redraw,
    Suspend,
}

/// The table.
pub(crate) struct Table {
    /// What relays to where.
    title: String,
    colours: bool,
    rows: HashMap<u64, Row>,
    /// The conversations that are shown, in their order.
    order: Vec<u64>,
    gone: VecDeque<Gone>,
    notes: VecDeque<String>,
    total: Total,
    rates: VecDeque<u64>,
    up_rate: f64,
    down_rate: f64,
    look: u64,
    looked: Option<Instant>,
    sort: Sort,
    reversed: bool,
    filter: String,
    /// The filter is being typed.
    typing: bool,
    paused: bool,
    shows_gone: bool,
    shows_help: bool,
    selected: Option<u64>,
    /// The row that stands first.
    top: usize,
    /// How many rows there is room for, as it was drawn last.
    room: usize,
}

impl Sample {
    pub(crate) fn of(flow: &Flow) -> Self {
        Self {
            number: flow.number,
            client: flow.client.clone(),
            server: flow.server.clone(),
            since: flow.since,
            up: flow.moved(Way::Up),
            down: flow.moved(Way::Down),
        }
    }
}

impl Table {
    pub(crate) fn new(title: String, colours: bool) -> Self {
        Self {
            title,
            colours,
            rows: HashMap::new(),
            order: Vec::new(),
            gone: VecDeque::new(),
            notes: VecDeque::new(),
            total: Total::default(),
            rates: VecDeque::new(),
            up_rate: 0.0,
            down_rate: 0.0,
            look: 0,
            looked: None,
            sort: Sort::default(),
            reversed: false,
            filter: String::new(),
            typing: false,
            paused: false,
            shows_gone: true,
            shows_help: false,
            selected: None,
            top: 0,
            room: 10,
        }
    }

    /// Takes in what goes on now, and what has ended since the last look.
    pub(crate) fn look(
        &mut self,
        flows: &[Arc<Flow>],
        gone: impl IntoIterator<Item = Gone>,
        total: Total,
        now: Instant,
    ) {
        self.take(flows.iter().map(|flow| Sample::of(flow)), gone, total, now);
    }

    fn take(
        &mut self,
        samples: impl Iterator<Item = Sample>,
        gone: impl IntoIterator<Item = Gone>,
        total: Total,
        now: Instant,
    ) {
        self.gone.extend(gone);
        let too_many = self.gone.len().saturating_sub(GONE);
        self.gone.drain(..too_many);
        // A paused table stands still, and misses nothing: counts are of all that ever was.
        if self.paused {
            return;
        }
        let passed = self.looked.map(|looked| now.saturating_duration_since(looked)).filter(|passed| !passed.is_zero());
        self.looked = Some(now);
        self.look += 1;
        for sample in samples {
            self.sample(sample, passed, now);
        }
        let look = self.look;
        self.rows.retain(|_, row| row.look == look);
        self.totals(total, passed);
        self.arrange();
    }

    fn sample(&mut self, sample: Sample, passed: Option<Duration>, now: Instant) {
        match self.rows.get_mut(&sample.number) {
            Some(row) => {
                row.up_rate = rate(row.up_rate, sample.up.saturating_sub(row.sample.up), passed);
                row.down_rate = rate(row.down_rate, sample.down.saturating_sub(row.sample.down), passed);
                row.look = self.look;
                row.sample = sample;
            }
            None => {
                let age = now.saturating_duration_since(sample.since).max(Duration::from_millis(250));
                let of = |bytes: u64| bytes as f64 / age.as_secs_f64();
                let (up_rate, down_rate) = (of(sample.up), of(sample.down));
                self.rows.insert(sample.number, Row { sample, up_rate, down_rate, look: self.look });
            }
        }
    }

    fn totals(&mut self, total: Total, passed: Option<Duration>) {
        let (up, down) = (total.up.saturating_sub(self.total.up), total.down.saturating_sub(self.total.down));
        self.total = total;
        let Some(passed) = passed else { return };
        self.up_rate = rate(self.up_rate, up, Some(passed));
        self.down_rate = rate(self.down_rate, down, Some(passed));
        self.rates.push_back(((up + down) as f64 / passed.as_secs_f64()) as u64);
        if self.rates.len() > RATES {
            self.rates.pop_front();
        }
    }

    /// Something that a person should know.
    pub(crate) fn note(&mut self, note: String) {
        self.notes.push_back(note);
        if self.notes.len() > NOTES {
            self.notes.pop_front();
        }
    }

    /// Puts what is to be seen in its order.
    fn arrange(&mut self) {
        let wanted = self.filter.to_lowercase();
        let fits = |row: &Row| {
            let Sample { number, client, server, .. } = &row.sample;
            wanted.is_empty() || format!("#{number} {client} {server}").to_lowercase().contains(&wanted)
        };
        let mut order: Vec<u64> = self.rows.values().filter(|row| fits(row)).map(|row| row.sample.number).collect();
        let rows = &self.rows;
        // The busiest, oldest and largest first; names as in a book.
        match self.sort {
            Sort::Number => order.sort_unstable(),
            Sort::Client => order.sort_by_cached_key(|number| (rows[number].sample.client.to_string(), *number)),
            Sort::Server => order.sort_by_cached_key(|number| (rows[number].sample.server.to_string(), *number)),
            Sort::Age => order.sort_by_cached_key(|number| (rows[number].sample.since, *number)),
            Sort::Up => order.sort_by_cached_key(|number| (Reverse(rows[number].sample.up), *number)),
            Sort::Down => order.sort_by_cached_key(|number| (Reverse(rows[number].sample.down), *number)),
            Sort::UpRate => order.sort_by_cached_key(|number| (Reverse(rows[number].up_rate as u64), *number)),
            Sort::DownRate => order.sort_by_cached_key(|number| (Reverse(rows[number].down_rate as u64), *number)),
            Sort::Rate => order.sort_by_cached_key(|number| {
                let row = &rows[number];
                (Reverse((row.up_rate + row.down_rate) as u64), *number)
            }),
        }
        if self.reversed {
            order.reverse();
        }
        self.order = order;
        self.selected = self.selected.filter(|number| self.rows.contains_key(number));
        self.top = self.top.min(self.order.len().saturating_sub(self.room));
    }

    /// The ended conversations that are shown, the latest first.
    fn ended(&self) -> impl Iterator<Item = &Gone> {
        let wanted = self.filter.to_lowercase();
        self.gone.iter().rev().filter(move |gone| {
            let Gone { number, client, server, .. } = gone;
            wanted.is_empty() || format!("#{number} {client} {server}").to_lowercase().contains(&wanted)
        })
    }
}

/// A rate that follows what is measured, a little calmer; nothing at all soon is nothing.
fn rate(before: f64, bytes: u64, passed: Option<Duration>) -> f64 {
    let Some(passed) = passed else { return before };
    let measured = bytes as f64 / passed.as_secs_f64();
    let rate = before + (measured - before) * NEWEST;
    if rate < 1.0 { 0.0 } else { rate }
}
