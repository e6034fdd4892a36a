//! What is wrong with a request, in the form of RFC 9457.

use http::{
    HeaderName, HeaderValue, Response, StatusCode,
    header::{CONTENT_TYPE, RETRY_AFTER},
};
use serde_json::{Value, json};

use crate::{
    error::{Error, Kind},
    io::{
        condition::Failed,
        exchange::{Body, full},
    },
};

/// The type of every body that tells of a problem.
pub(crate) const PROBLEM: &str = "application/problem+json";

/// What came of a request, or what was wrong with it.
pub(crate) type Answer<T> = std::result::Result<T, Problem>;

/// A status, a sentence, and what is wrong in which place.
#[derive(Debug)]
pub(crate) struct Problem {
    pub(crate) status: StatusCode,
    pub(crate) detail: String,
    errors: Vec<Value>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Problem {
    pub(crate) fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self { status, detail: detail.into(), errors: Vec::new(), headers: Vec::new() }
    }

    pub(crate) fn bad(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, detail)
    }

    pub(crate) fn missing(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, detail)
    }

    /// It is JSON, and nothing that may be kept.
    pub(crate) fn unfit(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, detail)
    }

    /// It is longer than is taken here: the client is told by whom that can be changed.
    pub(crate) fn too_large(detail: impl std::fmt::Display) -> Self {
        let why = format!("{detail}; whoever runs the server can allow more, by ?max= on its address");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, why)
    }

    /// Come back in a second: there is too much to do now.
    pub(crate) fn later(status: StatusCode, detail: impl Into<String>) -> Self {
        Self::new(status, detail).with(RETRY_AFTER, HeaderValue::from_static("1"))
    }

    /// The database did not do what it was told to.
    pub(crate) fn of_store(error: impl std::fmt::Display) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, format!("the database failed: {error}"))
    }

    /// The same for somebody else whom it concerns.
    pub(crate) fn again(&self) -> Self {
        let Self { status, detail, errors, headers } = self;
        Self { status: *status, detail: detail.clone(), errors: errors.clone(), headers: headers.clone() }
    }

    pub(crate) fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// The same problem, at that place of the body (a JSON Pointer, RFC 6901).
    pub(crate) fn at(mut self, pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        self.errors.push(json!({ "pointer": pointer.into(), "detail": detail.into() }));
        self
    }

    /// The same problem, in the item of that number of an import.
    pub(crate) fn within(mut self, number: usize) -> Self {
        let which = format!("/{number}");
        if self.errors.is_empty() {
            let detail = self.detail.clone();
            self = self.at("", detail);
        }
        for error in &mut self.errors {
            error["pointer"] = format!("{which}{}", error["pointer"].as_str().unwrap_or_default()).into();
        }
        self.detail = format!("item {} of the import: {}; nothing was changed", number + 1, self.detail);
        self
    }

    pub(crate) fn response(self) -> Response<Body> {
        let mut body = json!({
            "type": "about:blank",
            "title": self.status.canonical_reason().unwrap_or("Problem"),
            "status": self.status.as_u16(),
            "detail": self.detail,
        });
        if !self.errors.is_empty() {
            body["errors"] = Value::Array(self.errors);
        }
        let mut response = Response::new(full(body.to_string() + "\n"));
        *response.status_mut() = self.status;
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(PROBLEM));
        response.headers_mut().extend(self.headers);
        response
    }

    /// What goes wrong while a body is read that may have `max` bytes.
    pub(crate) fn of_body(error: &Error, max: usize) -> Self {
        let status = match error.kind() {
            Kind::TooLarge => return Self::too_large(format!("the body has more than {max} bytes")),
            Kind::Timeout => StatusCode::REQUEST_TIMEOUT,
            _ => StatusCode::BAD_REQUEST,
        };
        Self::new(status, error.to_string())
    }
}

impl From<Failed> for Problem {
    fn from(failed: Failed) -> Self {
        Self::new(StatusCode::PRECONDITION_FAILED, failed.to_string())
    }
}
