//! Keys and the mouse.

use ratatui::{
    crossterm::event::{Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers, MouseButton, MouseEvent, MouseEventKind},
    layout::Position,
};

use super::{draw::Panes, news::Wish, room::Anchor, rows::rows, state::State};

/// How far the wheel scrolls.
const WHEEL: usize = 3;

impl State {
    /// Takes in what the person did.
    pub(crate) fn act(&mut self, event: Event, now: i64) -> Vec<Wish> {
        match event {
            Event::Key(key) if key.kind != KeyEventKind::Release => self.key(key, now),
            Event::Mouse(mouse) => self.mouse(mouse),
            Event::Paste(text) => self.paste(&text, now),
            Event::Resize(width, height) => {
                self.size = (width, height);
                Vec::new()
            }
            Event::FocusGained => {
                self.focused = true;
                self.seen();
                Vec::new()
            }
            Event::FocusLost => {
                self.focused = false;
                // What was new has been looked at.
                if let Some(room) = self.room_mut() {
                    room.unread_from = None;
                }
                Vec::new()
            }
            Event::Key(_) => Vec::new(),
        }
    }

    fn key(&mut self, key: KeyEvent, now: i64) -> Vec<Wish> {
        if !matches!(key.code, KeyCode::Tab | KeyCode::BackTab) {
            self.completion = None;
        }
        let (control, alt) = (key.modifiers.contains(KeyModifiers::CONTROL), key.modifiers.contains(KeyModifiers::ALT));
        match key.code {
            KeyCode::Char(c) if control => return self.control(c),
            KeyCode::Char(c @ '1'..='9') if alt => return self.show(c as usize - '1' as usize),
            KeyCode::Char('0') if alt => return self.show(9),
            KeyCode::Char('b') | KeyCode::Left if alt || control => self.input.word_left(),
            KeyCode::Char('f') | KeyCode::Right if alt || control => self.input.word_right(),
            KeyCode::Enter if alt => self.input.insert("\n"),
            KeyCode::Backspace if alt => self.input.delete_word(),
            KeyCode::Char(_) if alt => {}
            KeyCode::Char(c) => {
                self.input.insert(c.encode_utf8(&mut [0; 4]));
                return self.say_writing(now).into_iter().collect();
            }
            KeyCode::Enter => return self.submit(now),
            KeyCode::Tab => self.complete(false),
            KeyCode::BackTab => self.complete(true),
            KeyCode::Backspace => self.input.backspace(),
            KeyCode::Delete => self.input.delete(),
            KeyCode::Left => self.input.left(),
            KeyCode::Right => self.input.right(),
            KeyCode::Home => self.input.home(),
            KeyCode::End => self.input.end(),
            KeyCode::Up => self.input.earlier(),
            KeyCode::Down => self.input.later(),
            KeyCode::PageUp => return self.scroll_up(self.pane.1.saturating_sub(2).max(1)),
            KeyCode::PageDown => self.scroll_down(self.pane.1.saturating_sub(2).max(1)),
            KeyCode::Esc => self.go_to_the_end(),
            _ => {}
        }
        Vec::new()
    }

    fn control(&mut self, c: char) -> Vec<Wish> {
        match c {
            'c' => return vec![Wish::Quit],
            'd' if self.input.text().is_empty() => return vec![Wish::Quit],
            'z' => return vec![Wish::Suspend],
            'l' => return vec![Wish::Redraw],
            'a' => self.input.home(),
            'e' => self.input.end(),
            'b' => self.input.left(),
            'f' => self.input.right(),
            'd' => self.input.delete(),
            'h' => self.input.backspace(),
            'w' => self.input.delete_word(),
            'u' => self.input.delete_to_start(),
            'k' => self.input.delete_to_end(),
            'j' => self.input.insert("\n"),
            'n' => return self.show((self.current + 1) % self.rooms.len().max(1)),
            'p' => return self.show((self.current + self.rooms.len().max(1) - 1) % self.rooms.len().max(1)),
            _ => {}
        }
        Vec::new()
    }

    /// Several lines may be pasted; none of them is sent before Enter.
    fn paste(&mut self, text: &str, now: i64) -> Vec<Wish> {
        let text = text.replace("\r\n", "\n").replace('\r', "\n");
        self.input.insert(&hullo::chat::text::clean(&text, true));
        self.completion = None;
        self.say_writing(now).into_iter().collect()
    }

    fn mouse(&mut self, mouse: MouseEvent) -> Vec<Wish> {
        match mouse.kind {
            MouseEventKind::ScrollUp => return self.scroll_up(WHEEL),
            MouseEventKind::ScrollDown => self.scroll_down(WHEEL),
            MouseEventKind::Down(MouseButton::Left) => {
                let panes = Panes::of(self);
                if panes.rooms.contains(Position::new(mouse.column, mouse.row)) {
                    return self.show(usize::from(mouse.row - panes.rooms.y) + panes.first_room);
                }
            }
            _ => {}
        }
        Vec::new()
    }

    fn go_to_the_end(&mut self) {
        if let Some(room) = self.room_mut() {
            room.anchor = None;
        }
        self.seen();
    }

    /// Moves the view up. At the top it asks for what was said earlier.
    fn scroll_up(&mut self, by: usize) -> Vec<Wish> {
        let (heights, height) = (self.heights(), self.pane.1);
        let above: usize = heights.iter().sum();
        let most = above.saturating_sub(height);
        let at = (self.scrolled(&heights) + by).min(most);
        self.scroll_to(&heights, at);
        // A screen before the top, so that it is there when it is wanted.
        if at + height >= most { self.fetch() } else { Vec::new() }
    }

    fn scroll_down(&mut self, by: usize) {
        let heights = self.heights();
        let at = self.scrolled(&heights).saturating_sub(by);
        if at == 0 { self.go_to_the_end() } else { self.scroll_to(&heights, at) }
    }

    /// How many rows each entry has.
    fn heights(&self) -> Vec<usize> {
        let Some(room) = self.room() else { return Vec::new() };
        let look = self.look();
        (0..room.entries.len()).map(|index| rows(room, index, &look).len()).collect()
    }

    /// How many rows there are below the view.
    fn scrolled(&self, heights: &[usize]) -> usize {
        let Some((room, anchor)) = self.room().and_then(|room| Some((room, room.anchor?))) else { return 0 };
        let Some(index) = room.entries.iter().position(|entry| entry.serial == anchor.serial) else { return 0 };
        heights[index + 1..].iter().sum::<usize>() + anchor.below.min(heights[index].saturating_sub(1))
    }

    /// Has the view end that many rows above the end.
    fn scroll_to(&mut self, heights: &[usize], at: usize) {
        let Some(room) = self.room_mut() else { return };
        let mut below = at;
        for (entry, height) in room.entries.iter().zip(heights).rev() {
            if below < *height {
                room.anchor = (at > 0).then_some(Anchor { serial: entry.serial, below });
                return;
            }
            below -= height;
        }
    }
}
