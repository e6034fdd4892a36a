//! A listing for people: one page that works without scripts, without another file and without any other server.

use std::{fmt::Write, sync::LazyLock};

use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine, prelude::BASE64_STANDARD};
use http::{
    HeaderValue, Response,
    header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE},
};

use super::{
    Asked,
    listing::{Key, Listing, Query, Row},
    plain::href,
    readme::Readme,
    words::{rfc3339, shown, size},
};
use crate::{
    html::{escaped, filled},
    io::exchange::{Body, full},
};

const PAGE: &str = include_str!("page/page.html");
const UPLOAD: &str = include_str!("page/upload.html");
const STYLE: &str = include_str!("page/page.css");
const SCRIPT: &str = include_str!("page/page.js");

/// The page's own style and script and no others, named by their hashes: a file of the folder is neither.
static POLICY: LazyLock<String> = LazyLock::new(|| {
    let hash = |text: &str| BASE64_STANDARD.encode(digest(&SHA256, text.as_bytes()));
    format!(
        "default-src 'none'; style-src 'sha256-{}'; script-src 'sha256-{}'; connect-src 'self'; img-src 'self' data:; \
         form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
        hash(STYLE),
        hash(SCRIPT)
    )
});

pub(super) fn answer(asked: &Asked, listing: &Listing, query: &Query, readme: Option<Readme>) -> Response<Body> {
    let title = match asked.place.name() {
        b"" => "Files".to_owned(),
        name => shown(name),
    };
    let rows = page_of(&listing.rows, query);
    let none = if query.words.is_empty() { "This folder is empty." } else { "Nothing was found." };
    let page = filled(
        PAGE,
        &[
            ("title", &escaped(&title)),
            ("style", STYLE),
            ("script", SCRIPT),
            ("crumbs", &crumbs(asked)),
            ("words", &escaped(&query.words)),
            ("count", &counted(listing, query)),
            ("archives", archives(query)),
            ("upload", &upload(asked)),
            ("notes", &notes(listing)),
            ("kept", &kept(query)),
            ("columns", &columns(query)),
            ("rows", &rows.iter().fold(String::new(), |html, row| html + &line(row))),
            ("shows_none", if rows.is_empty() { "" } else { "hidden" }),
            ("none", none),
            ("pager", &pager(listing.rows.len(), query)),
            ("readme", &readme.map_or(String::new(), |readme| format!("<article>{}</article>", readme.0))),
        ],
    );
    let mut response = Response::new(full(page));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    if let Ok(policy) = HeaderValue::from_str(&POLICY) {
        headers.insert(CONTENT_SECURITY_POLICY, policy);
    }
    response
}

fn page_of<'a>(rows: &'a [Row], query: &Query) -> &'a [Row] {
    let from = query.offset.min(rows.len());
    &rows[from..from.saturating_add(query.rows_of_page()).min(rows.len())]
}

/// The way down from the folder that is served. All links are relative, so that they hold behind a proxy that shows us
/// under another path.
fn crumbs(asked: &Asked) -> String {
    let names: Vec<_> = asked.place.names().collect();
    let mut html = String::new();
    for (at, name) in [&b""[..]].iter().chain(&names).enumerate() {
        let up = match names.len() - at {
            0 => "./".to_owned(),
            up => "../".repeat(up),
        };
        let text = if name.is_empty() { "Files".to_owned() } else { escaped(&shown(name)) };
        let current = if at == names.len() { " aria-current=\"page\"" } else { "" };
        // Writing into a string cannot fail.
        let _ = write!(html, "<li><a href=\"{up}\"{current}><bdi>{text}</bdi></a></li>");
    }
    html
}

fn counted(listing: &Listing, query: &Query) -> String {
    let folders = listing.rows.iter().filter(|row| row.is_folder()).count();
    let files = listing.rows.len() - folders;
    let bytes = listing.rows.iter().filter(|row| !row.is_folder()).map(|row| row.facts.stamp.size).sum();
    let many = |n: usize, one: &str| format!("{} {one}{}", grouped(n), if n == 1 { "" } else { "s" });
    let found = if query.words.is_empty() { "" } else { "Found " };
    let parts = [(folders, many(folders, "folder")), (files, many(files, "file"))];
    let parts: Vec<_> = parts.into_iter().filter(|(n, _)| *n > 0).map(|(_, text)| text).collect();
    match (parts.is_empty(), files) {
        (true, _) => String::new(),
        (_, 0) => format!("{found}{}", parts.join(", ")),
        _ => format!("{found}{}, {}", parts.join(", "), size(bytes)),
    }
}

/// A number with commas: `200,000`.
fn grouped(n: usize) -> String {
    let digits = n.to_string();
    let comma = |at: usize| at > 0 && (digits.len() - at).is_multiple_of(3);
    digits.chars().enumerate().flat_map(|(at, digit)| comma(at).then_some(',').into_iter().chain([digit])).collect()
}

/// Buttons and no links, since programs that mirror a page follow its links.
fn archives(query: &Query) -> &'static str {
    if !query.words.is_empty() {
        return "";
    }
    "<form method=\"get\" class=\"archives\"><span>Download all as</span>\
     <button name=\"zip\" value=\"\">zip</button><button name=\"tar.gz\" value=\"\">tar.gz</button>\
     <button name=\"tar.zst\" value=\"\">tar.zst</button></form>"
}

fn upload(asked: &Asked) -> String {
    match &asked.uploads {
        Some(uploads) => {
            filled(UPLOAD, &[("overwrites", if uploads.overwrites() { "data-overwrite=\"yes\"" } else { "" })])
        }
        None => String::new(),
    }
}

fn notes(listing: &Listing) -> String {
    let unread = match listing.unread {
        0 => String::new(),
        1 => "One entry could not be read.".to_owned(),
        unread => format!("{} entries could not be read.", grouped(unread)),
    };
    let texts = [listing.cut.unwrap_or_default(), &unread];
    texts.iter().filter(|text| !text.is_empty()).map(|text| format!("<p class=\"note\">{text}</p>")).collect()
}

/// What the buttons of the columns leave as it is.
fn kept(query: &Query) -> String {
    let input =
        |name: &str, value: &str| format!("<input type=\"hidden\" name=\"{name}\" value=\"{}\">", escaped(value));
    let limit = query.limit.map(|limit| input("limit", &limit.to_string()));
    let words = (!query.words.is_empty()).then(|| input("q", &query.words));
    [limit, words].into_iter().flatten().collect()
}

fn columns(query: &Query) -> String {
    let column = |(key, name): (Key, &str)| {
        let title = if key == Key::Time { "Modified" } else { name };
        // The first press shows what one looks for by that: names from a to z, the largest, the newest.
        let falls = if query.key == key { !query.falls } else { key != Key::Name };
        let sorted = match (query.key == key, query.falls) {
            (false, _) => "",
            (true, false) => " aria-sort=\"ascending\"",
            (true, true) => " aria-sort=\"descending\"",
        };
        let (first, rest) = title.split_at(1);
        format!(
            "<th scope=\"col\" class=\"{name}\"{sorted}><button name=\"sort\" value=\"{}{name}\">{}{rest}</button></th>",
            if falls { "-" } else { "" },
            first.to_uppercase()
        )
    };
    Key::ALL.map(column).concat()
}

fn line(row: &Row) -> String {
    let (folder, slash) = if row.is_folder() { (" class=\"folder\"", "/") } else { ("", "") };
    let bytes = match row.is_folder() {
        true => String::new(),
        false => format!(
            "<span title=\"{} bytes\">{}</span>",
            grouped_bytes(row.facts.stamp.size),
            size(row.facts.stamp.size)
        ),
    };
    let time = rfc3339(row.facts.stamp.modified());
    // The link is relative and begins with a dot, so that no name is taken for a scheme or a query.
    format!(
        "<tr{folder}><td class=\"name\"><a href=\"./{}\"><bdi>{}</bdi>{slash}</a></td><td class=\"size\">{bytes}</td>\
         <td class=\"time\"><time datetime=\"{time}\">{}</time></td></tr>\n",
        href(row),
        escaped(&shown(&row.path)),
        time[..16].replace('T', " ")
    )
}

fn grouped_bytes(bytes: u64) -> String {
    grouped(usize::try_from(bytes).unwrap_or(usize::MAX))
}

fn pager(total: usize, query: &Query) -> String {
    let rows = query.rows_of_page();
    if total <= rows && query.offset == 0 {
        return String::new();
    }
    let link = |offset: usize, text: &str| {
        let mut parts = form_urlencoded::Serializer::new(String::new());
        let (_, key) = Key::ALL[query.key as usize];
        parts.append_pair("sort", &format!("{}{key}", if query.falls { "-" } else { "" }));
        if !query.words.is_empty() {
            parts.append_pair("q", &query.words);
        }
        if let Some(limit) = query.limit {
            parts.append_pair("limit", &limit.to_string());
        }
        parts.append_pair("offset", &offset.to_string());
        format!("<a href=\"?{}\">{text}</a>", escaped(&parts.finish()))
    };
    let before = (query.offset > 0).then(|| link(query.offset.saturating_sub(rows), "Before"));
    let end = query.offset.saturating_add(rows).min(total);
    let next = (end < total).then(|| link(end, "Next"));
    format!(
        "<nav class=\"pager\" aria-label=\"Pages\">{}<span>{} to {} of {}</span>{}</nav>",
        before.unwrap_or_default(),
        grouped((query.offset + 1).min(total)),
        grouped(end),
        grouped(total),
        next.unwrap_or_default()
    )
}
