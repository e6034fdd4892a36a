//! The table of paths and methods, and how a path is found in it: as the router of Toxiproxy does.

use http::Method;
use percent_encoding::percent_decode_str;

use super::{answer::Answer, call::Call};
use crate::scope::BoxFuture;

/// A line of the table.
pub(super) struct Route {
    methods: &'static [Method],
    path: &'static str,
    pub(super) run: fn(Call) -> BoxFuture<'static, Answer>,
}

macro_rules! routes {
    ($([$($method:ident)|*] $path:literal => $handler:ident;)*) => {
        /// Everything there is.
        const ROUTES: &[Route] = &[$(Route {
            methods: &[$(Method::$method),*],
            path: $path,
            run: |call| Box::pin(async move { call.$handler().await }),
        }),*];
    };
}

routes! {
    [POST]       "/reset"                          => reset;
    [GET]        "/proxies"                        => list_proxies;
    [POST]       "/proxies"                        => make_proxy;
    [POST]       "/populate"                       => populate;
    [GET]        "/proxies/{proxy}"                => show_proxy;
    [POST|PATCH] "/proxies/{proxy}"                => change_proxy;
    [DELETE]     "/proxies/{proxy}"                => remove_proxy;
    [GET]        "/proxies/{proxy}/toxics"         => list_toxics;
    [POST]       "/proxies/{proxy}/toxics"         => make_toxic;
    [GET]        "/proxies/{proxy}/toxics/{toxic}" => show_toxic;
    [POST|PATCH] "/proxies/{proxy}/toxics/{toxic}" => change_toxic;
    [DELETE]     "/proxies/{proxy}/toxics/{toxic}" => remove_toxic;
    [GET]        "/version"                        => version;
    []           "/metrics"                        => metrics;
}

/// The names in a path.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Names {
    pub(super) proxy: String,
    pub(super) toxic: String,
}

/// What there is at a path.
pub(super) enum Found {
    Route(&'static Route, Names),
    /// Something that has these methods.
    Elsewhere(String),
    Nothing,
}

/// Finds what answers a method at a path. A line without methods has all.
pub(super) fn find(method: &Method, path: &str) -> Found {
    let mut others = Vec::new();
    for route in ROUTES {
        let Some(names) = names(route.path, path) else { continue };
        if route.methods.is_empty() || route.methods.contains(method) {
            return Found::Route(route, names);
        }
        others.extend(route.methods.iter().map(Method::as_str));
    }
    if others.is_empty() { Found::Nothing } else { Found::Elsewhere(others.join(", ")) }
}

/// The names where a path is of that form. A slash at the end is one too many.
fn names(form: &str, path: &str) -> Option<Names> {
    let mut names = Names::default();
    let (mut wanted, mut parts) = (form.split('/'), path.split('/'));
    loop {
        match (wanted.next(), parts.next()) {
            (None, None) => return Some(names),
            (Some("{proxy}" | "{toxic}"), Some("")) => return None,
            (Some("{proxy}"), Some(part)) => names.proxy = decoded(part),
            (Some("{toxic}"), Some(part)) => names.toxic = decoded(part),
            (Some(word), Some(part)) if word == decoded(part) => {}
            _ => return None,
        }
    }
}

/// What is no UTF-8 is no name either.
fn decoded(part: &str) -> String {
    percent_decode_str(part).decode_utf8_lossy().into_owned()
}

/// The path to be asked for instead of one that has empty parts or dots in it.
pub(super) fn clean(path: &str) -> Option<String> {
    let mut parts = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    let end = if path.ends_with('/') && !parts.is_empty() { "/" } else { "" };
    let clean = format!("/{}{end}", parts.join("/"));
    (clean != path && path.starts_with('/')).then_some(clean)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(method: &str, path: &str) -> String {
        match find(&method.parse().unwrap(), path) {
            Found::Route(route, names) => format!("{} {}|{}", route.path, names.proxy, names.toxic),
            Found::Elsewhere(methods) => format!("only {methods}"),
            Found::Nothing => "nothing".to_owned(),
        }
    }

    #[test]
    fn paths_have_routes() {
        for (method, path, wanted) in [
            ("GET", "/proxies", "/proxies |"),
            ("GET", "/proxies/", "nothing"),
            ("GET", "/proxies/a", "/proxies/{proxy} a|"),
            ("PATCH", "/proxies/a%2Fb%20c", "/proxies/{proxy} a/b c|"),
            ("POST", "/proxies/toxics/toxics", "/proxies/{proxy}/toxics toxics|"),
            ("DELETE", "/proxies/a/toxics/t", "/proxies/{proxy}/toxics/{toxic} a|t"),
            ("GET", "/proxies/a/toxics/", "nothing"),
            ("GET", "/proxies/a/other", "nothing"),
            ("PUT", "/proxies", "only GET, POST"),
            ("HEAD", "/proxies", "only GET, POST"),
            ("OPTIONS", "/proxies/a", "only GET, POST, PATCH, DELETE"),
            ("GET", "/reset", "only POST"),
            ("TRACE", "/metrics", "/metrics |"),
            ("GET", "/", "nothing"),
        ] {
            assert_eq!(found(method, path), wanted, "{method} {path}");
        }
    }

    #[test]
    fn unclean_paths_lead_elsewhere() {
        for (path, wanted) in [
            ("//proxies", Some("/proxies")),
            ("/proxies/./a", Some("/proxies/a")),
            ("/a/../proxies//", Some("/proxies/")),
            ("/../..", Some("/")),
            ("/proxies/", None),
            ("/proxies", None),
            ("/", None),
            ("*", None),
        ] {
            assert_eq!(clean(path).as_deref(), wanted, "{path}");
        }
    }
}
