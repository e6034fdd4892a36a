//! What is typed at the table.

use ratatui::crossterm::event::{Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::{Sort, Table, Wish};

/// The longest filter.
const FILTER: usize = 80;

/// The order in which `s` goes through what can be sorted by.
const SORTS: [Sort; 9] = [
    Sort::Rate,
    Sort::Number,
    Sort::Client,
    Sort::Server,
    Sort::Age,
    Sort::Up,
    Sort::UpRate,
    Sort::Down,
    Sort::DownRate,
];

impl Sort {
    /// Its word.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Number => "number",
            Self::Client => "client",
            Self::Server => "server",
            Self::Age => "age",
            Self::Up => "bytes up",
            Self::UpRate => "rate up",
            Self::Down => "bytes down",
            Self::DownRate => "rate down",
            Self::Rate => "rate",
        }
    }

    fn next(self, by: usize) -> Self {
        let at = SORTS.iter().position(|sort| *sort == self).unwrap_or_default();
        SORTS[(at + by) % SORTS.len()]
    }
}

impl Table {
    /// Takes in what the person did.
    pub(crate) fn act(&mut self, event: &Event) -> Wish {
        match event {
            Event::Key(key) if key.kind != KeyEventKind::Release => self.key(*key),
            Event::Paste(text) if self.typing => {
                self.filter.extend(text.chars().filter(|c| !c.is_control()).take(FILTER));
                self.narrow();
                Wish::Nothing
            }
            _ => Wish::Nothing,
        }
    }

    fn key(&mut self, key: KeyEvent) -> Wish {
        if key.modifiers.contains(KeyModifiers::CONTROL) {
            return match key.code {
                KeyCode::Char('c' | 'd') => Wish::Quit,
                KeyCode::Char('l') => Wish::Redraw,
                KeyCode::Char('z') => Wish::Suspend,
                _ => Wish::Nothing,
            };
        }
        if self.typing {
            self.type_filter(key.code);
            return Wish::Nothing;
        }
        let page = self.room.saturating_sub(1).max(1);
        match key.code {
            KeyCode::Char('q') => return Wish::Quit,
            KeyCode::Char('s') => self.sort_by(self.sort.next(1)),
            KeyCode::Char('S') => self.sort_by(self.sort.next(SORTS.len() - 1)),
            KeyCode::Char('r') => {
                self.reversed = !self.reversed;
                self.arrange();
            }
            KeyCode::Char('/') => self.typing = true,
            KeyCode::Char('p' | ' ') => self.paused = !self.paused,
            KeyCode::Char('e') => self.shows_gone = !self.shows_gone,
            KeyCode::Char('?' | 'h') => self.shows_help = !self.shows_help,
            KeyCode::Up | KeyCode::Char('k') => self.select(|at| at.saturating_sub(1)),
            KeyCode::Down | KeyCode::Char('j') => self.select(|at| at + 1),
            KeyCode::PageUp => self.select(|at| at.saturating_sub(page)),
            KeyCode::PageDown => self.select(|at| at + page),
            KeyCode::Home | KeyCode::Char('g') => self.select(|_| 0),
            KeyCode::End | KeyCode::Char('G') => self.select(|_| usize::MAX),
            KeyCode::Esc => self.clear(),
            _ => {}
        }
        Wish::Nothing
    }

    fn sort_by(&mut self, sort: Sort) {
        (self.sort, self.top) = (sort, 0);
        self.arrange();
    }

    fn type_filter(&mut self, key: KeyCode) {
        match key {
            KeyCode::Enter => self.typing = false,
            KeyCode::Esc => {
                self.typing = false;
                self.filter.clear();
            }
            KeyCode::Backspace => _ = self.filter.pop(),
            KeyCode::Char(c) if self.filter.len() < FILTER => self.filter.push(c),
            _ => {}
        }
        self.narrow();
    }

    /// Shows what the filter leaves.
    fn narrow(&mut self) {
        self.top = 0;
        self.arrange();
    }

    /// Takes back whatever was chosen last.
    fn clear(&mut self) {
        if self.shows_help {
            self.shows_help = false;
        } else if self.selected.take().is_none() {
            self.filter.clear();
            self.narrow();
        }
    }

    /// Selects another row, and sees to it that it can be seen.
    fn select(&mut self, to: impl Fn(usize) -> usize) {
        let at = self.selected.and_then(|number| self.order.iter().position(|one| *one == number));
        // What is selected first is what can be seen first.
        let at = at.map_or(self.top, |at| to(at).min(self.order.len().saturating_sub(1)));
        self.selected = self.order.get(at).copied();
        self.top = self.top.clamp((at + 1).saturating_sub(self.room), at);
    }
}
