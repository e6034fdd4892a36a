//! The one table of what there is: the page at `/`, the answers to OPTIONS and the tests are made from it.

use http::Method;

use super::{
    answer::Answer, auth, caching, call::Call, cookies, data, digest, formats, images, inspect, live, page, range,
    redirects, statuses,
};
use crate::scope::BoxFuture;

/// A line of the table.
pub(super) struct Route {
    /// The path; `<n>` is one segment of it, `<int:n>` one of digits, and `<path:n>` all of the rest.
    pub(super) pattern: &'static str,
    /// GET brings HEAD with it, and everything has OPTIONS.
    pub(super) methods: &'static str,
    /// A path to try.
    pub(super) example: &'static str,
    /// One line of help.
    pub(super) about: &'static str,
    pub(super) run: fn(Call) -> BoxFuture<'static, Answer>,
}

/// Lines that belong together.
pub(super) struct Group {
    pub(super) name: &'static str,
    pub(super) routes: &'static [Route],
}

/// The methods of what does not care.
const ANY: &str = "GET POST PUT DELETE PATCH TRACE";

macro_rules! groups {
    ($($group:literal { $($methods:tt $pattern:literal $example:literal $about:literal => $handler:expr;)* })*) => {
        /// Every path, in the order of the page.
        pub(super) const GROUPS: &[Group] = &[$(Group {
            name: $group,
            routes: &[$(Route {
                pattern: $pattern,
                methods: $methods,
                example: $example,
                about: $about,
                run: |call| Box::pin($handler(call)),
            }),*],
        }),*];
    };
}

groups! {
    "Methods" {
        "GET"    "/get"    "/get?name=Ada"     "a GET: its query, headers and origin" => inspect::get;
        "HEAD"   "/head"   "/head"             "a HEAD: the head of what /get answers" => inspect::get;
        "POST"   "/post"   "/post"             "a POST: also its form, files, JSON or data" => inspect::body;
        "PUT"    "/put"    "/put"              "a PUT, told like a POST" => inspect::body;
        "PATCH"  "/patch"  "/patch"            "a PATCH, told like a POST" => inspect::body;
        "DELETE" "/delete" "/delete"           "a DELETE, told like a POST" => inspect::body;
        ANY      "/anything" "/anything?a=1&a=2" "whatever is sent, by any method" => inspect::anything;
        ANY      "/anything/<path:anything>" "/anything/at/all" "the same below any path" => inspect::anything;
    }
    "Requests" {
        "GET"            "/headers"      "/headers"      "the headers of the request" => inspect::headers;
        "GET"            "/ip"           "/ip"           "the address that asks; ?format=text for that alone" => inspect::ip;
        "GET"            "/user-agent"   "/user-agent"   "the program that asks" => inspect::user_agent;
        ANY              "/dump/request" "/dump/request" "the request as text: its line, its headers, its body" => inspect::dump;
        "POST PUT PATCH" "/upload"       "/upload"       "counts the bytes of a body of any size, and keeps none" => inspect::upload;
        "GET"            "/hostname"     "/hostname"     "the name of the machine that answers" => inspect::hostname;
        "GET"            "/env"          "/env"          "the variables of --env NAME=VALUE, and no others" => inspect::env;
    }
    "Auth" {
        "GET" "/basic-auth/<user>/<passwd>"        "/basic-auth/ada/secret"        "Basic; 401 until the name and password are these" => auth::basic;
        "GET" "/hidden-basic-auth/<user>/<passwd>" "/hidden-basic-auth/ada/secret" "Basic; 404 until then" => auth::hidden_basic;
        "GET" "/bearer"                            "/bearer"                       "Bearer; 401 until there is a token" => auth::bearer;
        "GET" "/digest-auth/<qop>/<user>/<passwd>" "/digest-auth/auth/ada/secret"  "Digest by MD5; qop is auth or auth-int" => digest::digest;
        "GET" "/digest-auth/<qop>/<user>/<passwd>/<algorithm>" "/digest-auth/auth/ada/secret/SHA-256" "Digest by MD5, SHA-256, SHA-512 or SHA-512-256" => digest::digest;
        "GET" "/digest-auth/<qop>/<user>/<passwd>/<algorithm>/<stale_after>" "/digest-auth/auth/ada/secret/MD5/1" "Digest whose nonce is stale after so many answers" => digest::digest;
    }
    "Statuses" {
        ANY   "/status/<codes>" "/status/418"                "that status, or one of several: 200:0.9,500:0.1; 1xx come before a 200" => statuses::status;
        "GET" "/unstable"       "/unstable?failure_rate=0.5" "500 now and then: ?failure_rate and ?seed" => statuses::unstable;
        "GET" "/early-hints"    "/early-hints?link=%3C/style.css%3E;rel=preload" "103 with a Link for each ?link, then the answer" => statuses::early_hints;
    }
    "Redirects" {
        "GET" "/redirect/<int:n>"          "/redirect/3"                          "that many redirects, then /get; ?absolute=true" => redirects::redirect;
        "GET" "/relative-redirect/<int:n>" "/relative-redirect/3"                 "the same by paths" => redirects::relative;
        "GET" "/absolute-redirect/<int:n>" "/absolute-redirect/3"                 "the same by whole URLs" => redirects::absolute;
        ANY   "/redirect-to"               "/redirect-to?url=/get&status_code=307" "a redirect to ?url, by ?status_code" => redirects::redirect_to;
    }
    "Cookies" {
        "GET" "/cookies"                    "/cookies"                "the cookies of the request" => cookies::show;
        "GET" "/cookies/set"                "/cookies/set?color=blue" "sets those of the query, and shows all" => cookies::set;
        "GET" "/cookies/set/<name>/<value>" "/cookies/set/color/blue" "sets that one" => cookies::set_one;
        "GET" "/cookies/delete"             "/cookies/delete?color"   "deletes those of the query" => cookies::delete;
    }
    "Responses" {
        "GET"      "/cache"             "/cache"                      "304 where the request is conditional" => caching::cache;
        "GET"      "/cache/<int:value>" "/cache/60"                   "Cache-Control for that many seconds" => caching::control;
        "GET"      "/etag/<etag>"       "/etag/abc"                   "honours If-None-Match and If-Match" => caching::etag;
        "GET POST" "/response-headers"  "/response-headers?X-Color=blue" "the headers of the query, sent and told" => caching::response_headers;
        ANY        "/trailers"          "/trailers?X-Checksum=1234"   "the trailers of the query, behind the body" => live::trailers;
    }
    "Formats" {
        "GET" "/json"          "/json"          "JSON" => formats::json;
        "GET" "/xml"           "/xml"           "XML" => formats::xml;
        "GET" "/html"          "/html"          "HTML" => formats::html;
        "GET" "/forms/post"    "/forms/post"    "a form that is sent to /post" => formats::form;
        "GET" "/robots.txt"    "/robots.txt"    "rules for robots" => formats::robots;
        "GET" "/deny"          "/deny"          "what those rules forbid" => formats::deny;
        "GET" "/encoding/utf8" "/encoding/utf8" "text in many scripts" => formats::utf8;
        "GET" "/gzip"          "/gzip"          "compressed by gzip" => formats::gzip;
        "GET" "/deflate"       "/deflate"       "compressed by deflate (zlib)" => formats::deflate;
        "GET" "/brotli"        "/brotli"        "compressed by brotli" => formats::brotli;
        "GET" "/zstd"          "/zstd"          "compressed by zstd" => formats::zstd;
    }
    "Images" {
        "GET" "/image"      "/image"      "the kind that Accept asks for" => images::by_accept;
        "GET" "/image/png"  "/image/png"  "PNG" => images::png;
        "GET" "/image/jpeg" "/image/jpeg" "JPEG" => images::jpeg;
        "GET" "/image/webp" "/image/webp" "WebP" => images::webp;
        "GET" "/image/svg"  "/image/svg"  "SVG" => images::svg;
    }
    "Data" {
        "GET" "/uuid"                       "/uuid"                       "a random UUID" => data::uuid;
        "GET" "/bytes/<int:n>"              "/bytes/16?seed=1"            "random bytes; for one ?seed always the same" => data::bytes;
        "GET" "/stream-bytes/<int:n>"       "/stream-bytes/16?chunk_size=4" "the same in chunks of ?chunk_size" => data::stream_bytes;
        "GET" "/range/<int:numbytes>"       "/range/26"                   "honours Range; ?chunk_size and ?duration" => range::range;
        "GET" "/base64/<value>"             "/base64/aHVsbG8="            "decodes base64" => data::decode;
        "GET" "/base64/<operation>/<value>" "/base64/encode/hullo"        "encodes or decodes; ?content-type" => data::base64;
        "GET" "/links/<int:n>"              "/links/5"                    "a page of that many links" => data::links;
        "GET" "/links/<int:n>/<int:offset>" "/links/5/0"                  "the same at one of them" => data::links_at;
    }
    "Over time" {
        ANY   "/delay/<delay>"   "/delay/1"                       "answers after that many seconds, at most 10" => live::delay;
        "GET" "/drip"            "/drip?numbytes=5&duration=1"    "bytes one by one: ?numbytes, ?duration, ?delay, ?code" => live::drip;
        "GET" "/stream/<int:n>"  "/stream/3"                      "that many lines of JSON, at most 100" => live::stream;
        "GET" "/jsonl"           "/jsonl?count=3&duration=1"      "lines of JSON over a time: ?count, ?duration, ?delay" => live::jsonl;
        "GET" "/sse"             "/sse?count=3&duration=1"        "server-sent events: ?count, ?duration, ?delay" => live::sse;
        "GET" "/websocket/echo"  "/websocket/echo"                "a WebSocket that gives back each message" => live::websocket;
    }
    "Pages" {
        "GET" "/"       "/"       "this page" => page::index;
        "GET" "/legacy" "/legacy" "this page under its older name" => page::index;
    }
}

/// What there is at a path.
pub(super) enum Found {
    /// A handler, and what stands for the variables of its pattern.
    Route(&'static Route, Vec<String>),
    /// Something, and it is asked for its methods.
    Options(String),
    /// Something that has other methods.
    Elsewhere(String),
    Nothing,
}

/// Finds what answers a method at a path.
pub(super) fn find(method: &Method, path: &str) -> Found {
    let mut allowed = Vec::new();
    for route in GROUPS.iter().flat_map(|group| group.routes) {
        let Some(parts) = route.parts(path) else { continue };
        if route.answers(method) {
            return Found::Route(route, parts);
        }
        allowed.extend(route.methods.split(' '));
        if route.methods.contains("GET") {
            allowed.push("HEAD");
        }
    }
    if allowed.is_empty() {
        return Found::Nothing;
    }
    allowed.push("OPTIONS");
    let allowed = allowed.join(", ");
    if method == Method::OPTIONS { Found::Options(allowed) } else { Found::Elsewhere(allowed) }
}

impl Route {
    fn answers(&self, method: &Method) -> bool {
        let as_get = if method == Method::HEAD { "GET" } else { method.as_str() };
        self.methods.split(' ').any(|one| one == method.as_str() || one == as_get)
    }

    /// What stands in the path for each variable of the pattern, if it fits.
    fn parts(&self, path: &str) -> Option<Vec<String>> {
        let mut parts = Vec::new();
        let mut rest = Some(path);
        for wanted in self.pattern.split('/') {
            let all = rest?;
            let (segment, after) = all.split_once('/').map_or((all, None), |(one, after)| (one, Some(after)));
            rest = after;
            match wanted.strip_prefix('<') {
                None if wanted == segment => {}
                None => return None,
                Some(variable) if variable.starts_with("path:") => {
                    parts.push(unescaped(all));
                    return Some(parts);
                }
                Some(_) if segment.is_empty() => return None,
                Some(variable) if variable.starts_with("int:") && !segment.bytes().all(|c| c.is_ascii_digit()) => {
                    return None;
                }
                Some(_) => parts.push(unescaped(segment)),
            }
        }
        rest.is_none().then_some(parts)
    }
}

fn unescaped(part: &str) -> String {
    percent_encoding::percent_decode_str(part).decode_utf8_lossy().into_owned()
}
