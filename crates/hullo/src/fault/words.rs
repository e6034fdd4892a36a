//! The words of a fault: its value, and its attributes.

use std::{borrow::Cow, fmt, time::Duration};

use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};

use super::{COMMON, On, Spec, Ways};
use crate::{
    error::{Error, Result, brief, unknown},
    options,
};

/// What would end a name that is written into a list of words.
const NAME: &AsciiSet = &CONTROLS.add(b',').add(b'%').add(b' ');

/// When a fault begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum After {
    /// Behind so many bytes of each way.
    Bytes(u64),
    /// So long after it came to the conversation.
    Time(Duration),
}

impl fmt::Display for After {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bytes(bytes) => f.write_str(&size_of(*bytes)),
            Self::Time(time) => f.write_str(&time_of(*time)),
        }
    }
}

/// What is written behind the name of a kind. Each word is taken once, and [`done`](Words::done) finds those that
/// nobody took.
pub(super) struct Words<'a> {
    spec: &'static Spec,
    value: Option<&'a str>,
    attributes: Vec<(&'a str, &'a str)>,
}

impl<'a> Words<'a> {
    pub(super) fn of(spec: &'static Spec, text: &'a str) -> Result<Self> {
        let mut words = Self { spec, value: None, attributes: Vec::new() };
        for (at, word) in text.split(',').enumerate().filter(|(_, word)| !word.is_empty()) {
            match word.split_once('=') {
                Some((name, _)) if words.attributes.iter().any(|(known, _)| *known == name) => {
                    let about = format!("the fault {} has the attribute '{}' twice", spec.name, brief(name));
                    return Err(Error::usage(about));
                }
                Some(attribute) => words.attributes.push(attribute),
                None if at == 0 => words.value = Some(word),
                None => {
                    let about = format!("the fault {} does not understand '{}'", spec.name, brief(word));
                    return Err(Error::usage(about).hint("attributes are written as in way=down"));
                }
            }
        }
        Ok(words)
    }

    /// What stands behind the colon.
    pub(super) fn value(&mut self) -> Option<&'a str> {
        self.value.take()
    }

    pub(super) fn attribute(&mut self, name: &str) -> Option<&'a str> {
        let at = self.attributes.iter().position(|(known, _)| *known == name)?;
        Some(self.attributes.swap_remove(at).1)
    }

    /// The error for a value that is not there, or cannot be meant.
    pub(super) fn wrong(&self, value: Option<&str>) -> Error {
        let Spec { name, unit, example, .. } = self.spec;
        let about = match value {
            None => format!("the fault {name} needs {unit} behind a colon"),
            Some(value) => format!("the fault {name} takes {unit}, not '{}'", brief(value)),
        };
        Error::usage(about).hint(format!("it is written as in {example}"))
    }

    /// The value, where there must be one.
    pub(super) fn needed<T>(&mut self, read: impl FnOnce(&'a str) -> Option<T>) -> Result<T> {
        let value = self.value();
        value.and_then(read).ok_or_else(|| self.wrong(value))
    }

    /// The value, where there may be one.
    pub(super) fn value_or<T>(&mut self, read: impl FnOnce(&'a str) -> Option<T>) -> Result<Option<T>> {
        let value = self.value();
        value.map(|value| read(value).ok_or_else(|| self.wrong(Some(value)))).transpose()
    }

    /// An attribute that `read` can read.
    pub(super) fn optional<T>(
        &mut self,
        name: &str,
        form: &str,
        read: impl FnOnce(&'a str) -> Option<T>,
    ) -> Result<Option<T>> {
        let Some(value) = self.attribute(name) else { return Ok(None) };
        match read(value) {
            Some(value) => Ok(Some(value)),
            None => {
                let about = format!("{name} of the fault {} takes {form}, not '{}'", self.spec.name, brief(value));
                Err(Error::usage(about))
            }
        }
    }

    pub(super) fn name(&mut self) -> Result<Option<String>> {
        self.optional("name", "a name", |text| match percent_decode_str(text).decode_utf8() {
            Ok(name) if !name.is_empty() => Some(name.into_owned()),
            _ => None,
        })
    }

    pub(super) fn ways(&mut self) -> Result<Ways> {
        if self.spec.on == On::Conversations {
            return Ok(Ways::Both);
        }
        let ways = |text| match text {
            "up" => Some(Ways::Up),
            "down" => Some(Ways::Down),
            "both" => Some(Ways::Both),
            _ => None,
        };
        Ok(self.optional("way", "up, down or both", ways)?.unwrap_or_default())
    }

    pub(super) fn share(&mut self, name: &str) -> Result<Option<f64>> {
        self.optional(name, "a number from 0 to 1", share)
    }

    pub(super) fn count(&mut self, name: &str) -> Result<Option<u64>> {
        self.optional(name, "a number from 1", |text| text.parse().ok().filter(|count| *count > 0))
    }

    pub(super) fn after(&mut self) -> Result<Option<After>> {
        if self.spec.on == On::Conversations {
            return Ok(None);
        }
        self.optional("after", "a size like 1MB, or a time like 5s", after)
    }

    /// Refuses what is left.
    pub(super) fn done(self) -> Result<()> {
        if let Some((name, _)) = self.attributes.first() {
            let whole = self.spec.on == On::Conversations;
            let common = COMMON.iter().filter(|one| !whole || !["after", "way"].contains(&one.name));
            let names: Vec<_> = common.chain(self.spec.attributes).map(|attribute| attribute.name).collect();
            return Err(unknown(&format!("attribute of {}", self.spec.name), name, names));
        }
        match self.value {
            None => Ok(()),
            Some(value) => {
                let about = format!("the fault {} takes no value, and there is '{}'", self.spec.name, brief(value));
                Err(Error::usage(about).hint(format!("it is written as in {}", self.spec.example)))
            }
        }
    }
}

/// A time with its unit, or a size with its own. In a number alone nobody could see which it is; `m` is a minute, and
/// `M`, which is a month to others, a mebibyte.
fn after(text: &str) -> Option<After> {
    if text.ends_with(|last: char| last.is_ascii_digit()) {
        return None;
    }
    let time = || time(text).filter(|_| !text.ends_with('M')).map(After::Time);
    time().or_else(|| size(text).map(After::Bytes))
}

/// A time that has an end.
pub(super) fn time(text: &str) -> Option<Duration> {
    // Elsewhere a bare number is seconds, and whoever comes from other tools means milliseconds.
    let is_bare = text.parse::<f64>().is_ok_and(|number| number != 0.0);
    options::time(text).flatten().filter(|_| !is_bare)
}

pub(super) fn size(text: &str) -> Option<u64> {
    options::size(text).map(|size| size as u64)
}

pub(super) fn share(text: &str) -> Option<f64> {
    text.parse().ok().filter(|share| (0.0..=1.0).contains(share))
}

/// A value, and by how much more or less of it: `200ms~50ms`.
pub(super) fn about<T: Default>(text: &str, read: impl Fn(&str) -> Option<T>) -> Option<(T, T)> {
    match text.split_once('~') {
        Some((middle, spread)) => Some((read(middle)?, read(spread)?)),
        None => Some((read(text)?, T::default())),
    }
}

/// The other way around, from the two as text.
pub(super) fn about_of(middle: String, spread: Option<String>) -> String {
    match spread {
        Some(spread) => format!("{middle}~{spread}"),
        None => middle,
    }
}

/// A time as it is read.
pub(super) fn time_of(time: Duration) -> String {
    humantime::format_duration(time).to_string().replace(' ', "")
}

/// A size as it is read, in the largest unit that it is a multiple of. Its unit is always there.
pub(super) fn size_of(bytes: u64) -> String {
    let units =
        [("GB", 1_000_000_000), ("GiB", 1 << 30), ("MB", 1_000_000), ("MiB", 1 << 20), ("kB", 1_000), ("KiB", 1 << 10)];
    let unit = units.iter().find(|(_, unit)| bytes > 0 && bytes.is_multiple_of(*unit));
    let (name, unit) = unit.unwrap_or(&("B", 1));
    format!("{}{name}", bytes / unit)
}

/// A name as it is read.
pub(super) fn name_of(name: &str) -> Cow<'_, str> {
    utf8_percent_encode(name, NAME).into()
}
