//! The items of a request, as HTTPie writes them.

use std::{collections::HashSet, fs, path::Path};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use hullo::{Error, Kind, Result};
use serde_json::{
    Value,
    value::{RawValue, to_raw_value},
};

/// The separators, longer ones first, so that `:=` is not taken for `:`.
const SEPARATORS: &[(&str, Sign)] = &[
    (":=@", Sign::JsonFile),
    ("=@", Sign::TextFile),
    (":=", Sign::Json),
    ("==", Sign::Query),
    ("=", Sign::Text),
    (":", Sign::Header),
    ("@", Sign::File),
    (";", Sign::Empty),
];

#[derive(Clone, Copy, PartialEq, Debug)]
enum Sign {
    Header,
    Empty,
    Query,
    Text,
    TextFile,
    Json,
    JsonFile,
    File,
}

#[derive(Debug, PartialEq)]
struct Item {
    sign: Sign,
    name: String,
    value: String,
}

/// All items of a request.
pub(super) struct Items(Vec<Item>);

impl Items {
    pub(super) fn parse(words: &[String]) -> Result<Self> {
        words.iter().map(|word| parse(word)).collect::<Result<_>>().map(Self)
    }

    pub(super) fn has_fields(&self) -> bool {
        self.0.iter().any(|item| !matches!(item.sign, Sign::Header | Sign::Empty | Sign::Query))
    }

    /// The URL's own query with the items' parameters behind it.
    pub(super) fn query(&self, own: Option<String>) -> Option<String> {
        let ours = self.0.iter().filter(|item| item.sign == Sign::Query);
        let pairs = own.into_iter().chain(ours.map(|item| format!("{}={}", escape(&item.name), escape(&item.value))));
        let query: Vec<_> = pairs.collect();
        (!query.is_empty()).then(|| query.join("&"))
    }

    /// Adds the items' headers; `Name:` removes one, `Name;` sends it empty.
    pub(super) fn headers(&self, headers: &mut HeaderMap) -> Result<()> {
        let mut said = HashSet::new();
        for item in self.0.iter().filter(|item| matches!(item.sign, Sign::Header | Sign::Empty)) {
            let wrong = || Error::usage(format!("'{}' cannot be a header", item.name.escape_debug()));
            let name: HeaderName =
                item.name.parse().map_err(|error| wrong().because(error as http::header::InvalidHeaderName))?;
            if item.sign == Sign::Header && item.value.is_empty() {
                headers.remove(name);
            } else {
                // The value may be a secret: it is not in the error.
                let value = HeaderValue::from_bytes(item.value.trim_start().as_bytes()).map_err(|_| wrong())?;
                // What we would say by ourselves is replaced; what is said twice here is sent twice.
                if said.insert(name.clone()) {
                    headers.insert(name, value);
                } else {
                    headers.append(name, value);
                }
            }
        }
        Ok(())
    }

    /// The body and its type.
    pub(super) fn body(&self, form: bool) -> Result<(Bytes, String)> {
        if self.0.iter().any(|item| item.sign == Sign::File) {
            return self.multipart();
        }
        if form { self.form() } else { self.json() }
    }

    fn json(&self) -> Result<(Bytes, String)> {
        let mut fields: Vec<(&str, Box<RawValue>)> = Vec::new();
        for item in self.fields() {
            // To the letter: a number of many digits is not rounded.
            let wrong = |error| {
                Error::usage(format!("the field '{}' is not JSON", item.name)).because(error as serde_json::Error)
            };
            let value = match item.sign {
                Sign::Text => to_raw_value(&item.value),
                Sign::TextFile => to_raw_value(&text_of(&item.value)?),
                Sign::JsonFile => RawValue::from_string(text_of(&item.value)?.trim().to_owned()),
                _ => RawValue::from_string(item.value.trim().to_owned()),
            };
            fields.retain(|(name, _)| *name != item.name);
            fields.push((&item.name, value.map_err(wrong)?));
        }
        let fields: Vec<_> = fields.iter().map(|(name, value)| format!("{}:{value}", Value::from(*name))).collect();
        Ok((format!("{{{}}}", fields.join(",")).into(), "application/json".to_owned()))
    }

    fn form(&self) -> Result<(Bytes, String)> {
        let mut pairs = Vec::new();
        for item in self.fields() {
            pairs.push(format!("{}={}", escape(&item.name), escape(&plain(item)?)));
        }
        Ok((pairs.join("&").into(), "application/x-www-form-urlencoded; charset=utf-8".to_owned()))
    }

    fn multipart(&self) -> Result<(Bytes, String)> {
        let parts: Vec<(&Item, Vec<u8>)> = self
            .fields()
            .map(|item| {
                Ok((item, if item.sign == Sign::File { bytes_of(&item.value)? } else { plain(item)?.into_bytes() }))
            })
            .collect::<Result<_>>()?;
        // A boundary that is in no part: as long as one has it, a longer one is tried.
        let mut boundary = "hullo-boundary".to_owned();
        while parts.iter().any(|(_, bytes)| bytes.windows(boundary.len()).any(|window| window == boundary.as_bytes())) {
            boundary.push('x');
        }
        let quoted = |text: &str| text.replace('"', "%22").replace(['\r', '\n'], " ");
        let mut body = Vec::new();
        for (item, bytes) in parts {
            let name = quoted(&item.name);
            body.extend_from_slice(
                format!("--{boundary}\r\nContent-Disposition: form-data; name=\"{name}\"").as_bytes(),
            );
            if item.sign == Sign::File {
                let file = Path::new(&item.value)
                    .file_name()
                    .map(|name| name.to_string_lossy().into_owned())
                    .unwrap_or_default();
                body.extend_from_slice(
                    format!("; filename=\"{}\"\r\nContent-Type: application/octet-stream", quoted(&file)).as_bytes(),
                );
            }
            body.extend_from_slice(b"\r\n\r\n");
            body.extend_from_slice(&bytes);
            body.extend_from_slice(b"\r\n");
        }
        body.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
        Ok((body.into(), format!("multipart/form-data; boundary={boundary}")))
    }

    fn fields(&self) -> impl Iterator<Item = &Item> {
        self.0.iter().filter(|item| !matches!(item.sign, Sign::Header | Sign::Empty | Sign::Query))
    }
}

/// Splits at the first separator that is not behind a backslash; of those at one place the longest.
fn parse(word: &str) -> Result<Item> {
    let mut name = String::new();
    let mut rest = word.chars();
    loop {
        let text = rest.as_str();
        if let Some((separator, sign)) = SEPARATORS.iter().find(|(separator, _)| text.starts_with(separator)) {
            let value = text[separator.len()..].to_owned();
            if !name.is_empty() && (*sign != Sign::Empty || value.is_empty()) {
                return Ok(Item { sign: *sign, name, value });
            }
        }
        match rest.next() {
            Some('\\') => name.extend(rest.next()),
            Some(c) => name.push(c),
            None => {
                let hint = "an item is Header:value, name==value, name=value, name:=json or name@file";
                return Err(Error::usage(format!(
                    "'{}' is not an item",
                    word.chars().take(100).collect::<String>().escape_debug()
                ))
                .hint(hint));
            }
        }
    }
}

/// A field's value where only text can stand.
fn plain(item: &Item) -> Result<String> {
    match item.sign {
        Sign::TextFile | Sign::JsonFile => text_of(&item.value),
        _ => Ok(item.value.clone()),
    }
}

fn bytes_of(path: &str) -> Result<Vec<u8>> {
    fs::read(path).map_err(|error| Error::io(format!("cannot read {path}"), error).of(Kind::File))
}

fn text_of(path: &str) -> Result<String> {
    String::from_utf8(bytes_of(path)?)
        .map_err(|error| Error::new(Kind::File, format!("{path} is not UTF-8")).because(error))
}

fn escape(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
            b' ' => "+".to_owned(),
            byte => format!("%{byte:02X}"),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(sign: Sign, name: &str, value: &str) -> Item {
        Item { sign, name: name.to_owned(), value: value.to_owned() }
    }

    #[test]
    fn items_are_read_as_httpie_reads_them() {
        for (word, expected) in [
            ("X-Token:a:b=c", item(Sign::Header, "X-Token", "a:b=c")),
            ("q==a b", item(Sign::Query, "q", "a b")),
            ("name=Ada=x", item(Sign::Text, "name", "Ada=x")),
            ("age:=36", item(Sign::Json, "age", "36")),
            ("photo@me.jpg", item(Sign::File, "photo", "me.jpg")),
            ("text=@a.txt", item(Sign::TextFile, "text", "a.txt")),
            ("data:=@a.json", item(Sign::JsonFile, "data", "a.json")),
            ("Empty;", item(Sign::Empty, "Empty", "")),
            (r"a\:b=c", item(Sign::Text, "a:b", "c")),
        ] {
            assert_eq!(parse(word).unwrap(), expected, "{word}");
        }
        assert!(parse("nothing").unwrap_err().to_string().contains("is not an item"));
    }

    #[test]
    fn what_is_said_replaces_what_we_would_say() {
        let words = ["Accept:a/b", "X:1", "X:2", "User-Agent:"].map(str::to_owned);
        let mut headers = HeaderMap::new();
        for name in ["accept", "user-agent"] {
            headers.insert(name, HeaderValue::from_static("ours"));
        }
        Items::parse(&words).unwrap().headers(&mut headers).unwrap();
        let all: Vec<_> = headers.iter().map(|(name, value)| format!("{name}={}", value.to_str().unwrap())).collect();
        assert_eq!(all.join(" "), "accept=a/b x=1 x=2");
    }

    #[test]
    fn bodies_are_built() {
        let items =
            |words: &[&str]| Items::parse(&words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>()).unwrap();
        assert_eq!(items(&["b=x", "a:=[1]"]).body(false).unwrap().0, r#"{"b":"x","a":[1]}"#);
        assert_eq!(items(&["b=x y&", "é=1"]).body(true).unwrap().0, "b=x+y%26&%C3%A9=1");
        assert_eq!(items(&["q==1 2", "r==&"]).query(Some("p".to_owned())).unwrap(), "p&q=1+2&r=%26");
        assert_eq!(
            items(&["big:=12345678901234567890123"]).body(false).unwrap().0,
            r#"{"big":12345678901234567890123}"#
        );
        assert!(items(&["a:={"]).body(false).unwrap_err().to_string().contains("is not JSON"));
    }
}
