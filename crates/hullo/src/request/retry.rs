//! What is tried again, and when.

use std::time::{Duration, SystemTime};

use aws_lc_rs::rand;
use http::{Method, Response, header::RETRY_AFTER};

use crate::{
    error::{Kind, Result},
    io::exchange::Body,
};

/// What is tried again. To begin with nothing is.
#[derive(Clone, Copy, Debug, Default)]
pub struct Retry {
    /// How many times.
    pub times: u32,
    /// Also what may then be done twice, as a POST may.
    pub all: bool,
}

/// The first pause; each is twice the one before it.
const FIRST: Duration = Duration::from_millis(500);

/// The longest pause of our own choice.
const LONGEST: Duration = Duration::from_secs(30);

/// The longest that a server may ask us to wait: with more we come back another day.
const ASKED: Duration = Duration::from_secs(300);

impl Retry {
    /// How long to wait before the next attempt, if there is to be one.
    pub(super) fn pause(&self, method: &Method, outcome: &Result<Response<Body>>, failed: u32) -> Option<Duration> {
        if failed >= self.times || !(self.all || method.is_idempotent()) {
            return None;
        }
        let asked = match outcome {
            Ok(response) if !matches!(response.status().as_u16(), 408 | 429 | 502 | 503 | 504) => return None,
            Ok(response) => response.headers().get(RETRY_AFTER).and_then(|after| asked(after.to_str().ok()?)),
            Err(error) if !may_pass(error.kind()) => return None,
            Err(_) => None,
        };
        match asked {
            Some(asked) => Some(asked).filter(|asked| *asked <= ASKED),
            None => Some(jittered(FIRST.saturating_mul(1 << failed.min(10)).min(LONGEST))),
        }
    }
}

/// Whether it may be otherwise in a moment.
fn may_pass(kind: Kind) -> bool {
    matches!(kind, Kind::Resolve | Kind::Refused | Kind::Unreachable | Kind::Timeout | Kind::Cut)
}

/// What `Retry-After` asks for: seconds, or a date (RFC 9110, section 10.2.3).
fn asked(text: &str) -> Option<Duration> {
    let text = text.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(text).ok()?;
    Some(date.duration_since(SystemTime::now()).unwrap_or_default())
}

/// Somewhere between half of it and all of it, so that those who failed together do not come back together.
fn jittered(pause: Duration) -> Duration {
    let mut random = [u8::MAX];
    // Without randomness it is the whole pause.
    let _ = rand::fill(&mut random);
    pause / 2 + pause.mul_f64(f64::from(random[0]) / 512.0)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;
    use crate::{error::Error, io::exchange::text};

    fn answer(status: u16, after: &str) -> Result<Response<Body>> {
        let mut response = text(status.try_into().unwrap(), "");
        if !after.is_empty() {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_str(after).unwrap());
        }
        Ok(response)
    }

    #[test]
    fn only_what_may_pass_is_tried_again_and_only_what_may_be_done_twice() {
        let retry = Retry { times: 3, all: false };
        let pause = |method, outcome: Result<Response<Body>>| retry.pause(&method, &outcome, 0).is_some();
        for (status, again) in [(200, false), (404, false), (500, false), (429, true), (503, true), (408, true)] {
            assert_eq!(pause(Method::GET, answer(status, "")), again, "{status}");
        }
        for (kind, again) in [(Kind::Refused, true), (Kind::Cut, true), (Kind::Tls, false), (Kind::Usage, false)] {
            assert_eq!(pause(Method::GET, Err(Error::new(kind, "x"))), again, "{kind:?}");
        }
        assert!(!pause(Method::POST, answer(503, "")) && pause(Method::PUT, answer(503, "")));
        assert!(Retry { all: true, ..retry }.pause(&Method::POST, &answer(503, ""), 0).is_some());
        assert!(retry.pause(&Method::GET, &answer(503, ""), 3).is_none(), "it ends");
    }

    #[test]
    fn pauses_grow_and_servers_are_heard() {
        let retry = Retry { times: 100, all: false };
        let pause = |after, failed| retry.pause(&Method::GET, &answer(503, after), failed);
        for (failed, most) in [(0, 500), (1, 1000), (3, 4000), (90, 30_000)] {
            let pause = pause("", failed).unwrap().as_millis();
            assert!(pause >= most / 2 && pause <= most, "{failed}: {pause}");
        }
        assert_eq!(pause("7", 0), Some(Duration::from_secs(7)));
        assert_eq!(pause("86400", 0), None, "another day");
        assert_eq!(pause("Sun, 06 Nov 1994 08:49:37 GMT", 0), Some(Duration::ZERO));
        let soon = httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(100));
        assert!(pause(&soon, 0).unwrap() > Duration::from_secs(90));
    }
}
