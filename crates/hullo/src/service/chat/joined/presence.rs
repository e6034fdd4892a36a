//! Who is elsewhere, as the rooms here know it, and who is here, as the others are told.

use std::collections::HashSet;

use super::{
    super::people::Person,
    Joined,
    landing::Lander,
    others::{Change, Present, Word},
};
use crate::chat::{Event, name};

impl Lander {
    /// Tells the others who is here.
    pub(super) async fn tell_all(&self, joined: &Joined) {
        let people = self.chat.people.here();
        let people = people.iter().map(|person| present(person)).collect();
        for word in Word::all(&joined.me, people) {
            self.bus.shout(word.bytes()).await;
        }
    }

    /// Tells them of whom something has changed.
    pub(super) async fn tell_changes(&self, joined: &Joined) {
        let changed = std::mem::take(&mut *joined.changed.lock().unwrap_or_else(std::sync::PoisonError::into_inner));
        if changed.is_empty() {
            return;
        }
        let people = changed.values().map(|person| present(person)).collect();
        self.bus.shout(Word::Some { server: joined.me.clone(), people }.bytes()).await;
    }

    pub(super) fn typing(&mut self, room: &str, name: &str) {
        let Some(room) = self.chat.rooms().get(room).cloned() else { return };
        room.state().announce(Event::Typing { room: room.name.to_string(), name: name.to_owned() }, None);
        self.touch(room);
    }

    /// Has the rooms know of what has changed elsewhere.
    pub(super) fn apply(&mut self, changes: Vec<Change>) {
        for Change { was, is } in changes {
            self.chat.people.elsewhere(was.as_ref(), is.as_ref());
            self.go(was.as_ref(), is.as_ref());
            if let Some(is) = is {
                self.come(was.as_ref(), &is);
                self.give_way(&is);
            }
        }
    }

    fn go(&mut self, was: Option<&Present>, is: Option<&Present>) {
        let Some(was) = was else { return };
        let still: HashSet<_> = is.and_then(|is| is.rooms.as_ref()).into_iter().flatten().collect();
        for room in was.rooms.iter().flatten().filter(|room| !still.contains(room)) {
            let Some(room) = self.chat.rooms().get(room).cloned() else { continue };
            room.state().miss(&room.name, &was.author);
            self.touch(room);
        }
    }

    fn come(&mut self, was: Option<&Present>, is: &Present) {
        let before: HashSet<_> = was.and_then(|was| was.rooms.as_ref()).into_iter().flatten().collect();
        let is_called_otherwise = was.is_some_and(|was| was.name != is.name);
        for name in is.rooms.iter().flatten() {
            // What is no name of a room here is none elsewhere.
            let Ok(room) = self.chat.room(name) else { continue };
            match before.contains(name) {
                false => room.state().meet(&room.name, is),
                true if is_called_otherwise => room.state().rename(&room.name, is),
                true => continue,
            }
            self.touch(room);
        }
    }

    /// Two people who have one name, as they took it while their servers did not hear of each other: the account keeps it,
    /// or the one whose author is the smaller one. Both servers come to the same.
    fn give_way(&mut self, is: &Present) {
        let Some(person) = self.chat.people.of_key(&name::key(&is.name)) else { return };
        let ours = (!person.account, &*person.author);
        if person.author == is.author || ours < (!is.account, &*is.author) {
            return;
        }
        let (old, new) = self.chat.people.rename_to_guest(&person);
        let text = format!("somebody on another server is called {old}: you are {new} now");
        for room in self.chat.has_given_way(&person, &old, &text) {
            self.touch(room);
        }
    }
}

fn present(person: &Person) -> Present {
    let mut rooms = Vec::new();
    for room in person.members().iter().flat_map(|member| member.rooms()) {
        let is_common = name::parties(&room.name).is_none();
        if is_common && !rooms.contains(&room.name) && room.state().has(&person.author) {
            rooms.push(room.name.clone());
        }
    }
    let (author, name) = (person.author.clone(), person.name());
    Present { author, name, account: person.account, rooms: person.is_here().then_some(rooms) }
}
