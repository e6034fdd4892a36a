//! `hullo relay --fault latency:200ms~50ms :9000 tcp://db:5432`: what goes wrong on purpose between two ends.
//!
//! A fault is written as its kind, a colon, its value, and attributes: `latency:200ms~50ms,way=down,p=0.5,name=slow`.
//! [`FAULTS`] has all kinds, and [`COMMON`] the attributes that every kind takes:
//!
//! | fault | what it does |
//! | --- | --- |
//! | `bandwidth:1MB` | so many bytes a second, which conversations may share (`per=relay`); `0` holds everything |
//! | `corrupt:0.001` | a bit flips in that share of the bytes of a stream, or of packets |
//! | `down` | a new conversation ends at once, and nobody is dialled for it |
//! | `duplicate:0.05` | that share of packets comes twice |
//! | `latency:200ms~50ms` | everything comes later, by 200 ms give or take 50 ms; packets may overtake each other |
//! | `limit:1MB` | after so many bytes the conversation is cut: these pass, and not one more |
//! | `loss:0.1` | that share of packets is lost; on a stream, of its blocks of 1,460 bytes |
//! | `reorder:0.1` | that share of packets is held back (`by=10ms`), so that others overtake them |
//! | `reset:2s` | both ends are reset (a TCP RST) after that time, or `reset:after=1MB` behind so much |
//! | `slicer:100~50` | a stream leaves in small pieces; `delay=10us` is waited between two of them |
//! | `slow_close:2s` | the end is passed on later |
//! | `timeout:5s` | nothing passes, and after that time, if one is said, the conversation is cut |
//!
//! # Which conversations, and from when
//!
//! A fault holds in both directions, each by itself, unless `way` names one. `first=3` is for the first 3 conversations
//! of the relay, `every=10` for each tenth, and `p=0.2` for a share of them. `after=1MB` lets so many bytes pass before
//! the fault begins, `after=5s` so much time. Several faults stand behind each other in the order of their list: what
//! the first lets go comes to the second. What is to happen behind a number of bytes happens behind them, wherever they
//! are held up on their way. What is to happen by the clock happens at that moment, and what is still held is lost.
//!
//! # The same again
//!
//! All that is drawn is drawn from the seed, the number of the conversation, the name of the fault and the way. It does
//! not depend on the time, on other conversations, or, but for the jitter of streams, on how the bytes came in pieces.
//! The same seed makes the same decisions, and [`Hit`] tells them.
//!
//! # Changes
//!
//! [`Faults::set`] takes effect at once, on the conversations that are going on too (but for `down`). What a fault that
//! is gone or altered still held goes on at once and in order. The others keep what they hold, and how far they have
//! come. Only a `timeout` that has swallowed a part of a stream cuts the conversation as it goes; `bandwidth:0` stops
//! one that can go on.
//!
//! # Another fault
//!
//! Write one file, and add one name to the table below.

mod chain;
mod draw;
mod line;
mod list;
mod stage;
mod words;

use std::{fmt, str::FromStr, sync::Arc};

pub use chain::{Chain, Out};
pub(crate) use draw::Draw;
pub use list::{Faults, Hit, Log};

use self::{
    stage::Kind,
    words::{After, Words},
};
use crate::{
    error::{Error, Result, unknown},
    traffic::Way,
};

/// A line of the table of faults.
pub struct Spec {
    /// The name, as in `latency:200ms`.
    pub name: &'static str,
    /// One line of help.
    pub about: &'static str,
    /// One that can be tried.
    pub example: &'static str,
    /// What stands behind the colon, as in `TIME[~TIME]`; nothing where there is no value.
    pub unit: &'static str,
    /// The attributes that only this kind takes.
    pub attributes: &'static [Attribute],
    /// What it means something on.
    pub on: On,
    read: fn(&mut Words<'_>) -> Result<Arc<dyn Kind>>,
}

/// An attribute of a fault.
pub struct Attribute {
    /// The name, as in `way=down`.
    pub name: &'static str,
    /// One line of help.
    pub about: &'static str,
}

/// What a fault means something on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum On {
    /// Streams and packets.
    Both,
    /// Streams: a packet is whole or not there.
    Streams,
    /// Packets: in a stream, what is beneath it puts such things right.
    Packets,
    /// Whole conversations, which have no way.
    Conversations,
}

macro_rules! faults {
    ($($name:ident),* $(,)?) => {
        $(mod $name;)*

        /// Every fault, sorted by name.
        pub const FAULTS: &[Spec] = &[$($name::SPEC),*];
    };
}

faults! {
    bandwidth, corrupt, down, duplicate, latency, limit, loss, reorder, reset, slicer, slow_close, timeout,
}

const fn attribute(name: &'static str, about: &'static str) -> Attribute {
    Attribute { name, about }
}

/// The attributes that every fault takes.
pub const COMMON: &[Attribute] = &[
    attribute("after", "begin after so many bytes of each way (1MB), or that time (5s)"),
    attribute("every", "only for each Nth conversation of the relay"),
    attribute("first", "only for the first N conversations of the relay"),
    attribute("name", "what it is called in the log, otherwise as its kind"),
    attribute("p", "the share of conversations that have it, 0 to 1"),
    attribute("way", "up (to the server), down (to the client) or both"),
];

/// The tables as the help of a command shows them: each fault with the attributes of its own, then those of all.
pub fn help() -> String {
    let line = |word: &str, about: &str| format!("  {word:<22} {about}\n");
    let attribute = |one: &Attribute| line(&format!("  ,{}=", one.name), one.about);
    let fault = |spec: &Spec| {
        let written = if spec.unit.is_empty() { spec.name.to_owned() } else { format!("{}:{}", spec.name, spec.unit) };
        line(&written, spec.about) + &spec.attributes.iter().map(attribute).collect::<String>()
    };
    let common = COMMON.iter().map(|one| line(&format!(",{}=", one.name), one.about));
    let (faults, common): (String, String) = (FAULTS.iter().map(fault).collect(), common.collect());
    format!("Faults, as in --fault latency:200ms~50ms,way=down,p=0.5:\n{faults}\nWhat each of them takes:\n{common}")
}

/// The directions in which a fault holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ways {
    /// From the client to the server.
    Up,
    /// From the server to the client.
    Down,
    /// Both, each by itself.
    #[default]
    Both,
}

impl Ways {
    /// Whether that is one of them.
    pub fn has(self, way: Way) -> bool {
        matches!((self, way), (Self::Both, _) | (Self::Up, Way::Up) | (Self::Down, Way::Down))
    }
}

/// What goes wrong, and for whom.
#[derive(Clone)]
pub struct Fault {
    /// What it is called in the log. Of several faults of one name, the later ones get a number.
    pub name: String,
    /// Where it holds.
    pub ways: Ways,
    /// The share of conversations that have it, 0 to 1.
    pub share: f64,
    /// Only for the first so many conversations.
    pub first: Option<u64>,
    /// Only for each conversation whose number is a multiple of this.
    pub every: Option<u64>,
    after: Option<After>,
    spec: &'static Spec,
    kind: Arc<dyn Kind>,
}

impl Fault {
    /// Reads one as it is written on the command line.
    ///
    /// ```
    /// use hullo::fault::{Fault, Ways};
    ///
    /// let fault = Fault::parse("latency:200ms~50ms,way=down,p=0.5,every=3,name=slow")?;
    /// assert_eq!((fault.kind(), fault.ways, fault.share), ("latency", Ways::Down, 0.5));
    /// assert_eq!(Fault::parse(&fault.to_string())?, fault);
    /// # Ok::<(), hullo::Error>(())
    /// ```
    ///
    /// # Errors
    /// A mistake, which names itself and the nearest word that is known.
    pub fn parse(text: &str) -> Result<Self> {
        let (kind, rest) = match text.find([':', ',']) {
            Some(at) => (&text[..at], &text[at + 1..]),
            None => (text, ""),
        };
        let known = FAULTS.iter().map(|spec| spec.name);
        let spec = FAULTS.iter().find(|spec| spec.name == kind).ok_or_else(|| unknown("fault", kind, known))?;
        let mut words = Words::of(spec, rest)?;
        let fault = Self {
            name: words.name()?.unwrap_or_else(|| kind.to_owned()),
            ways: words.ways()?,
            share: words.share("p")?.unwrap_or(1.0),
            first: words.count("first")?,
            every: words.count("every")?,
            after: words.after()?,
            spec,
            kind: (spec.read)(&mut words)?,
        };
        words.done()?;
        Ok(fault)
    }

    /// The name of its kind, as in [`FAULTS`].
    pub fn kind(&self) -> &'static str {
        self.spec.name
    }

    /// Refuses a fault that means nothing on packets, or nothing on streams.
    ///
    /// # Errors
    /// Which of them it is for.
    pub fn suit(&self, packets: bool) -> Result<()> {
        let (its, here) = match (self.spec.on, packets) {
            (On::Streams, true) => ("streams", "packets"),
            (On::Packets, false) => ("packets", "a stream"),
            _ => return Ok(()),
        };
        let about = format!("the fault {} is for {its}, and here are {here}", self.spec.name);
        Err(Error::usage(about.replace("are a", "is a")))
    }

    /// Whether the conversation of that number has it.
    fn chooses(&self, seed: u64, flow: u64) -> bool {
        self.first.is_none_or(|first| flow <= first)
            && self.every.is_none_or(|every| flow.is_multiple_of(every.max(1)))
            && (self.share >= 1.0 || draw::Draw::new(seed, flow, &self.name, None).chance(self.share))
    }

    /// Whether something comes of it in that direction.
    fn acts(&self, way: Way, packets: bool) -> bool {
        self.ways.has(way) && self.spec.on != On::Conversations && self.suit(packets).is_ok()
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut words = vec![self.kind.words()];
        match self.ways {
            Ways::Both => {}
            Ways::Up => words.push("way=up".to_owned()),
            Ways::Down => words.push("way=down".to_owned()),
        }
        words.extend((self.share != 1.0).then(|| format!("p={}", self.share)));
        words.extend(self.first.map(|first| format!("first={first}")));
        words.extend(self.every.map(|every| format!("every={every}")));
        words.extend(self.after.map(|after| format!("after={after}")));
        words.extend((self.name != self.spec.name).then(|| format!("name={}", words::name_of(&self.name))));
        words.retain(|word| !word.is_empty());
        f.write_str(self.spec.name)?;
        if words.is_empty() { Ok(()) } else { write!(f, ":{}", words.join(",")) }
    }
}

impl fmt::Debug for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fault({self})")
    }
}

/// Two faults are the same if they are written the same.
impl PartialEq for Fault {
    fn eq(&self, other: &Self) -> bool {
        self.to_string() == other.to_string()
    }
}

impl FromStr for Fault {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::parse(text)
    }
}
