//! Templates in the words of a request: `hullo bench 'http://host/items/{{seq}}' 'X-Id:{{random 8}}' n:={{seq}}`.
//!
//! Whoever reads the words escapes what it finds in them, and refuses a space in a URL. So until they are read there are
//! numbers in the places of the templates, which nothing escapes, and which are JSON too.

use hullo::{Error, Result};

/// Words without their templates, and the templates.
pub(super) struct Holes {
    pub(super) words: Vec<String>,
    templates: Vec<String>,
    /// What no word has in it, and every number begins with.
    key: String,
}

/// Where looking for such a key begins.
const FIRST: u64 = 7_046_029_254_386_353;

impl Holes {
    /// Takes the templates out of the words.
    ///
    /// # Errors
    /// One stands where no request can be another one than that before it.
    pub(super) fn dig(words: &[String]) -> Result<Self> {
        let key = (FIRST..).map(|key| key.to_string()).find(|key| words.iter().all(|word| !word.contains(key)));
        let mut holes = Self { words: Vec::new(), templates: Vec::new(), key: key.unwrap_or_default() };
        for word in words {
            if super::is_url(word) {
                refuse_in_place(word)?;
            }
            let word = holes.without(word);
            holes.words.push(word);
        }
        Ok(holes)
    }

    /// What was made of the words, with its templates.
    pub(super) fn fill(&self, text: &str) -> String {
        let filled = |text: String, (at, template): (usize, &String)| text.replace(&self.number(at), template);
        self.templates.iter().enumerate().fold(text.to_owned(), filled)
    }

    fn without(&mut self, word: &str) -> String {
        let (mut text, mut rest) = (String::new(), word);
        while let Some((before, behind)) = rest.split_once("{{")
            && let Some((name, after)) = behind.split_once("}}")
        {
            text += before;
            text += &self.number(self.templates.len());
            self.templates.push(format!("{{{{{name}}}}}"));
            rest = after;
        }
        text + rest
    }

    fn number(&self, at: usize) -> String {
        format!("{}{at:06}", self.key)
    }
}

/// All connections go to one place, and in one way.
fn refuse_in_place(url: &str) -> Result<()> {
    let (rest, fragment) = url.split_once('#').unwrap_or((url, ""));
    let host = rest.split_once("://").map_or("", |(_, rest)| rest).split(['/', '?']).next().unwrap_or_default();
    match host.contains("{{") || fragment.contains("{{") {
        true => Err(Error::usage(format!("'{url}' has a template where no request can differ from others"))
            .hint("paths, queries, headers and bodies are filled in, as in http://host/items/{{seq}}")),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dug(words: &[&str]) -> Result<Holes> {
        Holes::dig(&words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn what_is_taken_out_comes_back() {
        let words =
            ["http://h/{{seq}}/{{random 8}}{{seq}}?q={{ seq }}#timeout=1s", "X-Id:{{seq}}", "a={{b", "o:={{seq}}"];
        let holes = dug(&words).unwrap();
        assert!(holes.words[..2].iter().all(|word| !word.contains(['{', ' '])), "{:?}", holes.words);
        assert!(holes.words[3].strip_prefix("o:=").unwrap().bytes().all(|digit| digit.is_ascii_digit()));
        assert_eq!(holes.words.iter().map(|word| holes.fill(word)).collect::<Vec<_>>(), words);
    }

    #[test]
    fn a_number_that_somebody_typed_is_no_template() {
        let words = [format!("http://h/{FIRST}000000/{{{{seq}}}}")];
        let holes = Holes::dig(&words).unwrap();
        assert_eq!(holes.fill(&holes.words[0]), words[0]);
    }

    #[test]
    fn one_place_is_asked_and_in_one_way() {
        for url in ["http://{{seq}}.example.org/", "http://h:{{seq}}", "https://h?a#timeout={{seq}}"] {
            assert!(dug(&[url]).is_err(), "{url}");
        }
        assert!(dug(&["http://h/a://{{seq}}"]).is_ok());
    }
}
