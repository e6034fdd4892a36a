//! A file as the answer to GET and HEAD.

use http::{HeaderValue, Response, StatusCode, header::CONTENT_TYPE};

use super::{Answer, Asked, Refusal, root::Opened, with};
use crate::io::exchange::full;

pub(super) async fn answer(_: &Asked, opened: Opened) -> Answer {
    let read = tokio::task::spawn_blocking(move || {
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut &opened.file, &mut bytes).map(|_| bytes)
    });
    let bytes = read.await.unwrap_or_else(|error| Err(std::io::Error::other(error)));
    let bytes = bytes.map_err(|error| Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))?;
    Ok(with(Response::new(full(bytes)), CONTENT_TYPE, HeaderValue::from_static("application/octet-stream")))
}

/// (Seam: the tag of a version of a file.)
pub(super) fn tag(facts: &super::root::Facts) -> String {
    format!("\"{:x}-{:x}-{:x}\"", facts.inode, facts.size, facts.modified.0)
}
