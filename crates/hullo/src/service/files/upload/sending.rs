//! One file, or a piece of one, as it is sent: where it goes, what must hold, and what came of it.

use std::{fmt, io, sync::Arc, time::SystemTime};

use http::{
    HeaderValue, Response, StatusCode,
    header::{HeaderMap, IF_NONE_MATCH},
};

use super::{
    super::{Asked, Refusal, place::Place, root::Root, with, words::size},
    UPLOAD_COMPLETE, UPLOAD_LIMIT, UPLOAD_OFFSET, Uploads,
    digest::Digests,
    incoming::{Source, Stopped, pour},
    target::{Target, blocking, refused},
    token::{Memory, Token},
    turns::Turn,
};
use crate::{
    folder::{Finish, Part},
    io::{
        condition::Condition,
        exchange::{Body, text},
    },
};

/// A file on its way.
pub(super) struct Sending {
    pub(super) place: Place,
    pub(super) token: Token,
    /// Where the bytes belong.
    pub(super) offset: u64,
    /// Whether it goes on with what an earlier request has brought, and so is of no use without it.
    pub(super) resumes: bool,
    /// Whether there is something to go on with later even if nothing comes.
    pub(super) stays: bool,
    /// Whether the file is whole with it.
    pub(super) last: bool,
    /// The length of the whole file, where that is known.
    pub(super) length: Option<u64>,
    pub(super) whole: Digests,
    pub(super) content: Digests,
    pub(super) condition: Condition,
    /// Whether there must be nothing yet.
    pub(super) is_new: bool,
}

/// Whether a request wants to replace nothing.
pub(super) fn is_new(headers: &HeaderMap) -> bool {
    headers.get(IF_NONE_MATCH).is_some_and(|value| value == "*")
}

/// What came of it.
pub(super) struct Taken {
    pub(super) name: String,
    /// How many bytes are there.
    pub(super) offset: u64,
    pub(super) done: Option<Done>,
}

/// A file that is whole, and has its name.
pub(super) struct Done {
    /// Whether it took the place of another.
    replaced: bool,
}

/// A place and a part to write into.
struct Opened {
    target: Target,
    part: Arc<Part>,
}

impl Sending {
    /// Takes the bytes. What has come stays where the rest may follow.
    pub(super) async fn take(
        mut self,
        asked: &Asked,
        uploads: &Arc<Uploads>,
        source: Source<'_>,
    ) -> Result<Taken, Refusal> {
        let turn = self.turn(uploads).await?;
        let (root, shared) = (asked.root.clone(), uploads.clone());
        let (sending, opened) = blocking(move || {
            let opened = self.open(&shared, &root)?;
            Ok((self, opened))
        })
        .await?;
        let most = sending.most(uploads);
        let (at, ended) = pour(&opened.part, sending.offset, source, most, &turn).await;
        if let Err(stopped) = ended {
            return Err(sending.stopped(stopped, at, opened, uploads).await);
        }
        let shared = uploads.clone();
        // The turn ends when the file has its name, and not before.
        blocking(move || sending.finish(at, opened, &shared, turn)).await
    }

    /// The turn at this upload. A client that sends the same name twice at once without naming its uploads has two uploads.
    async fn turn(&mut self, uploads: &Uploads) -> Result<Turn, Refusal> {
        if self.token.is_of_client() && !self.resumes {
            if let Some(turn) = uploads.turns.free(&self.key()) {
                return Ok(turn);
            }
            self.token = Token::new(Memory::default()).ok_or_else(no_randomness)?;
        }
        let busy = || Refusal::new(StatusCode::CONFLICT, "an older request still writes this file");
        uploads.turns.next(&self.key()).await.ok_or_else(busy)
    }

    fn key(&self) -> Vec<u8> {
        self.token.key(&self.place)
    }

    /// The most bytes that the file may have.
    fn most(&self, uploads: &Uploads) -> u64 {
        self.length.unwrap_or(u64::MAX).min(uploads.most.unwrap_or(u64::MAX))
    }

    fn replaces(&self, uploads: &Uploads) -> bool {
        uploads.overwrite && !self.is_new
    }

    fn open(&self, uploads: &Uploads, root: &Root) -> Result<Opened, Refusal> {
        if let (Some(length), Some(most)) = (self.length, uploads.most)
            && length > most
        {
            return Err(too_long(uploads));
        }
        let target = Target::of(uploads, root, &self.place, !self.resumes)?;
        let name = self.token.part(&target.name).ok_or_else(gone)?;
        if self.resumes && target.folder.status(&name.part()).ok().flatten().is_none() {
            return Err(if self.token.is_of_client() { mismatch(0) } else { gone() });
        }
        target.check(&self.condition, self.replaces(uploads))?;
        target.has_room(self.length.map_or(0, |length| length.saturating_sub(self.offset)))?;
        uploads.leftovers.clear(&target.folder);
        let part = target.folder.begin(&name).map_err(|error| refused(&error, "the file cannot be begun"))?;
        let there = part.file().metadata().map_or(0, |file| file.len());
        if self.resumes && there != self.offset {
            return Err(mismatch(there));
        }
        if !self.resumes && there > 0 {
            part.file().set_len(0).map_err(|error| refused(&error, "the file cannot be begun anew"))?;
        }
        Ok(Opened { target, part: Arc::new(part) })
    }

    async fn stopped(self, stopped: Stopped, at: u64, opened: Opened, uploads: &Arc<Uploads>) -> Refusal {
        let here = format!("{} of it {} here", size(at), if at == 1 { "is" } else { "are" });
        let (stays, refusal) = match stopped {
            // Whoever sent it has gone, or sent what cannot be read.
            Stopped::Wire(error) => {
                (at > 0 || self.stays, Refusal::new(StatusCode::BAD_REQUEST, format!("{error}; {here}")))
            }
            Stopped::Outdated => (true, Refusal::new(StatusCode::CONFLICT, "a newer request goes on with this upload")),
            Stopped::TooLong if self.length.is_some_and(|length| uploads.most.is_none_or(|most| length <= most)) => {
                (false, Refusal::new(StatusCode::BAD_REQUEST, "more has come than the length that was said"))
            }
            Stopped::TooLong => (false, too_long(uploads)),
            Stopped::Disk(error) => {
                let refusal = refused(&error, "the file cannot be written");
                let why = format!("{}; {here}, and the rest may follow when there is room", refusal.why);
                (true, Refusal::new(refusal.status, why).with(UPLOAD_OFFSET, HeaderValue::from(at)))
            }
        };
        if !stays {
            // It is in nobody's way, but of no use either.
            let removing = move || {
                discard(opened);
                Ok(())
            };
            // Whether that was possible changes nothing for who sent it.
            let _ = blocking(removing).await;
        }
        refusal.with(UPLOAD_COMPLETE, HeaderValue::from_static("?0"))
    }

    fn finish(self, at: u64, opened: Opened, uploads: &Uploads, turn: Turn) -> Result<Taken, Refusal> {
        let unread = |error: io::Error| refused(&error, "the file cannot be read again");
        let (name, part) = (opened.target.shown(), &opened.part);
        if let Err(refusal) = self.content.check(part.file(), self.offset, at).map_err(unread)? {
            part.file()
                .set_len(self.offset)
                .map_err(|error| refused(&error, "the wrong piece cannot be taken back"))?;
            return Err(refusal.with(UPLOAD_OFFSET, HeaderValue::from(self.offset)));
        }
        if !self.last {
            return Ok(Taken { name, offset: at, done: None });
        }
        if let Some(length) = self.length.filter(|length| at < *length) {
            let why = format!("the upload ends at {at} of {length} bytes");
            return Err(Refusal::new(StatusCode::BAD_REQUEST, why).with(UPLOAD_OFFSET, HeaderValue::from(at)));
        }
        if let Err(refusal) = self.whole.check(part.file(), 0, at).map_err(unread)? {
            discard(opened);
            return Err(refusal);
        }
        let replaces = self.replaces(uploads);
        let replaced = opened.target.check(&self.condition, replaces)?;
        let how = Finish { durable: true, replace: replaces };
        let named = part.finish(&opened.target.name, 0o666 & !uploads.mask, SystemTime::now(), how);
        named.map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => opened.target.taken(),
            _ => refused(&error, "the file cannot be given its name"),
        })?;
        opened
            .target
            .folder
            .sync()
            .map_err(|error| refused(&error, "it is not certain that the file is on the disk"))?;
        drop(turn);
        Ok(Taken { name, offset: at, done: Some(Done { replaced }) })
    }
}

impl Taken {
    pub(super) fn response(self) -> Response<Body> {
        let said = format!("{self}\n");
        match self.done {
            None => with(text(StatusCode::ACCEPTED, said), UPLOAD_OFFSET, HeaderValue::from(self.offset)),
            Some(done) => text(if done.replaced { StatusCode::OK } else { StatusCode::CREATED }, said),
        }
    }
}

impl fmt::Display for Taken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match &self.done {
            None => "the rest may follow",
            Some(Done { replaced: true, .. }) => "replaced",
            Some(_) => "stored",
        };
        write!(f, "{}: {} bytes, {what}", self.name, self.offset)
    }
}

fn discard(opened: Opened) {
    if let Some(part) = Arc::into_inner(opened.part) {
        // What cannot be removed is found by the next attempt.
        let _ = part.discard();
    }
}

fn mismatch(there: u64) -> Refusal {
    let why = match there {
        0 => "nothing of this file is here to go on with: send it from its beginning".to_owned(),
        there => format!("{there} bytes of this file are here: go on there, as in curl -C {there} -T"),
    };
    let refusal = Refusal::new(StatusCode::CONFLICT, why).with(UPLOAD_OFFSET, HeaderValue::from(there));
    refusal.with(UPLOAD_COMPLETE, HeaderValue::from_static("?0"))
}

fn too_long(uploads: &Uploads) -> Refusal {
    let most = uploads.most.unwrap_or_default();
    let why = format!("a file may have {} here and no more (--max-upload)", size(most));
    Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, why).with(UPLOAD_LIMIT, uploads.limit())
}

pub(super) fn gone() -> Refusal {
    Refusal::new(StatusCode::NOT_FOUND, "there is no such upload, or it is done")
}

pub(super) fn no_randomness() -> Refusal {
    Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "this system has no randomness")
}
