//! Running things.

use std::{
    collections::VecDeque,
    env,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// Why a task failed: what to say, if the program that failed has not said it, and the exit status.
pub(crate) struct Failure {
    pub(crate) why: Option<String>,
    pub(crate) code: u8,
}

pub(crate) type Outcome<T = ()> = Result<T, Failure>;

/// A failure with a sentence.
pub(crate) fn failed(why: impl Into<String>) -> Failure {
    Failure { why: Some(why.into()), code: 1 }
}

/// The words after the task's name.
pub(crate) struct Words(VecDeque<String>);

impl Words {
    pub(crate) fn new(words: impl IntoIterator<Item = String>) -> Self {
        Self(words.into_iter().collect())
    }

    pub(crate) fn next(&mut self) -> Option<String> {
        self.0.pop_front()
    }

    /// Takes `--name VALUE` out, wherever it stands.
    pub(crate) fn option(&mut self, name: &str) -> Outcome<Option<String>> {
        let Some(at) = self.0.iter().position(|word| word == name) else { return Ok(None) };
        self.0.remove(at);
        match self.0.remove(at) {
            Some(value) => Ok(Some(value)),
            None => Err(Failure { why: Some(format!("{name} has no value")), code: 2 }),
        }
    }

    /// Takes `--name` out, wherever it stands.
    pub(crate) fn flag(&mut self, name: &str) -> bool {
        let at = self.0.iter().position(|word| word == name);
        at.and_then(|at| self.0.remove(at)).is_some()
    }

    /// Refuses what is left.
    pub(crate) fn end(&mut self) -> Outcome {
        match self.next() {
            Some(word) => Err(Failure { why: Some(format!("'{word}' is one word too many")), code: 2 }),
            None => Ok(()),
        }
    }
}

/// The workspace's folder.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(1).unwrap_or(Path::new(".")).to_owned()
}

/// The folder that cargo builds into.
pub(crate) fn target() -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), |folder| root().join(folder))
}

/// The cargo that runs us, in the workspace.
pub(crate) fn cargo(words: &[&str]) -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(words).current_dir(root());
    command
}

/// Whether there is a program of that name.
pub(crate) fn found(program: &str) -> bool {
    let folders = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&folders).any(|folder| folder.join(program).is_file())
}

/// Runs a command that says itself what is wrong; its exit status is ours.
pub(crate) fn step(command: &mut Command) -> Outcome {
    let name = shown(command);
    eprintln!("$ {name}");
    let status = command.status().map_err(|error| failed(format!("cannot run {name}: {error}")))?;
    match status.code() {
        Some(0) => Ok(()),
        Some(code) => Err(Failure { why: None, code: u8::try_from(code).unwrap_or(1) }),
        None => Err(failed(format!("{name} was killed"))),
    }
}

/// Runs a command without a word, and says whether it succeeded.
pub(crate) fn succeeds(command: &mut Command) -> bool {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// What a command prints.
pub(crate) fn output(command: &mut Command) -> Outcome<String> {
    let name = shown(command);
    let output =
        command.stdin(Stdio::null()).output().map_err(|error| failed(format!("cannot run {name}: {error}")))?;
    if !output.status.success() {
        return Err(failed(format!("{name} failed: {}", String::from_utf8_lossy(&output.stderr).trim())));
    }
    String::from_utf8(output.stdout).map_err(|_| failed(format!("{name} prints what is not UTF-8")))
}

/// The release build of `hullo`, made now unless another is given.
pub(crate) fn release(given: Option<String>) -> Outcome<PathBuf> {
    if let Some(given) = given {
        return std::path::absolute(&given).map_err(|error| failed(format!("{given}: {error}")));
    }
    step(&mut cargo(&["build", "--release", "--package", "hullo-cli"]))?;
    Ok(target().join("release/hullo"))
}

fn shown(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_name().unwrap_or(command.get_program());
    let words = std::iter::once(program).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Words {
        Words::new(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn options_are_found_wherever_they_stand() {
        let mut words = words("here --bin x --check");
        assert_eq!(words.option("--bin").ok().flatten().as_deref(), Some("x"));
        assert!(words.flag("--check") && !words.flag("--check"));
        assert_eq!(words.next().as_deref(), Some("here"));
        assert!(words.end().is_ok());
    }

    #[test]
    fn what_is_left_over_is_an_error() {
        assert_eq!(words("--bin").option("--bin").err().map(|failure| failure.code), Some(2));
        assert_eq!(
            words("one").end().err().and_then(|failure| failure.why).as_deref(),
            Some("'one' is one word too many")
        );
    }

    #[test]
    fn the_workspace_is_above_us() {
        assert!(root().join("Cargo.lock").is_file());
    }
}
