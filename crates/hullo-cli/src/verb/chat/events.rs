//! The connection to a server that knows rooms: JSON over a WebSocket, made again whenever it is lost.

use std::{borrow::Cow, time::Duration};

use hullo::{
    Address, Error, Kind, Message, Result, Scope, Session,
    chat::{Ask, Asked, Event, TEXT, text},
    dial, framing,
};
use serde_json::Value;
use tokio::{
    sync::mpsc,
    time::{Instant, sleep, sleep_until, timeout},
};

use super::memory::{HELLO, Memory};
use crate::view::chat::{News, say::tag};

/// So much of what we said may be on its way; the rest waits until some of that is kept.
const WINDOW: usize = 16;

/// A server that has been silent for so long is asked whether it is there, and has as long to answer.
const SILENCE: Duration = Duration::from_secs(30);

/// The first pause after a connection is lost, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));

/// The longest text in an event that is of any use; no server tells such a one.
const LONGEST: usize = 4 * TEXT;

/// The two ends of what goes on between a connection and who uses it.
pub(super) struct Ends {
    pub(super) asks: mpsc::Receiver<Ask>,
    pub(super) news: mpsc::Sender<News>,
}

impl Ends {
    /// How much was to be said, and was not even sent.
    pub(super) fn unsaid(&mut self) -> usize {
        let mut unsaid = 0;
        while let Ok(ask) = self.asks.try_recv() {
            unsaid += usize::from(matches!(ask, Ask::Say { .. } | Ask::Tell { .. }));
        }
        unsaid
    }
}

/// How a connection ended.
enum End {
    /// All that was to be said is said and kept.
    Done,
    Lost(String),
}

/// Connects to the server.
pub(super) async fn connect(address: &Address, scope: &Scope) -> Result<Session> {
    Ok(dial(address, scope).await?.session(&framing::text::SPEC))
}

/// Talks until there is nothing more to ask, over as many connections as it takes.
///
/// # Errors
/// The server does not let us be who we say, or does not speak of chats at all.
pub(super) async fn talk(
    first: Session,
    address: &Address,
    scope: &Scope,
    memory: &mut Memory,
    ends: &mut Ends,
) -> Result<()> {
    let (mut session, mut pause) = (first, PAUSES.0);
    loop {
        let mut conversation = Conversation::new(session, address);
        let why = match conversation.hold(memory, ends).await? {
            End::Done => {
                // Nothing is under way any more; whether it hears our farewell is of no interest. If it does, our name is
                // free for the next who comes, as for the same script.
                let _ = conversation.send(&Asked { tag: None, ask: Ask::Quit }).await;
                let _ = timeout(Duration::from_secs(1), conversation.session.close()).await;
                return Ok(());
            }
            End::Lost(why) => why,
        };
        if conversation.welcomed {
            pause = PAUSES.0;
        }
        session = match again(address, scope, memory, ends, why, &mut pause).await {
            Some(session) => session,
            None => return Ok(()),
        };
    }
}

/// Connects anew, however long it takes; nothing where nobody waits for that.
async fn again(
    address: &Address,
    scope: &Scope,
    memory: &Memory,
    ends: &mut Ends,
    mut why: String,
    pause: &mut Duration,
) -> Option<Session> {
    loop {
        if ends.asks.is_closed() && ends.asks.is_empty() && memory.unkept() == 0 {
            return None;
        }
        // Between half of the pause and all of it: not all who were cut off come back in the same moment.
        let wait = pause.mul_f64(0.5 + super::chance() / 2.0);
        *pause = (*pause * 2).min(PAUSES.1);
        ends.news.send(News::Away { why, again: wait }).await.ok()?;
        sleep(wait).await;
        match connect(address, scope).await {
            Ok(session) => return Some(session),
            Err(error) => why = reason(&error, address),
        }
    }
}

/// Why there is no connection, without the address that everybody knows.
fn reason(error: &Error, address: &Address) -> String {
    let text = clean(&error.to_string());
    text.strip_prefix(&format!("cannot connect to {}: ", address.bare())).map_or(text.clone(), str::to_owned)
}

/// One connection.
struct Conversation<'a> {
    session: Session,
    address: &'a Address,
    welcomed: bool,
    /// Nothing is said before we are the account that we want to be.
    locked: bool,
    /// How many signs of life were asked for, and are not here.
    pings: usize,
    /// Nothing more will be asked; we go when all is answered.
    leaving: bool,
    /// What came that nobody understands.
    strange: usize,
}

impl<'a> Conversation<'a> {
    fn new(session: Session, address: &'a Address) -> Self {
        Self { session, address, welcomed: false, locked: false, pings: 0, leaving: false, strange: 0 }
    }

    async fn hold(&mut self, memory: &mut Memory, ends: &mut Ends) -> Result<End> {
        if ends.news.send(News::Here).await.is_err() {
            return Ok(End::Done);
        }
        self.locked = memory.is_locked_out();
        for asked in memory.greeting() {
            if let Err(error) = self.send(&asked).await {
                return Ok(End::Lost(clean(&error.to_string())));
            }
        }
        let mut due = Instant::now() + SILENCE;
        loop {
            if self.leaving && self.pings == 0 && memory.unkept() == 0 {
                return Ok(End::Done);
            }
            let room = memory.unkept() < WINDOW && !self.leaving && !self.locked;
            let sent = tokio::select! {
                heard = self.session.recv() => {
                    due = Instant::now() + SILENCE;
                    match heard {
                        Ok(Some(message)) => self.hear(&message, memory, ends).await?,
                        Ok(None) => return Ok(End::Lost("the server has closed the connection".to_owned())),
                        Err(error) => return Ok(End::Lost(clean(&error.to_string()))),
                    }
                    Ok(())
                }
                ask = ends.asks.recv(), if room => match ask {
                    Some(ask) => {
                        let asked = Asked { tag: tag(&ask), ask };
                        memory.asks(&asked);
                        self.send(&asked).await
                    }
                    None => {
                        self.leaving = true;
                        self.ping().await
                    }
                },
                () = sleep_until(due), if self.pings > 0 && !self.leaving => {
                    return Ok(End::Lost(format!("the server has been silent for {} s", 2 * SILENCE.as_secs())));
                }
                () = sleep_until(due) => {
                    due = Instant::now() + SILENCE;
                    self.ping().await
                }
            };
            if let Err(error) = sent {
                return Ok(End::Lost(clean(&error.to_string())));
            }
        }
    }

    async fn ping(&mut self) -> Result<()> {
        self.pings += 1;
        self.send(&Asked { tag: None, ask: Ask::Ping }).await
    }

    async fn send(&mut self, asked: &Asked) -> Result<()> {
        let text = serde_json::to_string(asked).map_err(|error| Error::usage("this cannot be asked").because(error))?;
        self.session.send(Message::text(text)).await
    }

    async fn hear(&mut self, message: &Message, memory: &mut Memory, ends: &Ends) -> Result<()> {
        let Some(event) = event(&message.bytes) else { return self.wonder(ends).await };
        let event = memory.judges(event);
        match &event {
            Event::Welcome { account, .. } => {
                self.welcomed = true;
                self.locked &= !account;
            }
            Event::Pong => self.pings = self.pings.saturating_sub(1),
            // Who has shown a password wants to be that account, and nobody else.
            Event::Error { error, hint, tag: Some(tag), .. } if tag == HELLO && memory.is_locked_out() => {
                let refused = Error::new(Kind::Denied, format!("{} does not let us in", self.address.bare()));
                let refused = refused.because(error.clone());
                return Err(match hint {
                    Some(hint) => refused.hint(hint.clone()),
                    None => refused,
                });
            }
            _ => {}
        }
        let news = memory.hears(&event);
        for asked in memory.welcomed(&event) {
            // That it cannot be sent is what the next look at the connection says.
            let _ = self.send(&asked).await;
        }
        if let Some(room) = memory.has_gap(&event) {
            // Nobody listens any more only when we leave.
            let _ = ends.news.send(News::Gap { room }).await;
        }
        if news {
            let _ = ends.news.send(News::Event(Box::new(event))).await;
        }
        Ok(())
    }

    /// What came is no event. One may be an accident; a server that says nothing else is none of a chat.
    async fn wonder(&mut self, ends: &Ends) -> Result<()> {
        self.strange += 1;
        if !self.welcomed && self.strange > 3 {
            let what = format!("{} does not speak of chats", self.address.bare());
            return Err(Error::new(Kind::Protocol, what).hint("hullo connect talks to any WebSocket"));
        }
        if self.strange == 1 {
            let text = "the server says something that is no event of a chat".to_owned();
            let _ = ends.news.send(News::Event(Box::new(Event::Notice { text }))).await;
        }
        Ok(())
    }
}

/// The event, with clean texts alone: whatever becomes of them, nothing in them steers a terminal.
fn event(bytes: &[u8]) -> Option<Event> {
    let mut value: Value = serde_json::from_slice(bytes).ok()?;
    purge(&mut value);
    serde_json::from_value(value).ok()
}

fn purge(value: &mut Value) {
    match value {
        Value::String(string) => {
            string.truncate(string.floor_char_boundary(LONGEST));
            if let Cow::Owned(clean) = text::clean(string, true) {
                *string = clean;
            }
        }
        Value::Array(items) => items.iter_mut().for_each(purge),
        Value::Object(members) => {
            for (name, member) in members {
                purge(member);
                // Only what people write has several lines.
                if let (false, Value::String(string)) = (name == "text", member) {
                    *string = string.replace('\n', " ");
                }
            }
        }
        _ => {}
    }
}

fn clean(text: &str) -> String {
    text::clean(text, false).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_an_event_steers_a_terminal() {
        let hostile = r#"{"event":"message","id":1,"uid":"u\u001b[2J","room":"lob\nby","from":"a\u001b]0;x\u0007nn","time":1,"text":"one\ntwo\u202e\u009b2J"}"#;
        let Some(Event::Message(said)) = event(hostile.as_bytes()) else { panic!() };
        let all = format!("{}{}{}{}", said.at.uid, said.at.room, said.at.from, said.text);
        assert!(!all.replace("one\ntwo", "").contains(|c: char| c.is_control() || c == '\u{202e}'), "{all:?}");
        assert_eq!(said.text.lines().next(), Some("one"));
    }

    #[test]
    fn garbage_is_no_event_and_no_harm() {
        let deep = "[".repeat(100_000);
        for garbage in ["", "hello", "{}", "[]", "{\"event\":7}", "{\"event\":\"kept\"}", "\"x\"", "\0", deep.as_str()]
        {
            assert!(event(garbage.as_bytes()).is_none(), "{garbage:.20}");
        }
        assert_eq!(event(br#"{"event":"of the future","x":[1]}"#), Some(Event::Unknown));
    }
}
