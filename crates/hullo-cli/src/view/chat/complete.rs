//! Tab: what was begun is completed, and once more is the next possibility.

use hullo::chat::typed::COMMANDS;

use super::state::State;

/// Commands whose first word is a room.
const OF_ROOMS: &[&str] = &["/join", "/j", "/leave", "/part", "/who", "/names"];

/// A completion under way.
pub(crate) struct Completion {
    /// Where in the text it begins.
    start: usize,
    choices: Vec<String>,
    next: usize,
}

impl State {
    /// Completes what stands before the cursor, or takes the next choice (the one before, if `back`).
    pub(super) fn complete(&mut self, back: bool) {
        let mut completion = match self.completion.take() {
            Some(mut going) => {
                let count = going.choices.len();
                going.next = (going.next + if back { count - 1 } else { 1 }) % count;
                going
            }
            None => match self.begin() {
                Some(begun) => begun,
                None => return,
            },
        };
        if let Some(choice) = completion.choices.get(completion.next) {
            self.input.replace(completion.start, choice);
        }
        if completion.choices.len() > 1 {
            self.completion = Some(completion);
        } else {
            completion.choices.clear();
        }
    }

    fn begin(&self) -> Option<Completion> {
        let before = self.input.before();
        let start = before.rfind(char::is_whitespace).map_or(0, |at| at + 1);
        let (earlier, word) = before.split_at(start);
        if word.is_empty() {
            return None;
        }
        let choices: Vec<_> = match earlier.trim_end() {
            "" if word.starts_with('/') => self.commands(word),
            command if OF_ROOMS.contains(&command) => self.rooms_like(word),
            command => {
                let names = self.names_like(word, if command.is_empty() { ": " } else { " " });
                if names.is_empty() { self.rooms_like(word) } else { names }
            }
        };
        (!choices.is_empty()).then_some(Completion { start, choices, next: 0 })
    }

    fn commands(&self, word: &str) -> Vec<String> {
        let begun = word.trim_start_matches('/').to_lowercase();
        let names = COMMANDS.iter().map(|command| command.name).filter(|name| name.starts_with(&begun));
        names.map(|name| format!("/{name} ")).collect()
    }

    fn rooms_like(&self, word: &str) -> Vec<String> {
        let begun = word.trim_start_matches('#').to_lowercase();
        let titles = self.rooms.iter().map(|room| room.title(&self.me));
        titles.filter(|title| title.to_lowercase().starts_with(&begun)).map(|title| title + " ").collect()
    }

    /// Those who are here, whoever spoke last first.
    fn names_like(&self, word: &str, end: &str) -> Vec<String> {
        let (at, begun) = if let Some(rest) = word.strip_prefix('@') { ("@", rest) } else { ("", word) };
        let begun = begun.to_lowercase();
        let Some(room) = self.room() else { return Vec::new() };
        let people = room.people.iter().filter(|name| **name != self.me && name.to_lowercase().starts_with(&begun));
        let mut people: Vec<_> = people.collect();
        let spoken = room.entries.iter().rev().take(200).filter_map(|entry| entry.speaker()).collect::<Vec<_>>();
        people.sort_by_key(|name| spoken.iter().position(|speaker| speaker == name).unwrap_or(usize::MAX));
        people.into_iter().map(|name| format!("{at}{name}{end}")).collect()
    }
}
