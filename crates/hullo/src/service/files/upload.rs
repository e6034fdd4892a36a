//! What comes by PUT, POST, PATCH and DELETE.

use http::StatusCode;

use super::{Answer, Asked, allowing};
use crate::io::exchange::{Body, text};

/// Takes what is sent. (Seam: nothing is taken, for now.)
pub(super) async fn answer(_: &Asked, _: Body) -> Answer {
    Ok(allowing(text(StatusCode::METHOD_NOT_ALLOWED, "this folder is only for reading\n")))
}
