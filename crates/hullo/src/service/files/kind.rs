//! The types of files, by their names, and what follows from them.

use http::HeaderValue;

/// What a browser may do with a page of this folder: scripts run, in an origin that is nobody's. They can neither read what
/// else is here nor act in the name of who looks at it.
pub(super) const SANDBOX: HeaderValue =
    HeaderValue::from_static("sandbox allow-downloads allow-forms allow-modals allow-popups allow-scripts");

/// Of what type a file is.
pub(super) struct Kind(&'static str);

impl Kind {
    /// The type that goes with the end of a name.
    pub(super) fn of(name: &[u8]) -> Self {
        Self(mime_guess::from_path(&*String::from_utf8_lossy(name)).first_raw().unwrap_or("application/octet-stream"))
    }

    /// As it stands in `Content-Type`. Text is UTF-8 these days.
    pub(super) fn value(&self) -> HeaderValue {
        match self.0 {
            "text/html" => HeaderValue::from_static("text/html; charset=utf-8"),
            "text/plain" => HeaderValue::from_static("text/plain; charset=utf-8"),
            text if text.starts_with("text/") => {
                HeaderValue::try_from(format!("{text}; charset=utf-8")).unwrap_or(HeaderValue::from_static(text))
            }
            other => HeaderValue::from_static(other),
        }
    }

    /// Whether a browser runs what may be in it.
    pub(super) fn is_active(&self) -> bool {
        self.0 == "text/html" || self.is_xml()
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
            "image/x-icon",
        ];
        self.0.starts_with("text/") || self.0.ends_with("+json") || self.is_xml() || ALSO.contains(&self.0)
    }

    fn is_xml(&self) -> bool {
        self.0.ends_with("/xml") || self.0.ends_with("+xml")
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
