//! The path of a request as a path beneath the folder that is served: pure, and strict.

use http::{HeaderValue, StatusCode};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, percent_encode};

use super::Refusal;
use crate::name::is_part;

/// What a name keeps of itself in a URL (RFC 3986, section 2.3).
const NAME: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A name as it stands in a URL, where it can be nothing but a name.
pub(super) fn escaped(name: &[u8]) -> String {
    percent_encode(name, NAME).to_string()
}

/// Tells a browser to keep something, under that name (RFC 6266). Those who do not know of other alphabets get what is
/// left of it without them.
pub(super) fn attachment(name: &[u8]) -> HeaderValue {
    let plain = |byte: &u8| matches!(byte, b' '..=b'~') && !b"\"\\%/".contains(byte);
    let old: String = name.iter().map(|byte| if plain(byte) { char::from(*byte) } else { '_' }).collect();
    let value = format!("attachment; filename=\"{old}\"; filename*=UTF-8''{}", escaped(name));
    HeaderValue::try_from(value).unwrap_or(HeaderValue::from_static("attachment"))
}

/// Where something is beneath the folder: names with one slash between them, none of which leads up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    path: Vec<u8>,
    folder: bool,
}

impl Place {
    /// Reads the path of a request. Several slashes are one, and the last one says that a folder is meant.
    ///
    /// # Errors
    /// What names nothing: `..`, a slash or a zero byte within a name.
    pub(super) fn of(path: &str) -> Result<Self, Refusal> {
        let mut place = Self { path: Vec::with_capacity(path.len()), folder: path.ends_with('/') };
        for name in path.split('/').filter(|name| !name.is_empty()) {
            let name = percent_decode_str(name);
            if !place.path.is_empty() {
                place.path.push(b'/');
            }
            let start = place.path.len();
            place.path.extend(name);
            check(&place.path[start..])?;
        }
        Ok(place)
    }

    /// Whether the path ends as that of a folder does.
    pub(super) fn is_folder(&self) -> bool {
        self.folder
    }

    /// The path from the folder that is served; `.` for that folder itself.
    pub(super) fn path(&self) -> &[u8] {
        if self.path.is_empty() { b"." } else { &self.path }
    }

    /// The names on the way, the last one last.
    pub(super) fn names(&self) -> impl Iterator<Item = &[u8]> {
        self.path.split(|byte| *byte == b'/').filter(|name| !name.is_empty())
    }

    /// The last name; empty for the folder that is served.
    pub(super) fn name(&self) -> &[u8] {
        self.names().last().unwrap_or_default()
    }

    /// What has the same name, and that end behind it.
    pub(super) fn with_end(&self, end: &str) -> Self {
        Self { path: [&self.path, end.as_bytes()].concat(), folder: false }
    }

    /// What has that name in this folder.
    pub(super) fn join(&self, name: &[u8]) -> Self {
        let mut path = self.path.clone();
        if !path.is_empty() {
            path.push(b'/');
        }
        path.extend_from_slice(name);
        Self { path, folder: false }
    }
}

fn check(name: &[u8]) -> Result<(), Refusal> {
    let why = match name {
        b"." | b".." => "a name in the path is a step and no name",
        name if name.contains(&0) => "a name in the path has a zero byte in it",
        name if name.contains(&b'/') => "a name in the path has a slash in it",
        _ => return Ok(()),
    };
    Err(Refusal::new(StatusCode::BAD_REQUEST, why))
}

/// Whether a name is one that is shown: no file of ours that is not whole yet, and where hidden ones are not, none of them.
pub(super) fn is_shown(name: &[u8], hidden: bool) -> bool {
    !name.starts_with(b".") || (hidden && !is_part(name))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn paths_are_places() {
        for (path, place, folder, name) in [
            ("/", ".", true, ""),
            ("/a", "a", false, "a"),
            ("/a/", "a", true, "a"),
            ("//a///b.c//", "a/b.c", true, "b.c"),
            ("/%41%20%c3%bc", "A ü", false, "A ü"),
            ("/100%", "100%", false, "100%"),
            ("/a%5Cb/...", "a\\b/...", false, "..."),
            ("/.hidden", ".hidden", false, ".hidden"),
        ] {
            let found = Place::of(path).unwrap();
            assert_eq!((found.path(), found.is_folder()), (place.as_bytes(), folder), "{path}");
            assert_eq!(found.name(), name.as_bytes(), "{path}");
        }
        assert_eq!(Place::of("/%ff").unwrap().path(), b"\xff");
    }

    #[test]
    fn what_leads_elsewhere_is_no_place() {
        for path in ["/..", "/a/../b", "/%2e%2E/etc", "/.", "/a/./b", "/a%2fb", "/%2Fetc", "/a%00b"] {
            assert_eq!(Place::of(path).unwrap_err().status, StatusCode::BAD_REQUEST, "{path}");
        }
    }

    #[test]
    fn hidden_names_are_shown_where_they_are_wanted_and_temporary_ones_never() {
        for (name, plainly, hidden) in
            [("a", true, true), (".a", false, true), (".a.hullo-part", false, false), ("a.hullo-part", true, true)]
        {
            assert_eq!(
                (is_shown(name.as_bytes(), false), is_shown(name.as_bytes(), true)),
                (plainly, hidden),
                "{name}"
            );
        }
    }

    proptest! {
        #[test]
        fn no_path_leads_up(path in "[a./%2eEfF0\\x00-\\xff]{0,40}") {
            if let Ok(place) = Place::of(&path) {
                prop_assert!(!place.path().starts_with(b"/") && !place.path().contains(&0), "{}", path);
                for name in place.names() {
                    prop_assert!(name != b".." && name != b"." && !name.contains(&b'/'), "{}", path);
                }
            }
        }

        #[test]
        fn every_name_has_a_path_that_leads_to_it(name in proptest::collection::vec(1_u8.., 1..40)) {
            prop_assume!(!name.contains(&b'/') && name != b"." && name != b"..");
            let place = Place::of(&format!("/folder/{}", escaped(&name))).unwrap();
            prop_assert_eq!(place.name(), &name[..]);
            let value = attachment(&name);
            prop_assert!(value.to_str().is_ok_and(|value| value.matches('"').count() == 2), "{:?}", value);
        }
    }
}
