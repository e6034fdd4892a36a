//! The table without a terminal: traffic and keys in, rows out.

use std::time::{Duration, Instant};

use hullo::{Endpoint, Peer, traffic::Total};
use ratatui::{
    Terminal,
    backend::TestBackend,
    crossterm::event::{Event, KeyCode, KeyEvent, KeyModifiers},
};

use super::{Gone, Sample, Table, Wish, draw::draw};
use crate::view::relay::heard::Closed;

fn peer(port: u64) -> Peer {
    let address = format!("127.0.0.1:{port}").parse().unwrap();
    Peer::new("tcp", Endpoint::Net(address), Endpoint::Unnamed)
}

/// A table that is looked at from time to time.
struct Looked {
    table: Table,
    now: Instant,
    since: Instant,
}

impl Looked {
    fn new() -> Self {
        let now = Instant::now();
        Self { table: Table::new("tcp://here → tcp://there".to_owned(), true), now, since: now }
    }

    /// A look after a second, at which conversations of these numbers have moved that much.
    fn look(&mut self, flows: &[(u64, u64, u64)], gone: Vec<Gone>) {
        self.now += Duration::from_secs(1);
        let total = flows.iter().fold(Total::default(), |sum, (_, up, down)| Total {
            flows: sum.flows + 1,
            up: sum.up + up,
            down: sum.down + down,
        });
        let since = self.since;
        let samples = flows.iter().map(|(number, up, down)| Sample {
            number: *number,
            client: peer(1000 + number),
            server: peer(7000),
            since,
            up: *up,
            down: *down,
        });
        self.table.take(samples, gone, total, self.now);
    }

    fn drawn(&mut self, width: u16, height: u16) -> Vec<String> {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| draw(frame, &mut self.table, self.now)).unwrap();
        let buffer = terminal.backend().buffer();
        let row = |y| (0..width).map(|x| buffer[(x, y)].symbol()).collect::<String>().trim_end().to_owned();
        (0..height).map(row).collect()
    }

    fn key(&mut self, code: KeyCode) -> Wish {
        self.table.act(&Event::Key(KeyEvent::new(code, KeyModifiers::NONE)))
    }

    fn types(&mut self, text: &str) {
        text.chars().for_each(|c| _ = self.key(KeyCode::Char(c)));
    }

    /// The numbers of the rows that are seen.
    fn numbers(&mut self) -> Vec<u64> {
        let rows = self.drawn(100, 30);
        let numbers = rows.iter().filter(|row| row.contains("127.0.0.1:7000") && !row.starts_with(" #"));
        numbers.map(|row| row.split_whitespace().next().unwrap().parse().unwrap()).collect()
    }
}

fn gone(number: u64, why: Option<&str>) -> Gone {
    let closed = Closed { took: Duration::from_secs(75), up: 1234, down: 0, why: why.map(str::to_owned) };
    Gone { number, client: peer(1000 + number), server: peer(7000), closed }
}

#[test]
fn connections_have_their_bytes_and_rates() {
    let mut looked = Looked::new();
    looked.look(&[(1, 0, 0), (2, 500, 0)], Vec::new());
    for second in 1..=30 {
        looked.look(&[(1, second * 1000, second * 20_000), (2, 500, 0)], Vec::new());
    }
    let rows = looked.drawn(100, 30);
    assert!(rows[0].contains("tcp://here → tcp://there"), "{rows:#?}");
    assert_eq!(rows[1].trim(), "2 live of 2   ↑ 30.5kB 1.00k/s   ↓ 600kB 20.0k/s");
    let facts = |row: &str| row.split_whitespace().skip(3).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(facts(&rows[5]), ["31s", "30.0k", "1.00k", "600k", "20.0k"], "{rows:#?}");
    assert_eq!(facts(&rows[6]), ["31s", "500", "·", "0", "·"], "a rate of long ago is none: {rows:#?}");
}

#[test]
fn it_can_be_drawn_at_every_size() {
    let mut looked = Looked::new();
    let many: Vec<_> = (1..=500).map(|number| (number, number * 1000, number)).collect();
    looked.look(&many, vec![gone(501, Some("the connection was reset"))]);
    looked.look(&many, Vec::new());
    looked.table.note("cannot connect\x1b[0m".to_owned());
    for width in [0, 1, 5, 20, 59, 60, 80, 200] {
        for height in [0, 1, 2, 5, 14, 15, 24, 60] {
            if width > 0 && height > 0 {
                looked.drawn(width, height);
                looked.key(KeyCode::Down);
            }
        }
    }
    let rows = looked.drawn(60, 15);
    assert!(rows.iter().any(|row| row.contains(":7000 ") && row.contains("k ")), "{rows:#?}");
    assert!(rows.iter().any(|row| row.contains("the connection was r")), "the reason is seen: {rows:#?}");
    assert!(rows.iter().any(|row| row.contains("cannot connect")), "{rows:#?}");
    assert!(rows[14].starts_with(" q end"), "{rows:#?}");
}

#[test]
fn the_busiest_is_first_and_keys_sort_otherwise() {
    let mut looked = Looked::new();
    looked.look(&[(1, 0, 0), (2, 0, 0), (3, 0, 0)], Vec::new());
    looked.look(&[(1, 10, 10), (2, 0, 50), (3, 40, 0)], Vec::new());
    assert_eq!(looked.numbers(), [2, 3, 1]);
    for (key, wanted) in [('s', [1, 2, 3]), ('r', [3, 2, 1]), ('r', [1, 2, 3]), ('S', [2, 3, 1])] {
        looked.key(KeyCode::Char(key));
        assert_eq!(looked.numbers(), wanted, "{key}");
    }
    for (sort, wanted) in [
        ("client", [1, 2, 3]),
        ("server", [1, 2, 3]),
        ("age", [1, 2, 3]),
        ("bytes up", [3, 1, 2]),
        ("rate up", [3, 1, 2]),
        ("bytes down", [2, 1, 3]),
        ("rate down", [2, 1, 3]),
    ] {
        while !looked.drawn(100, 30)[29].contains(&format!("sort: {sort} ")) {
            looked.key(KeyCode::Char('s'));
        }
        assert_eq!(looked.numbers(), wanted, "{sort}");
    }
}

#[test]
fn a_filter_shows_only_what_has_its_letters() {
    let mut looked = Looked::new();
    looked.look(&[(1, 0, 0), (22, 0, 0), (3, 0, 0)], vec![gone(4, None)]);
    looked.types("/1022q");
    assert!(looked.numbers().is_empty(), "q is a letter of a filter");
    looked.key(KeyCode::Backspace);
    assert_eq!(looked.numbers(), [22]);
    looked.key(KeyCode::Enter);
    assert!(looked.drawn(100, 30)[1].contains("(1 shown)"));
    looked.key(KeyCode::Esc);
    assert_eq!(looked.numbers(), [1, 3, 22, 4]);
}

#[test]
fn a_selected_connection_can_be_seen_wherever_it_goes() {
    let mut looked = Looked::new();
    let many: Vec<_> = (1..=100).map(|number| (number, 0, 0)).collect();
    looked.look(&many, Vec::new());
    for (key, selected) in [
        (KeyCode::Down, 1),
        (KeyCode::Down, 2),
        (KeyCode::End, 100),
        (KeyCode::Up, 99),
        (KeyCode::PageUp, 77),
        (KeyCode::Home, 1),
        (KeyCode::Char('G'), 100),
    ] {
        looked.drawn(100, 30);
        looked.key(key);
        let rows = looked.drawn(100, 30);
        assert!(
            rows[28].starts_with(&format!(" #{selected} tcp://127.0.0.1:{}", 1000 + selected)),
            "{key:?}: {rows:#?}"
        );
        assert!(looked.numbers().contains(&selected), "{key:?}");
    }
    looked.look(&many[..50], Vec::new());
    assert_eq!(looked.table.selected, None, "one that has ended is no longer selected");
    assert!(!looked.numbers().is_empty());
}

#[test]
fn those_that_have_ended_say_why_and_can_be_hidden() {
    let mut looked = Looked::new();
    looked.look(&[], vec![gone(1, None), gone(2, Some("reset\x1b[2J"))]);
    let rows = looked.drawn(100, 30);
    let at = |word: &str| rows.iter().position(|row| row.contains(word)).unwrap();
    assert!(at("reset\\u{1b}[2J") < at("75s ↑1.23k ↓0 ended"), "the latest is first: {rows:#?}");
    assert!(rows.iter().any(|row| row.contains("nobody is connected")), "{rows:#?}");
    looked.key(KeyCode::Char('e'));
    assert!(!looked.drawn(100, 30).iter().any(|row| row.contains("reset")));
}

#[test]
fn it_stands_still_while_it_is_paused_and_misses_nothing() {
    let mut looked = Looked::new();
    looked.look(&[(1, 10, 0)], Vec::new());
    looked.key(KeyCode::Char('p'));
    looked.look(&[(2, 20, 0)], vec![gone(1, None)]);
    assert_eq!(looked.numbers(), [1, 1]);
    assert!(looked.drawn(100, 30)[0].contains("stands still"));
    looked.key(KeyCode::Char('p'));
    looked.look(&[(2, 30, 0)], Vec::new());
    assert_eq!(looked.numbers(), [2, 1]);
}

#[test]
fn keys_end_it_and_show_the_keys() {
    let mut looked = Looked::new();
    let control = |c| Event::Key(KeyEvent::new(KeyCode::Char(c), KeyModifiers::CONTROL));
    assert_eq!(looked.key(KeyCode::Char('q')), Wish::Quit);
    for (c, wish) in [('c', Wish::Quit), ('l', Wish::Redraw), ('z', Wish::Suspend), ('x', Wish::Nothing)] {
        assert_eq!(looked.table.act(&control(c)), wish, "{c}");
    }
    looked.key(KeyCode::Char('?'));
    assert!(looked.drawn(80, 24).iter().any(|row| row.contains("sort by the next")));
    looked.key(KeyCode::Esc);
    assert!(!looked.drawn(80, 24).iter().any(|row| row.contains("sort by the next")));
}

#[test]
fn ten_thousand_connections_are_no_trouble() {
    let mut looked = Looked::new();
    for second in 0..8 {
        let many: Vec<_> = (1..=10_000).map(|number| (number, number * second, number)).collect();
        looked.look(&many, Vec::new());
        looked.drawn(120, 40);
    }
    assert_eq!(looked.numbers()[0], 10_000);
}
