//! What is asked, and what is expected of the reply.

use std::{io::Write as _, ops::RangeInclusive};

use bytes::Bytes;

use crate::{
    error::{Error, Result},
    fault::Draw,
};

/// What a request carries: the same bytes each time, or a template.
#[derive(Clone, Debug)]
pub struct Payload {
    parts: Vec<Part>,
    /// Nobody cares which bytes they are.
    is_filler: bool,
}

#[derive(Clone, Debug)]
enum Part {
    Fixed(Bytes),
    /// The number of the request.
    Seq,
    /// So many letters and digits, others each time. The seed draws them, and the place where they stand, so that no two
    /// are alike.
    Random {
        count: usize,
        seed: u64,
        place: usize,
    },
}

/// The longest random word of a template.
const LONGEST: usize = 1 << 20;

impl Payload {
    /// The same bytes each time.
    pub fn fixed(bytes: impl Into<Bytes>) -> Self {
        Self { parts: vec![Part::Fixed(bytes.into())], is_filler: false }
    }

    /// So many bytes of text, of which the last is a newline.
    pub fn of_size(size: usize) -> Self {
        let mut text: Vec<u8> = (b'a'..=b'z').cycle().take(size).collect();
        if let Some(last) = text.last_mut() {
            *last = b'\n';
        }
        Self { is_filler: true, ..Self::fixed(text) }
    }

    /// How many bytes it has, where nobody cares which: those of [`of_size`](Self::of_size).
    pub fn size(&self) -> Option<usize> {
        self.same().filter(|_| self.is_filler).map(Bytes::len)
    }

    /// A text in which `{{seq}}` stands for the number of the request and `{{random 64}}` for so many letters and digits,
    /// which `seed` draws.
    ///
    /// # Errors
    /// Braces with something else in them.
    pub fn template(text: &str, seed: u64) -> Result<Self> {
        let (mut parts, mut rest) = (Vec::new(), text);
        while let Some((before, after)) = rest.split_once("{{") {
            let Some((word, after)) = after.split_once("}}") else { break };
            if !before.is_empty() {
                parts.push(Part::Fixed(Bytes::copy_from_slice(before.as_bytes())));
            }
            parts.push(Part::read(word.trim(), seed, parts.len())?);
            rest = after;
        }
        if !rest.is_empty() || parts.is_empty() {
            parts.push(Part::Fixed(Bytes::copy_from_slice(rest.as_bytes())));
        }
        Ok(Self { parts, is_filler: false })
    }

    /// Appends another one. What is the same each time stays in one piece.
    pub(crate) fn add(&mut self, other: &Self) {
        for part in &other.parts {
            match (self.parts.last_mut(), part) {
                (Some(Part::Fixed(last)), Part::Fixed(more)) => *last = [&last[..], more].concat().into(),
                _ => self.parts.push(part.clone()),
            }
        }
        self.is_filler = false;
    }

    /// Its bytes, where they are the same each time.
    pub fn same(&self) -> Option<&Bytes> {
        match &self.parts[..] {
            [Part::Fixed(bytes)] => Some(bytes),
            _ => None,
        }
    }

    /// Leaves out the newline at its end, for whom it is written by somebody else.
    pub(crate) fn unended(&mut self) {
        if let Some(Part::Fixed(bytes)) = self.parts.last_mut()
            && let Some(line) = bytes.strip_suffix(b"\n")
        {
            bytes.truncate(line.strip_suffix(b"\r").unwrap_or(line).len());
        }
    }

    /// That of request `n`; the same number gives the same bytes.
    pub(crate) fn of(&self, n: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.write(n, &mut bytes);
        bytes
    }

    /// Appends that of request `n`; the same number gives the same bytes.
    pub fn write(&self, n: u64, out: &mut Vec<u8>) {
        for part in &self.parts {
            match part {
                Part::Fixed(bytes) => out.extend_from_slice(bytes),
                // There is room in memory, or there is no memory.
                Part::Seq => drop(write!(out, "{n}")),
                Part::Random { count, seed, place } => {
                    let mut draw = Draw::new(*seed, n, &format!("payload {place}"), None);
                    out.extend((0..*count).map(|_| LETTERS[draw.up_to(35) as usize % LETTERS.len()]));
                }
            }
        }
    }
}

/// What random words are made of.
const LETTERS: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";

impl Part {
    fn read(word: &str, seed: u64, place: usize) -> Result<Self> {
        let random = || word.strip_prefix("random")?.trim().parse().ok().filter(|count| (1..=LONGEST).contains(count));
        match word {
            "seq" => Ok(Self::Seq),
            _ => random().map(|count| Self::Random { count, seed, place }).ok_or_else(|| {
                Error::usage(format!("a template has no '{{{{{}}}}}'", word.escape_debug()))
                    .hint("there are {{seq}}, the number of the request, and {{random 64}}, so many letters and digits")
            }),
        }
    }
}

/// What a reply must be, so that the request counts as answered.
#[derive(Clone, Debug, Default)]
pub struct Expect {
    /// HTTP: one of these statuses; without any, one below 400.
    pub statuses: Vec<RangeInclusive<u16>>,
    /// Byte for byte the request.
    pub same: bool,
    /// These bytes somewhere in it.
    pub text: Option<Bytes>,
}

impl Expect {
    /// Adds an expectation: `200`, `2xx`, `same`, or a text that must stand in the reply; `text=200` means the text.
    pub fn add(&mut self, said: &str) {
        match (status(said), said.strip_prefix("text=")) {
            (Some(statuses), _) => self.statuses.push(statuses),
            (None, Some(text)) => self.text = Some(Bytes::copy_from_slice(text.as_bytes())),
            (None, None) if said == "same" => self.same = true,
            (None, None) => self.text = Some(Bytes::copy_from_slice(said.as_bytes())),
        }
    }

    /// Whether that status is expected.
    pub fn status(&self, status: u16) -> bool {
        match &self.statuses[..] {
            [] => status < 400,
            some => some.iter().any(|range| range.contains(&status)),
        }
    }

    /// Whether the content of a reply must be looked at.
    pub fn reads(&self) -> bool {
        self.same || self.text.is_some()
    }

    /// Whether that content is expected, of the reply to that request.
    pub fn content(&self, asked: impl FnOnce() -> Vec<u8>, reply: &[u8]) -> bool {
        let has = |text: &Bytes| text.is_empty() || memchr::memmem::find(reply, text).is_some();
        self.text.as_ref().is_none_or(has) && (!self.same || asked() == reply)
    }
}

fn status(said: &str) -> Option<RangeInclusive<u16>> {
    let class = said.strip_suffix("xx").filter(|class| class.len() == 1).and_then(|class| class.parse::<u16>().ok());
    match class {
        Some(class @ 1..=9) => Some(class * 100..=class * 100 + 99),
        _ => said.parse().ok().filter(|status| said.len() == 3 && (100..=999).contains(status)).map(|one| one..=one),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_is_filled_in() {
        let payload = Payload::template("a {{seq}} {{ random 8 }}!", 1).unwrap();
        let written = |n| {
            let mut out = Vec::new();
            payload.write(n, &mut out);
            String::from_utf8(out).unwrap()
        };
        assert!(written(17).starts_with("a 17 ") && written(17).len() == "a 17 12345678!".len(), "{}", written(17));
        assert_eq!(written(17), written(17));
        assert_ne!(written(17)[5..], written(18)[5..]);
        assert!(payload.same().is_none());
        assert_eq!(Payload::template("{{ as it is", 0).unwrap().same().unwrap(), "{{ as it is");
        for wrong in ["{{}}", "{{sequence}}", "{{random}}", "{{random 0}}", "{{random -1}}"] {
            assert!(Payload::template(wrong, 0).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_is_the_same_stays_in_one_piece() {
        let mut payload = Payload::fixed(&b"a"[..]);
        payload.add(&Payload::fixed(&b"b"[..]));
        assert_eq!(payload.same().unwrap(), "ab");
        payload.add(&Payload::template("{{seq}}-{{random 5}}", 3).unwrap());
        payload.add(&Payload::fixed(&b"c"[..]));
        assert_eq!(payload.parts.len(), 5, "{payload:?}");
        let other = Payload::template("ab{{seq}}-{{random 5}}c", 4).unwrap();
        assert!(payload.of(7).starts_with(b"ab7-") && payload.of(7).len() == other.of(7).len());
        assert_ne!(payload.of(7), other.of(7), "another seed draws other words");
    }

    #[test]
    fn expectations_are_statuses_or_texts() {
        let mut expect = Expect::default();
        assert!(expect.status(302) && !expect.status(404));
        for said in ["404", "5xx"] {
            expect.add(said);
        }
        assert!(expect.status(404) && expect.status(503) && !expect.status(200) && !expect.reads());
        expect.add("text=200");
        assert!(expect.content(Vec::new, b"it is 200") && !expect.content(Vec::new, b"no"));
        expect.add("same");
        assert!(!expect.content(|| b"other".to_vec(), b"it is 200"));
    }
}
