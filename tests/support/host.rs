//! Runs the built moa-host in a folder of its own.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
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
    let Ran { code, stdout, stderr } = host_in(folder.path(), arguments);
    Outcome {
        code,
        stdout,
        stderr,
        folder,
    }
}

/// What a command did in a folder that others use too.
pub struct Ran {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

/// Runs moa-host in `folder`.
pub fn host_in(folder: &Path, arguments: &[&str]) -> Ran {
    let output = command(folder, arguments).output().unwrap();
    Ran {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// moa-host with `arguments` in `folder`, ready to start.
pub fn command(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_moa-host"));
    command
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::null())
        .env_remove("MOA_PLUGIN_PATH");
    command
}
