//! How a case ended, and how an error of a plugin becomes that.

use std::fmt::Display;

use serde::{Deserialize, Serialize};

use moa_sdk::testing::THREAD_PANICKED;

use crate::error::Report;
use crate::plugin::PluginError;

/// How a case ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// All that the case asks for holds.
    Passed,
    /// It works, but a user should know something.
    Warning,
    /// The case does not apply; the reason says why.
    Skipped,
    /// Something that the case asks for does not hold.
    Failed,
    /// The plugin panicked, ended its process or did not answer in time.
    Crashed,
}

impl Status {
    /// All of them, in the order of a summary.
    pub const ALL: [Status; 5] = [
        Status::Passed,
        Status::Warning,
        Status::Skipped,
        Status::Failed,
        Status::Crashed,
    ];

    /// The word of a report.
    pub fn word(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Warning => "warning",
            Self::Skipped => "skipped",
            Self::Failed => "failed",
            Self::Crashed => "crashed",
        }
    }

    /// Whether it makes the whole check fail.
    pub fn is_bad(self) -> bool {
        matches!(self, Self::Failed | Self::Crashed)
    }
}

/// What a child answers: how its case ended and, unless it passed, why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// How the case ended.
    pub status: Status,
    /// Why, on one line; none where it passed.
    pub reason: Option<String>,
    /// What to change, where something is known.
    #[serde(default)]
    pub hint: Option<String>,
}

/// Begins the line that carries a verdict, so that what a plugin itself writes on stdout is not taken for one.
const MARK: &str = "moa-check-verdict ";

impl Verdict {
    /// The verdict as the line that a child writes on stdout. It begins with a line end: what a plugin wrote
    /// before may have none.
    pub fn to_line(&self) -> String {
        let reason = serde_json::json!(self);
        format!("\n{MARK}{reason}\n")
    }

    /// Finds the verdict in all that a child wrote, and the first line that is not of it.
    pub(super) fn find(output: &str) -> (Option<Self>, Option<&str>) {
        let mut verdict = None;
        let mut other = None;
        for line in output.lines().filter(|line| !line.trim().is_empty()) {
            match line.strip_prefix(MARK).map(serde_json::from_str) {
                Some(Ok(found)) => verdict = Some(found),
                _ => other = other.or(Some(line)),
            }
        }
        (verdict, other)
    }
}

impl From<Result<(), Finding>> for Verdict {
    fn from(outcome: Result<(), Finding>) -> Self {
        match outcome {
            Ok(()) => Self {
                status: Status::Passed,
                reason: None,
                hint: None,
            },
            Err(Finding { status, reason, hint }) => Self {
                status,
                reason: Some(reason),
                hint,
            },
        }
    }
}

/// Why a case did not pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Finding {
    pub(super) status: Status,
    pub(super) reason: String,
    pub(super) hint: Option<String>,
}

impl Finding {
    pub(super) fn failed(reason: impl Into<String>) -> Self {
        Self::new(Status::Failed, reason)
    }

    pub(super) fn crashed(reason: impl Into<String>) -> Self {
        Self::new(Status::Crashed, reason)
    }

    pub(super) fn skipped(reason: impl Into<String>) -> Self {
        Self::new(Status::Skipped, reason)
    }

    pub(super) fn warning(reason: impl Into<String>) -> Self {
        Self::new(Status::Warning, reason)
    }

    fn new(status: Status, reason: impl Into<String>) -> Self {
        Self {
            status,
            reason: one_line(&reason.into()),
            hint: None,
        }
    }

    /// The same, with what to change.
    pub(super) fn hint(self, hint: Option<String>) -> Self {
        Self {
            hint: hint.as_deref().map(one_line),
            ..self
        }
    }

    /// The same, with the place in front.
    pub(super) fn at(self, place: impl Display) -> Self {
        Self {
            reason: format!("{place}: {}", self.reason),
            ..self
        }
    }
}

/// A panic is a crash whichever hook it happens in. A plugin may refuse a set-up in `new` with a message; in any
/// other hook a refusal of valid inputs is a failure.
impl From<PluginError> for Finding {
    fn from(error: PluginError) -> Self {
        let (text, hint) = (error.to_string(), error.hint());
        let finding = match &error {
            PluginError::Hook { message, .. } if is_panic(message) => Self::crashed(text),
            PluginError::Hook { message, .. } if message.trim().is_empty() => {
                Self::failed(format!("{} an error without a message", text.trim()))
            }
            PluginError::Hook { hook: "new", .. } => Self::skipped(text),
            PluginError::Event(error) if error.message == THREAD_PANICKED => Self::crashed(text),
            _ => Self::failed(text),
        };
        finding.hint(hint)
    }
}

/// Words on one line: a report has a line for each case, whatever a plugin says.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Whether the SDK's guard wrote this message about a panic.
pub(super) fn is_panic(message: &str) -> bool {
    message.starts_with("panicked") || message.starts_with("refuses every call since it panicked")
}

#[cfg(test)]
mod tests {
    use super::{Finding, Status, Verdict};
    use crate::plugin::PluginError;

    fn hook(hook: &'static str, message: &str) -> Status {
        let error = PluginError::Hook {
            plugin: "x".to_owned(),
            hook,
            step: None,
            message: message.to_owned(),
            hint: None,
        };
        Finding::from(error).status
    }

    #[test]
    fn a_refusal_is_skipped_in_new_and_failed_in_any_other_hook() {
        assert_eq!(hook("new", "needs two objectives"), Status::Skipped);
        assert_eq!(hook("new", " "), Status::Failed);
        assert_eq!(hook("scalarize", "needs two objectives"), Status::Failed);
        assert_eq!(hook("new", "panicked: no at x.rs:1"), Status::Crashed);
    }

    #[test]
    fn a_verdict_is_found_between_other_lines() {
        let verdict = Verdict::from(Err(Finding::warning("two\n lines")));
        assert_eq!(verdict.reason.as_deref(), Some("two lines"));
        let output = format!("before{}after", verdict.to_line());
        assert_eq!(Verdict::find(&output), (Some(verdict), Some("before")));
        assert_eq!(Verdict::find("moa-check-verdict {\n").0, None);
    }
}
