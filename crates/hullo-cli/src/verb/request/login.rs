//! Who we are: a name from the words, and a password from where nobody else reads it.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use super::items::unreadable;
use crate::{
    args::{Login, Request},
    verb::prompt,
};
use hullo::{
    Address, Error, Kind, Result,
    request::{Auth, Scheme},
};

/// The variable that has the password.
const VARIABLE: &str = "HULLO_PASSWORD";

impl From<Login> for Scheme {
    fn from(login: Login) -> Self {
        match login {
            Login::Auto => Self::Auto,
            Login::Basic => Self::Basic,
            Login::Bearer => Self::Bearer,
            Login::Digest => Self::Digest,
        }
    }
}

/// Who the words say that we are to that server.
pub(super) fn of(args: &Request, to: &Address) -> Result<Option<Auth>> {
    let scheme = args.auth_type.unwrap_or(Login::Basic).into();
    if let Some(file) = netrc_file(args)? {
        let text = fs::read_to_string(&file).map_err(|error| unreadable(&file.display().to_string(), error))?;
        let found = netrc(&text, &to.host).map(|(user, secret)| Auth { scheme, user, secret });
        return found.map(Some).ok_or_else(|| {
            Error::new(Kind::File, format!("{} has no name and password for {}", file.display(), to.host))
        });
    }
    let written = args.auth_file.as_deref().map(secret_of).transpose()?;
    let user = match (&args.auth, written, scheme) {
        (Some(pair), ..) if pair.contains(':') => {
            let name = pair.split(':').next().unwrap_or_default();
            return Err(Error::usage(
                "--auth takes the name alone: what stands in a command line is for everybody to see",
            )
            .hint(format!(
                "the password comes from --auth-file FILE, --netrc or a variable, or is asked for: \
                 {VARIABLE}=… hullo request -a {name} …"
            )));
        }
        (Some(name), Some(secret), Scheme::Bearer) => return Ok(Some(Auth { scheme, user: name.clone(), secret })),
        (Some(name), Some(secret), _) => {
            // The file may be one that has the name too.
            let alone = secret.strip_prefix(name.as_str()).and_then(|rest| rest.strip_prefix(':'));
            let secret = alone.unwrap_or(&secret).to_owned();
            return Ok(Some(Auth { scheme, user: name.clone(), secret }));
        }
        (None, Some(secret), Scheme::Bearer) => return Ok(Some(Auth { scheme, user: String::new(), secret })),
        (None, Some(pair), _) => {
            let (user, secret) = pair.split_once(':').ok_or_else(|| {
                Error::usage("the file of --auth-file has no name:password in it").hint("or give the name with --auth")
            })?;
            return Ok(Some(Auth { scheme, user: user.to_owned(), secret: secret.to_owned() }));
        }
        (Some(name), None, _) => name.clone(),
        (None, None, Scheme::Bearer) => String::new(),
        (None, None, _) if args.auth_type.is_some() => {
            return Err(
                Error::usage("--auth-type says how it is proven who we are, but not who").hint("add --auth NAME")
            );
        }
        (None, None, _) => return Ok(None),
    };
    let what = if scheme == Scheme::Bearer { "token".to_owned() } else { format!("password of {user}") };
    if (args.curl || args.offline) && !args.show_secrets {
        // It is not shown, and so not needed.
        return Ok(Some(Auth { scheme, user, secret: String::new() }));
    }
    let secret = match env::var(VARIABLE) {
        Ok(secret) => secret,
        Err(_) => asked_for(&format!("{what} at {}: ", to.authority()))?,
    };
    Ok(Some(Auth { scheme, user, secret }))
}

/// The first line of a file.
fn secret_of(path: &Path) -> Result<String> {
    let text = fs::read_to_string(path).map_err(|error| unreadable(&path.display().to_string(), error))?;
    Ok(text.lines().next().unwrap_or_default().to_owned())
}

/// What is typed on the terminal, unseen.
fn asked_for(prompt: &str) -> Result<String> {
    let nobody = |error| {
        Error::usage("there is no password, and nobody to ask for it")
            .because(error)
            .hint(format!("it comes from --auth-file FILE, or from the variable {VARIABLE}"))
    };
    prompt::secret(prompt).map_err(nobody)
}

fn netrc_file(args: &Request) -> Result<Option<PathBuf>> {
    if !args.netrc {
        return Ok(args.netrc_file.clone());
    }
    let home = etcetera::home_dir().map_err(|error| Error::usage("there is no home for a .netrc").because(error))?;
    Ok(Some(home.join(".netrc")))
}

/// The name and password of a host, or those of `default`.
fn netrc(text: &str, host: &str) -> Option<(String, String)> {
    struct Entry {
        machine: Option<String>,
        user: String,
        secret: String,
    }
    let mut words = words(text).into_iter();
    let mut entries: Vec<Entry> = Vec::new();
    while let Some(word) = words.next() {
        let mut value = || words.next().unwrap_or_default();
        match (word.as_str(), entries.last_mut()) {
            ("machine", _) => {
                entries.push(Entry { machine: Some(value()), user: String::new(), secret: String::new() })
            }
            ("default", _) => entries.push(Entry { machine: None, user: String::new(), secret: String::new() }),
            ("login", Some(entry)) => entry.user = value(),
            ("password", Some(entry)) => entry.secret = value(),
            ("account", _) => drop(value()),
            _ => {}
        }
    }
    let is_its = |entry: &Entry| entry.machine.as_ref().is_some_and(|name| name.eq_ignore_ascii_case(host));
    let at = entries.iter().position(is_its).or_else(|| entries.iter().position(|entry| entry.machine.is_none()))?;
    let Entry { user, secret, .. } = entries.swap_remove(at);
    Some((user, secret))
}

/// The words of a netrc file: what stands in quotes is one, comments and macros are none.
fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut macros = false;
    for line in text.lines() {
        // A macro ends at an empty line.
        macros &= !line.trim().is_empty();
        if macros || line.trim_start().starts_with('#') {
            continue;
        }
        let mut letters = line.chars().peekable();
        while let Some(first) = letters.next() {
            if first.is_whitespace() {
                continue;
            }
            let quoted = first == '"';
            let mut word = String::new();
            let mut next = if quoted { letters.next() } else { Some(first) };
            while let Some(c) = next.filter(|c| if quoted { *c != '"' } else { !c.is_whitespace() }) {
                word.extend(if c == '\\' && quoted { letters.next() } else { Some(c) });
                next = letters.next();
            }
            if word == "macdef" && !quoted {
                macros = true;
                break;
            }
            words.push(word);
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_netrc_is_read() {
        let text = "# mine\nmachine a.example login ada password \"se cret\\\"\"\nmachine b.example\n  login bob\n  account x\n  \
                    password hidden\nmacdef init\ncd /pub\nmachine a.example login wrong\n\ndefault login anonymous password me@\n";
        for (host, login, password) in
            [("a.example", "ada", "se cret\""), ("B.example", "bob", "hidden"), ("other", "anonymous", "me@")]
        {
            assert_eq!(netrc(text, host), Some((login.to_owned(), password.to_owned())), "{host}");
        }
        assert_eq!(netrc("machine a login b password c", "x"), None);
    }
}
