//! What the user typed about the config.

use std::path::PathBuf;

use toml::{Table, Value};

/// What the config is for: it decides which built-in file lies above the defaults.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Purpose {
    /// Reinforcement learning, and everything that uses its keys.
    #[default]
    Train,
    /// Supervised fine-tuning.
    Sft,
}

/// What the user typed about the config.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Request {
    /// Which command needs it.
    pub purpose: Purpose,
    /// All values of a run that is resumed, as its checkpoint has them: the layer below the file.
    pub base: Option<Table>,
    /// `--config`.
    pub file: Option<PathBuf>,
    /// Environment variables, name and value; those that are not named `MOA_…` are ignored.
    pub environment: Vec<(String, String)>,
    /// `--set` and dedicated options; later ones win.
    pub overrides: Vec<Override>,
    /// `--plugin`, added to the list of the other layers.
    pub plugins: Vec<String>,
}

impl Request {
    /// The environment variables of this process, for [`Request::environment`].
    pub fn process_environment() -> Vec<(String, String)> {
        let text = |text: std::ffi::OsString| text.to_string_lossy().into_owned();
        std::env::vars_os()
            .map(|(name, value)| (text(name), text(value)))
            .collect()
    }
}

/// A value from the command line.
#[derive(Debug, Clone, PartialEq)]
pub enum Override {
    /// `--set`'s `KEY=VALUE`, the value in TOML's spelling or a bare string.
    Set(String),
    /// A dedicated option, such as `--steps`.
    Option {
        /// The option as typed, `--steps`.
        option: &'static str,
        /// The key that it sets.
        key: &'static str,
        /// Its value.
        value: Value,
    },
}
