//! Runs the built moa-host in a folder of its own.

#![allow(dead_code, reason = "each test file uses its own part")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::TempDir;

/// What a command did.
pub struct Outcome {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
    /// The working folder it ran in.
    pub folder: TempDir,
}

/// The repository.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// The folder of the built binary and libraries.
pub fn built() -> PathBuf {
    Path::new(env!("CARGO_BIN_EXE_moa-host")).parent().unwrap().to_owned()
}

/// Runs moa-host with `arguments` in an empty folder.
pub fn host(arguments: &[&str]) -> Outcome {
    host_with(arguments, &[])
}

/// Runs moa-host in a folder that holds `files`.
pub fn host_with(arguments: &[&str], files: &[(&str, &[u8])]) -> Outcome {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
    let output = Command::new(env!("CARGO_BIN_EXE_moa-host"))
        .args(arguments)
        .current_dir(folder.path())
        .env_remove("MOA_PLUGIN_PATH")
        .output()
        .unwrap();
    Outcome {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
        folder,
    }
}
