//! HTML out of text that is not trusted.

/// Text as it may stand in HTML, inside a tag's quotes or outside of tags.
pub fn escaped(text: &str) -> String {
    let mut html = String::with_capacity(text.len() + text.len() / 8);
    for c in text.chars() {
        match c {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '"' => html.push_str("&#34;"),
            '\'' => html.push_str("&#39;"),
            c => html.push(c),
        }
    }
    html
}

/// The template with `{{name}}` replaced by the value of that name, each of which is HTML already. It is gone through
/// once, so that what a value says is never taken for a name.
pub fn filled(template: &str, values: &[(&str, &str)]) -> String {
    let mut html = String::with_capacity(template.len() + values.iter().map(|(_, value)| value.len()).sum::<usize>());
    let mut parts = template.split("{{");
    html.push_str(parts.next().unwrap_or_default());
    for part in parts {
        let (name, rest) = part.split_once("}}").unwrap_or((part, ""));
        let value = values.iter().find(|(known, _)| *known == name).map(|(_, value)| *value);
        debug_assert!(value.is_some(), "nothing is called {name}");
        html.push_str(value.unwrap_or_default());
        html.push_str(rest);
    }
    html
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_value_says_is_no_name() {
        let values = [("a", "{{b}}"), ("b", &*escaped("<b title='\"'>&"))];
        assert_eq!(filled("1{{a}}2{{b}}3", &values), "1{{b}}2&lt;b title=&#39;&#34;&#39;&gt;&amp;3");
        assert_eq!(filled("plain", &values), "plain");
    }
}
