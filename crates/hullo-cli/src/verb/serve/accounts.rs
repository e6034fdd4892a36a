//! The accounts of `--auth` and `--auth-upload`: on the command line, in files, and in the environment.

use std::{env, fs};

use hullo::{Error, Kind, Result};

/// The variable that has accounts, one a line. No command line shows it.
const VARIABLE: &str = "HULLO_AUTH";

/// Replaces each `@FILE` by the accounts in it.
pub(super) fn read(words: &[String]) -> Result<Vec<String>> {
    let mut accounts = Vec::new();
    for word in words {
        match word.strip_prefix('@') {
            None => accounts.push(word.clone()),
            Some(file) => {
                let about = || format!("cannot read the accounts of {file}");
                let text = fs::read_to_string(file).map_err(|error| Error::io(about(), error).of(Kind::File))?;
                accounts.extend(listed(&text, file)?);
            }
        }
    }
    Ok(accounts)
}

/// Those of the environment.
pub(super) fn of_environment() -> Result<Vec<String>> {
    match env::var_os(VARIABLE) {
        None => Ok(Vec::new()),
        Some(text) => {
            let text = text.into_string().map_err(|_| Error::usage(format!("{VARIABLE} is not UTF-8")))?;
            listed(&text, VARIABLE)
        }
    }
}

/// What whoever typed them should know.
pub(super) fn warning(words: &[String]) -> Option<&'static str> {
    let plain = |word: &String| {
        !word.starts_with('@') && word.split_once(':').is_some_and(|(_, secret)| !secret.starts_with('$'))
    };
    words.iter().any(plain).then_some(
        "a password on the command line can be read by everybody on this machine, with ps; --auth @FILE, a hash or HULLO_AUTH cannot",
    )
}

/// One account a line; a line may be empty or begin with a `#`. None at all would let everybody in, and is a mistake.
fn listed(text: &str, whose: &str) -> Result<Vec<String>> {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let accounts: Vec<_> = lines.map(str::to_owned).collect();
    match accounts.is_empty() {
        true => Err(Error::usage(format!("there is no account in {whose}")).hint("a line of it is like name:password")),
        false => Ok(accounts),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_has_an_account_a_line() {
        assert_eq!(listed("# who\nada:a b\r\n\n bob:$argon2id$x\n", "x").unwrap(), ["ada:a b", "bob:$argon2id$x"]);
        assert!(listed("\n# nobody\n", "x").unwrap_err().to_string().contains("no account in x"));
    }

    #[test]
    fn only_what_ps_shows_is_warned_of() {
        let warned =
            |words: &[&str]| warning(&words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>()).is_some();
        assert!(warned(&["@file", "ada:secret"]));
        assert!(!warned(&["@file", "ada:$argon2id$x"]) && !warned(&[]));
    }
}
