//! Names that others give to files, made harmless.

use std::{
    fs,
    path::{Path, PathBuf},
};

use http::{HeaderMap, header};
use hullo::Address;

use super::download::part_of;
use crate::report::steers;

/// The name that the server or the URL gives, or with a number where there is such a file: a name that somebody else
/// chose overwrites nothing.
pub(super) fn unused(headers: &HeaderMap, from: &Address) -> PathBuf {
    let name = from_server(headers).unwrap_or_else(|| from_url(from));
    let (stem, extension) = (name.file_stem().unwrap_or_default(), name.extension());
    let numbered = (1..).map(|number: u32| {
        let mut numbered = stem.to_owned();
        numbered.push(format!("-{number}"));
        let numbered = PathBuf::from(numbered);
        extension.map_or_else(|| numbered.clone(), |extension| numbered.with_added_extension(extension))
    });
    let free = |path: &Path| fs::symlink_metadata(path).is_err();
    let mut names = std::iter::once(name.clone()).chain(numbered);
    names.find(|name| free(name) && free(&part_of(name))).unwrap_or_default()
}

/// The name that the server gives the file (RFC 6266), made harmless.
fn from_server(headers: &HeaderMap) -> Option<PathBuf> {
    let text = String::from_utf8_lossy(headers.get(header::CONTENT_DISPOSITION)?.as_bytes()).into_owned();
    let mut plain = None;
    for parameter in parameters(&text) {
        let Some((name, value)) = parameter.split_once('=') else { continue };
        let value = value.trim();
        match name.trim().to_ascii_lowercase().as_str() {
            // With its own alphabet (RFC 8187), which comes before the plain one.
            "filename*" => {
                let encoded = value.splitn(3, '\'').nth(2)?;
                return harmless(&percent_encoding::percent_decode_str(encoded).decode_utf8_lossy());
            }
            "filename" => {
                let inner = value.strip_prefix('"').map_or(value, |inner| inner.strip_suffix('"').unwrap_or(inner));
                plain = Some(inner.replace("\\\"", "\""));
            }
            _ => {}
        }
    }
    harmless(&plain?)
}

/// The parameters of a header, whose semicolons do not stand in quotes.
fn parameters(text: &str) -> Vec<&str> {
    let mut quoted = false;
    let mut escaped = false;
    text.split(move |c| {
        if c == '"' && !escaped {
            quoted = !quoted;
        }
        escaped = c == '\\' && !escaped;
        c == ';' && !quoted
    })
    .skip(1)
    .collect()
}

/// The last part of the URL as a name.
pub(super) fn from_url(from: &Address) -> PathBuf {
    let name = from.path.rsplit('/').next().unwrap_or_default();
    let name = percent_encoding::percent_decode_str(name).decode_utf8_lossy();
    harmless(&name).unwrap_or_else(|| "index.html".into())
}

/// A name that somebody else chose: it stays in this folder, is visible, and is one word to a shell.
fn harmless(name: &str) -> Option<PathBuf> {
    let name = name.rsplit(['/', '\\']).next().unwrap_or_default();
    let foreign = |c: char| !c.is_ascii() && !c.is_control() && !c.is_whitespace() && !steers(c);
    let kept = |c: char| c.is_ascii_alphanumeric() || "._-+".contains(c) || foreign(c);
    let name: String = name.chars().map(|c| if kept(c) { c } else { '_' }).collect();
    let mut name = name.trim_start_matches(['.', '-']).to_owned();
    // With what is added to it, it must still be a name: 255 bytes at most.
    while name.len() > 200 {
        name.pop();
    }
    (!name.is_empty()).then(|| name.into())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn names_of_servers_are_made_harmless() {
        for (disposition, name) in [
            ("attachment; filename=\"report.pdf\"", Some("report.pdf")),
            ("attachment; filename=plain.txt", Some("plain.txt")),
            ("attachment; filename=\"../../etc/passwd\"", Some("passwd")),
            ("attachment; filename=\"..\\\\..\\\\evil.exe\"", Some("evil.exe")),
            ("attachment; filename=\".bashrc\"", Some("bashrc")),
            ("attachment; filename=\"-rf\"", Some("rf")),
            ("attachment; filename=\"a;b \x1b[31m.txt\"", Some("a_b___31m.txt")),
            ("attachment; filename=x.txt; filename*=UTF-8''%e2%82%ac%20rates.txt", Some("€_rates.txt")),
            ("attachment; filename*=UTF-8''%2e%2e%2fx", Some("x")),
            ("attachment; filename=\"\"", None),
            ("attachment; filename=\"...\"", None),
            ("inline", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(
                header::CONTENT_DISPOSITION,
                HeaderValue::from_bytes(disposition.replace('\x1b', "\t").as_bytes()).unwrap(),
            );
            assert_eq!(from_server(&headers), name.map(PathBuf::from), "{disposition}");
        }
        let long = harmless(&"ü".repeat(300)).unwrap();
        assert!(long.as_os_str().len() <= 200);
    }
}
