//! A screen of a chat, drawn.

use ratatui::{
    Frame,
    layout::{Constraint, Layout, Position, Rect},
    style::{Modifier, Style},
    text::{Line, Span},
    widgets::{Block, Borders, Clear, Paragraph},
};
use unicode_width::UnicodeWidthStr;

use super::{
    room::Room,
    rows::{Look, rows},
    state::{Connection, State},
};

/// From this width on there are people at the right, and from that on rooms at the left.
const WIDE: u16 = 72;
const MIDDLING: u16 = 56;

/// The most rows that what is being typed takes.
const INPUT: usize = 6;

/// Where things are.
pub(crate) struct Panes {
    topic: Rect,
    /// The rooms, without the line beside them.
    pub(super) rooms: Rect,
    /// The room that stands first there.
    pub(super) first_room: usize,
    talk: Rect,
    people: Rect,
    status: Rect,
    input: Rect,
}

impl Panes {
    /// Where things are on a screen of the state's size.
    pub(super) fn of(state: &State) -> Self {
        let (width, height) = state.size;
        let prompt = prompt(state).width();
        let typed = state.input.shown(usize::from(width).saturating_sub(prompt)).rows.len();
        let typed = typed.min(INPUT).min(usize::from(height / 3).max(1)) as u16;
        let all = Rect::new(0, 0, width, height);
        let rows = [Constraint::Length(1), Constraint::Min(1), Constraint::Length(1), Constraint::Length(typed)];
        let [topic, middle, status, input] = Layout::vertical(rows).areas(all);
        let left = if width >= MIDDLING && !state.lines { side(width) } else { 0 };
        let people = state.room().is_some_and(|room| !room.people.is_empty());
        let right = if width >= WIDE && people { side(width) } else { 0 };
        let columns = [Constraint::Length(left), Constraint::Min(1), Constraint::Length(right)];
        let [mut rooms, talk, people] = Layout::horizontal(columns).areas(middle);
        rooms.width = rooms.width.saturating_sub(1);
        // The room that is shown can always be seen.
        let first_room = (state.current + 1).saturating_sub(usize::from(rooms.height));
        Self { topic, rooms, first_room, talk, people, status, input }
    }
}

/// How wide the columns at the sides are.
fn side(width: u16) -> u16 {
    (width / 6).clamp(14, 24)
}

impl State {
    pub(super) fn look(&self) -> Look<'_> {
        Look { width: self.pane.0, colours: self.colours, me: &self.me, clock: &self.clock }
    }
}

/// Draws the state.
pub(crate) fn draw(frame: &mut Frame<'_>, state: &mut State, now: i64) {
    let area = frame.area();
    state.size = (area.width, area.height);
    let panes = Panes::of(state);
    state.pane = (usize::from(panes.talk.width), usize::from(panes.talk.height));
    frame.render_widget(Clear, area);
    topic(frame, state, panes.topic);
    rooms(frame, state, &panes);
    talk(frame, state, panes.talk);
    people(frame, state, panes.people);
    status(frame, state, panes.status, now);
    input(frame, state, panes.input);
}

fn bar() -> Style {
    Style::new().add_modifier(Modifier::REVERSED)
}

/// As much of the text as fits, with a mark where some of it does not.
pub(crate) fn cut(text: &str, width: usize) -> String {
    use unicode_segmentation::UnicodeSegmentation;
    if text.width() <= width {
        return text.to_owned();
    }
    let (mut cut, mut used) = (String::new(), 1);
    for grapheme in text.graphemes(true) {
        used += grapheme.width();
        if used > width {
            break;
        }
        cut.push_str(grapheme);
    }
    if width == 0 { String::new() } else { cut + "…" }
}

fn topic(frame: &mut Frame<'_>, state: &State, area: Rect) {
    let Some(room) = state.room() else {
        return frame.render_widget(Paragraph::new(format!(" {}", state.address)).style(bar()), area);
    };
    let title = room.title(&state.me);
    let count = if room.count > 1 { format!("{} here ", room.count) } else { String::new() };
    let text = if room.topic.is_empty() { String::new() } else { format!("  {}", room.topic) };
    let space = usize::from(area.width).saturating_sub(title.width() + count.width() + 3);
    let text = cut(&text, space);
    let gap = " ".repeat(space.saturating_sub(text.width()) + 1);
    let line = Line::from(vec![
        Span::styled(format!(" {title}"), Style::new().add_modifier(Modifier::BOLD)),
        Span::raw(text),
        Span::raw(gap),
        Span::raw(count),
    ]);
    frame.render_widget(Paragraph::new(line).style(bar()), area);
}

fn rooms(frame: &mut Frame<'_>, state: &State, panes: &Panes) {
    let area = panes.rooms;
    if area.width == 0 {
        return;
    }
    let look = state.look();
    let beside = Rect { width: area.width + 1, ..area };
    frame.render_widget(Block::new().borders(Borders::RIGHT).border_style(look.quiet()), beside);
    let shown = state.rooms.iter().enumerate().skip(panes.first_room).take(usize::from(area.height));
    let lines: Vec<_> = shown.map(|(index, room)| entry(state, index, room, usize::from(area.width), &look)).collect();
    frame.render_widget(Paragraph::new(lines), area);
}

fn entry(state: &State, index: usize, room: &Room, width: usize, look: &Look<'_>) -> Line<'static> {
    let count = match room.unread {
        0 => String::new(),
        1..=999 => format!(" {}", room.unread),
        _ => " 999+".to_owned(),
    };
    let number = if index < 9 { format!("{} ", index + 1) } else { "  ".to_owned() };
    let title = cut(&room.title(&state.me), width.saturating_sub(number.width() + count.width() + 1));
    let gap = " ".repeat(width.saturating_sub(number.width() + title.width() + count.width()));
    let bold = Style::new().add_modifier(Modifier::BOLD);
    let (name, mark) = match (room.unread, room.mentioned) {
        (0, _) => (Style::new(), Style::new()),
        (_, true) => (look.loud(), look.loud()),
        (_, false) => (bold, bold),
    };
    let line = Line::from(vec![
        Span::styled(number, if index == state.current { Style::new() } else { look.quiet() }),
        Span::styled(title, name),
        Span::raw(gap),
        Span::styled(count, mark),
    ]);
    if index == state.current { line.style(bar()) } else { line }
}

/// The scrollback: from its last row that is to be seen upwards, until the pane is full.
fn talk(frame: &mut Frame<'_>, state: &State, area: Rect) {
    let Some(room) = state.room() else { return };
    let (look, height) = (state.look(), usize::from(area.height));
    let place = room.anchor.and_then(|anchor| {
        let index = room.entries.iter().rposition(|entry| entry.serial == anchor.serial)?;
        Some((index, anchor.below))
    });
    let (last, below) = place.unwrap_or((room.entries.len().saturating_sub(1), 0));
    let mut lines: Vec<Line<'static>> = Vec::new();
    for index in (0..room.entries.len().min(last + 1)).rev() {
        let mut rows = rows(room, index, &look);
        if index == last {
            rows.truncate(rows.len().saturating_sub(below).max(1));
        }
        lines.extend(rows.into_iter().rev());
        if lines.len() >= height {
            break;
        }
    }
    lines.truncate(height);
    lines.reverse();
    // A short talk stands at the bottom, where one types.
    let empty = height - lines.len();
    let area = Rect { y: area.y + empty as u16, height: area.height - empty as u16, ..area };
    frame.render_widget(Paragraph::new(lines), area);
}

fn people(frame: &mut Frame<'_>, state: &State, area: Rect) {
    let Some(room) = state.room().filter(|_| area.width > 0) else { return };
    let look = state.look();
    let block = Block::new().borders(Borders::LEFT).border_style(look.quiet());
    let inner = block.inner(area);
    frame.render_widget(block, area);
    let (width, height) = (usize::from(inner.width), usize::from(inner.height));
    let all = room.count.max(room.people.len());
    let fit = if all > height { height.saturating_sub(1) } else { height };
    let mut lines: Vec<_> =
        room.people.iter().take(fit).map(|name| Line::styled(cut(name, width), look.name(name))).collect();
    if all > lines.len() {
        lines.push(Line::styled(format!("and {} more", all - lines.len()), look.quiet()));
    }
    frame.render_widget(Paragraph::new(lines), inner);
}

fn status(frame: &mut Frame<'_>, state: &State, area: Rect, now: i64) {
    let look = state.look();
    let mut parts = vec![connection(state, now)];
    let waiting: usize =
        state.rooms.iter().enumerate().filter(|(at, _)| *at != state.current).map(|(_, room)| room.unread).sum();
    if area.width < MIDDLING && waiting > 0 {
        parts.push(format!("{waiting} unread elsewhere"));
    }
    if let Some(room) = state.room() {
        if room.anchor.is_some() {
            parts.push(match room.unread {
                0 => "earlier (Esc: to the end)".to_owned(),
                unread => format!("{unread} new below (Esc)"),
            });
        }
        if room.fetching {
            parts.push("fetching what was earlier".to_owned());
        }
        parts.extend(writing(room));
    }
    let text = cut(&format!(" {}", parts.join(" · ")), usize::from(area.width));
    let style = match state.connection {
        Connection::Here | Connection::Beginning => bar(),
        _ => bar().patch(look.loud()),
    };
    frame.render_widget(Paragraph::new(text).style(style), area);
}

fn connection(state: &State, now: i64) -> String {
    let who = if state.me.is_empty() { String::new() } else { format!("{} · ", state.me) };
    match &state.connection {
        Connection::Beginning => format!("{who}connecting to {}", state.address),
        Connection::Here => format!("{who}{}", state.address),
        Connection::Away { why, next } if *next > now => {
            format!("{who}no connection, again in {} s ({why})", (next - now + 999) / 1000)
        }
        Connection::Away { .. } => format!("{who}connecting to {}", state.address),
        Connection::Ended { why } => format!("{why} (Ctrl-C leaves)"),
    }
}

fn writing(room: &Room) -> Option<String> {
    match room.typing.as_slice() {
        [] => None,
        [(one, _)] => Some(format!("{one} is writing")),
        [(one, _), (other, _)] => Some(format!("{one} and {other} are writing")),
        several => Some(format!("{} people are writing", several.len())),
    }
}

fn prompt(state: &State) -> String {
    // On a narrow screen the room is for what is typed.
    if state.me.is_empty() || state.size.0 < 40 { "> ".to_owned() } else { format!("{}> ", cut(&state.me, 16)) }
}

fn input(frame: &mut Frame<'_>, state: &State, area: Rect) {
    let (look, prompt) = (state.look(), prompt(state));
    let indent = prompt.width() as u16;
    let shown = state.input.shown(usize::from(area.width.saturating_sub(indent)));
    // The row with the cursor is always there.
    let first = (shown.row + 1).saturating_sub(usize::from(area.height));
    let typed = Rect { x: area.x + indent.min(area.width), width: area.width.saturating_sub(indent), ..area };
    let lines: Vec<_> =
        shown.rows.iter().skip(first).take(usize::from(area.height)).map(|row| Line::raw(row.clone())).collect();
    frame.render_widget(Paragraph::new(Line::styled(prompt, look.quiet())), area);
    frame.render_widget(Paragraph::new(lines), typed);
    let (x, y) = (typed.x + shown.column as u16, typed.y + shown.row.saturating_sub(first) as u16);
    frame.set_cursor_position(Position::new(
        x.min(area.right().saturating_sub(1)),
        y.min(area.bottom().saturating_sub(1)),
    ));
}
