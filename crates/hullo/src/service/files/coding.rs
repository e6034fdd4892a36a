//! In which coding a file is sent: as it is, as somebody has compressed it before, or compressed on the way.

use http::{HeaderMap, header::ACCEPT_ENCODING};

use super::{
    Asked,
    kind::Kind,
    place::Place,
    root::{Found, Opened},
};
use crate::io::codings::Coding;

/// The codings, the one that is liked best first, and how the names of compressed files end.
const LIKED: &[(Coding, &str)] = &[(Coding::Zstd, ".zst"), (Coding::Brotli, ".br"), (Coding::Gzip, ".gz")];

/// What is shorter than that fits into a packet anyway.
const WORTH: u64 = 1024;

/// How a file is sent.
pub(super) struct Version {
    /// What is read.
    pub(super) opened: Opened,
    pub(super) coding: Option<Coding>,
    /// It is compressed while it is sent: how long it becomes nobody knows.
    pub(super) on_the_way: bool,
    /// Another client may be sent something else.
    pub(super) varies: bool,
}

/// Chooses the version of an opened file that a client likes best.
pub(super) async fn choose(asked: &Asked, place: &Place, kind: &Kind, opened: Opened) -> Version {
    let varies = kind.is_compressible() && opened.facts.stamp.size >= WORTH;
    let plain = Version { opened, coding: None, on_the_way: false, varies };
    if !varies {
        return plain;
    }
    let accepted = accepted(&asked.head.headers);
    // Where files are uploaded anybody could put another content beside a file that may not be replaced.
    let siblings = if asked.uploads.is_none() { &accepted[..] } else { &[] };
    for (coding, end) in siblings {
        if let Some(opened) = compressed(asked, place, end, &plain.opened).await {
            return Version { opened, coding: Some(*coding), ..plain };
        }
    }
    Version { on_the_way: !accepted.is_empty(), coding: accepted.first().map(|(coding, _)| *coding), ..plain }
}

/// What somebody has compressed before, if the file has not been written since.
async fn compressed(asked: &Asked, place: &Place, end: &str, plain: &Opened) -> Option<Opened> {
    match asked.root.find(&place.with_end(end)).await {
        Ok(Found::File(file)) if file.facts.stamp.modified >= plain.facts.stamp.modified => Some(file),
        _ => None,
    }
}

/// The codings that a client takes, the best first (RFC 9110, section 12.5.3).
fn accepted(headers: &HeaderMap) -> Vec<(Coding, &'static str)> {
    let all = headers.get_all(ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    let words: Vec<_> = all.flat_map(|value| value.split(',')).map(weighed).collect();
    let weight = |name: &str| {
        let find = |name| words.iter().find(|(word, _)| word.eq_ignore_ascii_case(name));
        find(name).or_else(|| find("*")).map_or(0, |(_, weight)| *weight)
    };
    // To whom it is all the same is sent what is shortest; who would rather have it as it is, as it is.
    let plain = words.iter().find(|(word, _)| word.eq_ignore_ascii_case("identity")).map_or(0, |(_, weight)| *weight);
    let liked = LIKED.iter().filter(|(coding, _)| weight(coding.name()) > 0 && weight(coding.name()) >= plain);
    let mut liked: Vec<_> = liked.copied().collect();
    liked.sort_by_key(|(coding, _)| std::cmp::Reverse(weight(coding.name())));
    liked
}

/// A word of the header, and its weight in thousandths.
fn weighed(word: &str) -> (&str, u32) {
    let (name, rest) = word.split_once(';').unwrap_or((word, ""));
    let weight = rest.split(';').find_map(|one| one.trim().strip_prefix(['q', 'Q'])?.trim_start().strip_prefix('='));
    let weight = weight.map_or(Some(1.0), |weight| weight.trim().parse::<f32>().ok());
    (name.trim(), weight.map_or(0, |weight| (weight.clamp(0.0, 1.0) * 1000.0) as u32))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_say_what_they_take() {
        for (header, liked) in [
            ("", ""),
            ("gzip", "gzip"),
            ("gzip, deflate, br, zstd", "zstd br gzip"),
            ("gzip, deflate, br", "br gzip"),
            ("*", "zstd br gzip"),
            ("*;q=0, gzip", "gzip"),
            ("gzip;q=1.0, br;q=0.5, zstd;q=0", "gzip br"),
            ("br;q=0.8,zstd;q=0.8,gzip;q=0.9", "gzip zstd br"),
            ("identity, gzip;q=0.5", ""),
            ("identity;q=0.5, GZIP ; Q=0.8", "gzip"),
            ("gzip;q=x", ""),
            ("deflate, compress", ""),
        ] {
            let headers = HeaderMap::from_iter([(ACCEPT_ENCODING, http::HeaderValue::from_static(header))]);
            let names: Vec<_> = accepted(&headers).iter().map(|(coding, _)| coding.name()).collect();
            assert_eq!(names.join(" "), liked, "{header}");
        }
        assert!(accepted(&HeaderMap::new()).is_empty());
    }
}
