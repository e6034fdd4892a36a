//! The fields of requests and responses as HPACK packs them (RFC 7541), without its dynamic table: we ask for one of size 0,
//! and use none ourselves.

use http::{HeaderMap, HeaderName, Method, header};

use super::super::{http::Target, payload::Payload};
use crate::request::is_secret;

/// The fields of the static table behind the pseudo-fields (appendix A), the first of which has this index.
const NAMED: usize = 15;
const NAMES: [&str; 47] = [
    "accept-charset",
    "accept-encoding",
    "accept-language",
    "accept-ranges",
    "accept",
    "access-control-allow-origin",
    "age",
    "allow",
    "authorization",
    "cache-control",
    "content-disposition",
    "content-encoding",
    "content-language",
    "content-length",
    "content-location",
    "content-range",
    "content-type",
    "cookie",
    "date",
    "etag",
    "expect",
    "expires",
    "from",
    "host",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "if-unmodified-since",
    "last-modified",
    "link",
    "location",
    "max-forwards",
    "proxy-authenticate",
    "proxy-authorization",
    "range",
    "referer",
    "refresh",
    "retry-after",
    "server",
    "set-cookie",
    "strict-transport-security",
    "transfer-encoding",
    "user-agent",
    "vary",
    "via",
    "www-authenticate",
];

/// The last entry of the static table.
const LAST: usize = NAMED + NAMES.len() - 1;

/// The indices of the pseudo-fields, of which some stand there with values.
const AUTHORITY: usize = 1;
const METHOD: usize = 2;
const PATH: usize = 4;
const SCHEME: usize = 6;
const STATUS: usize = 8;
const STATUSES: [u16; 7] = [200, 204, 206, 304, 400, 404, 500];

/// How a field without an index of its own begins: it may be remembered, it is not, it never must be by anybody, or the
/// table has another size (section 6).
const REMEMBERED: u8 = 0x40;
const PLAIN: u8 = 0x00;
const SECRET: u8 = 0x10;
const SIZE: u8 = 0x20;
const INDEXED: u8 = 0x80;

/// What the first block on a connection begins with: our table has no room (section 4.2).
pub(super) const NO_TABLE: u8 = SIZE;

/// The fields of a request as they are packed: once for all, but for values that are filled in anew each time.
#[derive(Default)]
pub(crate) struct Fields {
    /// Such values, each with what stands before it.
    filled: Vec<(Vec<u8>, Payload)>,
    /// What stands behind the last of them, which mostly is all.
    rest: Vec<u8>,
}

impl Fields {
    /// Those of a request, but for the length of its body. What HTTP/2 has no use for is left out (RFC 9113, section 8.2.2).
    pub(crate) fn request(
        method: &Method,
        target: &Target,
        headers: &HeaderMap,
        filled: &[(HeaderName, Payload)],
    ) -> Self {
        let mut fields = Self::default();
        match *method {
            Method::GET => fields.index(METHOD),
            Method::POST => fields.index(METHOD + 1),
            _ => field(PLAIN, METHOD, method.as_str().as_bytes(), &mut fields.rest),
        }
        fields.index(if target.scheme == "https" { SCHEME + 1 } else { SCHEME });
        fields.named(PLAIN, AUTHORITY, &target.authority);
        match target.path.same() {
            Some(path) if path == "/" => fields.index(PATH),
            _ => fields.named(PLAIN, PATH, &target.path),
        }
        for (name, value) in headers {
            fields.header(name, &Payload::fixed(value.as_bytes().to_vec()), value.is_sensitive());
        }
        for (name, value) in filled {
            fields.header(name, value, false);
        }
        fields
    }

    /// The field that says how long a body is that is always as long.
    pub(crate) fn content_length(&mut self, length: usize) {
        content_length(length, &mut self.rest);
    }

    /// The whole block, where it is always the same.
    pub(super) fn same(&self) -> Option<&[u8]> {
        self.filled.is_empty().then_some(&self.rest)
    }

    /// Appends those of request `n`.
    pub(super) fn write(&self, n: u64, block: &mut Vec<u8>) {
        let mut text = Vec::new();
        for (before, value) in &self.filled {
            block.extend_from_slice(before);
            text.clear();
            value.write(n, &mut text);
            string(&text, block);
        }
        block.extend_from_slice(&self.rest);
    }

    fn header(&mut self, name: &HeaderName, value: &Payload, is_sensitive: bool) {
        let is_trailers = value.same().is_some_and(|value| value.eq_ignore_ascii_case(b"trailers"));
        if NOT_HERE.contains(&name.as_str()) || (*name == header::TE && !is_trailers) {
            return;
        }
        let how = if is_sensitive || is_secret(name) { SECRET } else { PLAIN };
        match NAMES.iter().position(|known| *known == name.as_str()) {
            Some(at) => self.named(how, NAMED + at, value),
            None => {
                self.rest.push(how);
                string(name.as_str().as_bytes(), &mut self.rest);
                self.value(value);
            }
        }
    }

    /// A field that stands in the table with its value.
    fn index(&mut self, index: usize) {
        integer(INDEXED, 7, index, &mut self.rest);
    }

    /// A field whose name stands in the table.
    fn named(&mut self, how: u8, index: usize, value: &Payload) {
        integer(how, 4, index, &mut self.rest);
        self.value(value);
    }

    fn value(&mut self, value: &Payload) {
        match value.same() {
            Some(text) => string(text, &mut self.rest),
            None => self.filled.push((std::mem::take(&mut self.rest), value.clone())),
        }
    }
}

/// The headers that are about one connection of HTTP/1.1, and those that are said otherwise here.
const NOT_HERE: &[&str] =
    &["connection", "content-length", "host", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"];

/// The field that says how long a body is.
pub(crate) fn content_length(length: usize, block: &mut Vec<u8>) {
    let index = NAMED + NAMES.iter().position(|name| *name == "content-length").unwrap_or_default();
    field(PLAIN, index, length.to_string().as_bytes(), block);
}

/// A field whose name has an index, without an entry of its own.
fn field(how: u8, index: usize, value: &[u8], block: &mut Vec<u8>) {
    integer(how, 4, index, block);
    string(value, block);
}

/// A text as it is: packed by Huffman's code it would be shorter, and the server have more to do.
fn string(text: &[u8], block: &mut Vec<u8>) {
    integer(0, 7, text.len(), block);
    block.extend_from_slice(text);
}

/// A number in the last bits of a byte and, where they do not do, behind it (section 5.1).
fn integer(first: u8, bits: u32, number: usize, block: &mut Vec<u8>) {
    let most = (1 << bits) - 1;
    if number < most {
        block.push(first | number as u8);
        return;
    }
    block.push(first | most as u8);
    let mut rest = number - most;
    while rest >= 0x80 {
        block.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    block.push(rest as u8);
}

/// The status of a response; none in trailers. Of the other fields only their lengths are looked at.
///
/// # Errors
/// What is wrong with the block.
pub(super) fn status(block: &[u8]) -> Result<Option<u16>, &'static str> {
    let (mut rest, mut status, mut begun) = (block, None, false);
    while let Some(&first) = rest.first() {
        let said = match first {
            INDEXED.. => {
                let index = take_integer(&mut rest, 7)?;
                if index == 0 || index > LAST {
                    return Err("a field stands in a table that is empty");
                }
                index.checked_sub(STATUS).and_then(|at| STATUSES.get(at)).copied()
            }
            SIZE..REMEMBERED => {
                if take_integer(&mut rest, 5)? > 0 || begun {
                    return Err("the table of fields is larger than it was asked to be");
                }
                continue;
            }
            _ => literal(&mut rest, if first & REMEMBERED == 0 { 4 } else { 6 })?,
        };
        begun = true;
        if said.is_some() && status.is_some() {
            return Err("there are two statuses");
        }
        status = status.or(said);
    }
    Ok(status)
}

/// Passes over a field that stands there itself, whose status is returned if it is one.
fn literal(rest: &mut &[u8], bits: u32) -> Result<Option<u16>, &'static str> {
    /// `:status` in Huffman's code.
    const PACKED: &[u8] = &[0xb8, 0x84, 0x8d, 0x36, 0xa3];
    let is_status = match take_integer(rest, bits)? {
        0 => matches!(take_string(rest)?, (false, b":status") | (true, PACKED)),
        index if index > LAST => return Err("a name stands in a table that is empty"),
        index => (STATUS..STATUS + STATUSES.len()).contains(&index),
    };
    let (packed, value) = take_string(rest)?;
    if !is_status {
        return Ok(None);
    }
    let digits = if packed { unpacked(value) } else { value.try_into().ok() };
    let number = |digits: [u8; 3]| {
        let digits = digits.map(|digit| digit.checked_sub(b'0').filter(|digit| *digit <= 9).map(u16::from));
        digits.into_iter().try_fold(0, |number, digit| Some(number * 10 + digit?))
    };
    digits.and_then(number).filter(|status| *status >= 100).map(Some).ok_or("the status is no number")
}

/// Three digits out of Huffman's code (RFC 7541, appendix B): 0 to 2 have 5 bits, the others 6; what is left is ones.
fn unpacked(packed: &[u8]) -> Option<[u8; 3]> {
    if packed.len() > 3 {
        return None;
    }
    let bits = packed.len() * 8;
    let mut left = packed.iter().fold(0u32, |bits, byte| bits << 8 | u32::from(*byte)) << (32 - bits.max(1));
    let (mut digits, mut used) = ([0; 3], 0);
    for digit in &mut digits {
        let (value, length) = match (left >> 27, left >> 26) {
            (value @ 0..3, _) => (value, 5),
            (_, value @ 0x19..=0x1f) => (value - 0x19 + 3, 6),
            _ => return None,
        };
        *digit = b'0' + value as u8;
        left <<= length;
        used += length;
    }
    let padding = bits.checked_sub(used)?;
    let is_ones = padding == 0 || left >> (32 - padding) == (1 << padding) - 1;
    (padding < 8 && is_ones).then_some(digits)
}

fn take_integer(rest: &mut &[u8], bits: u32) -> Result<usize, &'static str> {
    let short = "a block of fields ends in the middle of one";
    let most = (1 << bits) - 1;
    let (first, mut more) = rest.split_first().ok_or(short)?;
    let mut number = usize::from(*first) & most;
    if number == most {
        // More than four bytes are no number that could be meant here.
        for shift in [0, 7, 14, 21, 28] {
            let (byte, behind) = more.split_first().ok_or(short)?;
            more = behind;
            if shift == 28 {
                return Err("a number in a block of fields is too large");
            }
            number += usize::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                break;
            }
        }
    }
    *rest = more;
    Ok(number)
}

/// A text, and whether it is packed by Huffman's code.
fn take_string<'a>(rest: &mut &'a [u8]) -> Result<(bool, &'a [u8]), &'static str> {
    let packed = rest.first().is_some_and(|first| first & 0x80 != 0);
    let length = take_integer(rest, 7)?;
    let (text, behind) = rest.split_at_checked(length).ok_or("a text is longer than its block of fields")?;
    *rest = behind;
    Ok((packed, text))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn target_of(scheme: &'static str, authority: &str, path: &str) -> Target {
        let [authority, path] = [authority, path].map(|text| Payload::fixed(text.to_owned()));
        Target { scheme, authority, path }
    }

    #[test]
    fn a_request_is_packed_as_the_rfc_packs_it() {
        let target = target_of("http", "www.example.com", "/");
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("host", "other"),
            ("connection", "close"),
            ("te", "gzip"),
            ("content-length", "9"),
            ("cache-control", "no-cache"),
            ("x-a", "b"),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        // As in appendix C.2.4 and C.3, but that nothing is to be remembered.
        let mut wanted = vec![0x82, 0x86, 0x01, 15];
        wanted.extend_from_slice(b"www.example.com\x84\x0f\x09\x08no-cache\x00\x03x-a\x01b");
        assert_eq!(Fields::request(&Method::GET, &target, &headers, &[]).same(), Some(&wanted[..]));
        headers.clear();
        headers.insert("authorization", HeaderValue::from_static("x"));
        let mut packed = Fields::request(&Method::DELETE, &target_of("https", "a", "/b"), &headers, &[]);
        packed.content_length(1234);
        let wanted = b"\x02\x06DELETE\x87\x01\x01a\x04\x02/b\x1f\x08\x01x\x0f\x0d\x041234";
        assert_eq!(packed.same(), Some(&wanted[..]), "and what is secret is marked so");
    }

    #[test]
    fn what_a_template_fills_in_is_as_long_as_it_is() {
        let template = |text| Payload::template(text, 0).unwrap();
        let filled = [(HeaderName::from_static("x-n"), template("{{seq}}")), (header::TE, template("{{seq}}"))];
        let target = Target { path: template("/{{seq}}/a"), ..target_of("http", "h", "") };
        let mut fields = Fields::request(&Method::GET, &target, &HeaderMap::new(), &filled);
        fields.content_length(0);
        assert_eq!(fields.same(), None);
        for (n, path, header) in [(7, "/7/a", "7"), (1234, "/1234/a", "1234")] {
            let mut block = Vec::new();
            fields.write(n, &mut block);
            let mut wanted = b"\x82\x86\x01\x01h\x04".to_vec();
            string(path.as_bytes(), &mut wanted);
            wanted.extend_from_slice(b"\x00\x03x-n");
            string(header.as_bytes(), &mut wanted);
            wanted.extend_from_slice(b"\x0f\x0d\x010");
            assert_eq!(block, wanted, "{n}");
        }
    }

    #[test]
    fn numbers_are_those_of_the_rfc() {
        let mut block = Vec::new();
        integer(0, 5, 10, &mut block);
        integer(0, 5, 1337, &mut block);
        integer(0, 8, 42, &mut block);
        assert_eq!(block, [10, 0x1f, 0x9a, 0x0a, 42], "appendix C.1");
        for number in [0, 1, 14, 15, 16, 126, 127, 128, 254, 255, 16_511, 1 << 20] {
            for bits in 4..8 {
                let mut block = Vec::new();
                integer(0, bits, number, &mut block);
                let mut rest = &block[..];
                assert_eq!(take_integer(&mut rest, bits), Ok(number));
                assert!(rest.is_empty());
            }
        }
    }

    #[test]
    fn a_status_is_found_however_it_is_packed() {
        for (block, status) in [
            (&b"\x88"[..], Some(200)),
            (b"\x8d", Some(404)),
            (b"\x20\x8b", Some(304)),
            (b"\x08\x03201", Some(201)),
            (b"\x48\x03503", Some(503)),
            (b"\x1e\x03503", Some(503)),
            (b"\x08\x82\x64\x02", Some(302)),
            (b"\x48\x82\x64\x02\x0f\x0d\x0210", Some(302)),
            (b"\x08\x82\x10\x01", Some(200)),
            (b"\x00\x07:status\x03418", Some(418)),
            (b"\x00\x85\xb8\x84\x8d\x36\xa3\x03418", Some(418)),
            (b"\x5f\x01a\x88", Some(200)),
            (b"\x00\x01a\x01b", None),
            (b"", None),
        ] {
            assert_eq!(super::status(block), Ok(status), "{block:x?}");
        }
    }

    #[test]
    fn every_status_can_be_packed_by_huffman_and_is_read() {
        for status in 100..1000_u16 {
            let packed = huffman(&status.to_string());
            let block = [&[0x08, 0x80 | packed.len() as u8], &packed[..]].concat();
            assert_eq!(super::status(&block), Ok(Some(status)));
        }
    }

    /// Digits in the code of appendix B.
    fn huffman(digits: &str) -> Vec<u8> {
        let codes = digits.bytes().map(|digit| match digit - b'0' {
            digit @ 0..3 => format!("{digit:05b}"),
            digit => format!("{:06b}", 0x19 + digit - 3),
        });
        let mut bits: String = codes.collect();
        while !bits.len().is_multiple_of(8) {
            bits.push('1');
        }
        bits.as_bytes()
            .chunks(8)
            .map(|byte| u8::from_str_radix(std::str::from_utf8(byte).unwrap(), 2).unwrap())
            .collect()
    }

    #[test]
    fn what_is_no_block_is_refused() {
        for block in [
            &b"\x80"[..],
            b"\xbe",
            b"\xff\xff\xff\xff\xff\xff\xff\xff",
            b"\x88\x20",
            b"\x8e\x89",
            b"\x20\x3f\x00",
            b"\x21",
            b"\x7e\x01a",
            b"\x08\x0220",
            b"\x08\x042000",
            b"\x08\x03abc",
            b"\x08\x03099",
            b"\x08\x03200\x88",
            b"\x08",
            b"\x00\x01a",
            b"\x00\x05a",
            b"\x00\x7f\xff\xff",
            b"\x08\x82\x10\x02",
            b"\x08\x83\x10\x01\xff",
            b"\x08\x80",
        ] {
            assert!(status(block).is_err(), "{block:x?}");
        }
    }
}
