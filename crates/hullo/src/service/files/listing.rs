//! What stands in a folder, as the answer to GET and HEAD.

use http::StatusCode;

use super::{Answer, Asked, Refusal, root::Opened};
use crate::io::exchange::text;

/// The page of a folder. (Seam: the plain names of it, for now.)
pub(super) async fn answer(asked: &Asked, folder: Opened) -> Answer {
    let root = asked.root.clone();
    let names = tokio::task::spawn_blocking(move || -> std::io::Result<String> {
        let mut names = String::new();
        for entry in root.entries(&folder)? {
            names += &String::from_utf8_lossy(&entry?.name);
            names.push('\n');
        }
        Ok(names)
    });
    let names = names.await.unwrap_or_else(|error| Err(std::io::Error::other(error)));
    let names = names.map_err(|error| Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))?;
    Ok(text(StatusCode::OK, names))
}
