//! What is printed: a reader that has gone or a disk that is full ends nothing with a panic, and text from outside cannot
//! steer the terminal.

use std::{fs, path::Path, process::Command};

use crate::support::host::{host, host_with};
use crate::support::run::{late, late_library};

/// Runs `moa-host … <redirection>` in a shell; returns the exit code and what is in the file `err`.
fn in_shell(folder: &Path, arguments: &[String], redirection: &str) -> (Option<i32>, String) {
    let script = format!("\"$@\" {redirection}");
    let status = Command::new("bash")
        .args(["-o", "pipefail", "-c", &script, "sh", env!("CARGO_BIN_EXE_moa-host")])
        .args(arguments)
        .current_dir(folder)
        .status()
        .unwrap();
    (
        status.code(),
        fs::read_to_string(folder.join("err")).unwrap_or_default(),
    )
}

#[test]
fn a_run_whose_output_goes_nowhere_ends_well_and_is_whole() {
    let arguments = late(&late_library(), &["--steps", "1"]);
    for (redirection, code) in [
        ("2>err | true", 0),
        ("2>err | head -1 >out", 0),
        (">/dev/full 2>err", 1),
        ("2>/dev/full >err", 0),
        (">/dev/full 2>/dev/full", 1),
        ("2>&1 | true", 0),
        (">&- 2>err", 0),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let (found, text) = in_shell(folder.path(), &arguments, redirection);
        assert_eq!(found, Some(code), "{redirection}: {text}");
        assert!(!text.contains("panicked"), "{redirection}: {text}");
        let run = folder.path().join("run");
        assert!(
            run.join("test.json").is_file() && run.join("model/config.json").is_file(),
            "{redirection}"
        );
        if redirection == ">/dev/full 2>err" {
            assert!(text.contains("error: stdout: No space left on device"), "{text}");
        }
    }
}

#[test]
fn data_for_a_full_disk_names_stdout() {
    for arguments in [["config", "schema"], ["metrics", ""]] {
        let folder = tempfile::tempdir().unwrap();
        let arguments: Vec<String> = arguments
            .iter()
            .filter(|word| !word.is_empty())
            .map(|w| (*w).to_owned())
            .collect();
        let (code, text) = in_shell(folder.path(), &arguments, ">/dev/full 2>err");
        assert_eq!(code, Some(1), "{arguments:?}: {text}");
        assert!(
            text.contains("error: stdout: No space left") && !text.contains("panicked"),
            "{text}"
        );
        let (code, text) = in_shell(folder.path(), &arguments, "2>err | true");
        assert_eq!((code, text.as_str()), (Some(0), ""), "{arguments:?}");
    }
}

/// Escape sequences, carriage returns, marks of direction, line breaks that forge a message, endless texts.
#[test]
fn text_from_outside_cannot_steer_the_terminal() {
    let evil = "a\u{1b}[2Jb\rc\u{202e}d";
    let set = format!("train.{evil}=1");
    let rows = format!("{}\n", serde_json::json!({"prompt": evil, evil: 1}));
    let long = format!("train.{}=1", "y".repeat(20_000));
    let forged = "train.steps=x\nerror: all is lost";
    for ran in [
        host(&["--set", &set]),
        host(&["--model", evil]),
        host(&["--plugin", evil]),
        host(&["--set", &format!("data.train={evil}")]),
        host(&["--set", forged]),
        host(&["--set", &long]),
        host_with(&["data", "inspect", "rows.jsonl"], &[("rows.jsonl", rows.as_bytes())]),
    ] {
        let text = format!("{}{}", ran.stdout, ran.stderr);
        assert!(!text.contains(['\u{1b}', '\r', '\u{202e}']), "{text:?}");
        assert!(text.chars().count() < 6_000, "{} letters", text.chars().count());
        let errors = ran.stderr.lines().filter(|line| line.starts_with("error: ")).count();
        assert_eq!(errors, usize::from(ran.code != 0), "{}", ran.stderr);
    }
}
