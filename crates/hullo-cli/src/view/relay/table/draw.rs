//! The table, drawn.

use std::time::Instant;

use hullo::traffic::Way;
use ratatui::{
    Frame,
    layout::{Constraint, Layout, Rect},
    style::{Color, Modifier, Style},
    text::{Line, Span},
    widgets::{Clear, Paragraph, Sparkline},
};
use unicode_width::UnicodeWidthStr;

use super::{
    Gone, Row, Sort, Table,
    words::{age, amount, name, plain},
};
use crate::{report::shown_in_line, view::chat::draw::cut};

/// The height from which on the rates of the last time are drawn.
const TALL: u16 = 15;

/// How wide what is not a name is: a column of bytes or of a rate, and an age.
const BYTES: usize = 6;
const AGE: usize = 5;

/// How much of the reason why a conversation ended is to be seen.
const REASON: usize = 30;

/// Of keys.
const HELP: &[(&str, &str)] = &[
    ("q, Ctrl-C", "end the relay"),
    ("s, S", "sort by the next, the one before"),
    ("r", "the other way round"),
    ("/", "show only what has these letters (Esc: all)"),
    ("arrows, PgUp, PgDn, Home, End", "select a connection (Esc: none)"),
    ("p, space", "stand still, and go on"),
    ("e", "show those that have ended, or do not"),
    ("Ctrl-Z, Ctrl-L", "to the shell; draw anew"),
];

/// Draws the table as it is at that moment.
pub(crate) fn draw(frame: &mut Frame<'_>, table: &mut Table, now: Instant) {
    let area = frame.area();
    let ended = if table.shows_gone { table.ended().count().min(usize::from(area.height / 5)) } else { 0 };
    let notes = table.notes.len().min(usize::from(area.height / 7));
    let detail = u16::from(table.selected.is_some());
    let spark = if area.height >= TALL { 2 } else { 0 };
    let rows = [
        Constraint::Length(1),
        Constraint::Length(1),
        Constraint::Length(spark),
        Constraint::Length(1),
        Constraint::Min(0),
        Constraint::Length(ended as u16),
        Constraint::Length(notes as u16),
        Constraint::Length(detail),
        Constraint::Length(1),
    ];
    let [title, totals, spark, header, live, gone, noted, detail, keys] = Layout::vertical(rows).areas(area);
    table.room = usize::from(live.height).max(1);
    table.top = table.top.min(table.order.len().saturating_sub(table.room));
    let columns = Columns::of(table, area.width);
    frame.render_widget(Clear, area);
    table.title(frame, title);
    table.sums(frame, totals);
    table.spark(frame, spark);
    frame.render_widget(Paragraph::new(columns.header(table)), header);
    if table.shows_help {
        help(frame, live);
    } else {
        table.live(frame, live, &columns, now);
    }
    let gone_lines: Vec<_> = table.ended().take(ended).map(|gone| columns.gone(gone, table)).collect();
    frame.render_widget(Paragraph::new(gone_lines), gone);
    table.last_notes(frame, noted);
    table.detail(frame, detail, now);
    table.keys(frame, keys);
}

/// How wide the columns are.
struct Columns {
    width: usize,
    number: usize,
    client: usize,
    server: usize,
}

impl Columns {
    fn of(table: &Table, width: u16) -> Self {
        let width = usize::from(width);
        let highest = table.rows.keys().chain(table.gone.back().map(|gone| &gone.number)).max().copied();
        let number = highest.unwrap_or_default().to_string().len().max(3);
        let names = width.saturating_sub(number + AGE + 4 * BYTES + 4);
        // Wider than an address need not be: what is left over stays free.
        let client = (names / 2).min(46);
        Self { width, number, client, server: (names - client).min(46) }
    }

    fn header(&self, table: &Table) -> Line<'static> {
        let mark = |sort: Sort, word: &str| {
            let is_it = table.sort == sort || table.sort == Sort::Rate && matches!(sort, Sort::UpRate | Sort::DownRate);
            let arrow = if table.reversed { "▴" } else { "▾" };
            if is_it { format!("{word}{arrow}") } else { word.to_owned() }
        };
        let text = self.line(
            &mark(Sort::Number, "#"),
            &mark(Sort::Client, "client"),
            &mark(Sort::Server, "server"),
            [
                mark(Sort::Age, "age"),
                mark(Sort::Up, "↑"),
                mark(Sort::UpRate, "↑/s"),
                mark(Sort::Down, "↓"),
                mark(Sort::DownRate, "↓/s"),
            ],
        );
        Line::styled(text, Style::new().add_modifier(Modifier::BOLD | Modifier::UNDERLINED))
    }

    fn names(&self, number: &str, client: &str, server: &str) -> String {
        let Self { number: n, client: c, server: s, .. } = self;
        format!("{number:>n$} {client:<c$} {server:<s$} ")
    }

    fn line(
        &self,
        number: &str,
        client: &str,
        server: &str,
        [age, up, up_rate, down, down_rate]: [String; 5],
    ) -> String {
        let names = self.names(number, client, server);
        format!("{names}{age:>AGE$}{up:>BYTES$}{up_rate:>BYTES$}{down:>BYTES$}{down_rate:>BYTES$}")
    }

    fn live(&self, row: &Row, table: &Table, now: Instant) -> Line<'static> {
        let sample = &row.sample;
        let names = self.names(
            &sample.number.to_string(),
            &name(&sample.client, self.client),
            &name(&sample.server, self.server),
        );
        let busy = |rate: f64, way| if rate > 0.0 { table.of(way) } else { quiet() };
        let some = |value: f64| if value > 0.0 { amount(value) } else { "·".to_owned() };
        Line::from(vec![
            Span::raw(names),
            Span::raw(format!("{:>AGE$}", age(now.saturating_duration_since(sample.since)))),
            Span::raw(format!("{:>BYTES$}", amount(sample.up as f64))),
            Span::styled(format!("{:>BYTES$}", some(row.up_rate)), busy(row.up_rate, Way::Up)),
            Span::raw(format!("{:>BYTES$}", amount(sample.down as f64))),
            Span::styled(format!("{:>BYTES$}", some(row.down_rate)), busy(row.down_rate, Way::Down)),
        ])
    }

    fn gone(&self, gone: &Gone, table: &Table) -> Line<'static> {
        let Gone { number, client, server, closed } = gone;
        let names = self.names(&number.to_string(), &name(client, self.client), &name(server, self.server));
        let (up, down) = (amount(closed.up as f64), amount(closed.down as f64));
        let facts = format!("{:>AGE$} ↑{up} ↓{down} ", age(closed.took));
        let why = closed.why.as_deref().map_or_else(|| "ended".to_owned(), shown_in_line);
        // Where there is little room, why it ended tells more than how much it was.
        let needed = names.width() + facts.width() + why.width().min(REASON);
        let facts = if self.width < needed { String::new() } else { facts };
        let room = self.width.saturating_sub(names.width() + facts.width());
        let why_style = if closed.why.is_some() { quiet().patch(table.bad()) } else { quiet() };
        Line::from(vec![Span::styled(names + &facts, quiet()), Span::styled(cut(&why, room), why_style)])
    }
}

impl Table {
    fn of(&self, way: Way) -> Style {
        match (self.colours, way) {
            (false, _) => Style::new(),
            (true, Way::Up) => Style::new().fg(Color::Cyan),
            (true, Way::Down) => Style::new().fg(Color::Green),
        }
    }

    fn bad(&self) -> Style {
        if self.colours { Style::new().fg(Color::Red) } else { Style::new() }
    }

    fn title(&self, frame: &mut Frame<'_>, area: Rect) {
        let state = if self.paused { " · stands still (p: go on)" } else { "" };
        let text = format!(" {}{state}", self.title);
        frame.render_widget(Paragraph::new(cut(&text, usize::from(area.width))).style(bar()), area);
    }

    fn sums(&self, frame: &mut Frame<'_>, area: Rect) {
        let live = self.rows.len();
        let shown = match self.order.len() {
            shown if shown == live => String::new(),
            shown => format!(" ({shown} shown)"),
        };
        let rate = |rate: f64| format!(" {}/s", amount(rate));
        let line = Line::from(vec![
            Span::styled(format!(" {live} live"), Style::new().add_modifier(Modifier::BOLD)),
            Span::raw(format!("{shown} of {}   ", self.total.flows)),
            Span::styled(format!("↑ {}B{}", amount(self.total.up as f64), rate(self.up_rate)), self.of(Way::Up)),
            Span::raw("   "),
            Span::styled(format!("↓ {}B{}", amount(self.total.down as f64), rate(self.down_rate)), self.of(Way::Down)),
        ]);
        frame.render_widget(Paragraph::new(line), area);
    }

    /// The rate of both ways together, the latest at the right.
    fn spark(&self, frame: &mut Frame<'_>, area: Rect) {
        let Rect { x, y, width, height } = area;
        let area = Rect { x: x + 1.min(width), y, width: width.saturating_sub(2), height };
        let skipped = self.rates.len().saturating_sub(usize::from(area.width));
        let rates = self.rates.iter().skip(skipped).copied();
        // They come in from the right.
        let empty = usize::from(area.width).saturating_sub(self.rates.len());
        let data: Vec<u64> = std::iter::repeat_n(0, empty).chain(rates).collect();
        frame.render_widget(Sparkline::default().data(data).style(self.of(Way::Up)), area);
    }

    fn live(&self, frame: &mut Frame<'_>, area: Rect, columns: &Columns, now: Instant) {
        let numbers = self.order.iter().skip(self.top).take(usize::from(area.height));
        let lines = numbers.filter_map(|number| {
            let line = columns.live(self.rows.get(number)?, self, now);
            Some(if self.selected == Some(*number) { line.style(bar()) } else { line })
        });
        let mut lines: Vec<_> = lines.collect();
        if lines.is_empty() {
            let nobody = if self.rows.is_empty() { "nobody is connected" } else { "no connection has these letters" };
            lines.push(Line::styled(format!("{:columns$} {nobody}", "", columns = columns.number), quiet()));
        }
        frame.render_widget(Paragraph::new(lines), area);
    }

    fn last_notes(&self, frame: &mut Frame<'_>, area: Rect) {
        let skipped = self.notes.len().saturating_sub(usize::from(area.height));
        let style = self.bad();
        let line = |note: &String| Line::styled(cut(&format!(" {}", plain(note)), usize::from(area.width)), style);
        let lines: Vec<_> = self.notes.iter().skip(skipped).map(line).collect();
        frame.render_widget(Paragraph::new(lines), area);
    }

    /// All about the selected one.
    fn detail(&self, frame: &mut Frame<'_>, area: Rect, now: Instant) {
        let Some(row) = self.selected.and_then(|number| self.rows.get(&number)) else { return };
        let sample = &row.sample;
        let (client, server) = (shown_in_line(&sample.client.to_string()), shown_in_line(&sample.server.to_string()));
        let s = now.saturating_duration_since(sample.since).as_secs();
        let text =
            format!(" #{} {client} → {server}, {s} s, {} bytes up, {} down", sample.number, sample.up, sample.down);
        let text = cut(&text, usize::from(area.width));
        frame.render_widget(Paragraph::new(text).style(Style::new().add_modifier(Modifier::BOLD)), area);
    }

    fn keys(&self, frame: &mut Frame<'_>, area: Rect) {
        let text = if self.typing {
            format!(" /{}▏ (Enter: keep, Esc: all)", self.filter)
        } else {
            let order = if self.reversed { ", reversed" } else { "" };
            let filter = if self.filter.is_empty() { "filter".to_owned() } else { format!("'{}'", self.filter) };
            let (sort, more) = (self.sort.name(), self.below());
            format!(" q end · s sort: {sort}{order} · / {filter} · p pause · ? keys{more}")
        };
        frame.render_widget(Paragraph::new(cut(&text, usize::from(area.width))).style(bar()), area);
    }

    /// How many rows there are that cannot be seen.
    fn below(&self) -> String {
        match self.order.len().saturating_sub(self.top + self.room) {
            0 => String::new(),
            more => format!(" · {more} more below"),
        }
    }
}

fn help(frame: &mut Frame<'_>, area: Rect) {
    let width = HELP.iter().map(|(keys, _)| keys.len()).max().unwrap_or_default();
    let line = |(keys, about): &(&str, &str)| {
        Line::from(vec![
            Span::styled(format!("  {keys:width$}  "), Style::new().add_modifier(Modifier::BOLD)),
            Span::raw((*about).to_owned()),
        ])
    };
    frame.render_widget(Paragraph::new(HELP.iter().map(line).collect::<Vec<_>>()), area);
}

fn bar() -> Style {
    Style::new().add_modifier(Modifier::REVERSED)
}

fn quiet() -> Style {
    Style::new().add_modifier(Modifier::DIM)
}
