//! The chunks of a body (RFC 9112, section 7.1): pure, bytes in and data out.

use ::http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{
        AUTHORIZATION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, HOST, TE, TRAILER,
        TRANSFER_ENCODING,
    },
};
use bytes::{Buf, Bytes, BytesMut};

/// The longest line of a chunk's size and its extensions.
const LINE: usize = 4 << 10;

/// The most trailers, and how long they may be together.
const TRAILERS: usize = 32;
const TRAILING: usize = 16 << 10;

/// What comes out of a chunked body.
#[derive(Debug, PartialEq, Eq)]
pub enum Piece {
    /// Some of the data.
    Data(Bytes),
    /// The end, with the trailers.
    End(HeaderMap),
}

/// Where in a chunked body we are.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Chunks {
    /// How much of the chunk is still to come.
    left: u64,
    at: At,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum At {
    #[default]
    Size,
    Data,
    /// The line end behind a chunk's data.
    After,
    Trailers,
}

impl Chunks {
    /// Takes the next piece out of `input`; nothing while it is incomplete.
    ///
    /// # Errors
    /// What is wrong with it; nothing more can then be read.
    pub fn read(&mut self, input: &mut BytesMut) -> Result<Option<Piece>, &'static str> {
        let (passed, found) = self.pass(input)?;
        input.advance(passed);
        Ok(match found {
            Found::Nothing => None,
            Found::Data(n) => Some(Piece::Data(input.split_to(n).freeze())),
            Found::End(trailers) => Some(Piece::End(trailers)),
        })
    }

    /// The same for who only passes by: how much of `input` is no data and is done with, and what stands behind it.
    pub(crate) fn pass(&mut self, input: &[u8]) -> Result<(usize, Found), &'static str> {
        let mut passed = 0;
        loop {
            let rest = &input[passed..];
            match self.at {
                At::Size => {
                    let Some(line) = line(rest, LINE)? else { return Ok((passed, Found::Nothing)) };
                    passed += line.len() + 2;
                    self.left = size(line)?;
                    self.at = if self.left == 0 { At::Trailers } else { At::Data };
                }
                At::Data if rest.is_empty() => return Ok((passed, Found::Nothing)),
                At::Data => {
                    let n = usize::try_from(self.left).unwrap_or(usize::MAX).min(rest.len());
                    self.left -= n as u64;
                    if self.left == 0 {
                        self.at = At::After;
                    }
                    return Ok((passed, Found::Data(n)));
                }
                At::After => {
                    if line(rest, 0)?.is_none() {
                        return Ok((passed, Found::Nothing));
                    }
                    passed += 2;
                    self.at = At::Size;
                }
                At::Trailers => {
                    return Ok(match trailers(rest)? {
                        None => (passed, Found::Nothing),
                        Some((length, trailers)) => (passed + length, Found::End(trailers)),
                    });
                }
            }
        }
    }
}

/// What stands next in a chunked body.
pub(crate) enum Found {
    /// Nothing that is whole.
    Nothing,
    /// So many bytes of data.
    Data(usize),
    /// The end, with the trailers.
    End(HeaderMap),
}

/// The next line without its CR LF. Nothing else ends a line here.
fn line(input: &[u8], longest: usize) -> Result<Option<&[u8]>, &'static str> {
    let Some(at) = memchr::memchr2(b'\r', b'\n', &input[..input.len().min(longest + 1)]) else {
        return if input.len() > longest { Err("a line between the chunks is too long") } else { Ok(None) };
    };
    match (input[at], input.get(at + 1)) {
        (b'\r', None) => Ok(None),
        (b'\r', Some(b'\n')) => Ok(Some(&input[..at])),
        _ => Err("a line between the chunks does not end with CR LF"),
    }
}

/// A chunk's size in hexadecimal digits. Extensions behind it mean nothing to us, but are looked at: half of one is how
/// two programs come to disagree about where a chunk begins.
fn size(line: &[u8]) -> Result<u64, &'static str> {
    let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    if digits == 0 || digits > 15 || !are_extensions(&line[digits..]) {
        return Err("a chunk's size is no number");
    }
    let digits = std::str::from_utf8(&line[..digits]).unwrap_or_default();
    u64::from_str_radix(digits, 16).map_err(|_| "a chunk's size is no number")
}

/// `;name`, `;name=token` or `;name="quoted"`, any number of them (section 7.1.1).
fn are_extensions(mut rest: &[u8]) -> bool {
    while let Some(extension) = rest.strip_prefix(b";") {
        let Some(after) = after_token(trimmed(extension)) else { return false };
        rest = after;
        if let Some(value) = trimmed(rest).strip_prefix(b"=") {
            let value = trimmed(value);
            let Some(after) = after_token(value).or_else(|| after_quoted(value)) else { return false };
            rest = after;
        }
    }
    rest.is_empty()
}

fn trimmed(text: &[u8]) -> &[u8] {
    &text[text.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count()..]
}

fn after_token(text: &[u8]) -> Option<&[u8]> {
    let is_token = |byte: &&u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    let n = text.iter().take_while(is_token).count();
    (n > 0).then(|| &text[n..])
}

fn after_quoted(text: &[u8]) -> Option<&[u8]> {
    let mut rest = text.strip_prefix(b"\"")?;
    loop {
        rest = match rest {
            [b'"', rest @ ..] => return Some(rest),
            [b'\\', b'\t' | b' '..=0x7e | 0x80.., rest @ ..] | [b'\t' | b' '..=0x7e | 0x80.., rest @ ..] => rest,
            _ => return None,
        };
    }
}

/// The trailers, and how long they are with the empty line behind them (section 7.1.2).
fn trailers(input: &[u8]) -> Result<Option<(usize, HeaderMap)>, &'static str> {
    let Some(end) = end_of_trailers(input)? else {
        return if input.len() > TRAILING { Err("the trailers are too long") } else { Ok(None) };
    };
    let mut lines = [httparse::EMPTY_HEADER; TRAILERS];
    let Ok(httparse::Status::Complete((_, lines))) = httparse::parse_headers(&input[..end], &mut lines) else {
        return Err("the trailers are no headers");
    };
    let mut trailers = HeaderMap::new();
    for line in lines {
        let name = HeaderName::from_bytes(line.name.as_bytes()).map_err(|_| "a trailer's name is none")?;
        if NEVER.contains(&name) {
            return Err("a trailer says what only a header may say");
        }
        let value = HeaderValue::from_bytes(line.value).map_err(|_| "a trailer's value is none")?;
        trailers.append(name, value);
    }
    Ok(Some((end, trailers)))
}

/// What decides about framing, routing and rights is no trailer (RFC 9110, section 6.5.1).
const NEVER: &[HeaderName] = &[
    AUTHORIZATION,
    CONTENT_ENCODING,
    CONTENT_LENGTH,
    CONTENT_RANGE,
    CONTENT_TYPE,
    HOST,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
];

/// Where the empty line ends. Every line must end with CR LF.
fn end_of_trailers(input: &[u8]) -> Result<Option<usize>, &'static str> {
    let mut begin = 0;
    while let Some(at) = memchr::memchr2(b'\r', b'\n', &input[begin..]).map(|at| at + begin) {
        match (input[at], input.get(at + 1)) {
            (b'\r', None) => return Ok(None),
            (b'\r', Some(b'\n')) if at == begin => return Ok(Some(at + 2)),
            (b'\r', Some(b'\n')) => begin = at + 2,
            _ => return Err("a trailer does not end with CR LF"),
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The data and the trailers, fed in pieces of that size.
    fn read(text: &str, step: usize) -> Result<(String, usize), &'static str> {
        let (mut chunks, mut input, mut data) = (Chunks::default(), BytesMut::new(), Vec::new());
        for piece in text.as_bytes().chunks(step) {
            input.extend_from_slice(piece);
            while let Some(piece) = chunks.read(&mut input)? {
                match piece {
                    Piece::Data(bytes) => data.extend_from_slice(&bytes),
                    Piece::End(trailers) => return Ok((String::from_utf8(data).unwrap(), trailers.len())),
                }
            }
        }
        Err("incomplete")
    }

    #[test]
    fn chunks_are_joined() {
        for (text, data, trailers) in [
            ("0\r\n\r\n", "", 0),
            ("5\r\nhello\r\n0\r\n\r\n", "hello", 0),
            ("A\r\n0123456789\r\n1;x\r\n!\r\n0\r\n\r\n", "0123456789!", 0),
            ("1;a=b;c=\"d;\\\"e\" ; \tf = g\r\nx\r\n0\r\n\r\n", "x", 0),
            ("01\r\nx\r\n000\r\nName: value\r\nOther:\r\n\r\n", "x", 2),
        ] {
            for step in [1, 2, 3, text.len()] {
                // A blank before a semicolon is in the grammar, and refused with the rest of the trailing blanks.
                let wanted = if text.contains("\" ;") {
                    Err("a chunk's size is no number")
                } else {
                    Ok((data.to_owned(), trailers))
                };
                assert_eq!(read(text, step), wanted, "{text:?}");
            }
        }
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_not_read() {
        for text in [
            "5 \r\nhello\r\n0\r\n\r\n",
            "5;\r\nhello\r\n0\r\n\r\n",
            "5\nhello\n0\n\n",
            "5\r\nhello\n0\r\n\r\n",
            "5\r\nhelloX\r\n0\r\n\r\n",
            "0x5\r\nhello\r\n0\r\n\r\n",
            "+5\r\nhello\r\n0\r\n\r\n",
            "-1\r\n\r\n",
            "\r\n\r\n",
            "g\r\n",
            "FFFFFFFFFFFFFFFF\r\n",
            "5;a\rb\r\nhello\r\n0\r\n\r\n",
            "0\r\nname: value\n\r\n",
            "0\r\nContent-Length: 5\r\n\r\n",
            "0\r\nname : value\r\n\r\n",
        ] {
            assert!(read(text, 64).is_err_and(|error| error != "incomplete"), "{text:?}");
        }
    }
}
