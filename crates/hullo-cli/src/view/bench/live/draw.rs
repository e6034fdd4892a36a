//! The live view, drawn.

use std::time::Duration;

use hullo::bench::words::{bits, bytes, count, rate, time};
use ratatui::{
    Frame,
    layout::{Constraint, Layout, Rect},
    style::{Color, Modifier, Style},
    text::{Line, Span},
    widgets::{Clear, Paragraph},
};

use super::{
    Live,
    history::Slice,
    plot::{LABEL, bars, heat, labels, quiet, reach},
};
use crate::{
    report::shown_in_line,
    view::{bench::page::duration, chat::draw::cut},
};

/// How many loads before this one come before the details of its latencies.
const KNOWN: u16 = 6;

/// From when on the generator's own lag is to be spoken of, and of which part of the latency.
const LATE_MS: f64 = 1.0;
const LAG_SHARE: f64 = 0.1;

/// Draws the load as it goes.
pub(crate) fn draw(frame: &mut Frame<'_>, live: &Live) {
    let area = frame.area();
    let rows = Rows::of(live, area.height);
    let heights = [1, 1, 1, 1, rows.bars, 1, rows.heat, rows.waiting, 1, rows.failed, rows.late, rows.known];
    let heights = heights.into_iter().map(Constraint::Length).chain([Constraint::Min(0), Constraint::Length(1)]);
    let areas: [Rect; 14] = Layout::vertical(heights).areas(area);
    let [title, how, progress, rates, bars, latency, heat, waiting, counters, failed, late, known, _, keys] = areas;
    frame.render_widget(Clear, area);
    put(frame, title, vec![Span::raw(format!(" hullo bench {}", shown_in_line(&live.target)))], bar());
    match live.about.as_str() {
        "" => put(frame, how, vec![Span::raw(format!(" {}", live.how))], quiet()),
        about => {
            let spans = vec![strong(format!(" {about}")), Span::styled(format!("   {}", live.how), quiet())];
            put(frame, how, spans, Style::new());
        }
    }
    live.progress(frame, progress);
    live.rates(frame, rates);
    live.bars(frame, bars);
    if !live.is_bulk {
        live.latency(frame, latency);
        live.heat(frame, heat);
        live.waits(frame, waiting);
    }
    live.counters(frame, counters);
    live.failed(frame, failed);
    live.late(frame, late);
    live.known(frame, known);
    let text = match live.ending {
        true if !live.about.is_empty() => " ending: what is known so far is told · q, Ctrl-C once more: at once",
        false if !live.about.is_empty() => " q, Ctrl-C end it early, with what is known so far · Ctrl-L draw anew",
        true => " ending: what is under way is waited for · q, Ctrl-C once more: at once",
        false => " q, Ctrl-C end it early, with the whole summary · Ctrl-L draw anew",
    };
    put(frame, keys, vec![Span::raw(text)], bar());
}

/// How high the parts are that need not be there.
struct Rows {
    bars: u16,
    heat: u16,
    waiting: u16,
    failed: u16,
    late: u16,
    known: u16,
}

impl Rows {
    /// What is wrong comes before all charts, and the heat map before the bars.
    fn of(live: &Live, height: u16) -> Self {
        let failed = u16::from(live.counts().failed > 0);
        let late = u16::from(live.is_late());
        let mut left = height.saturating_sub(7 + failed + late);
        let mut take = |wanted: u16, least: u16| {
            let taken = if left < least { 0 } else { wanted.min(left) };
            left -= taken;
            taken
        };
        let lines = u16::try_from(live.known.len()).unwrap_or(u16::MAX);
        if live.is_bulk {
            let bars = take(12, 1);
            return Self { bars, heat: 0, waiting: 0, failed, late, known: take(lines, 0) };
        }
        let waiting = take(1, 5);
        let first = take(6, 3);
        let bars = take(4, 2);
        let known = take(lines.min(KNOWN), 0);
        let more = take(10, 1);
        let bars = bars + take(2, 1);
        Self { bars, heat: first + more, waiting, failed, late, known: known + take(lines - known, 0) }
    }
}

impl Live {
    fn accent(&self) -> Style {
        self.painted(Color::Cyan)
    }

    fn bad(&self) -> Style {
        self.painted(Color::Red)
    }

    fn painted(&self, colour: Color) -> Style {
        if self.colours { Style::new().fg(colour) } else { Style::new() }
    }

    fn is_late(&self) -> bool {
        let Some(lag) = self.progress.as_ref().map(|progress| progress.lag.as_secs_f64() * 1e3) else { return false };
        // As the report judges it.
        lag > LATE_MS && self.percentile(0.99).is_none_or(|latency| lag > latency * LAG_SHARE)
    }

    /// How much of it has been, as a bar and in words.
    fn progress(&self, frame: &mut Frame<'_>, area: Rect) {
        let at = self.at();
        let words = match (&self.progress, self.done(), self.span) {
            (None, ..) => "connecting".to_owned(),
            (Some(_), ..) if at.is_zero() => "warming up".to_owned(),
            (_, Some(done), Some(span)) => {
                let left = duration(span.saturating_sub(at).as_secs_f64().ceil());
                format!("{} of {}, {:.0} %, {left} left", seconds(at), duration(span.as_secs_f64()), done * 100.0)
            }
            (_, Some(done), None) => format!("{}, {:.0} %", seconds(at), done * 100.0),
            (_, None, _) => seconds(at),
        };
        let room = usize::from(area.width).saturating_sub(words.chars().count() + 3);
        let full = self.done().map_or(0, |done| (done * room as f64).round() as usize);
        put(
            frame,
            area,
            vec![
                Span::raw(" "),
                Span::styled("━".repeat(full), self.accent()),
                Span::styled("─".repeat(room.saturating_sub(full)), quiet()),
                Span::raw(format!(" {words}")),
            ],
            Style::new(),
        );
    }

    /// What happens in a second, now.
    fn rates(&self, frame: &mut Frame<'_>, area: Rect) {
        let now = self.history.now().unwrap_or_default();
        let mut spans = vec![name(" rate     ")];
        if self.is_bulk {
            spans.push(strong(format!("{} ", bits(now.bytes))));
        } else {
            spans.push(strong(rate(now.answered)));
            spans.push(Span::raw(format!(" answered   {} offered   ", rate(now.offered))));
            if now.failed > 0.0 {
                spans.push(Span::styled(format!("{} failed   ", rate(now.failed)), self.bad()));
            }
            if now.bytes > 0.0 {
                spans.push(Span::raw(bits(now.bytes)));
            }
        }
        put(frame, area, spans, Style::new());
    }

    fn columns(&self, area: Rect) -> (Rect, Vec<Option<Slice>>) {
        let side = LABEL.min(area.width / 4);
        let area = Rect { x: area.x + side, width: area.width.saturating_sub(side + 1), ..area };
        (area, self.history.columns(usize::from(area.width)))
    }

    fn bars(&self, frame: &mut Frame<'_>, area: Rect) {
        let (inner, columns) = self.columns(area);
        let value = |column: &Slice| match self.is_bulk {
            true => (column.bytes, 0.0),
            false => (column.answered, column.offered),
        };
        let values: Vec<_> = columns.iter().map(|column| column.as_ref().map(value)).collect();
        let most = values.iter().flatten().map(|(value, mark)| value.max(*mark)).fold(f64::MIN_POSITIVE, f64::max);
        bars(frame.buffer_mut(), inner, &values, most, self.accent());
        if most >= 1.0 && area.height > 1 && area.width > 2 * LABEL {
            let text = if self.is_bulk { bits(most).replace("bit/s", "") } else { short(most) };
            let text = format!("{text:>width$}", width = usize::from(LABEL) - 1);
            frame.buffer_mut().set_string(area.x, area.y, cut(&text, usize::from(LABEL) - 1), quiet());
        }
    }

    /// The percentiles of the answers so far.
    fn latency(&self, frame: &mut Frame<'_>, area: Rect) {
        let mut spans = vec![name(" latency  ")];
        for (name, share) in [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999), ("max", 1.0)] {
            let text = self.percentile(share).map_or("–".to_owned(), time);
            spans.push(Span::raw(format!("{name} ")));
            spans.push(strong(text));
            spans.push(Span::raw("   "));
        }
        put(frame, area, spans, Style::new());
    }

    fn heat(&self, frame: &mut Frame<'_>, area: Rect) {
        let (inner, columns) = self.columns(area);
        let Some(range) = reach(&columns, usize::from(area.height)).filter(|_| area.height > 0) else { return };
        heat(frame.buffer_mut(), inner, &columns, range, self.accent());
        if area.width > 2 * LABEL {
            labels(frame.buffer_mut(), area, range);
        }
    }

    /// What had no answer yet, over time: it grows while the server stalls.
    fn waits(&self, frame: &mut Frame<'_>, area: Rect) {
        if area.height == 0 {
            return;
        }
        let (inner, columns) = self.columns(area);
        let values: Vec<_> = columns.iter().map(|column| column.as_ref().map(|column| (column.waiting, 0.0))).collect();
        let most = values.iter().flatten().map(|(value, _)| *value).fold(self.places.max(1) as f64 * 2.0, f64::max);
        bars(frame.buffer_mut(), inner, &values, most, self.painted(Color::Yellow));
        frame.buffer_mut().set_string(area.x, area.y, cut("waiting", usize::from(LABEL) - 1), quiet());
    }

    fn counters(&self, frame: &mut Frame<'_>, area: Rect) {
        let counts = self.counts();
        let moved = format!("↑ {}   ↓ {}", bytes(counts.bytes_sent as f64), bytes(counts.bytes_received as f64));
        if self.is_bulk {
            return put(frame, area, vec![name(" so far   "), strong(moved)], Style::new());
        }
        let waiting = self.waiting();
        let failed = if counts.failed > 0 { self.bad() } else { Style::new() };
        // Beyond what can be under way, requests wait for their turn.
        let waits = if waiting > self.places { self.painted(Color::Yellow) } else { Style::new() };
        let spans = vec![
            name(" so far   "),
            Span::raw(format!("{} offered   ", count(counts.offered))),
            strong(count(counts.answered)),
            Span::raw(" answered   "),
            Span::styled(format!("{} failed", count(counts.failed)), failed),
            Span::raw("   "),
            Span::styled(format!("{} without an answer", count(waiting)), waits),
            Span::raw(format!("   {moved}")),
        ];
        put(frame, area, spans, Style::new());
    }

    fn failed(&self, frame: &mut Frame<'_>, area: Rect) {
        let Some(progress) = &self.progress else { return };
        let mut kinds = progress.failures.clone();
        kinds.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        let kinds: Vec<_> = kinds.iter().map(|(kind, many)| format!("{} {kind}", count(*many))).collect();
        put(frame, area, vec![name(" failed   "), Span::styled(kinds.join(", "), self.bad())], Style::new());
    }

    /// What is known of the loads before this one: of many, of the last ones.
    fn known(&self, frame: &mut Frame<'_>, area: Rect) {
        let first = self.known.len().saturating_sub(usize::from(area.height));
        for (at, line) in (0..area.height).zip(&self.known[first..]) {
            let row = Rect { y: area.y + at, height: 1, ..area };
            put(frame, row, vec![Span::raw(format!(" {}", shown_in_line(line)))], quiet());
        }
    }

    fn late(&self, frame: &mut Frame<'_>, area: Rect) {
        let Some(progress) = &self.progress else { return };
        let lag = time(progress.lag.as_secs_f64() * 1e3);
        let text = format!("the generator itself is late: p99 {lag}; latencies contain that");
        put(frame, area, vec![name(" lag      "), Span::styled(text, self.bad())], Style::new());
    }
}

/// A time that goes on, to the tenth of a second while it is short.
fn seconds(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    if seconds < 60.0 { format!("{seconds:.1}s") } else { duration(seconds) }
}

/// A rate in eight characters at most.
fn short(per_second: f64) -> String {
    match per_second {
        rate if rate >= 1e6 => format!("{:.2}M/s", rate / 1e6),
        rate if rate >= 1e5 => format!("{:.0}k/s", rate / 1e3),
        low => rate(low),
    }
}

/// A line of spans, cut where the area ends.
fn put(frame: &mut Frame<'_>, area: Rect, spans: Vec<Span<'_>>, style: Style) {
    let mut left = usize::from(area.width);
    let mut line = Vec::new();
    for span in spans {
        if left == 0 {
            break;
        }
        let text = cut(&span.content, left);
        left -= unicode_width::UnicodeWidthStr::width(&*text);
        line.push(Span::styled(text, span.style));
    }
    frame.render_widget(Paragraph::new(Line::from(line)).style(style), area);
}

fn name(text: &str) -> Span<'_> {
    Span::styled(text, quiet())
}

fn strong(text: String) -> Span<'static> {
    Span::styled(text, Style::new().add_modifier(Modifier::BOLD))
}

fn bar() -> Style {
    Style::new().add_modifier(Modifier::REVERSED)
}
