//! What the servers of one chat tell each other and do not keep, and who is elsewhere by that.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::chat::Entry;

/// How often each server says who is there.
pub(super) const EVERY: Duration = Duration::from_secs(2);

/// A server that has said nothing for so long is gone.
const SILENT: Duration = Duration::from_secs(7);

/// Bytes of one word, about: brokers take a megabyte.
const PART: usize = 200 << 10;

/// Servers that are known, and people on each of them; of more nothing is said here.
const SERVERS: usize = 256;
const PEOPLE: usize = 100_000;

/// What one server tells the others.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "word", rename_all = "lowercase")]
pub(in super::super) enum Word {
    /// All who are there, in one or more parts.
    All { server: Arc<str>, first: bool, last: bool, people: Vec<Present> },
    /// Those of whom something is another way now.
    Some { server: Arc<str>, people: Vec<Present> },
    /// It ends.
    Bye { server: Arc<str> },
    /// Somebody is writing.
    Typing { room: Arc<str>, name: Arc<str> },
    /// A private message that is not kept, for whoever has that author.
    Alone { to: Arc<str>, entry: Entry },
}

/// Somebody on a server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in super::super) struct Present {
    pub(in super::super) author: Arc<str>,
    pub(in super::super) name: Arc<str>,
    #[serde(default)]
    pub(in super::super) account: bool,
    /// Where they are; nothing if they are gone.
    #[serde(default)]
    pub(in super::super) rooms: Option<Vec<Arc<str>>>,
}

/// Somebody elsewhere who came, went, or is another way now.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) was: Option<Present>,
    pub(super) is: Option<Present>,
}

impl Word {
    pub(super) fn bytes(&self) -> Bytes {
        // What we have made can be written.
        serde_json::to_vec(self).unwrap_or_default().into()
    }

    /// The words that say who is here.
    pub(super) fn all(server: &Arc<str>, people: Vec<Present>) -> Vec<Self> {
        let mut parts = vec![Vec::new()];
        let mut size = 0;
        for present in people {
            size += 100 + present.author.len() + present.name.len();
            size += present.rooms.iter().flatten().map(|room| room.len() + 8).sum::<usize>();
            if size > PART {
                parts.push(Vec::new());
                size = 0;
            }
            parts.last_mut().into_iter().for_each(|part| part.push(present.clone()));
        }
        let count = parts.len();
        let word = |(at, people)| Self::All { server: server.clone(), first: at == 0, last: at + 1 == count, people };
        parts.into_iter().enumerate().map(word).collect()
    }
}

/// The other servers.
#[derive(Default)]
pub(super) struct Others(HashMap<Arc<str>, Server>);

struct Server {
    heard: Instant,
    people: HashMap<Arc<str>, Present>,
    /// The parts of what it says of all, as far as they have come.
    coming: Option<HashMap<Arc<str>, Present>>,
}

impl Others {
    /// What changes with what a server says of all its people, or of some.
    pub(super) fn hear(&mut self, server: &Arc<str>, (first, last): (bool, bool), people: Vec<Present>) -> Vec<Change> {
        let Some(server) = self.server(server) else { return Vec::new() };
        if first {
            server.coming = Some(HashMap::new());
        }
        let Some(mut coming) = server.coming.take() else { return Vec::new() };
        coming.extend(people.into_iter().take(PEOPLE - coming.len().min(PEOPLE)).map(|one| (one.author.clone(), one)));
        if !last {
            server.coming = Some(coming);
            return Vec::new();
        }
        let gone: Vec<_> = server.people.keys().filter(|author| !coming.contains_key(*author)).cloned().collect();
        let mut changes: Vec<_> = gone.iter().filter_map(|author| server.lose(author)).collect();
        changes.extend(coming.into_values().filter_map(|present| server.learn(present)));
        changes
    }

    /// What changes with what a server says of some of its people.
    pub(super) fn hear_of(&mut self, server: &Arc<str>, people: Vec<Present>) -> Vec<Change> {
        let Some(server) = self.server(server) else { return Vec::new() };
        people.into_iter().filter_map(|present| server.learn(present)).collect()
    }

    /// What changes as a server ends.
    pub(super) fn forget(&mut self, server: &str) -> Vec<Change> {
        let people = self.0.remove(server).map(|server| server.people).unwrap_or_default();
        people.into_values().map(|was| Change { was: Some(was), is: None }).collect()
    }

    /// What changes as servers have been silent for too long.
    pub(super) fn forget_silent(&mut self) -> Vec<Change> {
        let silent = self.0.iter().filter(|(_, server)| server.heard.elapsed() > SILENT);
        let silent: Vec<_> = silent.map(|(name, _)| name.clone()).collect();
        silent.iter().flat_map(|name| self.forget(name)).collect()
    }

    fn server(&mut self, name: &Arc<str>) -> Option<&mut Server> {
        if !self.0.contains_key(name) && self.0.len() >= SERVERS {
            return None;
        }
        let fresh = || Server { heard: Instant::now(), people: HashMap::new(), coming: None };
        let server = self.0.entry(name.clone()).or_insert_with(fresh);
        server.heard = Instant::now();
        Some(server)
    }
}

impl Server {
    fn learn(&mut self, present: Present) -> Option<Change> {
        if present.rooms.is_none() {
            return self.lose(&present.author);
        }
        let was = self.people.get(&present.author);
        if was == Some(&present) || was.is_none() && self.people.len() >= PEOPLE {
            return None;
        }
        let was = self.people.insert(present.author.clone(), present.clone());
        Some(Change { was, is: Some(present) })
    }

    fn lose(&mut self, author: &str) -> Option<Change> {
        self.people.remove(author).map(|was| Change { was: Some(was), is: None })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn present(author: &str, rooms: &[&str]) -> Present {
        let rooms = Some(rooms.iter().map(|room| (*room).into()).collect());
        Present { author: author.into(), name: author.to_uppercase().as_str().into(), account: false, rooms }
    }

    fn told(changes: &[Change]) -> Vec<String> {
        let rooms = |present: &Option<Present>| match present {
            Some(present) => format!("{}@{}", present.name, present.rooms.clone().unwrap_or_default().join("+")),
            None => "-".to_owned(),
        };
        let mut told: Vec<_> =
            changes.iter().map(|change| format!("{} {}", rooms(&change.was), rooms(&change.is))).collect();
        told.sort();
        told
    }

    #[test]
    fn what_is_said_of_all_takes_the_place_of_what_was_known() {
        let (mut others, server) = (Others::default(), "s".into());
        let all = (true, true);
        let first = others.hear(&server, all, vec![present("a", &["x"]), present("b", &[])]);
        assert_eq!(told(&first), ["- A@x", "- B@"]);
        assert!(others.hear(&server, all, vec![present("b", &[]), present("a", &["x"])]).is_empty());
        let some =
            others.hear_of(&server, vec![present("a", &["x", "y"]), Present { rooms: None, ..present("b", &[]) }]);
        assert_eq!(told(&some), ["A@x A@x+y", "B@ -"]);
        let again = others.hear(&server, all, vec![present("c", &["x"])]);
        assert_eq!(told(&again), ["- C@x", "A@x+y -"]);
        assert_eq!(told(&others.forget("s")), ["C@x -"]);
    }

    #[test]
    fn parts_count_when_the_last_has_come() {
        let (mut others, server) = (Others::default(), "s".into());
        let lost = others.hear(&server, (false, true), vec![present("a", &["x"])]);
        assert!(lost.is_empty(), "its first part was not heard");
        assert!(others.hear(&server, (true, false), vec![present("a", &["x"])]).is_empty());
        let both = others.hear(&server, (false, true), vec![present("b", &["x"])]);
        assert_eq!(told(&both), ["- A@x", "- B@x"]);
    }

    #[test]
    fn many_people_are_many_words() {
        let people: Vec<_> = (0..5000).map(|number| present(&format!("author {number}"), &["lobby"])).collect();
        let words = Word::all(&"s".into(), people.clone());
        assert!(words.len() > 1 && words.iter().all(|word| word.bytes().len() < 1 << 20));
        let (mut others, mut heard) = (Others::default(), 0);
        for word in words {
            let Word::All { server, first, last, people } = serde_json::from_slice(&word.bytes()).unwrap() else {
                panic!()
            };
            heard += others.hear(&server, (first, last), people).len();
        }
        assert_eq!(heard, people.len());
        assert_eq!(Word::all(&"s".into(), Vec::new()).len(), 1, "nobody is something to say too");
    }
}
