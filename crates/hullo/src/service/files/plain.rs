//! A listing for programs: JSON, and plain names. Both leave in pieces, so that a large one is not held twice.
//!
//! JSON has `path`, `entries`, `total` (how many entries there are), `complete` (whether that is all there is) and, where it
//! is not, `why`. An entry has `name`, `href` (the name as a link, which is exact where the name is not UTF-8), `kind`
//! (`file` or `folder`), of a file `size` in bytes, and `mtime`.

use std::fmt::Write;

use bytes::Bytes;
use futures_util::stream;
use http::{HeaderValue, Response, header::CONTENT_TYPE};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use serde_json::json;

use super::{
    Asked,
    listing::{Listing, Query, Row},
    place::escaped,
    words::{rfc3339, shown},
};
use crate::{error::Error, io::exchange::Body};

/// The size of a piece.
const PIECE: usize = 64 << 10;

pub(super) fn json(asked: &Asked, listing: Listing, query: &Query) -> Response<Body> {
    let why = match (listing.cut, listing.unread) {
        (Some(cut), _) => Some(cut.to_owned()),
        (None, 0) => None,
        (None, unread) => Some(format!("{unread} entries could not be read")),
    };
    let mut head = json!({ "path": asked.head.uri.path(), "total": listing.rows.len(), "complete": why.is_none() });
    if let Some(why) = why {
        head["why"] = why.into();
    }
    let mut head = head.to_string();
    head.pop();
    head += ",\"entries\":[";
    let each = |row: &Row, first: bool, text: &mut String| {
        text.push_str(if first { "\n" } else { ",\n" });
        let name = String::from_utf8_lossy(&row.path);
        let (kind, mtime) = (if row.is_folder() { "folder" } else { "file" }, rfc3339(row.facts.stamp.modified()));
        let mut entry = json!({ "name": name, "href": href(row), "kind": kind });
        if !row.is_folder() {
            entry["size"] = row.facts.stamp.size.into();
        }
        entry["mtime"] = mtime.into();
        // Writing into a string cannot fail.
        let _ = write!(text, "{entry}");
    };
    typed("application/json", pieces(head, part(listing, query), each, "\n]}\n"))
}

/// A name that a terminal or a reader of lines could take for something else stands there as its link.
pub(super) fn names(listing: Listing, query: &Query) -> Response<Body> {
    let each = |row: &Row, _: bool, text: &mut String| {
        match std::str::from_utf8(&row.path) {
            Ok(name) if shown(&row.path) == name => {
                text.push_str(name);
                text.push_str(if row.is_folder() { "/" } else { "" });
            }
            _ => text.push_str(&href(row)),
        }
        text.push('\n');
    };
    typed("text/plain; charset=utf-8", pieces(String::new(), part(listing, query), each, ""))
}

/// The link to a row, from the folder that is listed.
pub(super) fn href(row: &Row) -> String {
    let names: Vec<_> = row.path.split(|byte| *byte == b'/').map(escaped).collect();
    names.join("/") + if row.is_folder() { "/" } else { "" }
}

fn part(listing: Listing, query: &Query) -> Vec<Row> {
    listing.rows.into_iter().skip(query.offset).take(query.limit.unwrap_or(usize::MAX)).collect()
}

fn pieces(head: String, rows: Vec<Row>, each: fn(&Row, bool, &mut String), tail: &'static str) -> Body {
    let state = (Some(head), rows.into_iter().peekable(), true);
    let pieces = stream::unfold(state, move |(head, mut rows, mut first)| async move {
        let mut text = head?;
        while text.len() < PIECE
            && let Some(row) = rows.next()
        {
            each(&row, first, &mut text);
            first = false;
        }
        let more = rows.peek().is_some();
        if !more {
            text.push_str(tail);
        }
        Some((Ok::<_, Error>(Frame::data(Bytes::from(text))), (more.then(String::new), rows, first)))
    });
    StreamBody::new(pieces).boxed_unsync()
}

fn typed(kind: &'static str, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}
