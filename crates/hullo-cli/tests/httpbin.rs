#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
//! `hullo serve httpbin`, asked by the clients that people try on it: requests, httpx, aiohttp and curl.

mod common;

use common::{Ended, Home, Server, noise, peer, run, skipped};

/// On http and https, open to the pages of other sites.
fn served(home: &Home) -> Server {
    home.serve(&["httpbin", "http://:0?origin=*", "https://:0?origin=*", "--env", "COLOR=blue"], 2)
}

fn root(server: &Server, at: usize) -> String {
    server.at[at].trim_end_matches('/').to_owned()
}

/// Runs a script of python's where it has these modules, and wants its last word.
fn python(modules: &[&str], script: &str, words: impl Fn(&Home, &Server) -> Vec<String>, last: &str) {
    let Some(python) = peer("python3") else { return };
    let home = Home::new();
    let import = format!("import {}", modules.join(", "));
    if run(home.command(python).args(["-c", &import]), "").code != 0 {
        return skipped(&format!("python modules {}", modules.join(", "))).unwrap_or_default();
    }
    let server = served(&home);
    let script = home.file("client", script);
    let folder = home.path("");
    // Not by its name, which would be looked for before the module that it is a client of.
    let ended = run(
        home.command(python)
            .args(["-c", &format!("exec(compile(open({script:?}).read(), {folder:?}, 'exec'))")])
            .args(words(&home, &server)),
        "",
    );
    let out = ended.text();
    assert!(out.trim_end().ends_with(last), "it ended with {out}");
}

#[test]
fn requests_of_python() {
    python(
        &["requests"],
        include_str!("httpbin/requests.py"),
        |_, server| vec![root(server, 0)],
        "good: every_line_of_the_page",
    );
}

#[test]
fn httpx_of_python_over_http_2() {
    let words = |home: &Home, server: &Server| vec![root(server, 1), home.file("noise", noise(200_000))];
    python(&["httpx", "h2"], include_str!("httpbin/httpx.py"), words, "good");
}

#[test]
fn aiohttp_of_python() {
    python(&["aiohttp"], include_str!("httpbin/aiohttp.py"), |_, server| vec![root(server, 0)], "good");
}

/// What to type behind `curl -s`, and what is in what it prints. `{http}` and `{https}` are the roots.
struct Case(&'static [&'static str], &'static [&'static str]);

const CASES: &[Case] = &[
    Case(&["{http}/get?a=1&a=2"], &["\"a\": [\n      \"1\",\n      \"2\"\n    ]", "\"User-Agent\": \"curl/"]),
    Case(&["-k", "--http2", "-w", "%{http_version}", "{https}/get"], &["\"url\": \"https://", "}\n2"]),
    Case(&["--http2-prior-knowledge", "-w", "%{http_version}", "{http}/anything"], &["\"Host\": \"127.0.0.1:", "}\n2"]),
    Case(&["-I", "{http}/get"], &["HTTP/1.1 200 OK", "content-length: 1", "content-type: application/json"]),
    Case(&["-d", "name=Ada", "{http}/post"], &["\"form\": {\n    \"name\": \"Ada\"\n  }"]),
    Case(
        &["-F", "file=@{home}note;type=text/plain", "-F", "a=1", "{http}/post"],
        &["\"file\": \"from a file\"", "\"a\": \"1\""],
    ),
    Case(&["-T", "{home}note", "-H", "Transfer-Encoding: chunked", "{http}/put"], &["\"data\": \"from a file\""]),
    Case(&["-T", "{home}note", "-H", "Expect: 100-continue", "{http}/put"], &["\"data\": \"from a file\""]),
    Case(&["--compressed", "{http}/gzip"], &["\"gzipped\": true"]),
    Case(&["--compressed", "{http}/deflate"], &["\"deflated\": true"]),
    Case(&["--compressed", "{http}/brotli"], &["\"brotli\": true"]),
    Case(&["--compressed", "{http}/zstd"], &["\"zstd\": true"]),
    Case(&["--digest", "-u", "ada:secret", "{http}/digest-auth/auth/ada/secret"], &["\"authenticated\": true"]),
    Case(&["--digest", "-u", "ada:secret", "{http}/digest-auth/auth/ada/secret/SHA-256"], &["\"authenticated\": true"]),
    Case(&["--digest", "-u", "ada:wrong", "-w", "%{http_code}", "{http}/digest-auth/auth/ada/secret"], &["401"]),
    Case(&["-u", "ada:secret", "{http}/basic-auth/ada/secret"], &["\"user\": \"ada\""]),
    Case(&["--oauth2-bearer", "abc", "{http}/bearer"], &["\"token\": \"abc\""]),
    Case(&["-L", "-w", "%{num_redirects} %{url_effective}", "{http}/redirect/5"], &["}\n5 http", "/get"]),
    Case(&["-L", "-b", "", "{http}/cookies/set?color=blue"], &["\"color\": \"blue\""]),
    Case(
        &["-i", "-r", "0-1,24-25", "{http}/range/26"],
        &["206 Partial", "boundary=", "bytes 0-1/26\r\n\r\nab\r\n", "bytes 24-25/26\r\n\r\nyz\r\n"],
    ),
    Case(
        &["--raw", "-i", "-H", "TE: trailers", "{http}/trailers?X-Sum=7&X-Sum=8"],
        &["trailer: x-sum", "\r\n0\r\n", "x-sum: 7\r\n", "x-sum: 8\r\n"],
    ),
    Case(
        &["-N", "{http}/sse?count=2&duration=0.1"],
        &["event: ping\ndata: {\"id\":0,", "event: ping\ndata: {\"id\":1,"],
    ),
    Case(
        &["-i", "-H", "Origin: https://example.org", "{http}/get"],
        &["access-control-allow-origin: https://example.org"],
    ),
    Case(&["-i", "-X", "OPTIONS", "{http}/get"], &["allow: GET, HEAD, OPTIONS", "access-control-max-age: 3600"]),
    Case(&["-i", "{http}/status/418"], &["418 I'm a teapot", "x-more-info:", "teapot"]),
    Case(
        &["-H", "X-Forwarded-For: 192.0.2.1", "-H", "X-Forwarded-Proto: https", "{http}/get"],
        &["\"origin\": \"192.0.2.1\"", "\"url\": \"https://127"],
    ),
    Case(&["-I", "{http}/drip?numbytes=5&duration=30"], &["content-length: 5"]),
    Case(&["--http1.0", "{http}/get"], &["\"url\": \"http://127.0.0.1:"]),
    Case(&["{http}/env"], &["\"COLOR\": \"blue\""]),
    Case(
        &["-i", "{http}/early-hints?link=%3C/style.css%3E"],
        &["HTTP/1.1 103 Early Hints\r\nlink: </style.css>\r\n\r\nHTTP/1.1 200 OK\r\n"],
    ),
    // A body that nobody reads does not cost the answer.
    Case(&["-T", "{home}noise", "-X", "POST", "-w", "%{http_code}", "{http}/status/202"], &["202"]),
    Case(
        &["--http2-prior-knowledge", "-T", "{home}noise", "-X", "POST", "-w", "%{http_code}", "{http}/status/202"],
        &["202"],
    ),
    Case(&["-X", "TRACE", "{http}/anything"], &["\"method\": \"TRACE\""]),
];

#[test]
fn curl_hears_all_of_it() {
    let Some(curl) = peer("curl") else { return };
    let home = Home::new();
    home.file("note", "from a file");
    home.file("noise", noise(3_000_000));
    let server = served(&home);
    for Case(words, wanted) in CASES {
        let fill = |word: &&str| {
            let word = word.replace("{http}", &root(&server, 0)).replace("{https}", &root(&server, 1));
            word.replace("{home}", &home.path(""))
        };
        let words: Vec<String> = words.iter().map(fill).collect();
        let Ended { out, err, code, .. } = run(home.command(curl).args(["-sS", "-m8"]).args(&words), "");
        let out = String::from_utf8_lossy(&out);
        assert_eq!(code, 0, "curl {words:?}: {err}");
        for part in *wanted {
            assert!(out.contains(part), "curl {words:?} got {out:?}, without {part:?}");
        }
    }
}

/// It is for everybody's tests, those of pages in a browser among them.
#[test]
fn the_pages_of_every_site_may_ask() {
    let home = Home::new();
    let server = home.serve(&["httpbin", "http://:0"], 1);
    let url = format!("{}/get", root(&server, 0));
    let asked = home.run(&["request", "--check-status", "-v", &url, "Origin:https://example.org"], "");
    assert_eq!(asked.code, 0, "{}", asked.err);
    assert!(asked.err.to_lowercase().contains("access-control-allow-origin: https://example.org"), "{asked:?}");
}

/// It converses at one path alone, and a WebSocket elsewhere is a request like others.
#[test]
fn hullo_talks_to_its_websocket() {
    let home = Home::new();
    let server = served(&home);
    let at = |path: &str| format!("ws{}{path}", root(&server, 0).strip_prefix("http").unwrap());
    assert_eq!(home.run(&["ask", &at("/websocket/echo"), "hullo"], "").text(), "hullo\n");
    let refused = home.run(&["ask", &at("/get"), "hullo"], "");
    assert!(refused.code != 0 && refused.err.contains("200"), "{}", refused.err);
}

#[test]
fn what_it_cannot_do_is_refused_at_once() {
    let home = Home::new();
    for (words, why) in [
        (&["httpbin"][..], "hullo serve httpbin http://:8000"),
        (&["httpbin", ":0"], "answers HTTP requests and nothing else"),
        (&["httpbin", "ws://:0"], "answers HTTP requests and nothing else"),
        (&["echo", ":0", "--env", "A=b"], "no use for --env"),
        (&["httpbin", "http://:0", "--env", "=b"], "has no name"),
        (&["httpbin", "http://:0", "--env", "HULLO_NO_SUCH_VARIABLE"], "there is no variable HULLO_NO_SUCH_VARIABLE"),
    ] {
        let ended = home.run(&[&["serve"], words].concat(), "");
        assert!(ended.code == 2 && ended.err.contains(why), "{words:?}: {}", ended.err);
    }
}

#[test]
fn a_variable_may_be_our_own_or_in_a_configuration() {
    let home = Home::new();
    let mut command = home.hullo(&["serve", "httpbin", "http://:0", "--env", "OUR_OWN"]);
    let server = Server::start(command.env("OUR_OWN", "shown").env("SECRET", "hidden"), 1);
    let shown = home.run(&["request", &format!("{}/env", root(&server, 0))], "").text();
    assert!(shown.contains("\"OUR_OWN\": \"shown\"") && !shown.contains("SECRET"), "{shown}");
    let config = home
        .file("c.toml", "[[serve]]\nservice = \"httpbin\"\naddresses = [\"http://:0\"]\nenv = { COLOR = \"blue\" }\n");
    let server = home.serve(&["--config", &config], 1);
    let shown = home.run(&["request", &format!("{}/env", root(&server, 0))], "").text();
    assert!(shown.contains("\"COLOR\": \"blue\""), "{shown}");
}
