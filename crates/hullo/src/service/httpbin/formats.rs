//! Documents in each format, and the same answer in each compression.

use async_compression::tokio::write::{BrotliEncoder, GzipEncoder, ZlibEncoder, ZstdEncoder};
use http::{HeaderValue, header::CONTENT_ENCODING};
use serde_json::json;
use tokio::io::AsyncWriteExt;

use super::{
    answer::{Answer, With, json as document, print, typed},
    call::Call,
};
use crate::error::{Error, Result};

pub(super) async fn json(_: Call) -> Answer {
    Ok(document(json!({
        "slideshow": {
            "author": "Yours Truly",
            "date": "date of publication",
            "slides": [
                { "title": "Wake up to WonderWidgets!", "type": "all" },
                {
                    "items": ["Why <em>WonderWidgets</em> are great", "Who <em>buys</em> WonderWidgets"],
                    "title": "Overview",
                    "type": "all",
                },
            ],
            "title": "Sample Slide Show",
        },
    })))
}

pub(super) async fn xml(_: Call) -> Answer {
    Ok(typed("application/xml", include_str!("samples/slideshow.xml")))
}

pub(super) async fn html(_: Call) -> Answer {
    Ok(typed("text/html; charset=utf-8", include_str!("samples/story.html")))
}

pub(super) async fn form(_: Call) -> Answer {
    Ok(typed("text/html; charset=utf-8", include_str!("samples/form.html")))
}

pub(super) async fn robots(_: Call) -> Answer {
    Ok(typed("text/plain", "User-agent: *\nDisallow: /deny\n"))
}

pub(super) async fn deny(_: Call) -> Answer {
    Ok(typed("text/plain", include_str!("samples/deny.txt")))
}

pub(super) async fn utf8(_: Call) -> Answer {
    Ok(typed("text/html; charset=utf-8", include_str!("samples/utf8.html")))
}

/// The request as these answers tell it, with a field that says how it is compressed.
async fn told(call: &Call, field: &str) -> Result<String> {
    let mut told = call.dict(&["origin", "headers", "method"]).await?;
    told.insert(field.to_owned(), true.into());
    Ok(print(told.into()))
}

fn encoded(coding: &'static str, body: Vec<u8>) -> Answer {
    Ok(typed("application/json", body).with(CONTENT_ENCODING, HeaderValue::from_static(coding)))
}

macro_rules! codings {
    ($($handler:ident $field:literal $coding:literal $encoder:ident;)*) => {
        $(pub(super) async fn $handler(call: Call) -> Answer {
            let mut encoder = $encoder::new(Vec::new());
            let wrong = |error| Error::io(concat!("cannot compress by ", $coding), error);
            encoder.write_all(told(&call, $field).await?.as_bytes()).await.map_err(wrong)?;
            encoder.shutdown().await.map_err(wrong)?;
            encoded($coding, encoder.into_inner())
        })*
    };
}

codings! {
    gzip "gzipped" "gzip" GzipEncoder;
    // What HTTP calls deflate is zlib's format (RFC 9110, section 8.4.1.2).
    deflate "deflated" "deflate" ZlibEncoder;
    brotli "brotli" "br" BrotliEncoder;
    zstd "zstd" "zstd" ZstdEncoder;
}
