//! Where a value was written: the last part of every config error, and the last column of `config check`.

use std::fmt;
use std::path::PathBuf;

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// The default of the key.
    Default,
    /// The checkpoint of a run that is resumed.
    Checkpoint,
    /// A config file compiled into the binary.
    BuiltIn {
        /// Its path in the repository.
        file: &'static str,
        /// Line, from 1.
        line: usize,
    },
    /// A config file.
    File {
        /// Its path, as typed or joined from an include.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
    },
    /// An environment variable.
    Environment {
        /// Its name.
        variable: String,
    },
    /// `--set`.
    Set {
        /// The `KEY=VALUE` as typed.
        text: String,
    },
    /// A dedicated option.
    Option {
        /// The option.
        option: &'static str,
    },
    /// No layer names the key.
    Unset,
}

impl Origin {
    /// Line in a file; 0 elsewhere.
    pub(crate) fn line(&self) -> usize {
        match self {
            Origin::BuiltIn { line, .. } | Origin::File { line, .. } => *line,
            _ => 0,
        }
    }

    /// Whether the user wrote nothing: the value is a default or not set.
    pub(crate) fn is_default(&self) -> bool {
        matches!(self, Origin::Default | Origin::BuiltIn { .. } | Origin::Unset)
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Default => f.write_str("default"),
            Origin::Checkpoint => f.write_str("the checkpoint"),
            Origin::BuiltIn { file, line } => write!(f, "default ({file}:{line})"),
            Origin::File { path, line } => write!(f, "{}:{line}", path.display()),
            Origin::Environment { variable } => write!(f, "environment {variable}"),
            Origin::Set { text } => write!(f, "--set {text}"),
            Origin::Option { option } => f.write_str(option),
            Origin::Unset => f.write_str("not set"),
        }
    }
}
