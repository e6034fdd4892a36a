//! How something becomes an entry of a room's log: it gets its place under the room's lock, and is the writer's then.

use std::sync::Arc;

use super::{
    Chat,
    history::{Durable, Place, Position, Write},
    now,
    people::Person,
    room::{Room, State},
    rules,
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

impl Draft {
    /// What somebody does, on none of their connections.
    pub(super) fn of(person: &Arc<Person>, what: What) -> Self {
        Self { person: person.clone(), by: None, network: None, uid: None, what, kept: None }
    }
}

/// How an entry comes to its place.
#[derive(Default)]
pub(super) struct Landing {
    /// Its place in the writer's queue, if it is to be written.
    pub(super) place: Option<Place>,
    /// How far the log of all servers has been read with it.
    pub(super) position: Option<Position>,
    /// That log does not have it yet.
    pub(super) unsent: bool,
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
        self.post_founder(room).await?;
        let known = match draft.uid.as_deref() {
            Some(uid) => self.known(room, uid).await?,
            None => None,
        };
        let entry = match known {
            Some(entry) => entry,
            None => {
                if let Some(joined) = self.joined.as_ref().filter(|_| room.kept) {
                    self.let_speak(room, &room.state(), &draft)?;
                    return self.post_to_all(joined, room, draft).await;
                }
                let place = self.place(room).await?;
                match self.put(room, &mut draft, place)? {
                    Ok(uid) => return Ok(uid),
                    Err(entry) => entry,
                }
            }
        };
        self.post_again(room, entry, draft).await
    }

    /// Who came first is the operator of a room from the first thing that is said in it.
    async fn post_founder(&self, room: &Room) -> Result<()> {
        let Some(person) = room.state().founder.take() else { return Ok(()) };
        // It is taken, and so this entry has none before it.
        Box::pin(self.post(room, Draft::of(&person, rules::op(&person)))).await.map(drop)
    }

    /// Gives a draft its place, or finds that two connections of one client have said it at the same time.
    fn put(&self, room: &Room, draft: &mut Draft, place: Option<Place>) -> Result<Result<Arc<str>, Arc<Entry>>> {
        let mut state = room.state();
        if let Some(entry) = draft.uid.as_deref().and_then(|uid| state.recent(uid)) {
            return Ok(Err(entry.clone()));
        }
        self.let_speak(room, &state, draft)?;
        let entry = Entry {
            id: 0,
            uid: draft.uid.take().unwrap_or_default().into(),
            room: room.name.clone(),
            from: draft.person.name(),
            author: draft.person.author.clone(),
            time: now(),
            what: draft.what.clone(),
        };
        let landing = Landing { place, kept: draft.kept.take(), ..Landing::default() };
        let entry = self.append(room, &mut state, entry, draft.by, landing);
        if let Some(joined) = &self.joined {
            self.tell_alone(joined, room, &entry);
        }
        Ok(Ok(entry.uid.clone()))
    }

    /// Lets somebody speak.
    fn let_speak(&self, room: &Room, state: &State, draft: &Draft) -> Result<()> {
        let who = self.who(&draft.person, draft.network.as_deref());
        let speaks = matches!(draft.what, What::Say { .. } | What::Edit { .. } | What::Topic { .. });
        if speaks { state.rules.let_speak(&room.name, who, now()) } else { Ok(()) }
    }

    /// A place in the writer's queue, where what is said in that room is written.
    pub(super) async fn place(&self, room: &Room) -> Result<Option<Place>> {
        match &self.history {
            Some(history) if room.kept => history.place().await.map(Some),
            _ => Ok(None),
        }
    }

    /// Gives an entry its id, and a uid where it has none; under the room's lock.
    pub(super) fn append(
        &self,
        room: &Room,
        state: &mut State,
        mut entry: Entry,
        by: Option<u64>,
        landing: Landing,
    ) -> Arc<Entry> {
        let mut next = self.next_id();
        let id = *next;
        *next += 1;
        entry.id = id;
        entry.room = room.name.clone();
        if entry.uid.is_empty() {
            entry.uid = self.uid(id).into();
        }
        let entry = Arc::new(entry);
        let uid = entry.uid.clone();
        let changed = state.add(&entry, by, self.written());
        let rules = changed.then(|| Arc::new(state.rules.clone()));
        let Landing { place, position, unsent, kept } = landing;
        match (place, &self.history) {
            (Some(place), Some(history)) => {
                let kept = kept.map(|kept| -> Durable {
                    let uid = uid.clone();
                    Box::new(move |result| kept(&uid, result.map(|()| id)))
                });
                history.append(place, Write { entry: entry.clone(), rules, position, unsent, kept });
            }
            _ => drop(kept.map(|kept| kept(&uid, Ok(id)))),
        }
        drop(next);
        expel(room, state, &entry);
        entry
    }

    /// A name for an entry that nobody can have taken before. It begins with what grows, which is cheap to keep in order.
    fn uid(&self, id: u64) -> String {
        format!("{id:011x}{}", &blake3::keyed_hash(&self.key, &id.to_le_bytes()).to_hex()[..20])
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
        let uid = entry.uid.clone();
        if let Some(kept) = draft.kept {
            self.keep_again(room, entry, kept).await?;
        }
        Ok(uid)
    }

    /// Tells somebody that an entry is on disk, as soon as it is.
    pub(super) async fn keep_again(&self, room: &Room, entry: Arc<Entry>, kept: Kept) -> Result<()> {
        let (id, uid) = (entry.id, entry.uid.clone());
        match &self.history {
            // It may be on its way to the disk, or the disk was full: behind it, the same once more writes what is missing.
            Some(history) if room.kept && history.find(&uid).await?.is_none() => {
                let again = uid.clone();
                let kept = Box::new(move |result: Result<()>| kept(&again, result.map(|()| id)));
                let place = history.place().await?;
                history.append(place, Write { entry, rules: None, position: None, unsent: false, kept: Some(kept) });
            }
            _ => kept(&uid, Ok(id)),
        }
        Ok(())
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
        state.leave(room, &member);
        member.tell(&Event::Left { room: entry.room.to_string(), reason: reason.clone() }, &entry.room);
    }
}
