//! Ranges of bytes (RFC 9110, section 14).

use std::{ops::Range, time::Duration};

use bytes::Bytes;
use http::{
    HeaderValue, Response, StatusCode,
    header::{ACCEPT_RANGES, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, RANGE},
};

use super::{
    answer::{Answer, Pace, With, bare, typed, value, words},
    bounds,
    call::Call,
    data::{OCTETS, chunk_size},
    digest::hex,
    random,
};
use crate::io::ranges;

/// The bytes are the alphabet over and over, so that a part is known to be the right one.
pub(super) async fn range(call: Call) -> Answer {
    let length = call.number(0);
    let tag = value(&format!("range{length}"))?;
    let told =
        |response: Response<_>| response.with(ETAG, tag.clone()).with(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    if !(1..=bounds::BYTES).contains(&length) {
        let about = format!("number of bytes must be in the range (0, {}]", bounds::BYTES);
        return Ok(told(words(StatusCode::NOT_FOUND, about)));
    }
    let (size, duration) = (chunk_size(&call)?, call.time("duration", Duration::ZERO, bounds::DURATION)?);
    let asked = call.header(RANGE.as_str());
    let response = match asked.map_or(Asked::One(0, length - 1), |text| Asked::read(&text, length)) {
        Asked::Nothing => {
            bare(StatusCode::RANGE_NOT_SATISFIABLE).with(CONTENT_RANGE, value(&format!("bytes */{length}"))?)
        }
        Asked::One(from, to) => {
            let status = if to - from + 1 == length { StatusCode::OK } else { StatusCode::PARTIAL_CONTENT };
            Response::new(paced(from, to, size, duration))
                .of(status)
                .with(CONTENT_TYPE, HeaderValue::from_static(OCTETS))
                .with(CONTENT_LENGTH, (to - from + 1).into())
                .with(CONTENT_RANGE, value(&format!("bytes {from}-{to}/{length}"))?)
        }
        Asked::Several(ranges) => several(&ranges, length)?,
    };
    Ok(told(response))
}

fn alphabet(from: u64, to: u64) -> Bytes {
    (from..=to).map(|at| b'a' + (at % 26) as u8).collect()
}

fn paced(from: u64, to: u64, size: usize, duration: Duration) -> crate::io::exchange::Body {
    let mut left = alphabet(from, to);
    let pace = Pace { count: left.len().div_ceil(size) as u64, duration };
    pace.body(move |_| left.split_to(size.min(left.len())))
}

/// Several ranges as the parts of one body (section 14.6).
fn several(ranges: &[(u64, u64)], length: u64) -> Answer {
    let boundary = hex(&random::bytes::<12>()?);
    let mut body = Vec::new();
    for (from, to) in ranges {
        let head =
            format!("--{boundary}\r\nContent-Type: {OCTETS}\r\nContent-Range: bytes {from}-{to}/{length}\r\n\r\n");
        body.extend_from_slice(head.as_bytes());
        body.extend_from_slice(&alphabet(*from, *to));
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
    let kind = value(&format!("multipart/byteranges; boundary={boundary}"))?;
    Ok(typed(OCTETS, body).of(StatusCode::PARTIAL_CONTENT).with(CONTENT_TYPE, kind))
}

/// What a `Range` header asks for.
#[derive(Debug, PartialEq, Eq)]
enum Asked {
    /// From the first of these to the second, both included; all of it where the header is none that we know.
    One(u64, u64),
    /// Those that there are, in their order.
    Several(Vec<(u64, u64)>),
    /// What is not there. A single range that only ends beyond the end is that too, as in httpbin.
    Nothing,
}

impl Asked {
    fn read(text: &str, length: u64) -> Self {
        let all = Self::One(0, length - 1);
        let specs = ranges::read(text.trim()).unwrap_or_default();
        let asked: Vec<_> = specs.into_iter().map(|spec| spec.of(length)).collect();
        match asked.as_slice() {
            // What is no range is as if it was not there (section 14.2).
            [] => all,
            [one] if one.start < one.end && one.end <= length => Self::One(one.start, one.end - 1),
            [_] => Self::Nothing,
            asked if asked.len() > bounds::RANGES => all,
            asked => Self::of(asked, length),
        }
    }

    fn of(asked: &[Range<u64>], length: u64) -> Self {
        let there = asked.iter().map(|one| one.start..one.end.min(length)).filter(|one| !one.is_empty());
        let there: Vec<_> = there.map(|one| (one.start, one.end - 1)).collect();
        match there.as_slice() {
            [] => Self::Nothing,
            [(from, to)] => Self::One(*from, *to),
            _ => Self::Several(there),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read() {
        for (text, asked) in [
            ("bytes=0-25", Asked::One(0, 25)),
            ("bytes=10-24", Asked::One(10, 24)),
            ("bytes=20-", Asked::One(20, 25)),
            ("bytes=-5", Asked::One(21, 25)),
            ("bytes=-100", Asked::One(0, 25)),
            ("bytes=-0", Asked::Nothing),
            ("bytes=10-5", Asked::Nothing),
            ("bytes=32-40", Asked::Nothing),
            ("bytes=0-40", Asked::Nothing),
            ("bytes=26-", Asked::Nothing),
            ("bytes=0-1, 4-5,-2", Asked::Several(vec![(0, 1), (4, 5), (24, 25)])),
            ("bytes=0-1,100-200", Asked::One(0, 1)),
            ("bytes=20-99,0-0", Asked::Several(vec![(20, 25), (0, 0)])),
            ("bytes=50-60,100-200", Asked::Nothing),
            ("lines=0-1", Asked::One(0, 25)),
            ("bytes=", Asked::One(0, 25)),
            ("bytes=a-b", Asked::One(0, 25)),
            ("bytes=-", Asked::One(0, 25)),
        ] {
            assert_eq!(Asked::read(text, 26), asked, "{text}");
        }
        let many = format!("bytes={}", ["0-0"; bounds::RANGES + 1].join(","));
        assert_eq!(Asked::read(&many, 26), Asked::One(0, 25), "too many");
    }
}
