//! The one error type of the SDK: a line for the user and, if there is one, a hint with what to change.

use std::fmt;

/// What a plugin gives back when it cannot go on. Display is `message`; the host adds the plugin, the hook
/// and the step, and prints the hint on a line of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    /// One line: what was found, what was expected.
    pub message: String,
    /// What the user can change, one line.
    pub hint: Option<String>,
}

/// `Result` with the SDK's error.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// An error with a message and no hint.
    pub fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            hint: None,
        }
    }

    /// The same error, hint included, with the place in front of its message: `place: message`.
    #[must_use]
    pub fn at(mut self, place: impl fmt::Display) -> Self {
        self.message = format!("{place}: {}", self.message);
        self
    }

    /// The same error with a hint.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}
