//! What the tests share: the built host, libraries and components, requests for a config, short runs.

pub mod components;
pub mod config;
pub mod host;
pub mod library;
pub mod run;

use std::path::{Path, PathBuf};

/// The root of the repository.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .map(Path::to_owned)
        .expect("core/ has a parent folder")
}

/// The golden file `name`.
pub fn golden(name: &str) -> PathBuf {
    root().join("tests/golden").join(name)
}
