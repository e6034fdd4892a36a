//! Conditional requests (RFC 9110, section 13): what a client believes to be there.

use std::time::SystemTime;

use http::{
    HeaderMap, HeaderName, StatusCode,
    header::{IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_UNMODIFIED_SINCE},
};

use super::{
    item::Item,
    problem::{Answer, Problem},
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

    /// Whether a change may be made to what is there (412 otherwise).
    pub(crate) fn allows(&self, current: Option<&Item>) -> Answer<()> {
        let tag = current.map(Item::tag);
        self.expects(tag.as_deref(), current.map(Item::last_modified))?;
        match &self.is_not {
            Some(Tags::Any) if current.is_some() => Err(failed("If-None-Match", "it is there already")),
            Some(tags) if tags.name(tag.as_deref(), Compare::Weak) => {
                Err(failed("If-None-Match", "it is the version that is not to be there"))
            }
            _ => Ok(()),
        }
    }

    /// Whether what a client has already is what it would get (then the answer is 304).
    pub(crate) fn is_fresh(&self, tag: &str, modified: Option<SystemTime>) -> Answer<bool> {
        self.expects(Some(tag), modified)?;
        Ok(match (&self.is_not, self.modified_since, modified) {
            (Some(tags), ..) => tags.name(Some(tag), Compare::Weak),
            (None, Some(since), Some(modified)) => modified <= since,
            _ => false,
        })
    }

    fn expects(&self, tag: Option<&str>, modified: Option<SystemTime>) -> Answer<()> {
        match (&self.is, self.unmodified_since, modified) {
            (Some(_), ..) if tag.is_none() => Err(failed("If-Match", "it is not there")),
            (Some(tags), ..) if !tags.name(tag, Compare::Strong) => Err(failed("If-Match", OTHER)),
            (None, Some(since), Some(modified)) if modified > since => Err(failed("If-Unmodified-Since", OTHER)),
            _ => Ok(()),
        }
    }
}

const OTHER: &str = "it is another version than you believe";

fn failed(header: &str, why: &str) -> Problem {
    Problem::new(StatusCode::PRECONDITION_FAILED, format!("{header} does not hold: {why}"))
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
                tags.iter().any(|(weak, one)| one == tag && (compare == Compare::Weak || !weak))
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
        let item = Item { id: "a".into(), body: "{}".into(), revision: 7, modified: 1_700_000_000_500 };
        for (value, there, absent) in [
            ("*", true, false),
            (r#""7""#, true, false),
            (r#""1,2", "7""#, true, false),
            (r#"W/"7""#, false, false),
            (r#""8""#, false, false),
            ("7", false, false),
            ("", false, false),
        ] {
            let condition = condition(IF_MATCH, value);
            assert_eq!(condition.allows(Some(&item)).is_ok(), there, "If-Match: {value}");
            assert_eq!(condition.allows(None).is_ok(), absent, "If-Match: {value}, and nothing is there");
        }
        for (value, fresh) in [("*", true), (r#"W/"7""#, true), (r#""7""#, true), (r#""8""#, false)] {
            let condition = condition(IF_NONE_MATCH, value);
            assert_eq!(condition.is_fresh("\"7\"", None).unwrap(), fresh, "If-None-Match: {value}");
            assert_eq!(condition.allows(Some(&item)).is_ok(), !fresh, "If-None-Match: {value}");
            assert!(condition.allows(None).is_ok(), "If-None-Match: {value}, and nothing is there");
        }
    }

    #[test]
    fn dates_count_where_there_are_no_tags() {
        let item = Item { id: "a".into(), body: "{}".into(), revision: 7, modified: 784_111_777_500 };
        let (then, before) = ("Sun, 06 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 1994 08:49:36 GMT");
        let modified = Some(item.last_modified());
        assert!(condition(IF_MODIFIED_SINCE, then).is_fresh("\"7\"", modified).unwrap());
        assert!(!condition(IF_MODIFIED_SINCE, before).is_fresh("\"7\"", modified).unwrap());
        assert!(condition(IF_UNMODIFIED_SINCE, then).allows(Some(&item)).is_ok());
        assert!(condition(IF_UNMODIFIED_SINCE, before).allows(Some(&item)).is_err());
    }
}
