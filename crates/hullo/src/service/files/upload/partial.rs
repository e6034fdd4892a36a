//! Resumable uploads: draft-ietf-httpbis-resumable-upload, version 8 of its interoperation.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
};

use http::{
    HeaderName, HeaderValue, Response, StatusCode,
    header::{CACHE_CONTROL, CONTENT_TYPE, LOCATION},
};

use super::{
    super::{
        Answer, Asked, Refusal, bare,
        place::{Place, escaped},
        with,
    },
    UPLOAD_COMPLETE, UPLOAD_LENGTH, UPLOAD_LIMIT, UPLOAD_OFFSET, Uploads, bad, bytes,
    digest::Digests,
    flag,
    incoming::{self, Source},
    progress,
    sending::{Sending, Taken, gone, is_new, no_randomness},
    target::{Target, blocking, refused},
    token,
    token::{Memory, Token},
};
use crate::io::{
    condition::Condition,
    exchange::{Body, Interim},
};

/// The version of the draft, which a client says too: no other one may take our interim responses for its own.
const VERSION: &str = "8";
const UPLOAD_DRAFT_INTEROP_VERSION: HeaderName = HeaderName::from_static("upload-draft-interop-version");

/// Uploads that are done and remembered: their last answer may have been lost.
const REMEMBERED: usize = 1024;

/// Those that were done last, and how long they were.
#[derive(Default)]
pub(super) struct Finished(Mutex<VecDeque<(Vec<u8>, u64)>>);

impl Finished {
    fn add(&self, key: Vec<u8>, length: u64) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.truncate(REMEMBERED - 1);
        all.push_front((key, length));
    }

    fn length(&self, key: &[u8]) -> Option<u64> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.iter().find(|(known, _)| known == key).map(|(_, length)| *length)
    }
}

/// A PUT with `Upload-Complete`: a new upload, and its first bytes (section 4.2).
pub(super) async fn create(
    asked: &Asked,
    uploads: Arc<Uploads>,
    mut sending: Sending,
    complete: bool,
    body: Body,
) -> Answer {
    if asked.says("upload") {
        return Err(bad("the server names an upload that has Upload-Complete"));
    }
    let length =
        agreed(complete.then(|| incoming::length(&body)).flatten(), bytes(&asked.head.headers, &UPLOAD_LENGTH))?;
    let memory = Memory { length, sha256: sending.whole.sha256(), is_new: sending.is_new };
    if !complete && !sending.whole.is_only_sha256() {
        return Err(bad("an upload in parts remembers a sha-256 alone: send other hashes with its last part"));
    }
    let token = Token::new(memory).ok_or_else(no_randomness)?;
    let location = HeaderValue::try_from(format!("./{}?upload={}", escaped(asked.place.name()), token.as_str()));
    let location = location.map_err(|_| bad("the name is too long for an address"))?;
    announce(asked, &uploads, &location).await;
    let key = token.key(&asked.place);
    sending = Sending { token, length, last: complete, stays: true, ..sending };
    let taken = sending.take(asked, &uploads, Source::Body(body)).await?;
    Ok(match taken.done {
        Some(_) => answered(&uploads, key, taken),
        None => {
            let response = with(bare(StatusCode::CREATED), LOCATION, location);
            progress(with(response, UPLOAD_LIMIT, uploads.limit()), taken.offset, false)
        }
    })
}

/// Tells a client where its upload is before all of it has come, if it understands that (section 5).
async fn announce(asked: &Asked, uploads: &Uploads, location: &HeaderValue) {
    let version = asked.head.headers.get(UPLOAD_DRAFT_INTEROP_VERSION);
    let interim = asked.head.extensions.get::<Interim>().filter(|_| version.is_some_and(|version| version == VERSION));
    let (Some(interim), Ok(status)) = (interim, StatusCode::from_u16(104)) else { return };
    let mut early = Response::new(());
    *early.status_mut() = status;
    early.headers_mut().insert(LOCATION, location.clone());
    early.headers_mut().insert(UPLOAD_LIMIT, uploads.limit());
    early.headers_mut().insert(UPLOAD_DRAFT_INTEROP_VERSION, HeaderValue::from_static(VERSION));
    // Without it the client knows less; the upload is the same.
    let _ = interim.send(early).await;
}

/// PATCH: the next bytes of an upload, and perhaps the last (section 4.4).
pub(super) async fn append(asked: &Asked, uploads: Arc<Uploads>, body: Body) -> Answer {
    let headers = &asked.head.headers;
    if !asked.says("upload") {
        return Err(Refusal::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "PATCH goes on with an upload: the address of one has ?upload=",
        ));
    }
    let kind = headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes);
    if kind != Some(b"application/partial-upload") {
        let why = "what is appended to an upload is of the type application/partial-upload";
        return Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, why));
    }
    let offset =
        bytes(headers, &UPLOAD_OFFSET).ok_or(bad("Upload-Offset says where the bytes belong, and is missing"))?;
    let last =
        flag(headers, &UPLOAD_COMPLETE).ok_or(bad("Upload-Complete is ?1 with the last bytes and ?0 with others"))?;
    let token = token(asked)?;
    let memory = token.memory();
    let end = incoming::length(&body).filter(|_| last).map(|length| offset.saturating_add(length));
    let length = agreed(agreed(memory.length, end)?, bytes(headers, &UPLOAD_LENGTH))?;
    let key = token.key(&asked.place);
    let sending = Sending {
        place: asked.place.clone(),
        token,
        offset,
        resumes: true,
        stays: true,
        last,
        length,
        whole: Digests::of_whole(asked)?.and_sha256(memory.sha256),
        content: Digests::of_content(headers)?,
        condition: Condition::of(headers),
        is_new: memory.is_new || is_new(headers),
    };
    let taken = sending.take(asked, &uploads, Source::Body(body)).await?;
    Ok(match taken.done {
        Some(_) => answered(&uploads, key, taken),
        None => progress(bare(StatusCode::NO_CONTENT), taken.offset, false),
    })
}

fn answered(uploads: &Uploads, key: Vec<u8>, taken: Taken) -> Response<Body> {
    let offset = taken.offset;
    uploads.finished.add(key, offset);
    progress(taken.response(), offset, true)
}

/// Two ways to say the length of all, which must say the same (section 4.1.3).
fn agreed(one: Option<u64>, other: Option<u64>) -> Result<Option<u64>, Refusal> {
    match (one, other) {
        (Some(one), Some(other)) if one != other => Err(bad("the upload is said to have two different lengths")),
        (one, other) => Ok(one.or(other)),
    }
}

/// HEAD: how much of it is here (section 4.3).
pub(super) async fn offset(asked: &Asked, uploads: Arc<Uploads>) -> Answer {
    let token = token(asked)?;
    let key = token.key(&asked.place);
    let limit = uploads.limit();
    let finished = uploads.finished.length(&key);
    let (offset, complete, length) = match finished {
        Some(length) => (length, true, Some(length)),
        None => {
            // A client that asks has given up its older request. One that has not named its upload may only be curious.
            let _turn = if token.is_of_client() { None } else { uploads.turns.next(&key).await };
            let (root, place, length) = (asked.root.clone(), asked.place.clone(), token.memory().length);
            let there = blocking(move || {
                let (target, part) = of(&uploads, &root, &place, &token)?;
                let there =
                    target.folder.status(&part).map_err(|error| refused(&error, "the upload cannot be read"))?;
                there.map(|there| u64::try_from(there.st_size).unwrap_or_default()).ok_or_else(gone)
            });
            (there.await?, false, length)
        }
    };
    let response = progress(bare(StatusCode::NO_CONTENT), offset, complete);
    let response = with(response, UPLOAD_LIMIT, limit);
    let response = with(response, CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(match length {
        Some(length) => with(response, UPLOAD_LENGTH, HeaderValue::from(length)),
        None => response,
    })
}

/// DELETE: it is not wanted any more (section 4.5).
pub(super) async fn cancel(asked: &Asked, uploads: Arc<Uploads>) -> Answer {
    if !asked.says("upload") {
        return Err(Refusal::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "no file is removed here; DELETE ends an upload, at its own address",
        ));
    }
    let token = token(asked)?;
    let _turn = uploads.turns.next(&token.key(&asked.place)).await;
    let (root, place) = (asked.root.clone(), asked.place.clone());
    blocking(move || {
        let (target, part) = of(&uploads, &root, &place, &token)?;
        if target.folder.status(&part).ok().flatten().is_none() {
            return Err(gone());
        }
        let name = token.part(&target.name).ok_or_else(gone)?;
        let part = target.folder.begin(&name).map_err(|error| refused(&error, "the upload cannot be ended"))?;
        part.discard().map_err(|error| refused(&error, "the upload cannot be ended"))
    })
    .await?;
    Ok(bare(StatusCode::NO_CONTENT))
}

/// Where an upload's bytes are: its folder, and the name of its part there.
fn of(
    uploads: &Uploads,
    root: &super::super::root::Root,
    place: &Place,
    token: &Token,
) -> Result<(Target, crate::name::Name), Refusal> {
    let target = Target::of(uploads, root, place, false)?;
    let part = token.part(&target.name).ok_or_else(gone)?.part();
    Ok((target, part))
}
