//! What comes by PUT, POST, PATCH, MKCOL and DELETE, where `--upload` lets it.
//!
//! `curl -T name localhost:8000/folder/` sends a file and `curl -F file=@name localhost:8000/folder/` a form of several; folders
//! on the way are made. Nothing is replaced without `--overwrite`, a file has its name when it is whole and on the disk,
//! and what has come of a broken upload stays for the next attempt, for a week:
//!
//! - `curl -C OFFSET -T name` (a PUT with `Content-Range`) goes on where the same client's last attempt ended. How much is
//!   there, `curl -I 'localhost:8000/folder/name?upload'` says in `Upload-Offset`.
//! - Resumable uploads are those of draft-ietf-httpbis-resumable-upload: a PUT or POST with `Upload-Complete` makes an upload,
//!   at the `Location` of the answer (and of a 104 before it); HEAD says its `Upload-Offset`, PATCH goes on, DELETE ends it. What
//!   an upload must know is in its address, so it survives a restart of the server.
//!
//! `Repr-Digest` and `Content-Digest` (RFC 9530: sha-256, sha-512) and `?blake3=` are checked before the name appears.

use std::{path::Path, sync::Arc};

use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode,
    header::{ALLOW, CONTENT_ENCODING, CONTENT_RANGE},
};

use self::{
    digest::Digests,
    incoming::Source,
    leftovers::{KEPT, Leftovers},
    partial::Finished,
    sending::{Sending, Taken},
    token::Token,
    turns::Turns,
};
use super::{Answer, Asked, Refusal, with};
use crate::{
    error::{Error, Kind, Result},
    folder::Folder,
    io::{condition::Condition, exchange::Body},
};

mod digest;
mod form;
mod incoming;
mod leftovers;
mod partial;
mod sending;
mod target;
mod token;
mod turns;

/// Where files are put, and what of them.
pub(super) struct Uploads {
    folder: Folder,
    /// Whether a file may take the place of another.
    overwrite: bool,
    /// The most bytes of a file.
    most: Option<u64>,
    /// What this process takes off the modes of all it makes.
    mask: u32,
    turns: Turns,
    finished: Finished,
    leftovers: Leftovers,
}

impl Uploads {
    pub(super) fn open(dir: &Path, overwrite: bool, most: Option<u64>) -> Result<Self> {
        let about = || format!("cannot write to the folder {}", dir.display());
        let folder = Folder::open(dir).map_err(|error| Error::io(about(), error).of(Kind::File))?;
        Ok(Self {
            folder,
            overwrite,
            most,
            mask: mask(),
            turns: Turns::default(),
            finished: Finished::default(),
            leftovers: Leftovers::default(),
        })
    }

    pub(super) fn overwrites(&self) -> bool {
        self.overwrite
    }

    /// What an upload may be, as `Upload-Limit` says it.
    fn limit(&self) -> HeaderValue {
        let size = self.most.map_or(String::new(), |most| format!("max-size={most}, "));
        let limit = format!("{size}max-age={}", KEPT.as_secs());
        HeaderValue::from_str(&limit).unwrap_or(HeaderValue::from_static("min-size=0"))
    }
}

/// The methods that a folder with uploads has.
const METHODS: &str = "GET, HEAD, OPTIONS, PUT, POST, PATCH, DELETE, MKCOL";

/// Takes what is sent.
pub(super) async fn answer(asked: &Asked, uploads: Arc<Uploads>, body: Body) -> Answer {
    if asked.head.headers.contains_key(CONTENT_ENCODING) {
        let why = "a file is stored as it comes, so it cannot come with a Content-Encoding";
        return Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, why));
    }
    match (&asked.head.method, asked.place.is_folder()) {
        (&Method::PUT, false) => put(asked, uploads, body).await,
        (&Method::PUT, true) => Err(bad("a PUT names a file; curl -T adds the name to a path that ends with a slash")),
        (&Method::PATCH, _) => partial::append(asked, uploads, body).await,
        (&Method::DELETE, _) => partial::cancel(asked, uploads).await,
        (&Method::POST, _) if asked.says("mkdir") => form::make_folder(asked, uploads, body).await,
        (&Method::POST, _) => form::take(asked, uploads, body).await,
        // MKCOL; no other method comes here.
        _ => form::make(&uploads, &asked.root, &asked.place).await,
    }
}

/// How much has come of an upload, to HEAD and GET.
pub(super) async fn offset(asked: &Asked, uploads: Arc<Uploads>) -> Answer {
    partial::offset(asked, uploads).await
}

/// Says what may be done here.
pub(super) fn allowing(uploads: &Uploads, response: Response<Body>) -> Response<Body> {
    let response = with(response, ALLOW, HeaderValue::from_static(METHODS));
    with(response, UPLOAD_LIMIT, uploads.limit())
}

/// A whole file, a part of one by `Content-Range`, or the beginning of a resumable upload.
async fn put(asked: &Asked, uploads: Arc<Uploads>, body: Body) -> Answer {
    let headers = &asked.head.headers;
    let sending = Sending {
        place: asked.place.clone(),
        token: token(asked)?,
        offset: 0,
        resumes: false,
        stays: false,
        last: true,
        length: incoming::length(&body),
        whole: Digests::of_whole(asked)?,
        content: Digests::of_content(headers)?,
        condition: Condition::of(headers),
        is_new: sending::is_new(headers),
    };
    match (flag(headers, &UPLOAD_COMPLETE), headers.get(CONTENT_RANGE)) {
        (None, None) => sending.take(asked, &uploads, Source::Body(body)).await.map(Taken::response),
        (None, Some(range)) => {
            let (offset, end, length) = content_range(range).ok_or(bad("Content-Range is like bytes 100-199/200"))?;
            // A length that is not said is known with the last bytes, and these may be.
            let last = length.is_none_or(|length| end + 1 == length);
            let sending = Sending { offset, resumes: offset > 0, last, length, ..sending };
            sending.take(asked, &uploads, Source::Body(body)).await.map(Taken::response)
        }
        (Some(complete), None) => partial::create(asked, uploads, sending, complete, body).await,
        (Some(_), Some(_)) => Err(bad("Content-Range and Upload-Complete are two ways to say the same thing")),
    }
}

/// The upload that the query names; without a name it is this client's own of that file.
fn token(asked: &Asked) -> Result<Token, Refusal> {
    match asked.value("upload").filter(|token| !token.is_empty()) {
        Some(token) => Token::of(&token).ok_or(bad("an upload is named by up to 200 letters, digits, - and _")),
        None => Ok(Token::of_client(&asked.client())),
    }
}

const UPLOAD_COMPLETE: HeaderName = HeaderName::from_static("upload-complete");
const UPLOAD_LENGTH: HeaderName = HeaderName::from_static("upload-length");
const UPLOAD_LIMIT: HeaderName = HeaderName::from_static("upload-limit");
const UPLOAD_OFFSET: HeaderName = HeaderName::from_static("upload-offset");

fn bad(why: &'static str) -> Refusal {
    Refusal::new(StatusCode::BAD_REQUEST, why)
}

/// A structured field that is a boolean (RFC 9651, section 3.3.6); what is none is ignored.
fn flag(headers: &HeaderMap, name: &HeaderName) -> Option<bool> {
    match item(headers, name)? {
        "?1" => Some(true),
        "?0" => Some(false),
        _ => None,
    }
}

/// A structured field that is a number of bytes; what is none is ignored.
fn bytes(headers: &HeaderMap, name: &HeaderName) -> Option<u64> {
    let text = item(headers, name)?;
    let is_number = !text.is_empty() && text.len() <= 15 && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| is_number)
}

/// A structured item without its parameters. Where a field stands twice it is none.
fn item<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let (value, None) = (values.next()?, values.next()) else { return None };
    Some(value.to_str().ok()?.split(';').next()?.trim())
}

/// First byte, last byte, and the length of all (RFC 9110, section 14.4).
fn content_range(value: &HeaderValue) -> Option<(u64, u64, Option<u64>)> {
    let (range, length) = value.to_str().ok()?.trim().strip_prefix("bytes")?.trim_start().split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let length = if length == "*" { None } else { Some(length.parse().ok()?) };
    let (first, last) = (first.parse().ok()?, last.parse().ok()?);
    (first <= last && length.is_none_or(|length| last < length)).then_some((first, last, length))
}

/// With how much is there, and whether that is all of it.
fn progress(response: Response<Body>, offset: u64, complete: bool) -> Response<Body> {
    let response = with(response, UPLOAD_OFFSET, HeaderValue::from(offset));
    with(response, UPLOAD_COMPLETE, HeaderValue::from_static(if complete { "?1" } else { "?0" }))
}

/// The mask of this process, which the system tells without changing it in one place alone.
fn mask() -> u32 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("Umask:"));
    mask.and_then(|mask| u32::from_str_radix(mask.trim(), 8).ok()).unwrap_or(0o022)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_what_they_are_or_ignored() {
        let headers = |value: &'static str| HeaderMap::from_iter([(UPLOAD_OFFSET, HeaderValue::from_static(value))]);
        for (value, number, boolean) in [
            ("0", Some(0), None),
            (" 12;a=b", Some(12), None),
            ("999999999999999", Some(999_999_999_999_999), None),
            ("1000000000000000", None, None),
            ("-1", None, None),
            ("1.5", None, None),
            ("", None, None),
            ("?1", None, Some(true)),
            ("?0 ; x", None, Some(false)),
            ("true", None, None),
        ] {
            let headers = headers(value);
            assert_eq!(
                (bytes(&headers, &UPLOAD_OFFSET), flag(&headers, &UPLOAD_OFFSET)),
                (number, boolean),
                "{value:?}"
            );
        }
        let mut twice = headers("1");
        twice.append(UPLOAD_OFFSET, HeaderValue::from_static("1"));
        assert_eq!(bytes(&twice, &UPLOAD_OFFSET), None);
    }

    #[test]
    fn a_content_range_is_a_range_of_content() {
        for (value, wanted) in [
            ("bytes 0-9/10", Some((0, 9, Some(10)))),
            ("bytes 5-9/*", Some((5, 9, None))),
            ("bytes 5-4/10", None),
            ("bytes 0-10/10", None),
            ("bytes */10", None),
            ("items 0-1/2", None),
            ("bytes -1-2/3", None),
            ("bytes 0-18446744073709551616/*", None),
        ] {
            assert_eq!(content_range(&HeaderValue::from_static(value)), wanted, "{value}");
        }
    }

    proptest::proptest! {
        #[test]
        fn a_content_range_is_read_back(first in 0..u64::MAX, more in 0..1000_u64, rest in proptest::option::of(1..1000_u64)) {
            let last = first.saturating_add(more);
            let length = rest.and_then(|rest| last.checked_add(rest));
            let total = length.map_or("*".to_owned(), |length| length.to_string());
            let value = HeaderValue::try_from(format!("bytes {first}-{last}/{total}")).unwrap();
            assert_eq!(content_range(&value), Some((first, last, length)));
        }

        #[test]
        fn no_field_breaks_what_reads_it(value in "[ -~]{0,40}") {
            let Ok(value) = HeaderValue::try_from(value) else { return Ok(()) };
            let headers = HeaderMap::from_iter([(UPLOAD_OFFSET, value.clone()), (HeaderName::from_static("content-digest"), value.clone())]);
            let _ = (content_range(&value), bytes(&headers, &UPLOAD_OFFSET), flag(&headers, &UPLOAD_OFFSET));
            let _ = Digests::of_content(&headers);
            let _ = Token::of(value.to_str().unwrap()).map(|token| token.memory());
        }
    }
}
