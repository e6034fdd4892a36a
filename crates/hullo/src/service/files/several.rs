//! Several ranges of a file as the parts of one body (RFC 9110, section 14.6).

use std::{
    collections::VecDeque,
    ops::Range,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header::CONTENT_TYPE};
use http_body_util::BodyExt;
use hyper::body::{Frame, SizeHint};

use super::{Answer, Refusal};
use crate::{
    error::{Error, Result},
    io::{
        exchange::{Body, full},
        file::Source,
    },
};

/// The response of those parts, which has the type of none of them.
pub(super) fn answer(source: &Arc<Source>, ranges: Vec<Range<u64>>, length: u64, kind: &HeaderValue) -> Answer {
    let boundary = boundary()?;
    let kind = String::from_utf8_lossy(kind.as_bytes());
    let mut bodies = VecDeque::with_capacity(2 * ranges.len() + 1);
    for range in ranges {
        let (first, last) = (range.start, range.end - 1);
        let head =
            format!("\r\n--{boundary}\r\nContent-Type: {kind}\r\nContent-Range: bytes {first}-{last}/{length}\r\n\r\n");
        bodies.push_back(full(head));
        bodies.push_back(source.part(range).body());
    }
    bodies.push_back(full(format!("\r\n--{boundary}--\r\n")));
    let mut response = Response::new(Chain(bodies).boxed_unsync());
    *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    let kind = HeaderValue::try_from(format!("multipart/byteranges; boundary={boundary}"));
    response.headers_mut().insert(CONTENT_TYPE, kind.map_err(|error| Refusal::unreadable(&error))?);
    Ok(response)
}

/// What stands between the parts, and cannot stand in them by accident, nor by intent.
fn boundary() -> std::result::Result<String, Refusal> {
    let mut random = [0; 16];
    aws_lc_rs::rand::fill(&mut random).map_err(|error| Refusal::unreadable(&error))?;
    Ok(format!("{:032x}", u128::from_ne_bytes(random)))
}

/// One body after the other.
struct Chain(VecDeque<Body>);

impl hyper::body::Body for Chain {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>>>> {
        while let Some(body) = self.0.front_mut() {
            if let Some(frame) = ready!(Pin::new(body).poll_frame(cx)) {
                return Poll::Ready(Some(frame));
            }
            self.0.pop_front();
        }
        Poll::Ready(None)
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        let left: Option<u64> = self.0.iter().map(|body| body.size_hint().exact()).sum();
        left.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}
