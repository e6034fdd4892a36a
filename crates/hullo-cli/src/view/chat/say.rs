//! What becomes of a line that was typed.

use hullo::{
    Error,
    chat::{
        Ask, Event, LOBBY,
        line::Lines,
        text,
        typed::{Typed, help, typed},
    },
};

use super::{
    news::Wish,
    room::{Fate, What},
    state::{EARLIER, State, enter},
};

/// What the screen itself can do, which the help of the commands does not know.
const KEYS: &str = "Tab completes; Alt-1 to Alt-9, Ctrl-N and Ctrl-P change the room; PgUp and PgDn scroll, Esc goes to the end; \
                    Alt-Enter begins a new line; Ctrl-C leaves";

/// The mark of making an account.
pub(crate) const REGISTER: &str = "register";

/// The mark of whatever else is asked, so that it is known when that is refused.
pub(crate) const ASKED: &str = "asked";

/// What is to be done about a line, once it is known what it means.
pub(crate) enum Meaning {
    Nothing,
    Bye,
    Help {
        /// It is the help of all commands.
        all: bool,
        text: String,
    },
    /// To be in this room from now on.
    Go(String),
    Ask(Ask),
    /// There is nothing that could be changed.
    NothingOfOurs,
}

impl Meaning {
    /// In that room, where the uid of what we said last is `last`.
    pub(crate) fn of(typed: Typed, room: String, last: Option<String>) -> Self {
        match typed {
            Typed::Nothing => Self::Nothing,
            Typed::Bye => Self::Bye,
            Typed::Help(command) => Self::Help { all: command.is_none(), text: help(command.as_deref()) },
            Typed::Current(room) => Self::Go(room),
            Typed::Ask(ask) => Self::Ask(ask),
            Typed::Login { name, password } => {
                Self::Ask(Ask::Hello { name: Some(name), password: Some(password), token: None })
            }
            Typed::History { room: other, count } => {
                Self::Ask(Ask::History { room: other.unwrap_or(room), before: None, limit: Some(count) })
            }
            Typed::EditLast(text) => last.map_or(Self::NothingOfOurs, |of| Self::Ask(Ask::Edit { room, of, text })),
            Typed::DeleteLast => last.map_or(Self::NothingOfOurs, |of| Self::Ask(Ask::Delete { room, of })),
        }
    }
}

impl State {
    /// Does what was typed.
    pub(super) fn submit(&mut self, now: i64) -> Vec<Wish> {
        let typed_text = self.input.text().to_owned();
        if self.lines {
            self.input.take();
            return self.say_lines(&typed_text, now);
        }
        let current = self.room().map_or_else(|| LOBBY.to_owned(), |room| room.name.clone());
        match typed(&typed_text, &current) {
            Ok(meant) => {
                self.input.take();
                self.mean(meant, current, now)
            }
            // The line stays, to be mended.
            Err(error) => {
                self.complain(&error, now);
                Vec::new()
            }
        }
    }

    /// To a server that knows lines alone each of them is sent as it is: it knows what they mean.
    fn say_lines(&mut self, text: &str, now: i64) -> Vec<Wish> {
        let lines: Vec<_> = text.lines().filter(|line| !line.trim().is_empty()).map(str::to_owned).collect();
        for line in &lines {
            if !line.starts_with("/login ") && !line.starts_with("/register ") {
                self.echo_line(line, now);
            }
            self.leaving = ["byebye", "/bye", "/exit", "/quit"].contains(&line.trim());
        }
        if let Some(room) = self.room_mut() {
            (room.anchor, room.unread_from) = (None, None);
        }
        lines.into_iter().map(Wish::Line).collect()
    }

    fn mean(&mut self, meant: Typed, room: String, now: i64) -> Vec<Wish> {
        match Meaning::of(meant, room, self.last_of_ours()) {
            Meaning::Nothing => Vec::new(),
            Meaning::Bye => vec![Wish::Quit],
            Meaning::Help { all, text } => {
                self.note(self.current, &text, now);
                if all {
                    self.note(self.current, KEYS, now);
                }
                Vec::new()
            }
            Meaning::Go(wanted) => self.go(wanted),
            Meaning::NothingOfOurs => {
                self.note(self.current, "! you have said nothing here", now);
                Vec::new()
            }
            Meaning::Ask(ask) => self.ask(ask, now),
        }
    }

    /// Asks for something, and shows at once what it says.
    fn ask(&mut self, mut ask: Ask, now: i64) -> Vec<Wish> {
        let says = matches!(ask, Ask::Say { .. } | Ask::Tell { .. });
        if !says && !self.is_here() {
            self.note(self.current, "! there is no connection now; what you say is kept until there is", now);
            return Vec::new();
        }
        if let Ask::Join { room, .. } = &ask {
            self.wanted = Some(room.clone());
        }
        if says {
            let before = self.rooms.len();
            self.echo(&mut ask, now);
            // A conversation with one person that begins with this is what one looks at.
            if self.rooms.len() > before {
                _ = self.show(before);
            }
        }
        vec![Wish::Ask(ask)]
    }

    /// Shows that room, which may have to be entered first.
    fn go(&mut self, wanted: String) -> Vec<Wish> {
        let known = self.rooms.iter().position(|room| room.name == wanted || room.title(&self.me) == wanted);
        if let Some(index) = known {
            let wishes = self.show(index);
            // What is shown may be a room that we were put out of.
            let left = self.is_here() && !self.rooms[index].live && wishes.is_empty();
            return if left { vec![Wish::Ask(enter(&wanted))] } else { wishes };
        }
        let wish = Wish::Ask(enter(&wanted));
        self.wanted = Some(wanted);
        vec![wish]
    }

    /// Asks for what was said before all that is here, where there is more.
    pub(super) fn fetch(&mut self) -> Vec<Wish> {
        let (epoch, ready) = (self.epoch, self.is_here() && !self.lines);
        let Some(room) = self.room_mut() else { return Vec::new() };
        if !ready || !room.more || room.fetching || !room.live {
            return Vec::new();
        }
        room.fetching = true;
        // Where nothing is here all that there is was earlier.
        let before = room.oldest(epoch).or(Some(i64::MAX as u64));
        vec![Wish::Ask(Ask::History { room: room.name.clone(), before, limit: None })]
    }

    /// Tells an event as lines that nobody said.
    pub(super) fn tell(&mut self, index: usize, event: &Event, now: i64) {
        if let Event::History { room, messages, .. } = event {
            return self.found(room, messages, now);
        }
        let current = self.rooms.get(index).map(|room| room.name.clone()).unwrap_or_default();
        let lines = Lines { me: self.me.clone(), current };
        if let Some(line) = lines.line(event) {
            let line = line.strip_prefix("* ").unwrap_or(&line);
            self.note(index, &line.replace("\n  | ", "\n  "), now);
        }
    }

    /// What a search has found, with the times of this clock.
    fn found(&mut self, room: &str, messages: &[hullo::chat::Said], now: i64) {
        let lines = Lines { me: self.me.clone(), current: String::new() };
        let mut text = match messages.len() {
            0 => format!("there is nothing of that in {}", lines.place(room)),
            found => format!("{found} found in {}:", lines.place(room)),
        };
        for said in messages {
            let (day, time) = (self.clock.words(said.at.time), self.clock.time(said.at.time));
            text += &format!("\n  {day} {time} {}: {}", said.at.from, text::clean(&said.text, false));
        }
        self.note(self.current, &text, now);
    }

    /// The uid of what we said last here.
    fn last_of_ours(&self) -> Option<String> {
        self.room()?.entries.iter().rev().find_map(|entry| match &entry.what {
            // One that is not kept yet is on its way before the change to it.
            What::Said { said, fate: Fate::Kept | Fate::Unkept, .. } if said.at.from == self.me && !said.deleted => {
                Some(said.at.uid.clone())
            }
            _ => None,
        })
    }

    fn complain(&mut self, error: &Error, now: i64) {
        let hint = error.advice().map(|hint| format!(" ({hint})")).unwrap_or_default();
        self.note(self.current, &format!("! {error}{hint}"), now);
    }
}

/// The mark of a question, by which its answer is known.
pub(crate) fn tag(ask: &Ask) -> Option<String> {
    match ask {
        Ask::History { room, before: Some(_), .. } => Some(format!("{EARLIER}{room}")),
        Ask::Register { .. } => Some(REGISTER.to_owned()),
        // What is said has a uid.
        Ask::Say { .. } | Ask::Tell { .. } => None,
        _ => Some(ASKED.to_owned()),
    }
}
