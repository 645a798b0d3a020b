//! Tells the host which commit it was built from, for run.json. Without git, or outside of moa's own repository, it is
//! not told.

#![allow(clippy::print_stdout, reason = "how a build script talks to cargo")]

use std::{path::Path, process::Command};

fn main() {
    // Not .git: a commit alone changes no source, and would build everything again.
    for path in ["src", "build.rs", "Cargo.toml", "../sdk", "../Cargo.lock"] {
        println!("cargo:rerun-if-changed={path}");
    }
    let core = Path::new(env!("CARGO_MANIFEST_DIR"));
    let git = |arguments: &[&str]| {
        let output = Command::new("git").args(arguments).current_dir(core).output().ok()?;
        let text = String::from_utf8(output.stdout).ok()?;
        output.status.success().then(|| text.trim().to_owned())
    };
    // A copy of moa inside another repository has that one's commits.
    let own = git(&["rev-parse", "--show-prefix"]).is_some_and(|prefix| prefix == "core/");
    let commit = git(&["rev-parse", "--short=12", "HEAD"]).filter(|_| own);
    if let Some(commit) = commit {
        let changed = git(&["status", "--porcelain", "--untracked-files=no"]).is_none_or(|text| !text.is_empty());
        println!(
            "cargo:rustc-env=MOA_COMMIT={commit}{}",
            if changed { "+changes" } else { "" }
        );
    }
}
