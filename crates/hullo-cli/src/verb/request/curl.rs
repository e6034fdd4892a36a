//! The line that makes curl send the same request.

use http::{Method, header};
use hullo::{
    Address, Error, Result,
    options::Options,
    request::{ACCEPTED, Auth, Call, Client, Scheme, is_secret},
};

use super::items::{Items, Sign};
use crate::args::Request;

/// What stands in the line for a secret, for the user to fill in.
const SECRET: &str = "<secret>";

/// What the line depends on beside the words.
pub(super) struct Around {
    /// The environment names a proxy.
    pub(super) proxied: bool,
    /// Stdin is the body.
    pub(super) stdin: bool,
}

/// The line, which a shell takes apart into the words that are meant.
pub(super) fn line(args: &Request, call: &Call, items: &Items, client: &Client, around: Around) -> Result<String> {
    let auth = client.auth.as_ref();
    let (mut words, mut data) = (vec!["curl".to_owned()], Vec::new());
    let body = body(args, items, around.stdin, &mut data)?;
    method(&call.method, body, &mut words);
    words.push(url(&call.to));
    headers(args, call, auth, &mut words);
    if let Some(auth) = auth {
        login(args, auth, &mut words);
    }
    for options in [&call.to.options, &client.options] {
        self::options(options, &mut words)?;
    }
    connection(args, call, around.proxied, &mut words);
    words.extend(data);
    Ok(words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" "))
}

/// curl's own choice where that is the same, so that the line reads as one would write it.
fn method(method: &Method, body: bool, words: &mut Vec<String>) {
    let own = if body { Method::POST } else { Method::GET };
    if *method == Method::HEAD && !body {
        words.push("--head".to_owned());
    } else if *method != own {
        words.extend(["-X".to_owned(), method.to_string()]);
    }
}

fn url(to: &Address) -> String {
    format!("{}://{}{}", to.scheme, to.authority(), to.target())
}

/// The body; says whether there is one.
fn body(args: &Request, items: &Items, stdin: bool, words: &mut Vec<String>) -> Result<bool> {
    if args.compress.is_some() {
        return Err(Error::usage("curl compresses no body: --compress has no word of curl's"));
    }
    let fields = items.fields().next().is_some();
    let data = match (&args.raw, items.file()?) {
        (Some(raw), _) => Some(["--data-raw".to_owned(), raw.clone()]),
        (None, Some(file)) => Some(["--data-binary".to_owned(), format!("@{file}")]),
        (None, None) if stdin => Some(["--data-binary".to_owned(), "@-".to_owned()]),
        (None, None) if !fields => None,
        (None, None) if args.multipart || items.fields().any(|item| item.sign == Sign::File) => {
            for item in items.fields() {
                words.extend(part(item)?);
            }
            return Ok(true);
        }
        (None, None) => Some(["--data-raw".to_owned(), if args.form { items.form()? } else { items.json()? }]),
    };
    let any = data.is_some();
    words.extend(data.into_iter().flatten());
    Ok(any)
}

/// A part of a form. In curl's words a text is taken as it is, and the name of a file in quotes.
fn part(item: &super::items::Item) -> Result<[String; 2]> {
    if item.sign != Sign::File {
        return Ok(["--form-string".to_owned(), format!("{}={}", item.name, item.text()?)]);
    }
    let (path, kind) = item.upload();
    let quoted = path.replace('\\', "\\\\").replace('"', "\\\"");
    let kind = kind.map_or_else(|| super::body::kind_of(path), str::to_owned);
    Ok(["-F".to_owned(), format!("{}=@\"{quoted}\";type={kind}", item.name)])
}

fn headers(args: &Request, call: &Call, auth: Option<&Auth>, words: &mut Vec<String>) {
    let multipart = |value: &str| value.starts_with("multipart/form-data");
    for (name, value) in &call.headers {
        let text = String::from_utf8_lossy(value.as_bytes()).into_owned();
        // curl has a boundary of its own, and knows the length.
        let curls = *name == header::CONTENT_TYPE && multipart(&text) || *name == header::CONTENT_LENGTH && text != "0";
        if curls || *name == header::AUTHORIZATION && auth.is_some() {
            continue;
        }
        let spelt = args.words.iter().filter_map(|word| word.split([':', ';']).next());
        let spelt = spelt.into_iter().find(|spelt| spelt.eq_ignore_ascii_case(name.as_str()));
        let name_ = spelt.map_or_else(|| title(name.as_str()), str::to_owned);
        let text = if is_secret(name) && !args.show_secrets { SECRET.to_owned() } else { text };
        // An empty header ends in a semicolon there.
        words.extend(["-H".to_owned(), if text.is_empty() { format!("{name_};") } else { format!("{name_}: {text}") }]);
    }
    for name in [header::ACCEPT, header::USER_AGENT] {
        if !call.headers.contains_key(&name) {
            words.extend(["-H".to_owned(), format!("{}:", title(name.as_str()))]);
        }
    }
    // A file is fetched as it is, so that a part of it is one.
    if !args.no_decode && args.output.is_none() && !args.download {
        if !call.headers.contains_key(header::ACCEPT_ENCODING) {
            words.extend(["-H".to_owned(), format!("Accept-Encoding: {ACCEPTED}")]);
        }
        words.push("--compressed".to_owned());
    }
}

/// As headers are written in HTTP/1.1: `Content-Type`.
fn title(name: &str) -> String {
    let words = name.split('-').map(|word| {
        let (first, rest) = word.split_at(word.len().min(1));
        first.to_ascii_uppercase() + rest
    });
    words.collect::<Vec<_>>().join("-")
}

fn login(args: &Request, auth: &Auth, words: &mut Vec<String>) {
    let secret = if args.show_secrets { &auth.secret } else { SECRET };
    match auth.scheme {
        Scheme::Bearer => return words.extend(["-H".to_owned(), format!("Authorization: Bearer {secret}")]),
        Scheme::Digest => words.push("--digest".to_owned()),
        Scheme::Auto => words.push("--anyauth".to_owned()),
        Scheme::Basic => {}
    }
    // Without the password curl asks for it.
    let pair = if args.show_secrets { format!("{}:{secret}", auth.user) } else { auth.user.clone() };
    words.extend(["-u".to_owned(), pair]);
}

/// What the address's options are in curl's words. What it has no word for would be another request.
fn options(options: &Options, words: &mut Vec<String>) -> Result<()> {
    for (name, value) in options.iter() {
        let word = match name {
            "bind" if matches!(value, "0.0.0.0" | "::") => continue,
            "insecure" if options.flag(name, false) => {
                words.push("-k".to_owned());
                continue;
            }
            "bind" => "--interface",
            "ca" => "--cacert",
            "cert" => "--cert",
            "key" => "--key",
            "alpn" | "pin" | "sni" => {
                return Err(Error::usage(format!("the option {name} has no word of curl's"))
                    .hint("curl pins keys, not certificates: give it the certificate itself with --ca"));
            }
            _ => continue,
        };
        words.extend([word.to_owned(), value.to_owned()]);
    }
    Ok(())
}

fn connection(args: &Request, call: &Call, proxied: bool, words: &mut Vec<String>) {
    let mut say = |words_: &[&str]| words.extend(words_.iter().map(|word| (*word).to_owned()));
    match args.http.as_deref() {
        Some("2") if call.to.scheme == "http" => say(&["--http2-prior-knowledge"]),
        Some("2") => say(&["--http2"]),
        Some(_) => say(&["--http1.1"]),
        None => {}
    }
    if args.follow {
        say(&["-L", "--max-redirs", &args.max_redirects.to_string()]);
    }
    match &args.proxy {
        Some(proxy) => say(&["--proxy", proxy]),
        None if args.no_proxy && proxied => say(&["--noproxy", "*"]),
        None => {}
    }
    if let Some(path) = &args.unix_socket {
        say(&["--unix-socket", &path.display().to_string()]);
    }
    for (host, port, address) in &args.resolve {
        say(&["--resolve", &format!("{host}:{port}:{address}")]);
    }
    if args.ipv4 || args.ipv6 {
        say(&[if args.ipv4 { "-4" } else { "-6" }]);
    }
    if args.retry > 0 {
        say(&["--retry", &args.retry.to_string()]);
    }
    if let Some(time) = args.max_time {
        say(&["--max-time", &time.as_secs_f64().to_string()]);
    }
    if let Some(file) = &args.output {
        say(&["-o", &file.display().to_string()]);
    } else if args.download {
        say(&["-OJ"]);
    }
    if args.resume {
        say(&["-C", "-"]);
    }
}

/// A word as a shell reads it.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@,+%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_survive_a_shell() {
        for (word, line) in [
            ("plain-1.2", "plain-1.2"),
            ("", "''"),
            ("it's", "'it'\\''s'"),
            ("$(rm -rf)`x`", "'$(rm -rf)`x`'"),
            ("a\nb", "'a\nb'"),
            ("!!", "'!!'"),
        ] {
            assert_eq!(quoted(word), line);
        }
    }
}
