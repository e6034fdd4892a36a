//! The items of a request, as HTTPie writes them.

use std::{collections::HashSet, fs};

use http::{HeaderMap, HeaderName, HeaderValue};
use hullo::{Error, Kind, Result};
use serde_json::Value;

use super::nested;

/// The separators, longer ones first, so that `:=` is not taken for `:`.
const SEPARATORS: &[(&str, Sign)] = &[
    (":=@", Sign::JsonFile),
    ("=@", Sign::TextFile),
    (":=", Sign::Json),
    (":@", Sign::HeaderFile),
    ("==", Sign::Query),
    ("=", Sign::Text),
    (":", Sign::Header),
    ("@", Sign::File),
    (";", Sign::Empty),
];

/// What the separator of an item says about it.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) enum Sign {
    Header,
    HeaderFile,
    Empty,
    Query,
    Text,
    TextFile,
    Json,
    JsonFile,
    File,
}

/// An item.
#[derive(Debug, PartialEq)]
pub(super) struct Item {
    pub(super) sign: Sign,
    pub(super) name: String,
    pub(super) value: String,
}

/// All items of a request.
pub(super) struct Items(Vec<Item>);

impl Items {
    pub(super) fn parse(words: &[String]) -> Result<Self> {
        words.iter().map(|word| parse(word)).collect::<Result<_>>().map(Self)
    }

    /// The items that the body is made of.
    pub(super) fn fields(&self) -> impl Iterator<Item = &Item> {
        self.0.iter().filter(|item| item.is_field() && !item.is_body())
    }

    /// The file that is the body, which `-` means stdin.
    pub(super) fn file(&self) -> Result<Option<&str>> {
        let mut files = self.0.iter().filter(|item| item.is_body());
        match (files.next(), files.next(), self.fields().next()) {
            (None, ..) => Ok(None),
            (Some(file), None, None) => Ok(Some(&file.value)),
            _ => Err(Error::usage("there is a file that is the body, and more: the body can be only one thing")
                .hint("give the file a name, as in photo@me.jpg, and it is a part of a form")),
        }
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
        for item in self.0.iter().filter(|item| item.is_header()) {
            let wrong = || Error::usage(format!("'{}' cannot be a header", item.name.escape_debug()));
            let name: HeaderName =
                item.name.parse().map_err(|error| wrong().because(error as http::header::InvalidHeaderName))?;
            let value = match item.sign {
                Sign::HeaderFile => text_of(&item.value)?.trim_end().to_owned(),
                _ => item.value.trim_start().to_owned(),
            };
            if item.sign == Sign::Header && value.is_empty() {
                headers.remove(name);
                continue;
            }
            // The value may be a secret: it is not in the error.
            let value = HeaderValue::from_bytes(value.as_bytes()).map_err(|_| wrong())?;
            // What we would say by ourselves is replaced; what is said twice here is sent twice.
            if said.insert(name.clone()) {
                headers.insert(name, value);
            } else {
                headers.append(name, value);
            }
        }
        Ok(())
    }

    /// The names of headers as they were typed.
    pub(super) fn spelling(&self) -> Vec<String> {
        self.0.iter().filter(|item| item.is_header()).map(|item| item.name.clone()).collect()
    }

    /// The fields as JSON.
    pub(super) fn json(&self) -> Result<String> {
        let mut root = None;
        for item in self.fields() {
            let wrong = |error: serde_json::Error| {
                Error::usage(format!("the field '{}' is not JSON", item.name.escape_debug())).because(error)
            };
            let value = match item.sign {
                Sign::Text => Value::from(item.value.as_str()),
                Sign::TextFile => Value::from(text_of(&item.value)?),
                Sign::JsonFile => serde_json::from_str(&text_of(&item.value)?).map_err(wrong)?,
                _ => serde_json::from_str(&item.value).map_err(wrong)?,
            };
            nested::insert(&mut root, &item.name, value)?;
        }
        Ok(root.map_or_else(String::new, |root| root.to_string()))
    }

    /// The fields as a form.
    pub(super) fn form(&self) -> Result<String> {
        let pair = |item: &Item| Ok(format!("{}={}", escape(&item.name), escape(&item.text()?)));
        Ok(self.fields().map(pair).collect::<Result<Vec<_>>>()?.join("&"))
    }
}

impl Item {
    fn is_header(&self) -> bool {
        matches!(self.sign, Sign::Header | Sign::HeaderFile | Sign::Empty)
    }

    fn is_field(&self) -> bool {
        !self.is_header() && self.sign != Sign::Query
    }

    /// Whether it is a file without a name, which is the body.
    fn is_body(&self) -> bool {
        self.sign == Sign::File && self.name.is_empty()
    }

    /// The value where only text can stand.
    pub(super) fn text(&self) -> Result<String> {
        match self.sign {
            Sign::TextFile | Sign::JsonFile => text_of(&self.value),
            _ => Ok(self.value.clone()),
        }
    }

    /// The path of a file to upload, and the type that it is said to be of.
    pub(super) fn upload(&self) -> (&str, Option<&str>) {
        match self.value.rsplit_once(";type=") {
            Some((path, kind)) => (path, Some(kind)),
            None => (&self.value, None),
        }
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
            let named = !name.is_empty() || *sign == Sign::File && !value.is_empty();
            if named && (*sign != Sign::Empty || value.is_empty()) {
                return Ok(Item { sign: *sign, name, value });
            }
        }
        match rest.next() {
            // Before anything else it is itself: the name of a field has more to escape.
            Some('\\') if rest.as_str().starts_with([':', '=', '@', ';']) => name.extend(rest.next()),
            Some(c) => name.push(c),
            None => {
                let hint = "an item is Header:value, name==value, name=value, name:=json or name@file";
                let word: String = word.chars().take(100).collect();
                return Err(Error::usage(format!("'{}' is not an item", word.escape_debug())).hint(hint));
            }
        }
    }
}

fn text_of(path: &str) -> Result<String> {
    let bytes = fs::read(path).map_err(|error| unreadable(path, error))?;
    String::from_utf8(bytes).map_err(|error| Error::new(Kind::File, format!("{path} is not UTF-8")).because(error))
}

/// The error of a file that cannot be read.
pub(super) fn unreadable(path: &str, error: std::io::Error) -> Error {
    Error::io(format!("cannot read {path}"), error).of(Kind::File)
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
            ("X-Token:@token.txt", item(Sign::HeaderFile, "X-Token", "token.txt")),
            ("q==a b", item(Sign::Query, "q", "a b")),
            ("name=Ada=x", item(Sign::Text, "name", "Ada=x")),
            ("age:=36", item(Sign::Json, "age", "36")),
            ("a[b][]:=1", item(Sign::Json, "a[b][]", "1")),
            ("photo@me.jpg", item(Sign::File, "photo", "me.jpg")),
            ("@body.json", item(Sign::File, "", "body.json")),
            ("text=@a.txt", item(Sign::TextFile, "text", "a.txt")),
            ("data:=@a.json", item(Sign::JsonFile, "data", "a.json")),
            ("Empty;", item(Sign::Empty, "Empty", "")),
            (r"a\:b=c", item(Sign::Text, "a:b", "c")),
            (r"a\[b=c", item(Sign::Text, r"a\[b", "c")),
        ] {
            assert_eq!(parse(word).unwrap(), expected, "{word}");
        }
        for word in ["nothing", "@", "=x"] {
            assert!(parse(word).unwrap_err().to_string().contains("is not an item"), "{word}");
        }
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
        assert_eq!(items(&["b=x", "a:=[1]"]).json().unwrap(), r#"{"b":"x","a":[1]}"#);
        assert_eq!(items(&["b=x y&", "é=1"]).form().unwrap(), "b=x+y%26&%C3%A9=1");
        assert_eq!(items(&["q==1 2", "r==&"]).query(Some("p".to_owned())).unwrap(), "p&q=1+2&r=%26");
        assert_eq!(
            items(&["big:=12345678901234567890123", "exact:=1.50"]).json().unwrap(),
            r#"{"big":12345678901234567890123,"exact":1.50}"#,
            "no number is rounded"
        );
        assert!(items(&["a:={"]).json().unwrap_err().to_string().contains("is not JSON"));
        assert!(items(&["@a", "b=1"]).file().is_err());
    }
}
