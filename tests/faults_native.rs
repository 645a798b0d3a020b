//! Native code that does not come back, or ends the process: the run says who it was, and keeps its steps. And compiled
//! components that were damaged on the disk.

use std::{
    fs,
    io::{BufRead, BufReader, Read},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use crate::support::components;
use crate::support::host::{Ran, command, host_in};
use crate::support::run::{late, late_library, words};

/// A run whose reward does `fault` in its fourth batch, which is step 2's: before it come two validations and step 1.
fn arguments(fault: &str, limits: &str) -> Vec<String> {
    let objective = format!(
        "objective=[{{name=\"length\", reward=\"late-reward\", params={{at=4, fault=\"{fault}\"}}{limits}}}, \
         {{name=\"accuracy\", reward=\"accuracy\"}}, {{name=\"clarity\", reward=\"clarity\"}}]"
    );
    late(&late_library(), &["--steps", "3", "--set", &objective])
}

fn resumed_note(folder: &std::path::Path) -> String {
    let Ran { stderr, .. } = host_in(folder, &["train", "--resume", "run", "--steps", "1"]);
    stderr
}

#[test]
fn a_reward_that_hangs_is_named_with_the_completion_and_the_run_keeps_its_steps() {
    let folder = tempfile::tempdir().unwrap();
    let start = Instant::now();
    let ran = host_in(folder.path(), &words(&arguments("hang", ", limits={milliseconds=700}")));
    assert_eq!(ran.code, 1, "{}", ran.stderr);
    assert!(start.elapsed() < Duration::from_secs(60), "it did not wait");
    let wanted = [
        "step 2 failed: objective length: reward late-reward",
        "did not return within 0.7 s on 8 completions",
        "hangs on completion 0 of these",
        "step-000001",
        "objective.limits.milliseconds",
    ];
    for words in wanted {
        assert!(ran.stderr.contains(words), "{words:?} is missing: {}", ran.stderr);
    }
}

#[test]
fn an_interrupt_ends_a_run_whose_reward_hangs_with_a_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let mut child = command(folder.path(), &words(&arguments("hang", "")))
        .stderr(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let metrics = folder.path().join("run/metrics.jsonl");
    let start = Instant::now();
    while fs::read_to_string(&metrics).unwrap_or_default().lines().count() < 1 {
        assert!(start.elapsed() < Duration::from_secs(120), "no step");
        std::thread::sleep(Duration::from_millis(50));
    }
    std::thread::sleep(Duration::from_secs(2)); // into the reward of step 2
    let kill = Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    assert!(kill.unwrap().success());
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut text = String::new();
    while !text.contains("stopping after this step") {
        assert!(stderr.read_line(&mut text).unwrap() > 0, "{text}");
    }
    stderr.read_to_string(&mut text).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130), "{text}");
    assert!(
        text.contains("interrupted after step 1") && text.contains("step-000001"),
        "{text}"
    );
}

#[test]
fn a_library_that_ends_the_process_is_named_and_is_no_success() {
    let folder = tempfile::tempdir().unwrap();
    let ran = host_in(folder.path(), &words(&arguments("exit", "")));
    assert_eq!(ran.code, 1, "{}", ran.stderr);
    assert!(
        ran.stderr
            .contains("error: the process was ended from inside score_all of ")
            && ran.stderr.contains("late"),
        "{}",
        ran.stderr
    );
    // A crash has no last word: the next process has it.
    let folder = tempfile::tempdir().unwrap();
    let ran = host_in(folder.path(), &words(&arguments("abort", "")));
    assert_ne!(ran.code, 0, "{}", ran.stderr);
    let note = resumed_note(folder.path());
    assert!(
        note.contains("the process before was ended from inside score_all of "),
        "{note}"
    );
}

#[test]
fn a_run_that_ends_by_itself_leaves_no_mark() {
    let folder = tempfile::tempdir().unwrap();
    let ran = host_in(folder.path(), &words(&late(&late_library(), &["--steps", "1"])));
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(!folder.path().join("run/.native-call").exists());
}

#[test]
fn a_flipped_bit_in_the_cache_of_compiled_components_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("reward.wasm"), components::evil(&[])).unwrap();
    fs::write(
        folder.path().join("rows.jsonl"),
        "{\"prompt\": \"a\", \"response\": \"b\"}\n",
    )
    .unwrap();
    let score = || {
        let output = command(
            folder.path(),
            &["reward", "score", "reward.wasm", "--input", "rows.jsonl", "--quiet"],
        )
        .env("XDG_CACHE_HOME", folder.path().join("cache"))
        .output()
        .unwrap();
        (
            output.status.code(),
            output.stdout,
            String::from_utf8(output.stderr).unwrap(),
        )
    };
    let first = score();
    let cache = folder.path().join("cache/moa/components");
    let files: Vec<_> = fs::read_dir(&cache)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    assert_eq!(files.len(), 1, "{files:?}: {}", first.2);
    let whole = fs::read(&files[0]).unwrap();
    for at in (0..whole.len()).step_by(whole.len() / 24) {
        let mut flipped = whole.clone();
        flipped[at] ^= 0x10;
        fs::write(&files[0], flipped).unwrap();
        assert_eq!(score(), first, "bit at byte {at}");
        assert!(fs::read(&files[0]).unwrap() == whole, "compiled anew, byte {at}");
    }
}
