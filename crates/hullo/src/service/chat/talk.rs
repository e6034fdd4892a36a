//! One connection, from its welcome to its end.

use std::{
    future::{Future, poll_fn},
    pin::pin,
    sync::{Arc, atomic::Ordering::Relaxed},
    task::Poll,
    time::Instant,
};

use tokio::{task::unconstrained, time};

use super::{
    Chat,
    datagrams::Datagrams,
    flood::Flood,
    joined::Joined,
    joining::Wish,
    member::{Door, Member},
    people::{self, Connected},
    room::Room,
};
use crate::{
    chat::{
        Ask, Asked, Event, LOBBY,
        typed::{self, Typed, typed},
    },
    error::{Error, Kind, Result},
    framing,
    link::{Link, Wire},
    message::Message,
    session::Inbox,
};

/// Bytes that wait for a member that does not read; then it has to go.
const QUEUE: usize = 256 << 10;

/// How long the last words may take to leave.
const LAST_WORDS: time::Duration = time::Duration::from_secs(2);

/// What a program types on a stream to be told events of JSON.
const JSON: &str = "/json";

/// Messages that somebody who types lines is shown when they come.
const EARLIER: usize = 10;

/// A connection and what it is doing.
pub(super) struct Talk {
    pub(super) chat: Arc<Chat>,
    pub(super) member: Arc<Member>,
    pub(super) inbox: Inbox,
    /// Where lines are said.
    pub(super) current: Option<Arc<Room>>,
    /// Rooms to which something was added that is not told yet.
    pub(super) untold: Vec<Arc<Room>>,
    /// The last message, which may be changed without naming it.
    pub(super) said: Option<(Arc<Room>, Arc<str>)>,
    /// When they were last told to be writing.
    pub(super) typing: Option<Instant>,
    flood: Flood,
    stay: Stay,
}

/// What a connection takes up for as long as it is here, also where its task is dropped.
struct Stay {
    chat: Arc<Chat>,
    member: Arc<Member>,
    connected: Option<Connected>,
}

impl Stay {
    /// For a member whose person has this connection by now.
    fn begin(chat: &Arc<Chat>, member: &Arc<Member>, connected: Connected) -> Self {
        member.person.comes_by(member);
        chat.changed(&member.person);
        Self { chat: chat.clone(), member: member.clone(), connected: Some(connected) }
    }
}

impl Drop for Stay {
    fn drop(&mut self) {
        for room in self.member.rooms() {
            room.state().leave(&room, &self.member);
        }
        // The others are told of what is left then.
        drop(self.connected.take());
        self.chat.changed(&self.member.person);
    }
}

impl Talk {
    /// Begins with a guest. Messages that arrive whole, on a wire that has an end, are a program's events; all else is
    /// lines.
    pub(super) fn over(chat: Arc<Chat>, link: Link) -> Result<Box<Self>> {
        let Link { peer, scope, wire } = link;
        let (wire, door) = match wire {
            Wire::Packets(packets) if packets.ends() => (Wire::Packets(packets), Door::Json),
            Wire::Packets(packets) => (Wire::Packets(Box::new(Datagrams(packets))), Door::Lines),
            stream => (stream, Door::Lines),
        };
        Self::through(chat, Link { peer, scope, wire }, door)
    }

    pub(super) fn through(chat: Arc<Chat>, link: Link, door: Door) -> Result<Box<Self>> {
        let network = link.peer.remote().net().and_then(|address| people::network(address.ip()));
        let (inbox, outbox) = link.session(&framing::text::SPEC).split(QUEUE);
        let connected = chat.people.guest(door != Door::Lines)?;
        let (number, log, person) = (chat.number(), chat.log.clone(), connected.person.clone());
        let member = Arc::new(Member::new(number, log, door, person, network, outbox));
        let flood = Flood::new(chat.flood, Instant::now());
        let stay = Stay::begin(&chat, &member, connected);
        let (current, untold, said, typing) = (None, Vec::new(), None, None);
        Ok(Box::new(Self { chat, member, inbox, current, untold, said, typing, flood, stay }))
    }

    /// Talks until one of the two ends it.
    ///
    /// # Errors
    /// The wire's, or that the member did not read.
    pub(super) async fn run(mut self: Box<Self>) -> Result<()> {
        let talked = match Box::pin(self.begin()).await {
            Ok(()) => self.talk().await,
            Err(error) => Err(error),
        };
        Box::pin(self.part(talked)).await
    }

    /// Only listens, to one room.
    ///
    /// # Errors
    /// As [`run`](Self::run), or that the room does not let it in.
    pub(super) async fn listen(mut self: Box<Self>, wish: Wish) -> Result<()> {
        let talked = match Box::pin(self.join(wish)).await {
            Ok(_) => self.talk().await,
            Err(error) => {
                self.refuse(&error, None, None);
                Err(error)
            }
        };
        Box::pin(self.part(talked)).await
    }

    async fn begin(&mut self) -> Result<()> {
        match self.member.door {
            Door::Lines => {
                let wish = Wish { history: EARLIER, ..Wish::new(LOBBY) };
                match self.join(wish).await {
                    Ok(room) => self.move_to(room),
                    Err(error) => self.refuse(&error, None, None),
                }
            }
            Door::Json | Door::Feed => self.welcome().await?,
        }
        if let Some(text) = self.chat.joined.as_ref().and_then(Joined::notice) {
            self.tell_me(&Event::Notice { text: text.to_owned() });
        }
        self.tell().await;
        Ok(())
    }

    /// Talks until the end, and says whether that was a goodbye.
    async fn talk(&mut self) -> Result<bool> {
        loop {
            // What came together is told together: only who waits for more tells what there is.
            let message = match self.try_recv().await {
                Some(message) => message?,
                None => {
                    Box::pin(self.tell()).await;
                    self.inbox.recv().await?
                }
            };
            let Some(message) = message else { return Ok(false) };
            // In boxes, so that a connection that waits holds nothing of them.
            let goes_on = match self.member.door {
                Door::Lines => Box::pin(self.lines(&message)).await?,
                Door::Json | Door::Feed => Box::pin(self.event(&message)).await?,
            };
            if !goes_on {
                return Ok(true);
            }
        }
    }

    /// A message that is there already.
    async fn try_recv(&mut self) -> Option<Result<Option<Message>>> {
        poll_fn(|cx| match pin!(self.inbox.recv()).poll(cx) {
            Poll::Ready(message) => Poll::Ready(Some(message)),
            Poll::Pending => Poll::Ready(None),
        })
        .await
    }

    /// Tells the members of rooms what this connection has added.
    pub(super) async fn tell(&mut self) {
        for room in std::mem::take(&mut self.untold) {
            // The runtime would hold back every write after the first hundred.
            unconstrained(room.tell()).await;
        }
    }

    /// The next [`tell`](Self::tell) tells the members of that room too.
    pub(super) fn will_tell(&mut self, room: &Arc<Room>) {
        if !self.untold.iter().any(|other| Arc::ptr_eq(other, room)) {
            self.untold.push(room.clone());
        }
    }

    /// Takes one message out of the budget; who has none left is read again later.
    async fn hold_back(&mut self) {
        if let Some(wait) = self.flood.take(Instant::now()) {
            self.tell().await;
            self.inbox.during(time::sleep(wait)).await;
        }
    }

    async fn lines(&mut self, message: &Message) -> Result<bool> {
        for line in message.to_text().lines() {
            self.hold_back().await;
            if line.trim_end() == JSON {
                Box::pin(self.speak_json()).await?;
                return Ok(true);
            }
            let current = self.current.as_ref().map_or(LOBBY, |room| &room.name);
            let goes_on = match typed(line, current) {
                Ok(Typed::Ask(Ask::Say { room, text, uid, me })) => {
                    self.say(&room, &text, uid, me).await.map(|()| true)
                }
                Ok(typed) => {
                    let done = Box::pin(self.typed(typed)).await;
                    // What it has changed is told before whatever answers the next line.
                    self.tell().await;
                    done
                }
                Err(error) => Err(error),
            };
            match goes_on {
                Ok(true) => {}
                Ok(false) => return Ok(false),
                Err(error) => self.refuse(&error, None, None),
            }
        }
        Ok(true)
    }

    /// It is a program: events of JSON from now on, one a line, and in no room yet.
    async fn speak_json(&mut self) -> Result<()> {
        let connected = self.chat.people.guest(true)?;
        self.begin_again(connected, Door::Json).await;
        self.welcome().await
    }

    async fn typed(&mut self, typed: Typed) -> Result<bool> {
        match typed {
            Typed::Nothing | Typed::Bye => return Ok(typed == Typed::Nothing),
            Typed::Ask(Ask::Join { room, token, .. }) => self.enter(Wish { word: token, ..Wish::new(&room) }).await?,
            Typed::Current(room) => self.enter(Wish::new(&room)).await?,
            Typed::Ask(ask) => self.ask(ask, None).await?,
            Typed::Login { name, password } => self.log_in(&name, &password).await?,
            Typed::Help(command) => self.say_lines(&typed::help(command.as_deref())),
            Typed::History { room, count } => {
                let room = room.unwrap_or_else(|| self.place());
                self.ask(Ask::History { room, before: None, limit: Some(count) }, None).await?;
            }
            Typed::EditLast(text) => {
                let (room, of) = self.last()?;
                self.ask(Ask::Edit { room, of, text }, None).await?;
            }
            Typed::DeleteLast => {
                let (room, of) = self.last()?;
                self.ask(Ask::Delete { room, of }, None).await?;
            }
        }
        Ok(true)
    }

    /// Goes to a room, which is the current one from now on.
    async fn enter(&mut self, wish: Wish) -> Result<()> {
        let room = self.join(Wish { history: EARLIER, ..wish }).await?;
        self.move_to(room);
        Ok(())
    }

    pub(super) fn move_to(&mut self, room: Arc<Room>) {
        self.member.current.store(room.number, Relaxed);
        self.current = Some(room);
    }

    /// Where lines are said.
    pub(super) fn place(&self) -> String {
        self.current.as_ref().map_or(LOBBY, |room| &room.name).to_owned()
    }

    fn last(&self) -> Result<(String, String)> {
        match &self.said {
            Some((room, uid)) => Ok((room.name.to_string(), uid.to_string())),
            None => Err(Error::usage("you have said nothing yet")),
        }
    }

    fn say_lines(&self, text: &str) {
        for line in text.lines() {
            self.tell_me(&Event::Notice { text: line.to_owned() });
        }
    }

    async fn event(&mut self, message: &Message) -> Result<bool> {
        self.hold_back().await;
        let asked: Asked = match serde_json::from_slice(&message.bytes) {
            Ok(asked) => asked,
            Err(error) => {
                let about = Error::new(Kind::Protocol, "that is no request of a chat").because(error);
                self.refuse(&about.hint("it is an object like {\"do\":\"say\",\"text\":\"hello\"}"), None, None);
                return Ok(true);
            }
        };
        let uid = match &asked.ask {
            Ask::Say { uid, .. } | Ask::Tell { uid, .. } => uid.clone(),
            _ => None,
        };
        let tag = asked.tag.clone();
        let (says, goes_on) = (matches!(asked.ask, Ask::Say { .. }), !matches!(asked.ask, Ask::Quit));
        if let Err(error) = self.ask(asked.ask, asked.tag).await {
            self.refuse(&error, tag, uid);
        }
        if !says {
            self.tell().await;
        }
        Ok(goes_on)
    }

    /// Tells this connection alone.
    pub(super) fn tell_me(&self, event: &Event) {
        self.member.tell(event, self.current.as_ref().map_or("", |room| &room.name));
    }

    pub(super) fn refuse(&self, error: &Error, tag: Option<String>, uid: Option<String>) {
        let hint = error.advice().map(str::to_owned);
        self.tell_me(&Event::Error { error: error.to_string(), hint, tag, uid });
    }

    /// Is somebody else from now on, who is in no room yet.
    pub(super) async fn become_person(&mut self, connected: Connected) {
        self.begin_again(connected, self.member.door).await;
    }

    async fn begin_again(&mut self, connected: Connected, door: Door) {
        self.leave_all().await;
        self.member = Arc::new(self.member.again(door, connected.person.clone()));
        self.stay = Stay::begin(&self.chat, &self.member, connected);
        self.said = None;
    }

    pub(super) async fn leave_all(&mut self) {
        for room in self.member.rooms() {
            self.leave(&room);
        }
        self.current = None;
        self.tell().await;
    }

    pub(super) fn leave(&mut self, room: &Arc<Room>) {
        self.step_out(room);
        self.chat.changed(&self.member.person);
        self.chat.tidy(room);
    }

    /// Leaves a room that is not forgotten yet.
    pub(super) fn step_out(&mut self, room: &Arc<Room>) {
        if room.state().leave(room, &self.member) {
            self.will_tell(room);
        }
    }

    async fn part(mut self: Box<Self>, talked: Result<bool>) -> Result<()> {
        self.leave_all().await;
        if matches!(talked, Ok(true)) {
            self.chat.people.part(&self.member.person);
        }
        let slow = self.member.why_ended();
        if slow.is_none() {
            let reason = match &talked {
                Ok(_) if self.inbox.scope().is_stopping() => "the server stops".to_owned(),
                Ok(_) => "goodbye".to_owned(),
                Err(error) => error.to_string(),
            };
            self.tell_me(&Event::Bye { reason });
        }
        let closed = time::timeout(LAST_WORDS, self.inbox.close()).await.unwrap_or(Ok(()));
        match slow {
            Some(reason) => Err(Error::new(Kind::Cut, format!("a member was dropped: {reason}"))),
            None => talked.and(closed),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    /// A connection that waits costs what it holds, and its future is most of that.
    #[tokio::test]
    async fn a_connection_that_waits_holds_little() {
        let settings = crate::service::Settings { database: Some("none".to_owned()), ..Default::default() };
        let chat = Arc::new(Chat::new(&settings).unwrap());
        let (stream, _other) = tokio::io::duplex(64);
        let peer = crate::Peer::new("memory", crate::Endpoint::Unnamed, crate::Endpoint::Unnamed);
        let talk = Talk::over(chat, Link::over(stream, peer, crate::Scope::default())).unwrap();
        let (of_talk, of_future) = (size_of::<Talk>(), size_of_val(&talk.run()));
        assert!(of_talk <= 192 && of_future <= 256, "{of_talk} {of_future}");
    }
}
