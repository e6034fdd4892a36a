//! The line that is being typed: pure editing, by what a person sees as one character.

use unicode_segmentation::UnicodeSegmentation;
use unicode_width::UnicodeWidthStr;

/// How many lines that were typed are remembered.
const REMEMBERED: usize = 500;

/// A text and the place in it where the next character goes.
#[derive(Default)]
pub(crate) struct Input {
    text: String,
    /// In bytes, always between two graphemes.
    cursor: usize,
    /// What was typed before, oldest first.
    past: Vec<String>,
    /// Which of them is shown.
    recalled: Option<usize>,
    /// What was being typed before the past was looked at.
    draft: String,
}

/// What is shown of it: rows of a width, and where the cursor is.
pub(crate) struct Shown {
    pub(crate) rows: Vec<String>,
    pub(crate) row: usize,
    pub(crate) column: usize,
}

impl Input {
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    pub(crate) fn before(&self) -> &str {
        &self.text[..self.cursor]
    }

    /// The whole text, which is then remembered and gone.
    pub(crate) fn take(&mut self) -> String {
        let text = std::mem::take(&mut self.text);
        (self.cursor, self.recalled) = (0, None);
        // What holds a password is not shown again.
        let secret = ["/login ", "/register "].iter().any(|word| text.starts_with(word));
        if !text.trim().is_empty() && !secret && self.past.last() != Some(&text) {
            self.past.push(text.clone());
            let surplus = self.past.len().saturating_sub(REMEMBERED);
            self.past.drain(..surplus);
        }
        text
    }

    /// Puts a text there, with the cursor behind it.
    pub(crate) fn set(&mut self, text: String) {
        (self.cursor, self.text) = (text.len(), text);
    }

    pub(crate) fn insert(&mut self, text: &str) {
        self.text.insert_str(self.cursor, text);
        self.cursor += text.len();
    }

    /// Puts a text in the place of what stands between `start` and the cursor.
    pub(crate) fn replace(&mut self, start: usize, text: &str) {
        self.text.replace_range(start..self.cursor, text);
        self.cursor = start + text.len();
    }

    pub(crate) fn left(&mut self) {
        self.cursor -= self.before().graphemes(true).next_back().map_or(0, str::len);
    }

    pub(crate) fn right(&mut self) {
        self.cursor += self.text[self.cursor..].graphemes(true).next().map_or(0, str::len);
    }

    pub(crate) fn word_left(&mut self) {
        self.cursor = self.word();
    }

    pub(crate) fn word_right(&mut self) {
        let rest = &self.text[self.cursor..];
        let blanks = rest.len() - rest.trim_start().len();
        let word = rest[blanks..].find(char::is_whitespace).unwrap_or(rest.len() - blanks);
        self.cursor += blanks + word;
    }

    pub(crate) fn home(&mut self) {
        self.cursor = self.before().rfind('\n').map_or(0, |at| at + 1);
    }

    pub(crate) fn end(&mut self) {
        self.cursor += self.text[self.cursor..].find('\n').unwrap_or(self.text.len() - self.cursor);
    }

    pub(crate) fn backspace(&mut self) {
        let end = self.cursor;
        self.left();
        self.text.replace_range(self.cursor..end, "");
    }

    pub(crate) fn delete(&mut self) {
        let start = self.cursor;
        self.right();
        self.text.replace_range(start..self.cursor, "");
        self.cursor = start;
    }

    pub(crate) fn delete_word(&mut self) {
        self.replace(self.word(), "");
    }

    pub(crate) fn delete_to_start(&mut self) {
        let end = self.cursor;
        self.home();
        self.text.replace_range(self.cursor..end, "");
    }

    pub(crate) fn delete_to_end(&mut self) {
        let start = self.cursor;
        self.end();
        self.text.replace_range(start..self.cursor, "");
        self.cursor = start;
    }

    /// What was typed before that.
    pub(crate) fn earlier(&mut self) {
        let at = self.recalled.unwrap_or(self.past.len());
        if at == 0 {
            return;
        }
        if self.recalled.is_none() {
            self.draft = self.text.clone();
        }
        self.recalled = Some(at - 1);
        self.set(self.past[at - 1].clone());
    }

    /// What was typed after that, and at last what was being typed.
    pub(crate) fn later(&mut self) {
        let Some(at) = self.recalled else { return };
        let next = self.past.get(at + 1).cloned();
        self.recalled = next.is_some().then_some(at + 1);
        let text = next.unwrap_or_else(|| std::mem::take(&mut self.draft));
        self.set(text);
    }

    /// Where the word before the cursor begins.
    fn word(&self) -> usize {
        let before = self.before().trim_end();
        before.rfind(char::is_whitespace).map_or(0, |at| at + before[at..].chars().next().map_or(1, char::len_utf8))
    }

    /// It in rows of that width.
    pub(crate) fn shown(&self, width: usize) -> Shown {
        let width = width.max(2);
        let (mut rows, mut at, mut used, mut place) = (vec![String::new()], 0, 0, None);
        for grapheme in self.text.graphemes(true) {
            if at == self.cursor {
                place = Some((rows.len() - 1, used));
            }
            at += grapheme.len();
            let wide = grapheme.width();
            if grapheme == "\n" || used + wide > width {
                // The cursor before what no longer fits stands where that goes.
                if grapheme != "\n" && place == Some((rows.len() - 1, used)) {
                    place = Some((rows.len(), 0));
                }
                rows.push(String::new());
                used = 0;
            }
            if grapheme != "\n" {
                used += wide;
                if let Some(row) = rows.last_mut() {
                    row.push_str(grapheme);
                }
            }
        }
        if place.is_none() && used >= width {
            rows.push(String::new());
            used = 0;
        }
        let (row, column) = place.unwrap_or((rows.len() - 1, used));
        Shown { rows, row, column }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(text: &str) -> Input {
        let mut input = Input::default();
        input.insert(text);
        input
    }

    #[test]
    fn editing_goes_by_what_is_seen_as_one_character() {
        let mut input = typed("aé👩‍👩‍👧");
        input.backspace();
        assert_eq!(input.text(), "aé");
        input.left();
        input.delete();
        assert_eq!(input.text(), "a");
        for _ in 0..3 {
            input.right();
            input.delete();
        }
        assert_eq!(input.text(), "a");
    }

    #[test]
    fn words_and_lines_are_deleted_as_in_a_shell() {
        let mut input = typed("one two  three");
        input.delete_word();
        assert_eq!(input.text(), "one two  ");
        input.delete_word();
        assert_eq!(input.text(), "one ");
        input.insert("\nlast line");
        input.word_left();
        input.delete_to_end();
        assert_eq!(input.text(), "one \nlast ");
        input.delete_to_start();
        assert_eq!(input.text(), "one \n");
    }

    #[test]
    fn the_past_comes_back_and_so_does_what_was_being_typed() {
        let mut input = Input::default();
        for line in ["first", "second", "/login secret"] {
            input.insert(line);
            input.take();
        }
        input.insert("dra");
        input.earlier();
        assert_eq!(input.text(), "second", "a password is not remembered");
        input.earlier();
        input.earlier();
        assert_eq!(input.text(), "first");
        input.later();
        input.later();
        assert_eq!(input.text(), "dra");
    }

    #[test]
    fn the_cursor_is_where_the_next_character_goes() {
        for (text, left, rows, place) in [
            ("", 0, vec![""], (0, 0)),
            ("abcd", 0, vec!["abcd", ""], (1, 0)),
            ("abcd", 1, vec!["abcd"], (0, 3)),
            ("漢字漢", 0, vec!["漢字", "漢"], (1, 2)),
            ("abc漢", 1, vec!["abc", "漢"], (1, 0)),
            ("a\nb", 0, vec!["a", "b"], (1, 1)),
            ("a\n", 0, vec!["a", ""], (1, 0)),
        ] {
            let mut input = typed(text);
            (0..left).for_each(|_| input.left());
            let shown = input.shown(4);
            assert_eq!(
                (shown.rows, (shown.row, shown.column)),
                (rows.iter().map(|row| row.to_string()).collect(), place),
                "{text:?}"
            );
        }
    }
}
