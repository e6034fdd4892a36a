//! What a group is made of: servers, loads, and whose figures are put side by side.

use super::figures::Reads;

/// Contenders that do the same.
pub(crate) struct Group {
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    /// What is done, in whole sentences, for the page.
    pub(crate) about: &'static str,
    pub(crate) unit: Unit,
    pub(crate) subject: Subject,
    /// What the chart draws.
    pub(crate) judged: By,
    /// A helper on the generator's core that the servers talk to: its command, if any.
    pub(crate) behind: Option<&'static str>,
    pub(crate) servers: &'static [Server],
    pub(crate) loads: &'static [Load],
}

/// Who contends, while the others of the group are the course.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Subject {
    /// Servers, under each of the loads.
    Servers,
    /// Generators, with the server that each of them is made for.
    Generators,
}

#[derive(Clone, Copy, PartialEq)]
pub(crate) enum By {
    Rate,
    /// Work per CPU-second of the contender.
    Work,
}

#[derive(Clone, Copy)]
pub(crate) enum Unit {
    Each(&'static str),
    Bytes,
}

impl Unit {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Each(name) => name,
            Self::Bytes => "GB",
        }
    }
}

/// A server: `{port}` is where it listens, `{second}` and `{third}` are further ports, `{behind}` is the helper's.
pub(crate) struct Server {
    pub(crate) name: &'static str,
    /// Nothing where the generator goes to the helper itself.
    pub(crate) command: &'static str,
    /// A file of `xtask/perf`, of which `{configuration}` is the path once it is filled in.
    pub(crate) configuration: Option<&'static str>,
    pub(crate) door: Door,
    /// What `{speaks}` is in the words of its generators.
    pub(crate) speaks: &'static str,
    /// Loads that it is not made for.
    pub(crate) never: &'static [&'static str],
}

/// Which of a server's ports the generator goes to.
#[derive(Clone, Copy)]
pub(crate) enum Door {
    First,
    Second,
    Third,
    Behind,
}

/// A generator: `{at}` is the server's port, `{seconds}`, `{whole}` and `{milliseconds}` are how long it runs.
pub(crate) struct Load {
    pub(crate) name: &'static str,
    pub(crate) command: &'static str,
    pub(crate) reads: Reads,
    /// The one server that it goes to; all of them if there is no name.
    pub(crate) to: &'static str,
}

pub(crate) const fn server(name: &'static str, command: &'static str) -> Server {
    Server { name, command, configuration: None, door: Door::First, speaks: "", never: &[] }
}

pub(crate) const fn load(name: &'static str, command: &'static str, reads: Reads) -> Load {
    Load { name, command, reads, to: "" }
}

impl Server {
    pub(crate) const fn configured(mut self, file: &'static str) -> Self {
        self.configuration = Some(file);
        self
    }

    pub(crate) const fn by(mut self, door: Door) -> Self {
        self.door = door;
        self
    }

    pub(crate) const fn speaking(mut self, words: &'static str) -> Self {
        self.speaks = words;
        self
    }

    pub(crate) const fn never(mut self, loads: &'static [&'static str]) -> Self {
        self.never = loads;
        self
    }
}

impl Load {
    pub(crate) const fn to(mut self, server: &'static str) -> Self {
        self.to = server;
        self
    }

    pub(crate) fn suits(&self, server: &Server) -> bool {
        (self.to.is_empty() || self.to == server.name) && !server.never.contains(&self.name)
    }
}
