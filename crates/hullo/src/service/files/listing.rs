//! What stands in a folder, as the answer to GET and HEAD: a page, JSON, or plain names.
//!
//! `?sort=name`, `-name`, `size`, `-size`, `time` and `-time` say the order; folders come first in each of them. `?q=words`
//! finds what has all the words in its path, in the folder and those below. `?offset=` and `?limit=` choose a part.
//! `?json` or `Accept: application/json` asks for JSON, `?simple` or `Accept: text/plain` for names, one a line.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use http::{
    HeaderMap, HeaderValue, StatusCode,
    header::{ACCEPT, CACHE_CONTROL, RETRY_AFTER, VARY},
};
use rustix::fs::FileType;
use tokio::{
    sync::Semaphore,
    time::{Instant, timeout},
};

use super::{
    Answer, Asked, Refusal, page,
    place::Place,
    plain,
    readme::{self, Readme},
    root::{Entry, Facts, Found, Opened, Root},
    with,
    words::Natural,
};
use crate::io::exchange::text;

/// Entries that are read of a folder, or looked at in a search.
const MOST: usize = 200_000;

/// Rows that a search gives.
const FINDS: usize = 1_000;

/// Rows of a page if nobody says, and at most.
const ROWS: usize = 1_000;
const PAGE: usize = 5_000;

/// How long a search looks, and how long a client waits for its turn.
const PATIENCE: Duration = Duration::from_secs(3);

/// Folders that are read at a time: each may be a large one.
const READERS: usize = 8;

/// Those who may read a folder now.
pub(super) struct Readers(Arc<Semaphore>);

impl Default for Readers {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(READERS)))
    }
}

pub(super) async fn answer(asked: &Asked, folder: Opened) -> Answer {
    let query = Query::of(asked)?;
    let form = Form::of(asked);
    let Ok(Ok(reader)) = timeout(PATIENCE, asked.readers.0.clone().acquire_owned()).await else {
        let busy = text(StatusCode::SERVICE_UNAVAILABLE, "too many folders are being read now: try again\n");
        return Ok(with(busy, RETRY_AFTER, HeaderValue::from_static("5")));
    };
    let (root, place) = (asked.root.clone(), asked.place.clone());
    let reading = tokio::task::spawn_blocking(move || {
        // It goes on when the client has gone, and counts until then.
        let _reader = reader;
        let mut listing = Listing::read(&root, &place, folder, &query)?;
        listing.sort(&query);
        let readme =
            (form == Form::Page && query.is_plain()).then(|| readme::of(&root, &place, &listing.rows)).flatten();
        Ok((listing, query, readme))
    });
    let read: std::io::Result<(Listing, Query, Option<Readme>)> =
        reading.await.unwrap_or_else(|error| Err(std::io::Error::other(error)));
    let wrong = |error| Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, format!("the folder cannot be read: {error}"));
    let (listing, query, readme) = read.map_err(wrong)?;
    let response = match form {
        Form::Page => page::answer(asked, &listing, &query, readme),
        Form::Json => plain::json(asked, listing, &query),
        Form::Simple => plain::names(listing, &query),
    };
    let response = with(response, CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    Ok(with(response, VARY, HeaderValue::from_static("Accept")))
}

/// What is asked for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Page,
    Json,
    Simple,
}

impl Form {
    fn of(asked: &Asked) -> Self {
        let wants = |kind| accepts(&asked.head.headers, kind);
        match () {
            () if asked.says("json") => Self::Json,
            () if asked.says("simple") => Self::Simple,
            () if wants("text/html") => Self::Page,
            () if wants("application/json") => Self::Json,
            () if wants("text/plain") => Self::Simple,
            () => Self::Page,
        }
    }
}

/// Whether a type is asked for by its name.
pub(super) fn accepts(headers: &HeaderMap, kind: &str) -> bool {
    headers.get_all(ACCEPT).iter().any(|accept| String::from_utf8_lossy(accept.as_bytes()).contains(kind))
}

/// What a listing is sorted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key {
    Name,
    Size,
    Time,
}

impl Key {
    pub(super) const ALL: [(Self, &'static str); 3] =
        [(Self::Name, "name"), (Self::Size, "size"), (Self::Time, "time")];
}

/// What is asked of a listing.
#[derive(Clone, Debug)]
pub(super) struct Query {
    pub(super) key: Key,
    /// From the last to the first.
    pub(super) falls: bool,
    /// What is searched for, as it was typed; empty for the folder itself.
    pub(super) words: String,
    pub(super) offset: usize,
    pub(super) limit: Option<usize>,
}

impl Query {
    fn of(asked: &Asked) -> Result<Self, Refusal> {
        let mut query = Self { key: Key::Name, falls: false, words: String::new(), offset: 0, limit: None };
        let wrong = |why: &'static str| Refusal::new(StatusCode::BAD_REQUEST, why);
        let number = |text: &str| text.parse().map_err(|_| wrong("offset and limit are whole numbers"));
        for (name, value) in form_urlencoded::parse(asked.head.uri.query().unwrap_or_default().as_bytes()) {
            match &*name {
                "sort" => {
                    let word = value.strip_prefix('-').unwrap_or(&value);
                    let key = Key::ALL.iter().find(|(_, name)| *name == word);
                    let (key, _) =
                        key.ok_or(wrong("sort is name, size or time, each with a - for the other way round"))?;
                    (query.key, query.falls) = (*key, value.starts_with('-'));
                }
                "q" => query.words = value.trim().to_owned(),
                "offset" => query.offset = number(&value)?,
                "limit" => query.limit = Some(number(&value)?),
                _ => {}
            }
        }
        Ok(query)
    }

    /// Whether it is the beginning of the folder itself.
    fn is_plain(&self) -> bool {
        self.words.is_empty() && self.offset == 0
    }

    /// How many rows a page has.
    pub(super) fn rows_of_page(&self) -> usize {
        self.limit.unwrap_or(ROWS).clamp(1, PAGE)
    }
}

/// Something in a folder, or below it: a link is what it leads to.
pub(super) struct Row {
    /// The path from the folder.
    pub(super) path: Vec<u8>,
    pub(super) facts: Facts,
}

impl Row {
    pub(super) fn is_folder(&self) -> bool {
        self.facts.kind == FileType::Directory
    }
}

/// What was read.
#[derive(Default)]
pub(super) struct Listing {
    pub(super) rows: Vec<Row>,
    /// Why it is not all.
    pub(super) cut: Option<&'static str>,
    /// Entries of which nothing could be learnt.
    pub(super) unread: usize,
}

impl Listing {
    fn read(root: &Arc<Root>, place: &Place, folder: Opened, query: &Query) -> std::io::Result<Self> {
        if query.words.is_empty() {
            Self::of_folder(root, place, &folder)
        } else {
            Self::found(root, place, folder, &query.words)
        }
    }

    fn of_folder(root: &Root, place: &Place, folder: &Opened) -> std::io::Result<Self> {
        let mut listing = Self::default();
        for entry in root.entries(folder)? {
            if listing.rows.len() == MOST {
                listing.cut = Some(
                    "This folder has more than 200,000 entries. These are the first that the disk names, sorted among themselves.",
                );
                break;
            }
            let Ok(entry) = entry else {
                listing.unread += 1;
                continue;
            };
            if let Some(facts) = facts(root, place, &entry) {
                listing.rows.push(Row { path: entry.name, facts });
            }
        }
        Ok(listing)
    }

    /// All below the folder whose path has all the words in it, and whose name has one of them. No link to a folder is gone
    /// through, since it may lead back up.
    fn found(root: &Arc<Root>, place: &Place, folder: Opened, words: &str) -> std::io::Result<Self> {
        let words = words.to_lowercase();
        let words: Vec<_> = words.split_whitespace().collect();
        let until = Instant::now() + PATIENCE;
        let mut listing = Self::default();
        let mut looked = 0;
        let mut folders = VecDeque::from([(Vec::new(), Some(folder))]);
        // The nearest come first: breadth before depth.
        while let Some((path, opened)) = folders.pop_front() {
            let here = if path.is_empty() { place.clone() } else { place.join(&path) };
            let opened = match opened {
                Some(opened) => opened,
                None => match root.find_waiting(&here) {
                    Ok(Found::Folder(opened)) => opened,
                    _ => {
                        listing.unread += 1;
                        continue;
                    }
                },
            };
            for entry in root.entries(&opened)? {
                looked += 1;
                listing.cut = match () {
                    () if looked > MOST => Some(
                        "There is more below this folder than is searched at once: these are from its first 200,000 entries.",
                    ),
                    () if listing.rows.len() == FINDS => {
                        Some("More was found than is shown: these are the first 1,000.")
                    }
                    () if Instant::now() > until => {
                        Some("The search was ended after three seconds: there may be more.")
                    }
                    () => None,
                };
                if listing.cut.is_some() {
                    return Ok(listing);
                }
                let Ok(entry) = entry else {
                    listing.unread += 1;
                    continue;
                };
                let path = joined(&path, &entry.name);
                if matches(&path, &entry.name, &words)
                    && let Some(facts) = facts(root, &here, &entry)
                {
                    listing.rows.push(Row { path: path.clone(), facts });
                }
                if entry.facts.kind == FileType::Directory {
                    folders.push_back((path, None));
                }
            }
        }
        Ok(listing)
    }

    fn sort(&mut self, query: &Query) {
        // One sort that keeps what is equal in its order, by name, after the other.
        self.rows.sort_by_cached_key(|row| Natural::of(&row.path));
        match query.key {
            Key::Name => {}
            Key::Size => self.rows.sort_by_key(|row| if row.is_folder() { 0 } else { row.facts.stamp.size }),
            Key::Time => self.rows.sort_by_key(|row| row.facts.stamp.modified),
        }
        if query.falls {
            self.rows.reverse();
        }
        self.rows.sort_by_key(|row| !row.is_folder());
    }
}

/// The facts of an entry, or of what it leads to. Nothing where that cannot be had, or is neither a file nor a folder.
fn facts(root: &Root, place: &Place, entry: &Entry) -> Option<Facts> {
    match entry.facts.kind {
        FileType::RegularFile | FileType::Directory => Some(entry.facts),
        FileType::Symlink => match root.find_waiting(&place.join(&entry.name)).ok()? {
            Found::File(opened) | Found::Folder(opened) => Some(opened.facts),
        },
        _ => None,
    }
}

fn joined(path: &[u8], name: &[u8]) -> Vec<u8> {
    if path.is_empty() { name.to_vec() } else { [path, b"/", name].concat() }
}

fn matches(path: &[u8], name: &[u8], words: &[&str]) -> bool {
    let lower = |bytes| String::from_utf8_lossy(bytes).to_lowercase();
    let (path, name) = (lower(path), lower(name));
    words.iter().all(|word| path.contains(word)) && words.iter().any(|word| name.contains(word))
}
