//! Entries as rows of a width: wrapped by words, with days and the line before what is new.

use ratatui::{
    style::{Color, Modifier, Style},
    text::{Line, Span},
};
use unicode_segmentation::UnicodeSegmentation;
use unicode_width::UnicodeWidthStr;

use super::{
    clock::Clock,
    room::{Entry, Fate, Room, What},
};

/// Where what is said goes on in its next row: below the name.
const INDENT: usize = 6;

/// Colours of names that can be read on dark and on light.
const NAMES: &[u8] = &[31, 35, 61, 67, 71, 97, 101, 103, 131, 133, 136, 139, 166, 168, 172, 37];

/// What the look of an entry depends on, beside itself.
pub(crate) struct Look<'a> {
    pub(crate) width: usize,
    pub(crate) colours: bool,
    pub(crate) me: &'a str,
    pub(crate) clock: &'a Clock,
}

impl Look<'_> {
    /// The colour of a name, always the same.
    pub(crate) fn name(&self, name: &str) -> Style {
        let bold = Style::new().add_modifier(Modifier::BOLD);
        if !self.colours {
            return bold;
        }
        // FNV-1a: what a name's colour is must not differ between two runs.
        let hash = name.bytes().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
        bold.fg(Color::Indexed(NAMES[hash as usize % NAMES.len()]))
    }

    pub(crate) fn quiet(&self) -> Style {
        Style::new().add_modifier(Modifier::DIM)
    }

    pub(crate) fn loud(&self) -> Style {
        let bold = Style::new().add_modifier(Modifier::BOLD);
        if self.colours { bold.fg(Color::Red) } else { bold }
    }

    /// Whether the text speaks of us.
    pub(crate) fn mentions(&self, text: &str) -> bool {
        mentions(text, self.me)
    }
}

/// Whether the name stands in the text as a word of its own.
pub(crate) fn mentions(text: &str, name: &str) -> bool {
    let (text, name) = (text.to_lowercase(), name.to_lowercase());
    let part = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    !name.is_empty()
        && text
            .match_indices(&name)
            .any(|(at, _)| !part(text[..at].chars().next_back()) && !part(text[at + name.len()..].chars().next()))
}

/// The rows of the entry of that index, with what stands before it: a new day, and the line before what is new.
pub(crate) fn rows(room: &Room, index: usize, look: &Look<'_>) -> Vec<Line<'static>> {
    let Some(entry) = room.entries.get(index) else { return Vec::new() };
    let mut rows = Vec::new();
    let day = look.clock.day(entry.time);
    if index.checked_sub(1).is_none_or(|before| look.clock.day(room.entries[before].time) != day) {
        rows.push(rule(&look.clock.words(entry.time), look.quiet(), look.width));
    }
    if room.unread_from == Some(entry.serial) {
        rows.push(rule("new", look.loud(), look.width));
    }
    rows.extend(wrap(&pieces(entry, look), look.width, INDENT.min(look.width / 4)));
    rows
}

/// A word in the middle of a line.
fn rule(word: &str, style: Style, width: usize) -> Line<'static> {
    let left = width.saturating_sub(word.width() + 2);
    let half = left / 2;
    Line::styled(format!("{} {word} {}", "─".repeat(half), "─".repeat(left - half)), style)
}

fn pieces(entry: &Entry, look: &Look<'_>) -> Vec<(String, Style)> {
    let plain = Style::new();
    let (said, fate) = match &entry.what {
        What::Note(text) => {
            let style = if text.starts_with("! ") { look.loud() } else { look.quiet() };
            return vec![(format!("{} ", look.clock.time(entry.time)), look.quiet()), (text.clone(), style)];
        }
        What::Said { said, fate, .. } => (said, *fate),
    };
    let (stamp, stamp_style) = match fate {
        Fate::Kept => (look.clock.time(entry.time), look.quiet()),
        Fate::Unkept => ("  …  ".to_owned(), look.quiet()),
        Fate::Refused => ("  ✗  ".to_owned(), look.loud()),
    };
    let name = look.name(&said.at.from);
    let mut pieces = vec![(format!("{stamp} "), stamp_style)];
    if said.me && !said.deleted {
        pieces.push(("- ".to_owned(), look.quiet()));
        pieces.push((said.at.from.clone(), name));
        pieces.push((" ".to_owned(), plain));
    } else {
        pieces.push((said.at.from.clone(), name));
        pieces.push((": ".to_owned(), look.quiet()));
    }
    if said.deleted {
        pieces.push(("(taken back)".to_owned(), look.quiet()));
        return pieces;
    }
    let ours = said.at.from == look.me;
    let text = match fate {
        Fate::Refused => plain.add_modifier(Modifier::CROSSED_OUT),
        Fate::Unkept => look.quiet(),
        Fate::Kept if !ours && look.mentions(&said.text) => plain.add_modifier(Modifier::BOLD),
        Fate::Kept => plain,
    };
    pieces.push((said.text.clone(), text));
    if said.edited.is_some() {
        pieces.push((" (edited)".to_owned(), look.quiet()));
    }
    pieces
}

/// Breaks styled text into rows, at spaces where there are any; all but the first are indented.
pub(crate) fn wrap(pieces: &[(String, Style)], width: usize, indent: usize) -> Vec<Line<'static>> {
    let width = width.max(indent + 2);
    let (mut rows, mut row, mut used, mut space) = (Vec::new(), Vec::<(&str, Style)>::new(), 0, None);
    let graphemes =
        pieces.iter().flat_map(|(text, style)| text.graphemes(true).map(move |grapheme| (grapheme, *style)));
    for (grapheme, style) in graphemes {
        let room = if rows.is_empty() { width } else { width - indent };
        if grapheme == "\n" || used + grapheme.width() > room {
            // A space at the end of a row is not seen, and need not fit.
            if grapheme == " " {
                space = Some(row.len());
                row.push((grapheme, style));
                continue;
            }
            let rest = match space {
                Some(at) if grapheme != "\n" => row.split_off(at + 1),
                _ => Vec::new(),
            };
            rows.push(line(&row, if rows.is_empty() { 0 } else { indent }));
            used = rest.iter().map(|(grapheme, _)| grapheme.width()).sum();
            (row, space) = (rest, None);
            if grapheme == "\n" {
                continue;
            }
        }
        if grapheme == " " {
            space = Some(row.len());
        }
        used += grapheme.width();
        row.push((grapheme, style));
    }
    rows.push(line(&row, if rows.is_empty() { 0 } else { indent }));
    rows
}

fn line(row: &[(&str, Style)], indent: usize) -> Line<'static> {
    let mut spans: Vec<Span<'static>> = Vec::new();
    if indent > 0 {
        spans.push(Span::raw(" ".repeat(indent)));
    }
    for run in row.chunk_by(|(_, one), (_, other)| one == other) {
        let text: String = run.iter().map(|(grapheme, _)| *grapheme).collect();
        spans.push(Span::styled(text, run.first().map_or_else(Style::new, |(_, style)| *style)));
    }
    Line::from(spans)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_break_at_spaces_and_nothing_is_wider_than_its_row() {
        for (text, width, rows) in [
            ("one two three", 8, vec!["one two ", "  three"]),
            ("exactly8 x", 8, vec!["exactly8 ", "  x"]),
            ("longerthanthat", 6, vec!["longer", "  than", "  that"]),
            ("a\nb\n\nc", 8, vec!["a", "  b", "  ", "  c"]),
            ("漢字漢字漢", 6, vec!["漢字漢", "  字漢"]),
            ("", 8, vec![""]),
        ] {
            let wrapped = wrap(&[(text.to_owned(), Style::new())], width, 2);
            let seen: Vec<_> = wrapped.iter().map(ToString::to_string).collect();
            assert_eq!(seen, rows, "{text:?}");
        }
    }

    #[test]
    fn a_mention_is_a_word() {
        for (text, yes) in
            [("ann: hi", true), ("hi Ann!", true), ("annual", false), ("joann", false), ("", false), ("@ann", true)]
        {
            assert_eq!(mentions(text, "ann"), yes, "{text}");
        }
        assert!(!mentions("anything", ""));
    }
}
