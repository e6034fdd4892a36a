//! The heads of HTTP/1.1 (RFC 9112, sections 2 to 6): pure, bytes in and requests out, responses in and bytes out.
//!
//! It is strict where the RFC lets a server choose. Whatever two programs could read in two ways is read in none: that is
//! what request smuggling lives on.

use std::{
    cell::RefCell,
    mem::MaybeUninit,
    sync::LazyLock,
    time::{Duration, UNIX_EPOCH},
};

use ::http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Uri, Version,
    header::{CONNECTION, CONTENT_LENGTH, EXPECT, TRANSFER_ENCODING},
};
use bytes::{BufMut, Bytes, BytesMut};
use memchr::memmem::Finder;
use nix::time::{ClockId, clock_gettime};

use super::{ALWAYS, seen::Seen};

/// The largest head that is read.
pub(super) const LARGEST: usize = 64 << 10;

/// The most header lines of a head.
const LINES: usize = 128;

/// Why a request is not read any further: the status, and what to tell the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// A status of the class 4xx or 5xx.
    pub status: StatusCode,
    /// One sentence.
    pub why: &'static str,
}

const fn refuse<T>(status: StatusCode, why: &'static str) -> Result<T, Refusal> {
    Err(Refusal { status, why })
}

const fn bad<T>(why: &'static str) -> Result<T, Refusal> {
    refuse(StatusCode::BAD_REQUEST, why)
}

/// How much body follows a head (section 6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Length {
    /// That many bytes.
    Known(u64),
    /// Chunks, until the last.
    Chunked,
}

/// A request without its body.
#[derive(Debug)]
pub struct Head {
    /// The method, target, version and headers.
    pub request: Request<()>,
    /// What follows.
    pub length: Length,
    /// The client would like to go on after the answer.
    pub keeps_alive: bool,
    /// The client waits for a `100 Continue` before it sends the body.
    pub expects: bool,
    pub(super) seen: Seen,
}

/// Finds the end of a head, and refuses early what can never become one. It remembers how far it has looked.
#[derive(Debug, Default)]
pub struct Search {
    /// Up to here there is nothing left to find.
    looked: usize,
    /// Where the line begins that is not complete yet.
    line: usize,
    /// How many lines there were that are not empty.
    lines: usize,
}

impl Search {
    /// The length of the head at the beginning of `input`, with the empty line behind it; nothing while it is incomplete.
    ///
    /// # Errors
    /// A line that ends otherwise than CR LF, a first line that is no request, or a head that is too large.
    pub fn end(&mut self, input: &[u8]) -> Result<Option<usize>, Refusal> {
        let begin = self.looked;
        while let Some(at) = memchr::memchr2(b'\r', b'\n', &input[self.looked..]).map(|at| at + self.looked) {
            self.looked = at;
            if input[at] == b'\n' {
                return bad("a line ends with LF alone; HTTP wants CR LF (nc -C sends it)\n");
            }
            match input.get(at + 1) {
                None => break,
                Some(b'\n') => {}
                Some(_) => return bad("there is a CR without its LF\n"),
            }
            let line = &input[self.line..at];
            (self.looked, self.line) = (at + 2, at + 2);
            match (line.is_empty(), self.lines) {
                // A client may send empty lines before its request (section 2.2).
                (true, 0) => continue,
                (false, 0) if line.len() > LARGEST => return self.too_large(line),
                (true, _) => return if at + 2 > LARGEST { self.too_large(input) } else { Ok(Some(at + 2)) },
                (false, 0) => is_request(line)?,
                (false, _) => {}
            }
            self.lines += 1;
        }
        if self.looked < input.len() && input[self.looked] != b'\r' {
            self.looked = input.len();
        }
        if self.lines == 0 {
            may_become_request(&input[self.line.max(begin)..])?;
        }
        if input.len() > LARGEST { self.too_large(input) } else { Ok(None) }
    }

    /// Whether nothing has been looked at yet.
    pub(super) fn is_new(&self) -> bool {
        self.looked == 0
    }

    fn too_large<T>(&self, input: &[u8]) -> Result<T, Refusal> {
        match self.lines {
            0 if !input[..input.len().min(LARGEST)].contains(&b' ') => bad("this is no request\n"),
            0 => refuse(StatusCode::URI_TOO_LONG, "the first line is longer than 64 KiB\n"),
            _ => refuse(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "the head is larger than 64 KiB\n"),
        }
    }
}

/// Whether a first line ends as that of a request does (section 3), so that what does not is answered at once.
fn is_request(line: &[u8]) -> Result<(), Refusal> {
    may_become_request(line)?;
    let version = line.rsplit(|byte| *byte == b' ').next().unwrap_or_default();
    match version {
        b"HTTP/1.1" | b"HTTP/1.0" => Ok(()),
        [b'H', b'T', b'T', b'P', b'/', major, b'.', minor] if major.is_ascii_digit() && minor.is_ascii_digit() => {
            refuse(StatusCode::HTTP_VERSION_NOT_SUPPORTED, "HTTP/1.0, 1.1 and 2 are spoken here\n")
        }
        // Words, but nothing of a request is in them.
        _ if line.contains(&b' ') && !line.contains(&b'/') => Err(NO_HTTP),
        _ => bad("this is no request: METHOD target HTTP/1.1\n"),
    }
}

/// What came is another protocol: an answer in this one would mean something else there (as to a broken preface of
/// HTTP/2), and none is given.
pub(super) const NO_HTTP: Refusal = Refusal { status: StatusCode::BAD_REQUEST, why: "what came is not HTTP\n" };

/// Whether the beginning of a first line may go on to be a request's.
fn may_become_request(line: &[u8]) -> Result<(), Refusal> {
    if line.first() == Some(&0x16) {
        return bad("this is TLS, and plain HTTP is spoken here: https:// is another port\n");
    }
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    if line.iter().all(|byte| (b' '..0x7f).contains(byte)) { Ok(()) } else { bad("this is no request\n") }
}

/// The length of the head at the beginning of `input`, where it has an end and is not too large. Most heads come in one
/// piece: they need no [`Search`], since [`read`] finds whatever is wrong with a whole one.
pub(super) fn whole(input: &[u8]) -> Option<usize> {
    static END: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\r\n\r\n"));
    END.find(input).map(|at| at + 4).filter(|end| *end <= LARGEST)
}

/// Reads a whole head, with its empty line.
///
/// # Errors
/// Whatever is wrong with it.
pub fn read(head: &Bytes) -> Result<Head, Refusal> {
    let mut lines = [const { MaybeUninit::uninit() }; LINES];
    let mut parsed = httparse::Request::new(&mut []);
    let end = parsed.parse_with_uninit_headers(head, &mut lines);
    // The parser passes over empty lines before a request, and takes LF alone for the end of a line: what has neither needs
    // no closer look.
    let (count, ends) = (|sign: u8| head.iter().filter(|byte| **byte == sign).count(), parsed.headers.len() + 2);
    let is_plain = end == Ok(httparse::Status::Complete(head.len())) && count(b'\n') == ends && count(b'\r') == ends;
    if !is_plain {
        Search::default().end(head)?;
    }
    end.map_err(explain)?;
    let (Some(method), Some(target), Some(minor)) = (parsed.method, parsed.path, parsed.version) else {
        return bad("this is no request\n");
    };
    let mut request = Request::new(());
    *request.method_mut() = Method::from_bytes(method.as_bytes()).or(bad("this is no method\n"))?;
    *request.uri_mut() = uri(head, target, request.method() == Method::CONNECT)?;
    *request.version_mut() = if minor == 0 { Version::HTTP_10 } else { Version::HTTP_11 };
    let (headers, seen) = headers(head, parsed.headers)?;
    *request.headers_mut() = headers;
    let bodied = seen.has(Seen::CONTENT_LENGTH) || seen.has(Seen::TRANSFER_ENCODING);
    let length = if bodied { length(&request)? } else { Length::Known(0) };
    let wishes = |word: &str| seen.has(Seen::CONNECTION) && has_word(request.headers(), &CONNECTION, word);
    let keeps_alive = !wishes("close") && (request.version() != Version::HTTP_10 || wishes("keep-alive"));
    let expects = seen.has(Seen::EXPECT) && expects(&request)? && length != Length::Known(0);
    Ok(Head { request, length, keeps_alive, expects, seen })
}

fn explain(error: httparse::Error) -> Refusal {
    let why = match error {
        httparse::Error::TooManyHeaders => {
            let status = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
            return Refusal { status, why: "there are more than 128 header lines\n" };
        }
        httparse::Error::HeaderName => "a header's name is none\n",
        httparse::Error::HeaderValue => "a header's value has characters in it that none may have\n",
        httparse::Error::Version => "this version of HTTP is none\n",
        _ => "this is no request: METHOD target HTTP/1.1\n",
    };
    Refusal { status: StatusCode::BAD_REQUEST, why }
}

/// The target (section 3.2): no fragment, nothing that is not ASCII, no backslash that somebody takes for a slash.
fn uri(head: &Bytes, target: &str, connects: bool) -> Result<Uri, Refusal> {
    let bytes = target.as_bytes();
    let path = &bytes[..memchr::memchr(b'?', bytes).unwrap_or(bytes.len())];
    if !bytes.is_ascii() || memchr::memchr(b'#', bytes).is_some() || path.contains(&b'\\') || is_ambiguous(path) {
        return bad("there are characters in the target that must be written as %XX\n");
    }
    if target == "/" {
        return Ok(Uri::default());
    }
    if !connects && !target.starts_with(['/', '*']) && !target.contains("://") {
        return bad("the target is no path\n");
    }
    Uri::from_maybe_shared(head.slice_ref(bytes)).or(bad("the target is no URL\n"))
}

/// Whether a path has `%C0` or `%C1` in it, which are no UTF-8 but another way to write an ASCII character.
fn is_ambiguous(path: &[u8]) -> bool {
    memchr::memchr_iter(b'%', path).any(|at| matches!(path.get(at + 1..at + 3), Some([b'c' | b'C', b'0' | b'1'])))
}

fn headers(head: &Bytes, lines: &[httparse::Header<'_>]) -> Result<(HeaderMap, Seen), Refusal> {
    let (mut headers, mut seen) = (HeaderMap::with_capacity(lines.len()), Seen::default());
    for line in lines {
        let name = HeaderName::from_bytes(line.name.as_bytes()).or(bad("a header's name is none\n"))?;
        let value = HeaderValue::from_maybe_shared(head.slice_ref(line.value)).or(bad("a header's value is none\n"))?;
        seen.note(&name);
        headers.append(name, value);
    }
    Ok((headers, seen))
}

/// How much body there is (section 6.3). Two ways to say it are one too many.
fn length(request: &Request<()>) -> Result<Length, Refusal> {
    let headers = request.headers();
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
    match (codings.next(), lengths.next()) {
        (None, None) => Ok(Length::Known(0)),
        (Some(_), Some(_)) => bad("there are both Transfer-Encoding and Content-Length\n"),
        (Some(_), None) if request.version() == Version::HTTP_10 => bad("HTTP/1.0 has no Transfer-Encoding\n"),
        (Some(_), None) if codings.next().is_some() => bad("there are two Transfer-Encodings\n"),
        (Some(coding), None) => chunked(coding.as_bytes()),
        (None, Some(_)) if lengths.next().is_some() => bad("there are two Content-Lengths\n"),
        (None, Some(length)) => number(length.as_bytes()).map(Length::Known),
    }
}

/// The one coding that is spoken here (section 6.1).
fn chunked(coding: &[u8]) -> Result<Length, Refusal> {
    if coding.eq_ignore_ascii_case(b"chunked") {
        return Ok(Length::Chunked);
    }
    let is_token = !coding.is_empty() && coding.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-');
    let why = "the only Transfer-Encoding here is chunked, once\n";
    // What may be a coding is unknown; anything else is a riddle.
    if is_token { refuse(StatusCode::NOT_IMPLEMENTED, why) } else { bad(why) }
}

/// A Content-Length: digits alone, and none too many.
fn number(digits: &[u8]) -> Result<u64, Refusal> {
    let plain = digits.iter().all(u8::is_ascii_digit) && (digits.len() == 1 || digits.first() != Some(&b'0'));
    let number = std::str::from_utf8(digits).ok().filter(|_| plain).and_then(|digits| digits.parse().ok());
    number.filter(|number| *number <= i64::MAX as u64).map_or(bad("the Content-Length is no number\n"), Ok)
}

/// Whether the client waits for `100 Continue` (RFC 9110, section 10.1.1).
fn expects(request: &Request<()>) -> Result<bool, Refusal> {
    let mut all = request.headers().get_all(EXPECT).iter();
    match (all.next(), all.next()) {
        (None, _) => Ok(false),
        // Section 10.1.1: that of an HTTP/1.0 client is ignored.
        _ if request.version() == Version::HTTP_10 => Ok(false),
        (Some(value), None) if value.as_bytes().eq_ignore_ascii_case(b"100-continue") => Ok(true),
        _ => refuse(StatusCode::EXPECTATION_FAILED, "the only Expect here is 100-continue\n"),
    }
}

/// Whether a header that is a list of words has that one.
pub(in crate::transport) fn has_word(headers: &HeaderMap, name: &HeaderName, word: &str) -> bool {
    let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|one| one.trim().eq_ignore_ascii_case(word))
}

/// Writes the head of a response, without what says how long its body is, and without the empty line. Those of its headers
/// that say that are passed over.
pub(super) fn write(status: StatusCode, headers: &HeaderMap, seen: Seen, out: &mut BytesMut) {
    out.reserve(512);
    out.put_slice(b"HTTP/1.1 ");
    out.put_slice(status.as_str().as_bytes());
    out.put_u8(b' ');
    out.put_slice(status.canonical_reason().unwrap_or("Unknown").as_bytes());
    out.put_slice(b"\r\n");
    for (name, value) in headers {
        if *name != CONTENT_LENGTH && *name != TRANSFER_ENCODING {
            line(name, value.as_bytes(), out);
        }
    }
    if status.is_informational() {
        return;
    }
    if !seen.has(Seen::DATE) {
        date(out);
    }
    for (mark, line) in ALWAYS {
        if !seen.has(mark) {
            out.put_slice(line.as_bytes());
        }
    }
}

/// Writes one header line.
pub(super) fn line(name: &HeaderName, value: &[u8], out: &mut BytesMut) {
    out.put_slice(name.as_str().as_bytes());
    out.put_slice(b": ");
    out.put_slice(value);
    out.put_slice(b"\r\n");
}

/// Writes the line of the date (RFC 9110, section 5.6.7), which is made once a second.
fn date(out: &mut BytesMut) {
    thread_local! {
        static MADE: RefCell<(u64, String)> = const { RefCell::new((u64::MAX, String::new())) };
    }
    // The clock of the last tick will do, and costs a fraction of the exact one.
    let second = clock_gettime(ClockId::CLOCK_REALTIME_COARSE).map_or(0, |now| now.tv_sec());
    let second = u64::try_from(second).unwrap_or_default();
    MADE.with_borrow_mut(|(when, line)| {
        if *when != second {
            *when = second;
            *line = format!("date: {}\r\n", httpdate::HttpDate::from(UNIX_EPOCH + Duration::from_secs(second)));
        }
        out.put_slice(line.as_bytes());
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn search(text: &str) -> Result<Option<usize>, u16> {
        Search::default().end(text.as_bytes()).map_err(|refusal| refusal.status.as_u16())
    }

    fn parse(text: &str) -> Result<Head, u16> {
        read(&Bytes::copy_from_slice(text.as_bytes())).map_err(|refusal| refusal.status.as_u16())
    }

    #[test]
    fn the_end_is_found_wherever_the_pieces_part() {
        let text = "\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\nmore";
        for cut in 0..text.len() {
            let mut search = Search::default();
            let first = search.end(&text.as_bytes()[..cut]).unwrap();
            assert_eq!(first.is_some(), cut >= 29, "{cut}");
            if first.is_none() {
                assert_eq!(search.end(text.as_bytes()).unwrap(), Some(29), "{cut}");
            }
        }
    }

    #[test]
    fn a_head_in_one_piece_needs_no_search() {
        let text = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
        assert_eq!(whole(format!("{text}more").as_bytes()), Some(text.len()));
        assert_eq!(whole(&text.as_bytes()[..text.len() - 1]), None);
        assert_eq!(whole(format!("GET / HTTP/1.1\r\na: {}\r\n\r\n", "b".repeat(LARGEST)).as_bytes()), None);
    }

    #[test]
    fn what_is_read_without_a_search_is_refused_as_with_one() {
        for (text, status) in [
            ("GET / HTTP/1.1\nHost: a\r\n\r\n", 400),
            ("\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
            ("\r\nGET / HTTP/1.1\nHost: a\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nHost: a\n\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nHost: a\n\nGET / HTTP/1.1\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nHost: a\rb\r\n\r\n", 400),
            ("GET / HTTP/1.2\r\n\r\n", 505),
            ("GET / HTTP/3.0\r\n\r\n", 505),
        ] {
            assert_eq!(search(text), Err(status), "{text:?}");
            assert_eq!(parse(text).err(), Some(status), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_read_is_what_a_search_finds(
            pieces in proptest::collection::vec(proptest::sample::select(PIECES), 0..12),
            noise in any::<u8>(),
            at in any::<proptest::sample::Index>(),
        ) {
            let mut text = pieces.concat().into_bytes();
            text.extend_from_slice(b"\r\n\r\n");
            let at = at.index(text.len());
            text[at] = noise;
            let Some(end) = whole(&text) else { return Ok(()) };
            if read(&Bytes::copy_from_slice(&text[..end])).is_ok() {
                prop_assert_eq!(Search::default().end(&text), Ok(Some(end)));
            }
        }
    }

    const PIECES: &[&str] =
        &["GET / HTTP/1.1\r\n", "GET /a?b HTTP/1.0\r\n", "Host: a\r\n", "a:b\r\n", "\n", "\r", "\r\n", " ", "x"];

    #[test]
    fn what_can_be_no_request_is_refused_before_its_end() {
        for text in [
            "GET / HTTP/1.1\n",
            "GET / HTTP/1.1\r\nHost: a\n",
            "GET /\r\n",
            "GET / http/1.1\r\n",
            "\x16\x03",
            "\u{fc}",
            "G\r ",
        ] {
            assert_eq!(search(text), Err(400), "{text:?}");
        }
        assert_eq!(search("GET / HTTP/1.2\r\n"), Err(505));
        assert_eq!(search(&format!("GET /{}", "x".repeat(LARGEST))), Err(414));
        assert_eq!(search(&format!("GET / HTTP/1.1\r\nx: {}", "x".repeat(LARGEST))), Err(431));
        assert_eq!(search("GE"), Ok(None));
        assert_eq!(search("GET / HTTP/1.1\r"), Ok(None));
    }

    #[test]
    fn bodies_have_one_length() {
        for (lines, length) in [
            ("", Ok(Length::Known(0))),
            ("Content-Length: 5\r\n", Ok(Length::Known(5))),
            ("Content-Length: 9223372036854775807\r\n", Ok(Length::Known(i64::MAX as u64))),
            ("Transfer-Encoding: Chunked\r\n", Ok(Length::Chunked)),
            ("Content-Length: 9223372036854775808\r\n", Err(400)),
            ("Content-Length: 05\r\n", Err(400)),
            ("Content-Length: +5\r\n", Err(400)),
            ("Content-Length: 5, 5\r\n", Err(400)),
            ("Content-Length:\r\n", Err(400)),
            ("Content-Length: 5\r\nContent-Length: 5\r\n", Err(400)),
            ("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", Err(400)),
            ("Transfer-Encoding: gzip\r\n", Err(501)),
            ("Transfer-Encoding: gzip, chunked\r\n", Err(400)),
            ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", Err(400)),
            ("Expect: something\r\n", Err(417)),
        ] {
            let head = parse(&format!("POST / HTTP/1.1\r\nHost: a\r\n{lines}\r\n"));
            assert_eq!(head.map(|head| head.length), length, "{lines}");
        }
    }

    #[test]
    fn targets_are_paths_and_urls() {
        for good in ["/", "/{\"a\":1}?b=c&d={1}|^", "*", "http://a/b", "/%41"] {
            assert!(parse(&format!("GET {good} HTTP/1.1\r\n\r\n")).is_ok(), "{good}");
        }
        for wrong in ["", "a", "/a b", "/a#b", "/a\\b", "/\u{e9}", "/%c0%af", "?a"] {
            assert_eq!(parse(&format!("GET {wrong} HTTP/1.1\r\n\r\n")).err(), Some(400), "{wrong}");
        }
    }
}
