//! How something becomes an entry of a room's log: it gets its place under the room's lock, and is the writer's then.

use std::sync::Arc;

use super::{
    Chat,
    history::{Place, Write},
    now,
    people::Person,
    room::{Room, State},
};
use crate::{
    chat::{Act, Entry, Event, UID, What, text::clean},
    error::{Error, Result, brief},
};

/// Something that is to become an entry.
pub(super) struct Draft {
    pub(super) person: Arc<Person>,
    /// The connection that it comes from.
    pub(super) by: Option<u64>,
    pub(super) network: Option<String>,
    pub(super) uid: Option<String>,
    pub(super) what: What,
    /// Is called once the entry is on disk.
    pub(super) kept: Option<Kept>,
}

/// Is told the uid and the id.
pub(super) type Kept = Box<dyn FnOnce(&str, Result<u64>) + Send>;

impl Chat {
    /// Makes an entry of a draft, and puts it into the room's batch; [`Room::tell`] is up to the caller. Returns its uid.
    ///
    /// # Errors
    /// The author may not do that here.
    pub(super) async fn post(&self, room: &Room, mut draft: Draft) -> Result<Arc<str>> {
        room.space().await;
        let known = match draft.uid.as_deref() {
            Some(uid) => self.known(room, uid).await?,
            None => None,
        };
        let entry = match known {
            Some(entry) => entry,
            None => {
                let place = match &self.history {
                    Some(history) if room.kept => Some(history.place().await?),
                    _ => None,
                };
                match self.put(room, &mut draft, place)? {
                    Ok(uid) => return Ok(uid),
                    Err(entry) => entry,
                }
            }
        };
        self.post_again(room, entry, draft).await
    }

    /// Gives a draft its place, or finds that two connections of one client have said it at the same time.
    fn put(&self, room: &Room, draft: &mut Draft, place: Option<Place>) -> Result<Result<Arc<str>, Arc<Entry>>> {
        let mut state = room.state();
        if let Some(entry) = draft.uid.as_deref().and_then(|uid| state.recent(uid)) {
            return Ok(Err(entry.clone()));
        }
        let time = now();
        if matches!(draft.what, What::Say { .. } | What::Edit { .. } | What::Topic { .. }) {
            state.rules.hear(&room.name, self.who(&draft.person, draft.network.as_deref()), time)?;
        }
        let mut next = self.next_id();
        let id = *next;
        *next += 1;
        let uid: Arc<str> = draft.uid.take().unwrap_or_else(|| format!("{}-{id}", self.log)).into();
        let entry = Arc::new(Entry {
            id,
            uid: uid.clone(),
            room: room.name.clone(),
            from: draft.person.name(),
            author: draft.person.author.clone(),
            time,
            what: draft.what.clone(),
        });
        let changed = state.add(&entry, draft.by, self.written());
        let rules = changed.then(|| Arc::new(state.rules.clone()));
        let kept = draft.kept.take();
        match (place, &self.history) {
            (Some(place), Some(history)) => {
                let kept = kept.map(|kept| -> Box<dyn FnOnce(Result<()>) + Send> {
                    let uid = uid.clone();
                    Box::new(move |result| kept(&uid, result.map(|()| id)))
                });
                history.append(place, Write { entry: entry.clone(), rules, position: None, unsent: false, kept });
            }
            _ => drop(kept.map(|kept| kept(&uid, Ok(id)))),
        }
        drop(next);
        expel(room, &mut state, &entry);
        Ok(Ok(uid))
    }

    /// What was said under that uid before, as after a connection was lost.
    pub(super) async fn known(&self, room: &Room, uid: &str) -> Result<Option<Arc<Entry>>> {
        if let Some(entry) = room.state().recent(uid) {
            return Ok(Some(entry.clone()));
        }
        match &self.history {
            Some(history) if room.kept => Ok(history.find(uid).await?.map(Arc::new)),
            _ => Ok(None),
        }
    }

    /// Answers for an entry that is there already. Whoever says it again need not look like its author: they may have lost
    /// their connection before they were told who they are.
    async fn post_again(&self, room: &Room, entry: Arc<Entry>, draft: Draft) -> Result<Arc<str>> {
        if entry.room != room.name {
            return Err(Error::usage(format!("the uid '{}' is another message's", brief(&entry.uid))));
        }
        let (id, uid) = (entry.id, entry.uid.clone());
        let Some(kept) = draft.kept else { return Ok(uid) };
        match &self.history {
            // It may still be on its way to the disk: behind it, the same once more writes nothing.
            Some(history) if room.kept && id > history.written() => {
                let again = uid.clone();
                let kept = Box::new(move |result: Result<()>| kept(&again, result.map(|()| id)));
                let place = history.place().await?;
                history.append(place, Write { entry, rules: None, position: None, unsent: false, kept: Some(kept) });
            }
            _ => kept(&uid, Ok(id)),
        }
        Ok(uid)
    }
}

/// Checks the uid that a client has given to its message: others are told it too.
///
/// # Errors
/// It is too long, or has something in it that steers or hides what is read.
pub(super) fn check_uid(uid: Option<&str>) -> Result<()> {
    let is_good = |uid: &str| (1..=UID).contains(&uid.len()) && clean(uid, false) == uid;
    match uid {
        Some(uid) if !is_good(uid) => {
            Err(Error::usage(format!("a uid has 1 to {UID} bytes, all of which can be seen")))
        }
        _ => Ok(()),
    }
}

/// Takes their places from those whom an entry puts out.
fn expel(room: &Room, state: &mut State, entry: &Entry) {
    let What::Rule { act: act @ (Act::Kick | Act::Ban), key: Some(key), reason, .. } = &entry.what else { return };
    let word = if *act == Act::Ban { "banned" } else { "kicked" };
    let why = reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
    let reason = Some(format!("you were {word} by {}{why}", entry.from));
    for member in state.members_of(key) {
        state.leave(&entry.room, &member);
        // Else another connection of theirs, which comes again, would have this one in too, though it hears nothing.
        member.has_left(room);
        member.tell(&Event::Left { room: entry.room.to_string(), reason: reason.clone() }, &entry.room);
    }
}
