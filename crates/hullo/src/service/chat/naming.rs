//! Who somebody is: the name of a guest, or the account that a password shows to be theirs.

use std::sync::Arc;

use tokio::task::unconstrained;

use super::{
    Chat,
    accounts::{self, Unproven},
    joining::Wish,
    member::Door,
    people::{Connected, GivesWay, Person, taken},
    posting::Draft,
    room::Room,
    rules,
    talk::Talk,
};
use crate::{
    chat::{
        Event, PASSWORD, Presence,
        name::{self, Nick},
    },
    error::{Error, Result},
    peer::Peer,
};

/// The fewest characters of a password.
const SHORTEST: usize = 8;

impl Talk {
    /// Says who they are, and answers with a welcome.
    pub(super) async fn hello(
        &mut self,
        name: Option<String>,
        password: Option<String>,
        token: Option<String>,
    ) -> Result<()> {
        match (name, password, token) {
            (Some(name), Some(password), _) => self.own(&name, &password).await?,
            (name, _, token) => {
                if let Some(token) = token.filter(|token| self.member.person.token.as_deref() != Some(token)) {
                    let connected = self.chat.people.again(&token)?;
                    self.become_person(connected).await;
                }
                let current = self.member.person.name();
                if let Some(name) = name.filter(|name| **name != *current && !self.member.person.account) {
                    self.rename(&name).await?;
                }
            }
        }
        self.welcome().await
    }

    pub(super) async fn welcome(&mut self) -> Result<()> {
        let person = &self.member.person;
        let private = match &self.chat.history {
            Some(history) if person.account => history.private(&person.name()).await?,
            _ => Vec::new(),
        };
        let (name, log) = (person.name().to_string(), self.chat.log.to_string());
        let token = person.token.as_deref().unwrap_or_default().to_owned();
        self.tell_me(&Event::Welcome { name, account: person.account, token, log, private });
        Ok(())
    }

    pub(super) async fn rename(&mut self, name: &str) -> Result<()> {
        let nick = name::nick(name)?;
        let person = self.member.person.clone();
        if person.account {
            let error = Error::usage("your name is an account's, and stays");
            return Err(error.hint("connect again to be somebody else"));
        }
        self.chat.is_for_guests(&nick).await?;
        let new = nick.shown.clone();
        let old = self.chat.people.rename(&person, nick)?;
        self.chat.changed(&person);
        for room in person.rooms() {
            let is = Presence::Now { new: new.clone() };
            // Whoever asked for it is told in any case, and once.
            room.state().presence(&room.name, old.clone(), is, Some(self.member.number));
            self.will_tell(&room);
        }
        let is = Presence::Now { new: new.clone() };
        let room = self.current.clone().or_else(|| self.member.rooms().into_iter().next());
        self.tell_me(&match room {
            Some(room) => {
                let count = room.state().count();
                Event::Presence { room: room.name.to_string(), name: old.to_string(), is, count }
            }
            None => Event::Notice { text: format!("you are {new} now") },
        });
        Ok(())
    }

    /// Becomes the owner of an account, and stays in the same rooms.
    pub(super) async fn log_in(&mut self, name: &str, password: &str) -> Result<()> {
        let nick = self.chat.owned(name, password, self.inbox.peer()).await?;
        self.become_owner(nick, None).await
    }

    async fn own(&mut self, name: &str, password: &str) -> Result<()> {
        let nick = self.chat.owned(name, password, self.inbox.peer()).await?;
        let (connected, gives_way) = self.chat.people.owner(nick)?;
        self.become_person(connected).await;
        self.chat.tell_of_way(gives_way).await;
        Ok(())
    }

    pub(super) async fn register(&mut self, password: &str) -> Result<()> {
        let person = self.member.person.clone();
        let (shown, key) = (person.name().to_string(), person.key());
        if person.account {
            return Err(Error::usage(format!("you have an account already: '{shown}'")));
        }
        if name::is_guest(&shown) {
            let error = Error::usage(format!("'{shown}' cannot be made an account"));
            return Err(error.hint("take a name of your own first: /nick NAME"));
        }
        if password.len() > PASSWORD || password.chars().count() < SHORTEST {
            let error = format!("a password has {SHORTEST} characters or more, and at most {PASSWORD} bytes");
            return Err(Error::usage(error));
        }
        let chat = self.chat.clone();
        let Some(history) = &chat.history else {
            return Err(Error::usage("there are no accounts here: nothing is kept"));
        };
        // Looked at first, since a hash is work.
        chat.is_for_guests(&Nick { shown: shown.clone(), key: key.clone() }).await?;
        let hash = chat.accounts.hash(password).await?;
        if !history.register(&key, &shown, &hash).await? {
            return Err(taken(&shown));
        }
        self.become_owner(Nick { shown: shown.clone(), key }, Some(&person)).await?;
        if self.member.door != Door::Lines {
            self.welcome().await?;
        }
        self.tell_me(&Event::Notice { text: format!("{shown} is your account from now on: /login {shown} PASSWORD") });
        Ok(())
    }

    /// Is the owner of an account from now on, in the same rooms. A guest who has made it of their name keeps what they had.
    async fn become_owner(&mut self, nick: Nick, guest: Option<&Person>) -> Result<()> {
        let (rooms, current) = (self.member.rooms(), self.current.clone());
        // None of them is forgotten meanwhile.
        rooms.iter().for_each(|room| self.step_out(room));
        let (connected, gives_way) = self.chat.people.owner(nick)?;
        self.become_person(connected).await;
        self.chat.tell_of_way(gives_way).await;
        if let Some(guest) = guest {
            for room in self.chat.hand_over(guest, &self.member.person).await {
                self.will_tell(&room);
            }
        }
        self.step_in_again(&rooms, current).await;
        rooms.iter().for_each(|room| self.chat.tidy(room));
        Ok(())
    }

    /// Comes into the rooms again in which one was as somebody else. What two said alone stays with who said it.
    async fn step_in_again(&mut self, rooms: &[Arc<Room>], current: Option<Arc<Room>>) {
        for room in rooms.iter().filter(|room| room.parties.is_none()) {
            if let Err(error) = self.join(Wish { admitted: true, ..Wish::new(&room.name) }).await {
                self.refuse(&error, None, None);
            }
        }
        let here = self.member.rooms();
        let same = current.as_ref().and_then(|current| here.iter().find(|room| room.name == current.name));
        match same.or(here.first()).cloned() {
            Some(room) => self.move_to(room),
            None => self.current = None,
        }
    }
}

impl Chat {
    /// How the account of that key is written, and the hash of its password where it was made here.
    pub(super) async fn account(&self, key: &str) -> Result<Option<(String, Option<String>)>> {
        if let Some(listed) = self.accounts.listed(key) {
            return Ok(Some((listed.to_owned(), None)));
        }
        match &self.history {
            Some(history) => Ok(history.account(key).await?.map(|(shown, hash)| (shown, Some(hash)))),
            None => Ok(None),
        }
    }

    /// Lets a guest have a name.
    ///
    /// # Errors
    /// It is an account's, or an operator's who has none yet: whoever had it then would be the operator.
    pub(super) async fn is_for_guests(&self, nick: &Nick) -> Result<()> {
        if self.account(&nick.key).await?.is_some() {
            return Err(taken(&nick.shown).hint(format!("if it is yours: /login {} PASSWORD", nick.shown)));
        }
        let author = accounts::author(&nick.key);
        if self.keepers.contains(&author) {
            return Err(taken(&nick.shown).hint("it is an operator's; choose another one with /nick NAME"));
        }
        Ok(())
    }

    /// The account's name, where that is its password.
    ///
    /// # Errors
    /// It is not, or too many wrong ones have come from there.
    async fn owned(&self, name: &str, password: &str, peer: &Peer) -> Result<Nick, Unproven> {
        let nick = name::nick(name)?;
        let (shown, stored) = self.account(&nick.key).await?.unwrap_or((nick.shown, None));
        self.accounts.verify((name, &nick.key), password, peer, stored).await?;
        Ok(Nick { shown, key: nick.key })
    }

    /// The owner of an account.
    ///
    /// # Errors
    /// The password is not theirs, or too many wrong ones have come from there.
    pub(super) async fn owner(&self, name: &str, password: &str, peer: &Peer) -> Result<Connected, Unproven> {
        let (connected, gives_way) = self.people.owner(self.owned(name, password, peer).await?)?;
        self.tell_of_way(gives_way).await;
        Ok(connected)
    }

    /// Tells a guest, if there still is one, that the owner of the account whose name they had has come, and their rooms.
    async fn tell_of_way(&self, gives_way: Option<GivesWay>) {
        let Some((person, old)) = gives_way.filter(|(person, _)| person.is_here()) else { return };
        self.changed(&person);
        let text = format!("{old} is an account, whose owner has come: you are {} now", person.name());
        for room in self.has_given_way(&person, &old, &text) {
            unconstrained(room.tell()).await;
        }
    }

    /// Tells somebody, and the rooms that they are in, that they had to leave a name to somebody else. Returns the rooms,
    /// whose members are to be told.
    pub(super) fn has_given_way(&self, person: &Person, old: &Arc<str>, text: &str) -> Vec<Arc<Room>> {
        let rooms = person.rooms();
        for room in &rooms {
            let is = Presence::Now { new: person.name().to_string() };
            room.state().presence(&room.name, old.clone(), is, None);
        }
        for member in person.members() {
            member.tell(&Event::Notice { text: text.to_owned() }, "");
        }
        rooms
    }

    /// Makes an account the operator of all rooms of which the guest was one who has made it. Returns those whose members
    /// are to be told.
    async fn hand_over(&self, guest: &Person, account: &Arc<Person>) -> Vec<Arc<Room>> {
        let rooms: Vec<_> = self.rooms().values().cloned().collect();
        let mut told = Vec::new();
        for room in rooms {
            let is_entry = {
                let mut state = room.state();
                if !state.rules.operators.contains_key(&*guest.author) {
                    continue;
                }
                // There is no entry of it while nothing is said there.
                let founds = state.founder.is_some();
                if founds {
                    state.rules.operators.remove(&*guest.author);
                    state.set_founder(account);
                }
                !founds
            };
            if is_entry && self.post(&room, Draft::of(account, rules::op(account))).await.is_ok() {
                told.push(room);
            }
        }
        told
    }

    /// Operators who have no account yet, so that nobody can be them.
    pub(super) fn absent_keepers(&self) -> Vec<String> {
        let is_absent = |key: &&str| {
            let is_made = self.history.as_ref().is_some_and(|history| history.has_account(key));
            self.accounts.listed(key).is_none() && !is_made
        };
        let keys = self.keepers.iter().filter_map(|keeper| accounts::key_of(keeper));
        keys.filter(is_absent).map(str::to_owned).collect()
    }
}
