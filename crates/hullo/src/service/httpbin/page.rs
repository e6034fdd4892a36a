//! The page for people: every line of the table, and a button to try it.

use std::future::{Ready, ready};

use http::{
    HeaderValue,
    header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY},
};
use serde_json::{Value, json};

use super::{
    WEBSOCKET,
    answer::{Answer, With, typed},
    call::Call,
    routes::{GROUPS, Route},
};

const PAGE: &str = include_str!("page.html");

/// It loads nothing but what it tries on us.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self' ws: wss:; img-src 'self' data: blob:";

/// Not an `async fn`: its future's type would be made from the table that it is in.
pub(super) fn index(_: Call) -> Ready<Answer> {
    let routes = |routes: &[Route]| -> Vec<Value> {
        let route = |route: &Route| {
            json!({
                "path": route.pattern,
                "methods": route.methods.split(' ').collect::<Vec<_>>(),
                "example": route.example,
                "about": route.about,
            })
        };
        routes.iter().map(route).collect()
    };
    let groups: Vec<_> =
        GROUPS.iter().map(|group| json!({ "name": group.name, "routes": routes(group.routes) })).collect();
    let data = json!({ "version": env!("CARGO_PKG_VERSION"), "websocket": WEBSOCKET, "groups": groups }).to_string();
    let page = PAGE.replacen("__DATA__", &data.replace('<', "\\u003c"), 1);
    let response = typed("text/html; charset=utf-8", page).with(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    ready(Ok(response.with(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY))))
}
