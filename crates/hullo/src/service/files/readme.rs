//! The README of a folder, below its list: Markdown as HTML, anything else as text.

use std::io::Read;

use pulldown_cmark::{CowStr, Event, LinkType, Options, Parser, Tag, TagEnd, html::push_html};

use super::{
    listing::Row,
    place::Place,
    root::{Found, Root},
};
use crate::html::escaped;

/// The names that are looked for, in any case, the best one first.
const NAMES: [&str; 4] = ["readme.md", "readme.markdown", "readme.txt", "readme"];

/// The most of it that is shown.
const MOST: u64 = 256 << 10;

/// A README as HTML.
pub(super) struct Readme(pub(super) String);

/// The one of that folder. To be called where one may wait.
pub(super) fn of(root: &Root, place: &Place, rows: &[Row]) -> Option<Readme> {
    let files = || rows.iter().filter(|row| !row.is_folder());
    let named = |name: &str| files().find(|row| row.path.eq_ignore_ascii_case(name.as_bytes()));
    let (name, row) = NAMES.iter().find_map(|name| Some((*name, named(name)?)))?;
    let Ok(Found::File(opened)) = root.find_waiting(&place.join(&row.path)) else { return None };
    let mut bytes = Vec::new();
    opened.file.take(MOST).read_to_end(&mut bytes).ok()?;
    let text = String::from_utf8_lossy(&bytes);
    Some(Readme(match name.contains(".m") {
        true => markdown(&text),
        false => format!("<pre class=\"text\">{}</pre>", escaped(&text)),
    }))
}

/// Markdown as HTML in which nothing is from the text but text: no markup of its own, and no link that runs something.
fn markdown(text: &str) -> String {
    let options = Options::ENABLE_TABLES | Options::ENABLE_STRIKETHROUGH | Options::ENABLE_TASKLISTS;
    let mut html = String::with_capacity(text.len() * 3 / 2);
    // Of each image that is open, whether it is one that is left out: then its description stands there.
    let mut images = Vec::new();
    push_html(&mut html, Parser::new_ext(text, options).map(|event| harmless(event, &mut images)));
    html
}

fn harmless<'a>(event: Event<'a>, images: &mut Vec<bool>) -> Event<'a> {
    match event {
        Event::Html(markup) | Event::InlineHtml(markup) => Event::Text(markup),
        Event::Start(Tag::HtmlBlock) => Event::Start(Tag::Paragraph),
        Event::End(TagEnd::HtmlBlock) => Event::End(TagEnd::Paragraph),
        Event::Start(Tag::Link { link_type, dest_url, title, id }) => {
            let leads = link_type == LinkType::Email || leads_on(&dest_url);
            let dest_url = if leads { dest_url } else { CowStr::from("#") };
            Event::Start(Tag::Link { link_type, dest_url, title, id })
        }
        Event::Start(Tag::Image { link_type, dest_url, title, id }) => {
            // The page's policy lets only our own images in; those of others would tell their server who reads this.
            let foreign = scheme(&dest_url).is_some() || dest_url.starts_with("//");
            images.push(foreign);
            Event::Start(if foreign { Tag::Emphasis } else { Tag::Image { link_type, dest_url, title, id } })
        }
        Event::End(TagEnd::Image) if images.pop() == Some(true) => Event::End(TagEnd::Emphasis),
        event => event,
    }
}

/// Whether a link leads to a page or an address, and does nothing else.
fn leads_on(link: &str) -> bool {
    scheme(link).is_none_or(|scheme| ["http", "https", "mailto"].iter().any(|good| scheme.eq_ignore_ascii_case(good)))
}

/// What stands before the first colon, unless the colon is part of a path. Browsers look past spaces and control characters,
/// so whatever is no plain path has a scheme here.
fn scheme(link: &str) -> Option<&str> {
    let (scheme, _) = link.split_once(':')?;
    (!scheme.contains(['/', '?', '#'])).then_some(scheme)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markdown_is_shown_and_does_nothing() {
        let html = markdown("# Ada & *co*\n\n| a | b |\n|---|---|\n| 1 | [x](notes/a.txt) |\n\n- [ ] `<b>`");
        assert!(
            html.contains("<h1>Ada &amp; <em>co</em></h1>") && html.contains("<a href=\"notes/a.txt\">x</a>"),
            "{html}"
        );
        assert!(html.contains("<table>") && html.contains("<code>&lt;b&gt;</code>"), "{html}");
        for bad in [
            "<script>alert(1)</script>",
            "text <img src=x onerror=alert(1)> text",
            "<div\nonclick=alert(1)>\n\n</div>",
            "[x](javascript:alert(1))",
            "[x](JaVaScRiPt:alert(1))",
            "[x](java&#9;script:alert(1))",
            "[x](\u{1}javascript:alert(1))",
            "[x](data:text/html,hi)",
            "<javascript:alert(1)>",
            "[x][y]\n\n[y]: vbscript:x",
            "![x](javascript:alert(1))",
            "![x](https://tracker.example/1.gif)",
            "![x](//tracker.example/1.gif)",
            "[x](a \"' onclick='alert(1)\")",
        ] {
            let html = markdown(bad);
            let tags: Vec<_> = html.split('<').skip(1).map(|tag| tag.split('>').next().unwrap()).collect();
            for tag in tags {
                let known = ["p", "/p", "a ", "/a", "em", "/em"].iter().any(|good| tag.starts_with(good));
                assert!(
                    known && !tag.contains("script") && !tag.contains("data:") && !tag.contains("tracker"),
                    "{bad}: {html}"
                );
            }
        }
    }

    proptest::proptest! {
        /// Whatever stands in it, there are only the tags that Markdown has, and none of them runs anything.
        #[test]
        fn no_text_becomes_another_tag(text in r#"([<>"'&\[\]()!:/*_`\n a-e]|javascript|script|img|on){0,40}"#) {
            const KNOWN: &[&str] = &[
                "a", "blockquote", "br", "code", "em", "h1", "h2", "hr", "img", "input", "li", "ol", "p", "pre", "strong", "table",
                "tbody", "td", "th", "thead", "tr", "ul", "del",
            ];
            let html = markdown(&text);
            for tag in html.split('<').skip(1).map(|tag| tag.split('>').next().unwrap_or_default()) {
                let name = tag.trim_start_matches('/').split([' ', '/']).next().unwrap_or_default();
                assert!(KNOWN.contains(&name), "<{tag}> in {html} of {text:?}");
                assert!(!tag.contains("=\"javascript:"), "<{tag}> in {html} of {text:?}");
            }
        }
    }
}
