//! What a person types: a line that begins with `/` is a command, and every other is said.
//!
//! The table below is all there is: the parser, the help and the completions of clients are made of it.

use std::{fmt::Write, time::Duration};

use super::{
    Act, Ask, PASSWORD,
    name::{nick, person, room},
    text,
};
use crate::error::{Error, Kind, Result, brief, nearest};

/// What a typed line means.
#[derive(Clone, Debug, PartialEq)]
pub enum Typed {
    /// Nothing was typed.
    Nothing,
    /// Something that is asked of the server. An [`Ask::Join`], which is one with a word for the invited, makes that room
    /// the current one, as [`Typed::Current`] does.
    Ask(Ask),
    /// This room is entered, and is the current one from now on.
    Current(String),
    /// One is that account from now on.
    Login {
        /// Its name.
        name: String,
        /// Its password.
        password: String,
    },
    /// [`help`] is wanted, of this command or of all.
    Help(Option<String>),
    /// One leaves.
    Bye,
    /// What was said earlier is wanted.
    History {
        /// Where, if not in the current room.
        room: Option<String>,
        /// How many messages.
        count: usize,
    },
    /// The last message of one's own in the current room gets this text.
    EditLast(String),
    /// The last message of one's own in the current room is taken back.
    DeleteLast,
}

/// A command that people type.
#[derive(Debug)]
pub struct Command {
    /// Its name, without the `/`.
    pub name: &'static str,
    /// Its other names.
    pub aliases: &'static [&'static str],
    /// What it takes, as the help shows it.
    pub arguments: &'static str,
    /// What it does.
    pub help: &'static str,
    parse: fn(Given<'_>) -> Result<Typed>,
}

macro_rules! commands {
    ($($name:literal $([$($alias:literal),*])? $arguments:literal, $help:literal, $parse:expr;)*) => {
        /// Every command, in the order in which the help shows them.
        pub const COMMANDS: &[Command] = &[$(Command {
            name: $name,
            aliases: &[$($($alias),*)?],
            arguments: $arguments,
            help: $help,
            parse: $parse,
        }),*];
    };
}

commands! {
    "nick" ["name"] "NAME", "takes another name", |mut given| {
        let name = nick(given.word()?)?.shown;
        given.ask(Ask::Name { name })
    };
    "join" ["j"] "ROOM [WORD]", "enters a room, a closed one with the word of an invitation; @bob is bob alone", join;
    "leave" ["part"] "[ROOM]", "leaves this room, or that one", |mut given| {
        let room = given.room()?;
        given.ask(Ask::Leave { room })
    };
    "rooms" ["list"] "", "says which rooms there are", |given| given.ask(Ask::Rooms);
    "who" ["names"] "[ROOM]", "says who is here, or there", |mut given| {
        let room = given.room()?;
        given.ask(Ask::Who { room })
    };
    "me" ["action"] "TEXT", "says what you do: /me waves", |given| {
        let (room, text) = (given.current.to_owned(), given.text()?);
        Ok(Typed::Ask(Ask::Say { room, text, uid: None, me: true }))
    };
    "msg" ["tell", "w"] "NAME TEXT", "says something to one person alone", |mut given| {
        let to = given.person()?;
        Ok(Typed::Ask(Ask::Tell { to, text: given.text()?, uid: None }))
    };
    "topic" [] "TEXT|-", "sets the topic of this room; - takes it away", |given| {
        let (room, text) = (given.current.to_owned(), text::topic(given.some()?)?.into_owned());
        Ok(Typed::Ask(Ask::Topic { room, text: if text == "-" { String::new() } else { text } }))
    };
    "history" ["last"] "[COUNT] [ROOM]", "shows what was said earlier", history;
    "search" ["find"] "WORDS", "looks for messages with all of these words; a word ending in * is a beginning", |given| {
        let (room, text) = (given.current.to_owned(), given.text()?);
        Ok(Typed::Ask(Ask::Search { room, text, before: None, limit: None }))
    };
    "edit" ["e"] "TEXT", "gives your last message another text", |given| Ok(Typed::EditLast(given.text()?));
    "delete" ["undo"] "", "takes your last message back", |given| given.alone(Typed::DeleteLast);
    "op" [] "NAME", "makes somebody an operator of this room", |given| given.rule(Act::Op);
    "deop" [] "NAME", "takes that back", |given| given.rule(Act::Deop);
    "kick" [] "NAME [WHY]", "puts somebody out of this room", |given| given.rule(Act::Kick);
    "ban" [] "NAME [10m] [WHY]", "puts somebody out, for a time or for good", |given| given.rule(Act::Ban);
    "unban" [] "NAME", "takes that back", |given| given.rule(Act::Unban);
    "mute" [] "NAME [10m] [WHY]", "lets somebody listen only, for a time or for good", |given| given.rule(Act::Mute);
    "unmute" [] "NAME", "takes that back", |given| given.rule(Act::Unmute);
    "open" [] "", "opens this room to everybody", |given| given.rule(Act::Open);
    "close" [] "", "lets in the invited only", |given| given.rule(Act::Close);
    "invite" [] "", "asks for a word that opens this room, and closes it to those without", |given| {
        let room = given.current.to_owned();
        given.ask(Ask::Invite { room })
    };
    "register" [] "PASSWORD", "makes your name an account, which nobody else can use", |given| {
        let password = given.password()?;
        Ok(Typed::Ask(Ask::Register { password }))
    };
    "login" [] "NAME PASSWORD", "makes you the owner of that account", |mut given| {
        let name = nick(given.word()?)?.shown;
        Ok(Typed::Login { name, password: given.password()? })
    };
    "help" ["h", "?"] "[COMMAND]", "says what there is, or what that does", |mut given| {
        let command = given.next().map(|word| word.trim_start_matches('/').to_owned());
        given.alone(Typed::Help(command))
    };
    "quit" ["exit", "bye"] "", "leaves; so does byebye", |_| Ok(Typed::Bye);
}

/// How many messages `/history` shows, and the most that it does.
const COUNT: (usize, usize) = (20, 500);

/// What a line means that somebody types whose current room is `current`.
///
/// # Errors
/// [`Kind::Usage`]: there is no such command, or what it takes is not what was given; the hint says how it is used.
/// [`Kind::TooLarge`]: a text is too long.
pub fn typed(line: &str, current: &str) -> Result<Typed> {
    let line = line.trim_end();
    if line.is_empty() {
        return Ok(Typed::Nothing);
    }
    if line.trim_start().eq_ignore_ascii_case("byebye") {
        return Ok(Typed::Bye);
    }
    match line.strip_prefix('/') {
        Some(rest) if !rest.starts_with('/') => meant(rest, current),
        rest => {
            let text = text::message(rest.unwrap_or(line), true)?.into_owned();
            Ok(Typed::Ask(Ask::Say { room: current.to_owned(), text, uid: None, me: false }))
        }
    }
}

/// What the commands are, or what that one is and takes; it ends without a line break.
pub fn help(command: Option<&str>) -> String {
    match command.map(find) {
        None => {
            let lines = COMMANDS.iter().map(|command| format!("{:<24} {}", command.form(), command.help));
            let all = lines.collect::<Vec<_>>().join("\n");
            format!("{all}\nWhat begins with no / is said, and so is what begins with two of them.")
        }
        Some(Ok(command)) => {
            let mut text = format!("{} {}", command.form(), command.help);
            if !command.aliases.is_empty() {
                let _ = write!(text, " (also /{})", command.aliases.join(", /")); // A string takes it all.
            }
            text
        }
        Some(Err(error)) => format!("{error}; {}", error.advice().unwrap_or_default()),
    }
}

impl Command {
    /// How it is typed: `/kick NAME [WHY]`.
    pub fn form(&self) -> String {
        format!("/{} {}", self.name, self.arguments).trim_end().to_owned()
    }
}

fn meant(line: &str, current: &str) -> Result<Typed> {
    let (name, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    let command = find(name)?;
    (command.parse)(Given { command, rest: rest.trim(), current })
}

fn find(name: &str) -> Result<&'static Command> {
    let name = name.to_lowercase();
    let names = |command: &'static Command| command.aliases.iter().copied().chain([command.name]);
    COMMANDS.iter().find(|command| names(command).any(|other| other == name)).ok_or_else(|| {
        let error = Error::usage(format!("no command is called '/{}'", brief(&name)));
        error.hint(match nearest(&name, COMMANDS.iter().flat_map(names)) {
            Some(near) => format!("did you mean /{near}? /help says what there is"),
            None => "/help says what there is, and // begins a message with /".to_owned(),
        })
    })
}

fn join(mut given: Given<'_>) -> Result<Typed> {
    let room = given.named_room()?;
    match given.next().map(str::to_owned) {
        None => Ok(Typed::Current(room)),
        token => given.ask(Ask::Join { room, after: None, log: None, uid: None, history: None, token }),
    }
}

fn history(mut given: Given<'_>) -> Result<Typed> {
    let (mut count, mut room) = (None, None);
    while let Some(word) = given.peek() {
        match word.parse::<usize>() {
            Ok(number) if count.is_none() && number > 0 => count = Some(number),
            Err(_) if room.is_none() => {
                room = Some(given.named_room()?);
                continue;
            }
            _ => return Err(given.wrong()),
        }
        given.next();
    }
    Ok(Typed::History { room, count: count.unwrap_or(COUNT.0).min(COUNT.1) })
}

/// What stands after a command, and is taken from it word by word.
struct Given<'a> {
    command: &'static Command,
    rest: &'a str,
    current: &'a str,
}

impl<'a> Given<'a> {
    fn peek(&self) -> Option<&'a str> {
        self.rest.split(char::is_whitespace).next().filter(|word| !word.is_empty())
    }

    fn next(&mut self) -> Option<&'a str> {
        let word = self.peek()?;
        self.rest = self.rest[word.len()..].trim_start();
        Some(word)
    }

    fn word(&mut self) -> Result<&'a str> {
        self.next().ok_or_else(|| self.wrong())
    }

    fn some(&self) -> Result<&'a str> {
        Some(self.rest).filter(|rest| !rest.is_empty()).ok_or_else(|| self.wrong())
    }

    fn text(&self) -> Result<String> {
        Ok(text::message(self.some()?, true)?.into_owned())
    }

    fn person(&mut self) -> Result<String> {
        let word = self.word()?;
        person(word.strip_prefix('@').unwrap_or(word))
    }

    fn room(&mut self) -> Result<String> {
        if self.rest.is_empty() { Ok(self.current.to_owned()) } else { self.named_room() }
    }

    fn named_room(&mut self) -> Result<String> {
        let word = self.word()?;
        match word.strip_prefix('@') {
            Some(name) => Ok(format!("@{}", person(name)?)),
            None => room(word),
        }
    }

    fn password(&self) -> Result<String> {
        let password = self.some()?;
        if password.len() > PASSWORD {
            return Err(Error::new(Kind::TooLarge, format!("a password has at most {PASSWORD} bytes")));
        }
        Ok(password.to_owned())
    }

    /// For how many seconds, if the next word says so.
    fn seconds(&mut self) -> Result<Option<u64>> {
        let Some(word) = self.peek().filter(|word| word.starts_with(|c: char| c.is_ascii_digit())) else {
            return Ok(None);
        };
        match humantime::parse_duration(word).unwrap_or(Duration::ZERO).as_secs() {
            0 => Err(Error::usage(format!("'{}' is no time", brief(word))).hint("10m, 2h and 7d are")),
            seconds => {
                self.next();
                Ok(Some(seconds))
            }
        }
    }

    /// The act takes what the table says that it does.
    fn rule(mut self, act: Act) -> Result<Typed> {
        let takes = |what: &str| self.command.arguments.contains(what);
        let (named, timed, explained) = (takes("NAME"), takes("10m"), takes("WHY"));
        let name = if named { Some(self.person()?) } else { None };
        let seconds = if timed { self.seconds()? } else { None };
        let mut reason = None;
        if explained && !self.rest.is_empty() {
            reason = Some(text::reason(self.rest)?.into_owned());
            self.rest = "";
        }
        let room = self.current.to_owned();
        self.ask(Ask::Rule { room, act, name, reason, seconds })
    }

    fn ask(self, ask: Ask) -> Result<Typed> {
        self.alone(Typed::Ask(ask))
    }

    /// That, if nothing more was typed.
    fn alone(self, typed: Typed) -> Result<Typed> {
        if self.rest.is_empty() { Ok(typed) } else { Err(self.wrong()) }
    }

    /// It does not repeat what was typed, which may be a password.
    fn wrong(&self) -> Error {
        let Command { name, help, .. } = self.command;
        Error::usage(format!("that is not what /{name} takes")).hint(format!("{} {help}", self.command.form()))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn say(text: &str) -> Typed {
        Typed::Ask(Ask::Say { room: "dev".into(), text: text.into(), uid: None, me: false })
    }

    fn rule(act: Act, name: Option<&str>, seconds: Option<u64>, reason: Option<&str>) -> Typed {
        let (name, reason) = (name.map(str::to_owned), reason.map(str::to_owned));
        Typed::Ask(Ask::Rule { room: "dev".into(), act, name, reason, seconds })
    }

    #[test]
    fn a_line_means_what_it_says() {
        let room = || "dev".to_owned();
        let tell = |text: &str| Typed::Ask(Ask::Tell { to: "bob".into(), text: text.into(), uid: None });
        let token = Some("sesame".to_owned());
        for (line, meant) in [
            ("", Typed::Nothing),
            (" \r\n", Typed::Nothing),
            ("hi there\r\n", say("hi there")),
            ("//x", say("/x")),
            ("//", say("/")),
            (" /x", say(" /x")),
            ("byebye all", say("byebye all")),
            (" ByeBye\r", Typed::Bye),
            ("/quit", Typed::Bye),
            ("/QUIT now", Typed::Bye),
            ("/nick  Søren ", Typed::Ask(Ask::Name { name: "Søren".into() })),
            ("/join #Ops", Typed::Current("ops".into())),
            ("/j @bob", Typed::Current("@bob".into())),
            (
                "/join ops sesame",
                Typed::Ask(Ask::Join { room: "ops".into(), after: None, log: None, uid: None, history: None, token }),
            ),
            ("/leave", Typed::Ask(Ask::Leave { room: room() })),
            ("/part ops", Typed::Ask(Ask::Leave { room: "ops".into() })),
            ("/rooms", Typed::Ask(Ask::Rooms)),
            ("/names", Typed::Ask(Ask::Who { room: room() })),
            ("/me waves", Typed::Ask(Ask::Say { room: room(), text: "waves".into(), uid: None, me: true })),
            ("/msg @bob  a  b", tell("a  b")),
            ("/w bob\ttabbed", tell("tabbed")),
            ("/topic all of it", Typed::Ask(Ask::Topic { room: room(), text: "all of it".into() })),
            ("/topic -", Typed::Ask(Ask::Topic { room: room(), text: String::new() })),
            ("/history", Typed::History { room: None, count: 20 }),
            ("/history 3", Typed::History { room: None, count: 3 }),
            ("/history ops 9999", Typed::History { room: Some("ops".into()), count: 500 }),
            ("/history 5 #7", Typed::History { room: Some("7".into()), count: 5 }),
            ("/search a b*", Typed::Ask(Ask::Search { room: room(), text: "a b*".into(), before: None, limit: None })),
            ("/edit better", Typed::EditLast("better".into())),
            ("/delete", Typed::DeleteLast),
            ("/op eve", rule(Act::Op, Some("eve"), None, None)),
            ("/kick guest-7 too loud", rule(Act::Kick, Some("guest-7"), None, Some("too loud"))),
            ("/ban eve", rule(Act::Ban, Some("eve"), None, None)),
            ("/ban eve 2h", rule(Act::Ban, Some("eve"), Some(7200), None)),
            ("/mute eve 10m spam \x1b", rule(Act::Mute, Some("eve"), Some(600), Some("spam \u{fffd}"))),
            ("/close", rule(Act::Close, None, None, None)),
            ("/invite", Typed::Ask(Ask::Invite { room: room() })),
            ("/register open  sesame", Typed::Ask(Ask::Register { password: "open  sesame".into() })),
            ("/login ann x y", Typed::Login { name: "ann".into(), password: "x y".into() }),
            ("/help", Typed::Help(None)),
            ("/? /join", Typed::Help(Some("join".into()))),
        ] {
            assert_eq!(typed(line, "dev").map_err(|error| error.to_string()), Ok(meant), "{line:?}");
        }
    }

    #[test]
    fn what_cannot_be_meant_says_how_it_is_meant() {
        for (line, about, hint) in [
            ("/jion ops", "no command is called '/jion'", "did you mean /join? /help says what there is"),
            ("/", "no command is called '/'", "/help says what there is, and // begins a message with /"),
            ("/usr/bin/env", "no command is called '/usr/bin/env'", "// begins a message with /"),
            ("/\x1b[2J", "no command is called '/\\u{1b}[2j'", "/help"),
            ("/nick", "that is not what /nick takes", "/nick NAME takes another name"),
            ("/nick a b", "that is not what /nick takes", "/nick NAME"),
            ("/nick guest-3", "the name 'guest-3' is refused", "another"),
            ("/msg bob", "that is not what /msg takes", "/msg NAME TEXT"),
            ("/kick", "that is not what /kick takes", "/kick NAME [WHY]"),
            ("/op eve now", "that is not what /op takes", "/op NAME"),
            ("/ban eve 10", "'10' is no time", "10m, 2h and 7d are"),
            ("/mute eve 0s", "'0s' is no time", "10m, 2h and 7d are"),
            ("/history 0", "that is not what /history takes", "[COUNT]"),
            ("/history 1 2", "that is not what /history takes", "[COUNT]"),
            ("/join @", "the name '' is refused", "letters"),
            ("/join a\u{202e}b", "refused", "letters"),
            ("/login ann", "that is not what /login takes", "/login NAME PASSWORD"),
            ("\u{200b}", "a message without text cannot be sent", "say something"),
        ] {
            let error = typed(line, "dev").unwrap_err();
            assert!(error.to_string().contains(about), "{line:?}: {error}");
            assert!(error.advice().unwrap_or_default().contains(hint), "{line:?}: {:?}", error.advice());
        }
        let error = typed(&format!("/login ann {}", "secret".repeat(100)), "dev").unwrap_err();
        assert!(!error.to_string().contains("secret"), "{error}");
    }

    #[test]
    fn the_help_has_every_command() {
        let all = help(None);
        let mut names = BTreeSet::new();
        for command in COMMANDS {
            assert!(all.contains(&command.form()) && all.contains(command.help), "{}", command.name);
            for name in command.aliases.iter().chain([&command.name]) {
                assert!(names.insert(name), "/{name} is two commands");
                assert!(help(Some(name)).starts_with(&command.form()), "{name}");
            }
        }
        assert!(all.lines().all(|line| line.len() <= 120), "{all}");
        assert_eq!(help(Some("j")), help(Some("join")));
        assert!(help(Some("kcik")).contains("did you mean /kick?"), "{}", help(Some("kcik")));
    }

    proptest! {
        #[test]
        fn any_line_gets_an_answer(line in "(/{0,2}[a-z?]{0,8} ?)?\\PC{0,40}|.{0,60}") {
            match typed(&line, "dev") {
                Ok(Typed::Ask(Ask::Say { text, .. } | Ask::Tell { text, .. }) | Typed::EditLast(text)) => {
                    prop_assert_eq!(text::message(&text, true).unwrap(), text.as_str(), "what is asked for is clean");
                }
                Ok(_) => {}
                Err(error) => prop_assert!(error.advice().is_some(), "{}", error),
            }
        }

        #[test]
        fn any_command_takes_any_words(at in 0..COMMANDS.len(), words in "(@|#)?[a-z0-9 \\-]{0,30}\\PC{0,8}") {
            let _ = typed(&format!("/{} {words}", COMMANDS[at].name), "dev");
        }

        #[test]
        fn what_begins_with_a_slash_can_be_said(text in "/[!-~][ -~]{0,40}") {
            prop_assert_eq!(typed(&format!("/{text}"), "dev").unwrap(), say(text.trim_end()));
        }
    }
}
