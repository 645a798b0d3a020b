//! What can be wrong with a configuration. Each message names the key and where it was written.

use std::path::PathBuf;

use super::keys::schema_key;
use super::origin::Origin;
use crate::error::{Fault, Report};

/// Why a configuration was refused. Nothing has been written or started when one of these comes up.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the fields are what the messages show")]
pub enum ConfigError {
    /// A config file that cannot be opened, the one of `--config` or an included one.
    #[error("cannot read config file {}{}: {source}", path.display(), included(from))]
    Read {
        path: PathBuf,
        from: Option<PathBuf>,
        source: std::io::Error,
    },

    /// A file that is not UTF-8 text.
    #[error("config file {}: found a byte that is not UTF-8 at {byte}, expected text", path.display())]
    NotText { path: PathBuf, byte: usize },

    /// Text that is not TOML. `report` has line, column and a caret.
    #[error("{place}: {report}")]
    Syntax { place: String, report: String },

    /// A file that includes itself, directly or through others.
    #[error("config file {} includes itself: {}", path.display(), chain(files))]
    IncludeCycle { path: PathBuf, files: Vec<PathBuf> },

    /// More included files than anyone means to have.
    #[error("config file {} includes more than {limit} files", path.display())]
    TooManyFiles { path: PathBuf, limit: usize },

    /// `include` outside a file.
    #[error("`include` in {origin}: it works only in a config file")]
    IncludeOutsideFile { origin: Origin },

    /// `--set` without a key or a value.
    #[error("--set {text}: expected KEY=VALUE")]
    BadSet { text: String },

    /// An option of the command line with a value that it does not take.
    #[error("{option}: found {found}, expected {expected}")]
    Option {
        option: String,
        found: String,
        expected: String,
    },

    /// A key that does not exist.
    #[error("unknown key `{key}` in {origin}")]
    UnknownKey {
        key: String,
        origin: Origin,
        nearest: Option<String>,
    },

    /// A name given to `config explain` that is no key.
    #[error("unknown key `{key}`")]
    NoSuchKey { key: String, nearest: Option<String> },

    /// A key that has a new name.
    #[error("unknown key `{key}` in {origin}")]
    Renamed { key: String, origin: Origin, now: String },

    /// A value that the key does not take: another type, out of its range, or at odds with another key.
    #[error("`{key}` in {origin}: found {found}, expected {expected}")]
    Value {
        key: String,
        origin: Origin,
        found: String,
        expected: String,
    },

    /// A list on the command line or in the environment without its brackets.
    #[error("`{key}` in {origin}: found {text}, expected a list in brackets")]
    NoBrackets { key: String, origin: Origin, text: String },

    /// A list entry without a key that it needs.
    #[error("`{key}` is missing in {origin}: expected {expected}")]
    Missing {
        key: String,
        origin: Origin,
        expected: String,
    },

    /// A file that should be complete lacks a key.
    #[error("{place}: {problem}")]
    Incomplete { place: String, problem: String },

    /// The resolved config cannot be written as TOML.
    #[error("cannot write the config as TOML: {problem}")]
    Write { problem: String },
}

fn included(from: &Option<PathBuf>) -> String {
    from.as_ref()
        .map(|from| format!(" (included by {})", from.display()))
        .unwrap_or_default()
}

fn chain(files: &[PathBuf]) -> String {
    files
        .iter()
        .map(|file| file.display().to_string())
        .collect::<Vec<_>>()
        .join(" -> ")
}

impl Report for ConfigError {
    fn hint(&self) -> Option<String> {
        let hint = match self {
            ConfigError::Read { from: Some(_), .. } => {
                "an included path is relative to the file that includes it".into()
            }
            ConfigError::Read { .. } => "check the path after --config; it is relative to the working directory".into(),
            ConfigError::NotText { .. } => "save the file as UTF-8; --config takes a TOML file".into(),
            ConfigError::Syntax { .. } => {
                "strings need quotes in TOML, and a table starts with a line like [rollout]".into()
            }
            ConfigError::IncludeCycle { .. } => "remove one of these files from the other's include list".into(),
            ConfigError::TooManyFiles { .. } => "put the shared keys into one file and include that one".into(),
            ConfigError::IncludeOutsideFile { .. } => "name the file with --config".into(),
            ConfigError::BadSet { .. } => "for example --set train.steps=50".into(),
            ConfigError::Option { .. } => "quote the value, so that the shell passes it unchanged".into(),
            ConfigError::UnknownKey { key, nearest, .. } | ConfigError::NoSuchKey { key, nearest } => {
                unknown_hint(key, nearest.as_deref())
            }
            ConfigError::Renamed { now, .. } => format!("it is called `{}` now", without_brackets(now)),
            ConfigError::NoBrackets { key, text, .. } => {
                format!("quote it for the shell: '{key}=[{text}]'; a string with commas needs double quotes inside")
            }
            ConfigError::Value { key, .. } if key == "plugins" => {
                "cargo build --release writes libraries to target/release".into()
            }
            ConfigError::Value { key, .. } if key == "objective" => LIST_HINT.into(),
            ConfigError::Value { key, .. } | ConfigError::Missing { key, .. } => {
                format!("`moa-host config explain {}` says what it means", without_brackets(key))
            }
            ConfigError::Incomplete { .. } => {
                "a run folder's config.toml is complete; use --config for one that is not".into()
            }
            ConfigError::Write { .. } => return None,
        };
        Some(hint)
    }

    fn fault(&self) -> Fault {
        Fault::Usage
    }
}

const LIST_HINT: &str = "[[objective]] is a list and set as a whole: objective = [{ name = \"…\", reward = \"…\" }, …]";

const WEIGHTS_HINT: &str = "weights belong to the scalarizer, one per objective: scalarizer.weights = [0.5, 0.3, 0.2]";

fn unknown_hint(key: &str, nearest: Option<&str>) -> String {
    match nearest {
        _ if key.starts_with("objective") && key.trim_end_matches('s').ends_with(".weight") => WEIGHTS_HINT.into(),
        _ if key.starts_with("objective.") => LIST_HINT.into(),
        Some(nearest) => format!("did you mean `{}`?", without_brackets(nearest)),
        None => "`moa-host config schema` lists every key".into(),
    }
}

/// `objective[1].name` -> `objective.name`, which `config explain` takes and no shell expands.
fn without_brackets(key: &str) -> String {
    schema_key(key).replace("[]", "")
}
