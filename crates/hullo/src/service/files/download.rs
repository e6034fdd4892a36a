//! A file as the answer to GET and HEAD: whole or in ranges, and only where the client has not got it already.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use http::{
    HeaderMap, HeaderValue, Method, Response, StatusCode,
    header::{
        ACCEPT_RANGES, CONTENT_DISPOSITION, CONTENT_ENCODING, CONTENT_RANGE, CONTENT_SECURITY_POLICY, CONTENT_TYPE,
        ETAG, LAST_MODIFIED, RANGE, VARY,
    },
};

use super::{
    Answer, Asked, Refusal, bare,
    coding::{self, Version},
    kind::{Kind, SANDBOX},
    place::{Place, attachment},
    root::{Facts, Opened},
    several, with,
};
use crate::io::{
    codings::{Coding, encoded},
    condition::{Condition, is_same},
    exchange::{Body, full, text},
    file::Source,
    ranges::Wanted,
};

/// The longest file that leaves in one write with its head, and is not sent by the kernel: below that one system call less
/// is worth more than one copy less.
const SMALL: u64 = 32 << 10;

/// How soon after a change another may leave the time of the first, where times are finer than a second and where not.
const FINE: Duration = Duration::from_millis(50);
const COARSE: Duration = Duration::from_secs(2);

/// Answers with the file that was opened at that place.
pub(super) async fn answer(asked: &Asked, place: &Place, opened: Opened) -> Answer {
    let kind = Kind::of(place.name());
    let version = coding::choose(asked, place, &kind, opened).await;
    let sheet = Sheet::of(&version);
    let condition = Condition::of(&asked.head.headers);
    let mut response = match condition.is_fresh(&sheet.tag, Some(sheet.modified))? {
        true => bare(StatusCode::NOT_MODIFIED),
        false => {
            let mut response = content(asked, version, &sheet, &kind).await?;
            describe(asked, place.name(), &kind, response.headers_mut());
            response
        }
    };
    sheet.head(response.headers_mut());
    Ok(response)
}

/// What tells one version of a file from another.
struct Sheet {
    tag: String,
    modified: SystemTime,
    coding: Option<Coding>,
    ranges: bool,
    varies: bool,
}

impl Sheet {
    fn of(version: &Version) -> Self {
        let Version { opened, coding, on_the_way, varies } = version;
        let modified = opened.facts.stamp.modified();
        let tag = match coding.filter(|_| *on_the_way) {
            // The bytes that come of it may be others next time.
            Some(coding) => format!("W/\"{}-{}\"", opaque(&opened.facts), coding.name()),
            None => tag(&opened.facts),
        };
        let whole = modified.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
        let modified = SystemTime::UNIX_EPOCH + Duration::from_secs(whole);
        Self { tag, modified, coding: *coding, ranges: !on_the_way, varies: *varies }
    }

    fn head(&self, headers: &mut HeaderMap) {
        if let Ok(tag) = HeaderValue::from_str(&self.tag) {
            headers.insert(ETAG, tag);
        }
        if let Ok(date) = HeaderValue::try_from(httpdate::fmt_http_date(self.modified)) {
            headers.insert(LAST_MODIFIED, date);
        }
        if self.ranges {
            headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
        }
        if self.varies {
            headers.insert(VARY, HeaderValue::from_static("accept-encoding"));
        }
        if let Some(coding) = self.coding {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static(coding.name()));
        }
    }
}

/// The tag of a file as it is on the disk.
pub(super) fn tag(facts: &Facts) -> String {
    if is_settled(facts) { format!("\"{}\"", opaque(facts)) } else { format!("W/\"{}\"", opaque(facts)) }
}

fn opaque(facts: &Facts) -> String {
    let (seconds, nanoseconds) = facts.stamp.modified;
    format!("{:x}-{:x}-{seconds:x}.{nanoseconds:x}", facts.inode, facts.stamp.size)
}

/// Whether a change from now on is seen in the time of the file. Before that, the same tag may be of other bytes (RFC 9110,
/// section 8.8.1).
fn is_settled(facts: &Facts) -> bool {
    let grain = if facts.stamp.modified.1 == 0 { COARSE } else { FINE };
    SystemTime::now().duration_since(facts.stamp.modified()).is_ok_and(|age| age > grain)
}

/// What the client wants of it.
async fn content(asked: &Asked, version: Version, sheet: &Sheet, kind: &Kind) -> Answer {
    let Opened { file, facts } = version.opened;
    let length = facts.stamp.size;
    let source = Arc::new(Source::new(file, facts.stamp, facts.device));
    if let Some(coding) = version.coding.filter(|_| version.on_the_way) {
        return Ok(Response::new(encoded(source.part(0..length).body(), coding)));
    }
    let headers = &asked.head.headers;
    let range = headers.get(RANGE).filter(|_| asked.head.method == Method::GET);
    let range = range.filter(|_| is_same(headers, &sheet.tag, Some(sheet.modified)));
    match range.map_or(Wanted::All, |range| Wanted::of(&String::from_utf8_lossy(range.as_bytes()), length)) {
        Wanted::Nothing => Ok(with_range(
            text(StatusCode::RANGE_NOT_SATISFIABLE, "there are no such bytes in it\n"),
            format!("bytes */{length}"),
        )),
        Wanted::Parts(ranges) => match ranges.as_slice() {
            [one] => {
                let mut response = source.part(one.clone()).response();
                *response.status_mut() = StatusCode::PARTIAL_CONTENT;
                Ok(with_range(response, format!("bytes {}-{}/{length}", one.start, one.end - 1)))
            }
            _ => several::answer(&source, ranges, length, &kind.value()),
        },
        Wanted::All if length <= SMALL && asked.head.method == Method::GET => {
            let bytes = source.read_small().await.map_err(|error| Refusal::unreadable(&error))?;
            Ok(Response::new(full(bytes)))
        }
        Wanted::All => Ok(source.part(0..length).response()),
    }
}

fn with_range(response: Response<Body>, range: String) -> Response<Body> {
    match HeaderValue::try_from(range) {
        Ok(range) => with(response, CONTENT_RANGE, range),
        Err(_) => response,
    }
}

/// Says what it is, and what a browser is to do with it.
fn describe(asked: &Asked, name: &[u8], kind: &Kind, headers: &mut HeaderMap) {
    headers.entry(CONTENT_TYPE).or_insert_with(|| kind.value());
    if kind.is_active() && !asked.is_site {
        headers.insert(CONTENT_SECURITY_POLICY, SANDBOX);
    }
    if asked.says("download") {
        headers.insert(CONTENT_DISPOSITION, attachment(name));
    }
}
