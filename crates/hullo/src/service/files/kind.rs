//! The types of files, by their names, and what follows from them.

use http::HeaderValue;
use mime_guess::{Mime, mime};

/// What a browser may do with a page of this folder: scripts run, in an origin that is nobody's. They can neither read what
/// else is here nor act in the name of who looks at it.
pub(super) const SANDBOX: HeaderValue =
    HeaderValue::from_static("sandbox allow-downloads allow-forms allow-modals allow-popups allow-scripts");

/// Of what type a file is.
pub(super) struct Kind(Mime);

impl Kind {
    /// The type that goes with the end of a name.
    pub(super) fn of(name: &[u8]) -> Self {
        let name = String::from_utf8_lossy(name);
        Self(mime_guess::from_path(&*name).first_or_octet_stream())
    }

    /// As it stands in `Content-Type`. Text is UTF-8 these days.
    pub(super) fn value(&self) -> HeaderValue {
        let text = self.0.type_() == mime::TEXT || self.0.essence_str() == "application/javascript";
        let value = match text {
            true => HeaderValue::try_from(format!("{}; charset=utf-8", self.0.essence_str())),
            false => HeaderValue::from_str(self.0.essence_str()),
        };
        value.unwrap_or(HeaderValue::from_static("application/octet-stream"))
    }

    /// Whether a browser runs what may be in it.
    pub(super) fn is_active(&self) -> bool {
        self.0.subtype() == mime::HTML || self.is_xml()
    }

    /// Whether it becomes shorter by being compressed.
    pub(super) fn is_compressible(&self) -> bool {
        const ALSO: &[&str] = &[
            "application/javascript",
            "application/json",
            "application/rtf",
            "application/sql",
            "application/wasm",
            "application/x-javascript",
            "application/x-ndjson",
            "application/x-sh",
            "font/otf",
            "font/ttf",
            "image/bmp",
            "image/vnd.microsoft.icon",
            "image/x-icon",
        ];
        let json = self.0.suffix() == Some(mime::JSON);
        self.0.type_() == mime::TEXT || json || self.is_xml() || ALSO.contains(&self.0.essence_str())
    }

    fn is_xml(&self) -> bool {
        self.0.subtype() == mime::XML || self.0.suffix() == Some(mime::XML)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_types() {
        for (name, value, active, compressible) in [
            ("a.html", "text/html; charset=utf-8", true, true),
            ("A.HTM", "text/html; charset=utf-8", true, true),
            ("a.xhtml", "application/xhtml+xml", true, true),
            ("a.svg", "image/svg+xml", true, true),
            ("a.js", "text/javascript; charset=utf-8", false, true),
            ("a.txt", "text/plain; charset=utf-8", false, true),
            ("a.json", "application/json", false, true),
            ("a.wasm", "application/wasm", false, true),
            ("a.png", "image/png", false, false),
            ("a.zip", "application/zip", false, false),
            ("a.html.gz", "application/gzip", false, false),
            ("README", "application/octet-stream", false, false),
            ("a.nobody-knows", "application/octet-stream", false, false),
        ] {
            let kind = Kind::of(name.as_bytes());
            let found = (kind.value(), kind.is_active(), kind.is_compressible());
            assert_eq!(found, (HeaderValue::from_static(value), active, compressible), "{name}");
        }
        assert_eq!(Kind::of(b"\xff.txt").value(), "text/plain; charset=utf-8");
    }
}
