//! Colours, on terminals alone, and never against the user's wish (<https://no-color.org>).

use std::io::{IsTerminal, stderr, stdout};

/// Paints or does not.
#[derive(Clone, Copy)]
pub(crate) struct Paint(bool);

/// For stdout.
pub(crate) fn on_stdout() -> Paint {
    Paint(stdout().is_terminal() && wanted())
}

/// For stderr.
pub(crate) fn on_stderr() -> Paint {
    Paint(stderr().is_terminal() && wanted())
}

fn wanted() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
        && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

impl Paint {
    /// No colours.
    #[cfg(test)]
    pub(crate) const PLAIN: Self = Self(false);

    /// Whether there are any.
    pub(crate) fn colours(self) -> bool {
        self.0
    }

    fn dress(self, code: &str, text: &str) -> String {
        if self.0 { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    pub(crate) fn bold(self, text: &str) -> String {
        self.dress("1", text)
    }

    pub(crate) fn quiet(self, text: &str) -> String {
        self.dress("2", text)
    }

    pub(crate) fn good(self, text: &str) -> String {
        self.dress("32", text)
    }

    pub(crate) fn bad(self, text: &str) -> String {
        self.dress("31", text)
    }

    pub(crate) fn name(self, text: &str) -> String {
        self.dress("36", text)
    }

    pub(crate) fn number(self, text: &str) -> String {
        self.dress("33", text)
    }
}
