//! What the tests of the config share: a request that is built up as a user types it.

use moa_core::config::{Config, ConfigError, Override, Request, Resolved, resolve};
use moa_core::error::Report;

/// A request under construction, with a folder for its files.
pub struct Typed {
    pub folder: tempfile::TempDir,
    pub request: Request,
}

pub fn typed() -> Typed {
    Typed {
        folder: tempfile::tempdir().expect("a temporary folder"),
        request: Request::default(),
    }
}

impl Typed {
    pub fn write(self, name: &str, text: &str) -> Typed {
        std::fs::write(self.folder.path().join(name), text).expect("the folder takes files");
        self
    }

    pub fn file(mut self, text: &str) -> Typed {
        self.request.file = Some(self.folder.path().join("my.toml"));
        self.write("my.toml", text)
    }

    pub fn env(mut self, name: &str, value: &str) -> Typed {
        self.request.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn set(mut self, text: &str) -> Typed {
        self.request.overrides.push(Override::Set(text.to_owned()));
        self
    }

    pub fn plugin(mut self, name: &str) -> Typed {
        self.request.plugins.push(name.to_owned());
        self
    }

    pub fn good(&self) -> Resolved {
        resolve(&self.request).unwrap_or_else(|error| panic!("{error}"))
    }

    pub fn config(&self) -> Config {
        self.good().config
    }

    pub fn error(&self) -> ConfigError {
        resolve(&self.request).expect_err("the config should be refused")
    }

    /// The message with the temporary folder's name taken out, and the hint.
    pub fn message(&self) -> (String, String) {
        let error = self.error();
        let folder = format!("{}/", self.folder.path().display());
        (error.to_string().replace(&folder, ""), error.hint().unwrap_or_default())
    }
}
