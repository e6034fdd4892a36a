//! What is read out, for people: a line that says what it is, and its content beneath.

use std::{fmt::Write, time::UNIX_EPOCH};

use hullo::traffic::Way;

use super::{
    heard::Closed,
    item::{Body, Item, Part, What},
    page::Most,
};
use crate::{
    report::{shown, shown_in_line, steers},
    view::{chat::clock::Clock, hex, json, paint::Paint},
};

/// What content is indented by, so that lines of ours can be told from it.
const INDENT: &str = "  ";

/// How it is said.
pub(super) struct Words {
    pub(super) paint: Paint,
    pub(super) clock: Clock,
    pub(super) max: Most,
}

impl Words {
    pub(super) fn write(&self, item: &Item, out: &mut String) {
        let millis = item.when.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        let time = self.clock.precise(i64::try_from(millis).unwrap_or(i64::MAX));
        let number = format!("#{}", item.flow);
        *out += &format!("{} {} ", self.paint.quiet(&time), self.paint.bold(&number));
        if let Some(way) = item.way {
            *out += &format!("{} ", self.arrow(way));
        }
        match &item.what {
            What::Opened { client, server, .. } => {
                *out += &format!(
                    "opened: {} → {}\n",
                    shown_in_line(&client.to_string()),
                    shown_in_line(&server.to_string())
                );
            }
            What::Text(part) => {
                *out += &format!("{}\n", name(part));
                self.text(&part.bytes, part.size, out);
            }
            What::Hex(part) => {
                *out += &format!("{}\n", name(part));
                self.hex(part, item.way, out);
            }
            What::Value { size, text } => {
                *out += &format!("JSON, {}\n", bytes(*size));
                self.value(text, out);
            }
            What::Head { size, lines } => self.head(*size, lines, out),
            What::Body(body) => self.body(body, out),
            What::Waiting { of, part } => {
                let about = format!("the first {} of {of} whose rest has not come yet", bytes(part.size));
                *out += &format!("{}\n", self.paint.quiet(&about));
                self.text(&part.bytes, part.size, out);
            }
            What::Remark(remark) => *out += &format!("{}\n", self.paint.number(&shown_in_line(remark))),
            What::Missed(count) => *out += &format!("{}\n", self.paint.bad(&missed(*count))),
            What::End => *out += "end\n",
            What::Closed(closed) => self.closed(closed, out),
        }
    }

    pub(super) fn lost(&self, count: u64, out: &mut String) {
        let about = format!("{count} beginnings and ends of connections are not shown: {SLOW}");
        *out += &format!("{}\n", self.paint.bad(&about));
    }

    fn arrow(&self, way: Way) -> String {
        match way {
            Way::Up => self.paint.name("→"),
            Way::Down => self.paint.good("←"),
        }
    }

    /// Text whose lines are indented, and in which nothing steers a terminal.
    fn text(&self, bytes: &[u8], size: u64, out: &mut String) {
        let first = at_characters(bytes, self.max.text);
        if !first.is_empty() {
            let mut text = self.visible(first);
            if !text.ends_with('\n') {
                text.push('\n');
            }
            for line in text.split_inclusive('\n') {
                *out += INDENT;
                *out += line;
            }
        }
        self.hidden(size.saturating_sub(first.len() as u64), out);
    }

    fn visible(&self, bytes: &[u8]) -> String {
        let (mut text, mut odd) = (String::with_capacity(bytes.len()), String::new());
        for chunk in bytes.utf8_chunks() {
            for c in chunk.valid().chars() {
                match c {
                    '\r' => odd += "\\r",
                    // Writing to a string does not fail.
                    _ if c.is_ascii_control() && !matches!(c, '\n' | '\t') => {
                        _ = write!(odd, "\\x{:02x}", u32::from(c))
                    }
                    _ if steers(c) || c.is_control() && !c.is_ascii() => odd.extend(c.escape_default()),
                    _ => {
                        self.odd(&mut odd, &mut text);
                        text.push(c);
                    }
                }
            }
            for byte in chunk.invalid() {
                _ = write!(odd, "\\x{byte:02x}");
            }
        }
        self.odd(&mut odd, &mut text);
        text
    }

    /// What is written for what is not shown as it is.
    fn odd(&self, odd: &mut String, text: &mut String) {
        if !odd.is_empty() {
            *text += &self.paint.quiet(odd);
            odd.clear();
        }
    }

    fn hex(&self, part: &Part, way: Option<Way>, out: &mut String) {
        let first = part.first(self.max.hex);
        let mark = if way == Some(Way::Down) { '<' } else { '>' };
        let at = usize::try_from(part.at).unwrap_or(usize::MAX);
        for line in hex::dump(mark, at, first).split_inclusive('\n') {
            *out += INDENT;
            *out += line;
        }
        self.hidden(part.size.saturating_sub(first.len() as u64), out);
    }

    fn value(&self, text: &str, out: &mut String) {
        let pretty = json::pretty(text, self.paint).unwrap_or_else(|| shown(text));
        let (mut left, mut lines) = (self.max.text, pretty.split_inclusive('\n'));
        let mut hidden = 0;
        for line in lines.by_ref() {
            if line.len() > left {
                hidden = 1;
                // A line too long for itself is not left out as a whole.
                if left == self.max.text {
                    *out +=
                        &format!("{INDENT}{}\n", shown(&String::from_utf8_lossy(at_characters(text.as_bytes(), left))));
                }
                break;
            }
            left -= line.len();
            *out += INDENT;
            *out += line;
        }
        if !out.ends_with('\n') {
            out.push('\n');
        }
        hidden += lines.count();
        if hidden > 0 {
            let lines = if hidden == 1 { "1 line more".to_owned() } else { format!("{hidden} lines more") };
            *out += &format!("{INDENT}{}\n", self.paint.quiet(&format!("… {lines}")));
        }
    }

    fn head(&self, size: u64, lines: &[String], out: &mut String) {
        let is_response = lines.first().is_some_and(|line| line.starts_with("HTTP/"));
        *out += &format!("{}, {}\n", if is_response { "response" } else { "request" }, bytes(size));
        let mut left = self.max.text;
        for (at, line) in lines.iter().enumerate() {
            if line.len() > left {
                let hidden: usize = lines[at..].iter().map(String::len).sum();
                return self.hidden(hidden as u64, out);
            }
            left -= line.len();
            let line = shown(line);
            let line = match line.split_once(':').filter(|_| at > 0) {
                Some((name, value)) => format!("{}:{value}", self.paint.name(name)),
                None => self.paint.bold(&line),
            };
            *out += &format!("{INDENT}{line}\n");
        }
    }

    fn body(&self, body: &Body, out: &mut String) {
        let mut facts = vec![bytes(body.size)];
        facts.extend([&body.kind, &body.coding].into_iter().flatten().map(|fact| shown_in_line(fact)));
        if !body.whole {
            facts.push(self.paint.bad("cut off"));
        }
        *out += &format!("body: {}\n", facts.join(", "));
        if body.text.is_empty() {
            return;
        }
        match std::str::from_utf8(&body.text).ok().and_then(|text| json::pretty(text, self.paint).map(|_| text)) {
            Some(text) => self.value(text, out),
            None => self.text(&body.text, body.size, out),
        }
    }

    fn closed(&self, closed: &Closed, out: &mut String) {
        let (s, up, down) = (closed.took.as_secs_f64(), bytes(closed.up), bytes(closed.down));
        *out += &format!("closed after {s:.3} s: {up} up, {down} down");
        if let Some(why) = &closed.why {
            *out += &format!(": {}", self.paint.bad(&shown_in_line(why)));
        }
        out.push('\n');
    }

    fn hidden(&self, count: u64, out: &mut String) {
        if count > 0 {
            *out += &format!("{INDENT}{}\n", self.paint.quiet(&format!("… {} more", bytes(count))));
        }
    }
}

/// Why something is not there.
pub(super) const SLOW: &str = "this is read too slowly";

/// Of bytes that are not there.
fn missed(count: u64) -> String {
    format!("{} not shown: {SLOW}", bytes(count))
}

fn name(part: &Part) -> String {
    if part.message { format!("message, {}", bytes(part.size)) } else { bytes(part.size) }
}

pub(super) fn bytes(count: u64) -> String {
    if count == 1 { "1 byte".to_owned() } else { format!("{count} bytes") }
}

/// The first `most` bytes at most, without half a character at their end.
fn at_characters(bytes: &[u8], most: usize) -> &[u8] {
    let Some(mut end) = Some(most).filter(|most| *most < bytes.len()) else { return bytes };
    for _ in 0..3 {
        if end > 0 && (0x80..0xc0).contains(&bytes[end]) {
            end -= 1;
        }
    }
    &bytes[..end]
}
