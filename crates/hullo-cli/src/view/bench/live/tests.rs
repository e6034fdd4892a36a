//! The live view without a terminal: progress and keys in, rows out.

use std::time::Duration;

use hullo::bench::{Counts, Direction, Plan, Progress, Shape, buckets::bucket};
use ratatui::{
    Terminal,
    backend::TestBackend,
    crossterm::event::{Event, KeyCode, KeyEvent, KeyModifiers},
    style::Color,
};

use super::{Live, Wish, draw::draw};

fn plan(rate: &str, seconds: u64) -> Plan {
    let to = "tcp://127.0.0.1:7007".parse().unwrap();
    let rate = (!rate.is_empty()).then(|| rate.parse().unwrap());
    Plan { rate, duration: Some(Duration::from_secs(seconds)), ..Plan::to(to) }
}

/// A load of 400 a second: so many answers, of half a millisecond each, in every quarter of a second.
struct Load {
    live: Live,
    progress: Progress,
}

impl Load {
    fn of(plan: &Plan) -> Self {
        Self { live: Live::new(plan, true), progress: Progress::default() }
    }

    fn goes(&mut self, quarters: u32, answered: u64, failed: u64) {
        for _ in 0..quarters {
            self.progress.at += Duration::from_millis(250);
            let counts = &mut self.progress.counts;
            counts.offered += answered + failed;
            counts.sent += answered + failed;
            counts.answered += answered;
            counts.failed += failed;
            counts.bytes_received += 64 * answered;
            self.progress.latency = vec![(bucket(500_000), answered as u32)];
            self.live.hear(&self.progress);
        }
    }

    fn drawn(&self, width: u16, height: u16) -> Vec<String> {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| draw(frame, &self.live)).unwrap();
        let buffer = terminal.backend().buffer();
        let row = |y| (0..width).map(|x| buffer[(x, y)].symbol()).collect::<String>().trim_end().to_owned();
        (0..height).map(row).collect()
    }

    fn row(&self, begin: &str) -> String {
        let rows = self.drawn(120, 40);
        let row = rows.iter().find(|row| row.trim_start().starts_with(begin));
        row.unwrap_or_else(|| panic!("no {begin}: {rows:#?}")).trim().to_owned()
    }

    fn key(&mut self, code: KeyCode, modifiers: KeyModifiers) -> Wish {
        self.live.act(&Event::Key(KeyEvent::new(code, modifiers)))
    }
}

#[test]
fn it_says_how_it_goes() {
    let mut load = Load::of(&plan("400", 10));
    assert!(load.row("─").ends_with("connecting"));
    load.live.hear(&Progress::default());
    assert!(load.row("─").ends_with("warming up"));
    load.goes(16, 100, 0);
    assert!(load.row("━").ends_with("4.0s of 10s, 40 %, 6s left"));
    assert_eq!(load.row("open loop"), "open loop, 400 requests a second over 10 connections, 10s");
    assert!(load.row("rate").starts_with("rate     400/s answered   400/s offered"), "{}", load.row("rate"));
    assert!(load.row("so far").starts_with("so far   1,600 offered   1,600 answered   0 failed   0 without an answer"));
    let latency = load.row("latency");
    assert!(latency.starts_with("latency  p50 496 µs   p90 496 µs"), "{latency}");
    assert_eq!(load.live.line(), "4s  1,600 answered, 0 failed, 0 without an answer");
    assert!(!load.drawn(120, 40).iter().any(|row| row.contains("failed   ") && row.starts_with(" failed")));
}

#[test]
fn a_stall_is_seen_while_it_lasts() {
    let mut load = Load::of(&plan("400", 10));
    load.goes(8, 100, 0);
    load.goes(8, 0, 0);
    let counters = load.row("so far");
    assert!(counters.contains("1,600 offered   800 answered   0 failed   800 without an answer"), "{counters}");
    assert!(load.row("rate").starts_with("rate     0/s answered   400/s offered"), "{}", load.row("rate"));
    let waiting = load.row("waiting");
    assert!(waiting.ends_with('█'), "{waiting}");
}

#[test]
fn failures_and_the_generators_own_lag_are_named() {
    let mut load = Load::of(&plan("400", 10));
    load.progress.failures = vec![("refused".to_owned(), 4), ("status 503".to_owned(), 36)];
    load.progress.lag = Duration::from_millis(12);
    load.goes(4, 90, 10);
    assert_eq!(load.row("failed"), "failed   36 status 503, 4 refused");
    assert!(load.row("rate").contains("40/s failed"), "{}", load.row("rate"));
    assert_eq!(load.row("lag"), "lag      the generator itself is late: p99 12.0 ms; latencies contain that");
}

#[test]
fn latencies_stand_at_their_times() {
    let mut load = Load::of(&plan("400", 10));
    load.goes(10, 100, 0);
    load.progress.latency = vec![(bucket(80_000_000), 40)];
    load.progress.counts.answered += 40;
    load.progress.at += Duration::from_millis(250);
    load.live.hear(&load.progress);
    load.goes(2, 100, 0);
    let rows = load.drawn(100, 40);
    let from = rows.iter().position(|row| row.trim_start().starts_with("latency")).unwrap();
    let map: Vec<_> = rows[from + 1..].iter().take_while(|row| !row.starts_with("waiting")).collect();
    let at = |label: &str| map.iter().position(|row| row.trim_start().starts_with(label)).unwrap();
    let filled: Vec<_> = (0..map.len()).filter(|row| map[*row].contains(['░', '▒', '▓', '█'])).collect();
    assert_eq!(filled.len(), 2, "{map:#?}");
    assert!(filled[0] < at("10 ms") && filled[1] > at("10 ms") && at("10 ms") < at("1 ms"), "{map:#?}");
    assert!(filled[1] >= at("1 ms"), "{map:#?}");
}

#[test]
fn any_terminal_is_large_enough() {
    let mut loads = [Load::of(&plan("400", 10)), Load::of(&plan("", 3)), Load::of(&plan("1..900/1h", 36_000))];
    let bulk = Plan { shape: Shape::Bulk(Direction::Up), ..plan("", 10) };
    let endless = Plan { duration: None, count: Some(5000), ..plan("", 1) };
    let mut several = Load::of(&plan("400", 10));
    several.live = several.live.among("trial 2, 400/s", &["a".repeat(200), "b".to_owned()]);
    for load in loads.iter_mut().chain([&mut Load::of(&bulk), &mut Load::of(&endless), &mut several]) {
        for quarters in [0, 1, 40] {
            load.progress.failures = vec![("refused".to_owned(), 1)];
            load.progress.lag = Duration::from_millis(u64::from(quarters));
            load.goes(quarters, 90, u64::from(quarters % 2));
            for (width, height) in (1..22).flat_map(|height| [1, 9, 33].map(|width| (width, height))) {
                load.drawn(width, height);
            }
        }
    }
}

#[test]
fn a_long_run_is_seen_whole() {
    let mut load = Load::of(&Plan { duration: None, count: Some(u64::MAX), ..plan("", 1) });
    load.goes(10_000, 100, 0);
    assert!(load.row("rate").starts_with("rate     400/s"), "{}", load.row("rate"));
    let rows = load.drawn(100, 40);
    let full = rows.iter().map(|row| row.chars().filter(|c| *c == '█').count()).max().unwrap();
    assert!(full > 85, "{rows:#?}");
}

#[test]
fn keys_end_it() {
    let mut load = Load::of(&plan("400", 10));
    assert_eq!(load.key(KeyCode::Char('x'), KeyModifiers::NONE), Wish::Nothing);
    assert_eq!(load.key(KeyCode::Char('q'), KeyModifiers::NONE), Wish::End);
    assert_eq!(load.key(KeyCode::Char('c'), KeyModifiers::CONTROL), Wish::End);
    assert_eq!(load.key(KeyCode::Char('l'), KeyModifiers::CONTROL), Wish::Redraw);
    load.live.end();
    assert!(load.row("ending").contains("once more: at once"));
}

#[test]
fn one_of_several_says_which_it_is_and_what_is_known() {
    let mut load = Load::of(&plan("400", 10));
    let known: Vec<_> = (0..40).map(|at| format!("trial {at} held")).collect();
    load.live = Live::new(&plan("400", 10), true).among("trial 41, 400/s; 200/s held", &known);
    load.goes(4, 100, 0);
    let how = load.row("trial 41");
    assert!(how.starts_with("trial 41, 400/s; 200/s held   open loop, 400 requests a second"), "{how}");
    let rows = load.drawn(80, 24);
    let last: Vec<_> = rows.iter().filter(|row| row.ends_with(" held")).collect();
    assert!(last.len() >= 3 && last.last().unwrap().ends_with("trial 39 held"), "{rows:#?}");
    assert!(rows.last().unwrap().contains("with what is known so far"), "{rows:#?}");
    assert_eq!(load.live.line(), "trial 41, 400/s; 200/s held  1s  400 answered, 0 failed, 0 without an answer");
}

#[test]
fn without_colours_there_are_none() {
    let mut load = Load::of(&plan("400", 10));
    load.live = Live::new(&plan("400", 10), false);
    load.progress.failures = vec![("refused".to_owned(), 4)];
    load.progress.counts = Counts { failed: 4, offered: 400, ..Counts::default() };
    load.goes(6, 90, 10);
    let mut terminal = Terminal::new(TestBackend::new(100, 30)).unwrap();
    terminal.draw(|frame| draw(frame, &load.live)).unwrap();
    let buffer = terminal.backend().buffer();
    assert!(buffer.content.iter().all(|cell| cell.fg == Color::Reset && cell.bg == Color::Reset));
}
