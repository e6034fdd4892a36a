//! Codings of bodies: gzip, deflate, Brotli and Zstandard (RFC 9110, section 8.4.1; RFC 8878), taken off and put on.

use async_compression::{
    Level,
    tokio::bufread::{
        BrotliDecoder, BrotliEncoder, DeflateDecoder, GzipDecoder, GzipEncoder, ZlibDecoder, ZlibEncoder, ZstdDecoder,
        ZstdEncoder,
    },
};
use futures_util::{TryStreamExt, stream};
use http::{HeaderMap, HeaderName};
use http_body_util::{BodyExt, BodyStream, StreamBody};
use hyper::body::{Body as _, Frame};
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio_util::io::{ReaderStream, StreamReader};

use super::exchange::Body;
use crate::error::{Error, Kind, Result};

/// The codings that are asked for, the one that is liked best first.
pub const ACCEPTED: &str = "gzip, deflate, br, zstd";

/// The most codings that one body may be in: more are an attack, not a saving.
const LAYERS: usize = 5;

/// A coding that a body can be put in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    /// Brotli.
    Brotli,
    /// zlib's format, which HTTP calls `deflate`.
    Deflate,
    /// gzip.
    Gzip,
    /// Zstandard.
    Zstd,
}

impl Coding {
    /// Its name in `Content-Encoding`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Brotli => "br",
            Self::Deflate => "deflate",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        }
    }
}

/// The codings that a header lists, in small letters, in the order in which they were put on.
pub(crate) fn listed(headers: &HeaderMap, name: HeaderName) -> Vec<String> {
    let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    let words = values.flat_map(|value| value.split(',')).map(|word| word.trim().to_ascii_lowercase());
    words.filter(|word| !word.is_empty() && word != "identity").collect()
}

/// Whether all of them can be taken off.
pub(crate) fn known(codings: &[String]) -> bool {
    let ours = ["gzip", "x-gzip", "deflate", "br", "zstd"];
    codings.iter().all(|coding| ours.contains(&coding.as_str()))
}

/// The body without these codings. One that is not known is left on, and so are those that were put on before it.
///
/// # Errors
/// [`Kind::Protocol`] for too many of them; and what does not decode is an error of the body's.
pub(crate) fn decoded(mut body: Body, mut codings: Vec<String>, about: &str) -> Result<Body> {
    if codings.len() > LAYERS {
        let about = format!("{about}: it is in {} codings, and at most {LAYERS} are taken off", codings.len());
        return Err(Error::new(Kind::Protocol, about));
    }
    while let Some(coding) = codings.pop().filter(|coding| known(std::slice::from_ref(coding))) {
        body = without(body, coding, about.to_owned());
    }
    Ok(body)
}

/// A body without one coding. A body of no bytes is in none, whatever its head says.
fn without(body: Body, coding: String, about: String) -> Body {
    if body.is_end_stream() {
        return body;
    }
    let about = format!("{about}: it is not {coding}, as it says");
    let decode = async move {
        let mut reader = reader(body);
        let first = reader.fill_buf().await?;
        let decoder: Box<dyn AsyncRead + Send + Unpin> = match coding.as_str() {
            _ if first.is_empty() => Box::new(tokio::io::empty()),
            "br" => Box::new(BrotliDecoder::new(reader)),
            "zstd" => {
                let mut decoder = ZstdDecoder::new(reader);
                decoder.multiple_members(true);
                Box::new(decoder)
            }
            // Some servers take the name to mean what is inside of zlib's format.
            "deflate" if is_zlib(first) => Box::new(ZlibDecoder::new(reader)),
            "deflate" => Box::new(DeflateDecoder::new(reader)),
            _ => {
                let mut decoder = GzipDecoder::new(reader);
                decoder.multiple_members(true);
                Box::new(decoder)
            }
        };
        Ok::<_, std::io::Error>(ReaderStream::with_capacity(decoder, 64 << 10))
    };
    streamed(stream::once(decode).try_flatten(), move |error| {
        // What is ours was no matter of decoding: the body itself was cut off.
        let ours = error.get_ref().is_some_and(|inner| inner.is::<Error>());
        let kind = if error.kind() == std::io::ErrorKind::UnexpectedEof { Kind::Cut } else { Kind::Protocol };
        let error = Error::io(about.clone(), error);
        if ours { error } else { error.of(kind) }
    })
}

/// Whether that is the beginning of zlib's format (RFC 1950, section 2.2).
fn is_zlib(first: &[u8]) -> bool {
    let [method, flags, ..] = first else { return true };
    method & 0x0f == 8 && (u16::from(*method) << 8 | u16::from(*flags)) % 31 == 0
}

/// The body in a coding.
pub fn encoded(body: Body, coding: Coding) -> Body {
    let reader = reader(body);
    let encoder: Box<dyn AsyncRead + Send + Unpin> = match coding {
        // Its own default is made for files that are compressed once and read for ever.
        Coding::Brotli => Box::new(BrotliEncoder::with_quality(reader, Level::Precise(5))),
        Coding::Deflate => Box::new(ZlibEncoder::new(reader)),
        Coding::Gzip => Box::new(GzipEncoder::new(reader)),
        Coding::Zstd => Box::new(ZstdEncoder::new(reader)),
    };
    streamed(ReaderStream::with_capacity(encoder, 64 << 10), |error| Error::io("cannot compress the body", error))
}

type Reader = BufReader<Box<dyn AsyncRead + Send + Unpin>>;

fn reader(body: Body) -> Reader {
    let data = BodyStream::new(body).try_filter_map(|frame| async { Ok(frame.into_data().ok()) });
    BufReader::new(Box::new(StreamReader::new(Box::pin(data.map_err(std::io::Error::from)))))
}

fn streamed(
    bytes: impl futures_util::Stream<Item = std::io::Result<bytes::Bytes>> + Send + 'static,
    wrong: impl FnMut(std::io::Error) -> Error + Send + 'static,
) -> Body {
    BodyExt::boxed_unsync(StreamBody::new(bytes.map_ok(Frame::data).map_err(wrong)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::exchange::{collect, empty, full};

    #[tokio::test]
    async fn what_is_put_on_comes_off() {
        let text = "hullo ".repeat(100_000);
        for coding in [Coding::Brotli, Coding::Deflate, Coding::Gzip, Coding::Zstd] {
            let body = encoded(full(text.clone()), coding);
            let bytes = collect(body, 1 << 20).await.unwrap();
            assert!(bytes.len() < text.len() / 10, "{coding:?}");
            let body = decoded(full(bytes), vec![coding.name().to_owned()], "x").unwrap();
            assert_eq!(collect(body, 1 << 20).await.unwrap(), text, "{coding:?}");
        }
    }

    #[tokio::test]
    async fn layers_come_off_in_their_order_and_no_bytes_are_in_none() {
        let body = encoded(encoded(full("hullo"), Coding::Gzip), Coding::Zstd);
        let body = decoded(body, vec!["gzip".to_owned(), "zstd".to_owned()], "x").unwrap();
        assert_eq!(collect(body, 100).await.unwrap(), "hullo");
        let body = decoded(empty(), vec!["gzip".to_owned()], "x").unwrap();
        assert!(collect(body, 100).await.unwrap().is_empty());
        assert!(decoded(empty(), vec!["gzip".to_owned(); 6], "x").is_err());
        let body = decoded(full("as it is"), vec!["aes128gcm".to_owned()], "x").unwrap();
        assert_eq!(collect(body, 100).await.unwrap(), "as it is");
    }

    #[tokio::test]
    async fn what_is_not_what_it_says_is_an_error() {
        for coding in ["gzip", "br", "zstd", "deflate"] {
            let body = decoded(full(&b"\xff\xfe no such thing"[..]), vec![coding.to_owned()], "x").unwrap();
            let error = collect(body, 100).await.unwrap_err();
            assert!(matches!(error.kind(), Kind::Protocol | Kind::Cut), "{coding}: {error:?}");
        }
    }
}
