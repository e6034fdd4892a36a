//! Conditional requests (RFC 9110, section 13): what a client believes to be there.

use std::{fmt, time::SystemTime};

use http::{
    HeaderMap, HeaderName,
    header::{IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE},
};

/// The conditions of a request.
#[derive(Clone, Debug, Default)]
pub(crate) struct Condition {
    is: Option<Tags>,
    is_not: Option<Tags>,
    modified_since: Option<SystemTime>,
    unmodified_since: Option<SystemTime>,
}

#[derive(Clone, Debug)]
enum Tags {
    Any,
    /// Strong ones as they are, weak ones without their `W/` and after `true`.
    Some(Vec<(bool, String)>),
}

impl Condition {
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        Self {
            is: Tags::of(headers, &IF_MATCH),
            is_not: Tags::of(headers, &IF_NONE_MATCH),
            modified_since: date(headers, &IF_MODIFIED_SINCE),
            unmodified_since: date(headers, &IF_UNMODIFIED_SINCE),
        }
    }

    /// Whether a change may be made to what is there; nothing is there without a tag. The tags are as they stand in
    /// `ETag`, and the time has no part of a second, as in `Last-Modified`.
    pub(crate) fn allows(&self, tag: Option<&str>, modified: Option<SystemTime>) -> Result<(), Failed> {
        self.expects(tag, modified)?;
        match &self.is_not {
            Some(Tags::Any) if tag.is_some() => Err(Failed("If-None-Match", "it is there already")),
            Some(tags) if tags.name(tag, Compare::Weak) => {
                Err(Failed("If-None-Match", "it is the version that is not to be there"))
            }
            _ => Ok(()),
        }
    }

    /// Whether what a client has already is what it would get (then the answer is 304).
    pub(crate) fn is_fresh(&self, tag: &str, modified: Option<SystemTime>) -> Result<bool, Failed> {
        self.expects(Some(tag), modified)?;
        Ok(match (&self.is_not, self.modified_since, modified) {
            (Some(tags), ..) => tags.name(Some(tag), Compare::Weak),
            (None, Some(since), Some(modified)) => modified <= since,
            _ => false,
        })
    }

    fn expects(&self, tag: Option<&str>, modified: Option<SystemTime>) -> Result<(), Failed> {
        match (&self.is, self.unmodified_since, modified) {
            (Some(_), ..) if tag.is_none() => Err(Failed("If-Match", "it is not there")),
            (Some(tags), ..) if !tags.name(tag, Compare::Strong) => Err(Failed("If-Match", OTHER)),
            (None, Some(since), Some(modified)) if modified > since => Err(Failed("If-Unmodified-Since", OTHER)),
            _ => Ok(()),
        }
    }
}

const OTHER: &str = "it is another version than you believe";

/// The condition that does not hold, and why (the answer is 412).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Failed(&'static str, &'static str);

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} does not hold: {}", self.0, self.1)
    }
}

/// Whether a range is still of what the client has the rest of (section 13.1.5). A date is as good as a strong tag only
/// where the tag is one.
pub(crate) fn is_same(headers: &HeaderMap, tag: &str, modified: Option<SystemTime>) -> bool {
    let Some(value) = headers.get(IF_RANGE) else { return true };
    match date(headers, &IF_RANGE) {
        Some(date) => modified == Some(date) && !tag.starts_with("W/"),
        None => !tag.starts_with("W/") && value.as_bytes().trim_ascii() == tag.as_bytes(),
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Compare {
    Strong,
    Weak,
}

impl Tags {
    fn of(headers: &HeaderMap, name: &HeaderName) -> Option<Self> {
        let values: Vec<_> =
            headers.get_all(name).iter().map(|value| String::from_utf8_lossy(value.as_bytes())).collect();
        if values.is_empty() {
            return None;
        }
        let all = values.join(",");
        Some(if all.trim() == "*" { Self::Any } else { Self::Some(listed(&all)) })
    }

    /// Whether they name the one that is there.
    fn name(&self, tag: Option<&str>, compare: Compare) -> bool {
        match (self, tag) {
            (_, None) => false,
            (Self::Any, Some(_)) => true,
            (Self::Some(tags), Some(tag)) => {
                let (is_weak, tag) = tag.strip_prefix("W/").map_or((false, tag), |tag| (true, tag));
                tags.iter().any(|(weak, one)| one == tag && (compare == Compare::Weak || !weak && !is_weak))
            }
        }
    }
}

/// The tags of a list. A comma may stand inside one; what is none is left out, and then names nothing.
fn listed(mut text: &str) -> Vec<(bool, String)> {
    let mut tags = Vec::new();
    while let Some((before, rest)) = text.split_once('"') {
        let Some((tag, after)) = rest.split_once('"') else { break };
        tags.push((before.ends_with("W/"), format!("\"{tag}\"")));
        text = after;
    }
    tags
}

fn date(headers: &HeaderMap, name: &HeaderName) -> Option<SystemTime> {
    httpdate::parse_http_date(headers.get(name)?.to_str().ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn condition(name: HeaderName, value: &'static str) -> Condition {
        Condition::of(&HeaderMap::from_iter([(name, http::HeaderValue::from_static(value))]))
    }

    #[test]
    fn tags_are_compared_as_the_rfc_says() {
        for (value, there, weak, absent) in [
            ("*", true, true, false),
            (r#""7""#, true, false, false),
            (r#""1,2", "7""#, true, false, false),
            (r#"W/"7""#, false, false, false),
            (r#""8""#, false, false, false),
            ("7", false, false, false),
            ("", false, false, false),
        ] {
            let condition = condition(IF_MATCH, value);
            assert_eq!(condition.allows(Some("\"7\""), None).is_ok(), there, "If-Match: {value}");
            assert_eq!(condition.allows(Some("W/\"7\""), None).is_ok(), weak, "If-Match: {value}, and it is weak");
            assert_eq!(condition.allows(None, None).is_ok(), absent, "If-Match: {value}, and nothing is there");
        }
        for (value, fresh) in [("*", true), (r#"W/"7""#, true), (r#""7""#, true), (r#""8""#, false)] {
            let condition = condition(IF_NONE_MATCH, value);
            for tag in ["\"7\"", "W/\"7\""] {
                assert_eq!(condition.is_fresh(tag, None).unwrap(), fresh, "If-None-Match: {value}, {tag}");
                assert_eq!(condition.allows(Some(tag), None).is_ok(), !fresh, "If-None-Match: {value}, {tag}");
            }
            assert!(condition.allows(None, None).is_ok(), "If-None-Match: {value}, and nothing is there");
        }
    }

    #[test]
    fn dates_count_where_there_are_no_tags() {
        let modified = Some(SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(784_111_777));
        let (then, before) = ("Sun, 06 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 1994 08:49:36 GMT");
        assert!(condition(IF_MODIFIED_SINCE, then).is_fresh("\"7\"", modified).unwrap());
        assert!(!condition(IF_MODIFIED_SINCE, before).is_fresh("\"7\"", modified).unwrap());
        assert!(condition(IF_UNMODIFIED_SINCE, then).allows(Some("\"7\""), modified).is_ok());
        assert!(condition(IF_UNMODIFIED_SINCE, before).allows(Some("\"7\""), modified).is_err());
    }

    #[test]
    fn a_rest_is_of_the_same_version_or_none() {
        let modified = Some(SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(784_111_777));
        for (value, strong, weak) in [
            (r#""7""#, true, false),
            (r#"W/"7""#, false, false),
            (r#""7", "8""#, false, false),
            ("*", false, false),
            ("Sun, 06 Nov 1994 08:49:37 GMT", true, false),
            ("Sun, 06 Nov 1994 08:49:38 GMT", false, false),
        ] {
            let headers = HeaderMap::from_iter([(IF_RANGE, http::HeaderValue::from_static(value))]);
            assert_eq!(is_same(&headers, "\"7\"", modified), strong, "{value}");
            assert_eq!(is_same(&headers, "W/\"7\"", modified), weak, "{value}, and it is weak");
        }
        assert!(is_same(&HeaderMap::new(), "W/\"7\"", None));
    }
}
