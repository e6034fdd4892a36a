//! The page at `/`: what is there, and what to type.

use http::{
    HeaderValue, Response, StatusCode,
    header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY},
};

use super::{query::OPERATORS, route::ROUTES, typed};
use crate::io::exchange::{Body, full};

const PAGE: &str = include_str!("page.html");

/// The page, with its collections. Their names are letters, digits, `_` and `-`, and need no escaping.
pub(super) fn page(collections: &[(String, i64)]) -> Response<Body> {
    let row = |(name, items): &(String, i64)| format!("<tr><td><a href=\"/{name}\">{name}</a><td class=n>{items}\n");
    let rows: String = match collections {
        [] => "<tr><td colspan=2>Nothing yet. The first item makes a collection.\n".to_owned(),
        some => some.iter().map(row).collect(),
    };
    let example = collections.first().map_or("people", |(name, _)| name);
    let operators: String =
        OPERATORS.iter().map(|(word, _, about)| format!("<tr><td><code>field:{word}=…</code><td>{about}\n")).collect();
    let operations: String = ROUTES
        .iter()
        .flat_map(|route| route.operations.iter().map(|operation| (route.template, operation)))
        .map(|(path, operation)| format!("<tr><td><code>{} {path}</code><td>{}\n", operation.method, operation.about))
        .collect();
    let html = PAGE
        .replace("{{example}}", example)
        .replace("{{collections}}", &rows)
        .replace("{{operators}}", &operators)
        .replace("{{operations}}", &operations);
    let mut response = typed(StatusCode::OK, "text/html; charset=utf-8", full(html));
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    let policy = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'";
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
    response
}
