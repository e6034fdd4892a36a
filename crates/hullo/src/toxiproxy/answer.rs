//! What answers are made of: JSON, and errors as `{"error": …, "status": …}`.

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header::CONTENT_TYPE};
use serde::Serialize;

use crate::{
    error::{Error, Kind},
    io::exchange::{Body, empty, full, text},
};

/// What a request comes to.
pub(super) type Answer = Result<Response<Body>, Problem>;

/// What is wrong, for a program and for a person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Problem {
    pub(super) error: String,
    #[serde(serialize_with = "number")]
    pub(super) status: StatusCode,
}

fn number<S: serde::Serializer>(status: &StatusCode, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_u16(status.as_u16())
}

impl Problem {
    pub(super) fn new(status: StatusCode, error: impl Into<String>) -> Self {
        Self { error: error.into(), status }
    }

    pub(super) fn bad(error: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, error)
    }

    /// What is wrong with a body.
    pub(super) fn body(why: impl std::fmt::Display) -> Self {
        Self::bad(format!("bad request body: {why}"))
    }

    pub(super) fn missing(field: &str) -> Self {
        Self::bad(format!("missing required field: {field}"))
    }

    /// Toxiproxy has its errors as text, whatever is in them.
    pub(super) fn response(self) -> Response<Body> {
        let status = self.status;
        text(status, written(&self) + "\n")
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        let status =
            if error.kind() == Kind::Usage { StatusCode::BAD_REQUEST } else { StatusCode::INTERNAL_SERVER_ERROR };
        Self::new(status, error.to_string())
    }
}

impl From<Problem> for Error {
    fn from(problem: Problem) -> Self {
        let kind = if problem.status.is_server_error() { Kind::Bind } else { Kind::Usage };
        Self::new(kind, problem.error)
    }
}

pub(super) fn json(status: StatusCode, value: &impl Serialize) -> Response<Body> {
    typed(status, "application/json", written(value))
}

pub(super) fn typed(status: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> Response<Body> {
    let mut response = Response::new(full(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

pub(super) fn nothing() -> Response<Body> {
    let mut response = Response::new(empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}

/// Our own values have nothing in them that JSON cannot say.
fn written(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}
