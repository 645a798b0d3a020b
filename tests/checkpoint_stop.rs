//! How a run stops: whatever fails in a hook, in a reward or in the numbers, the text names it with hook and step, a
//! checkpoint of the last whole step is there, and the run goes on from it to the same place. Ctrl-C loses nothing.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    path::Path,
    process::{Command, Stdio},
    sync::OnceLock,
};

use crate::support::host::{Ran, command, host_in};
use crate::support::run::{assert_same, late, late_library, words};
use tempfile::TempDir;

/// Three steps of `late` without a fault, with a checkpoint of each.
fn uninterrupted() -> &'static Path {
    static RUN: OnceLock<TempDir> = OnceLock::new();
    let folder = RUN.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let more = [
            "--steps",
            "3",
            "--set",
            "checkpoint.every=1",
            "--set",
            "checkpoint.keep=9",
        ];
        let ran = host_in(folder.path(), &words(&late(&late_library(), &more)));
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        folder
    });
    folder.path()
}

fn error_line(ran: &Ran) -> &str {
    let mut errors = ran.stderr.lines().filter(|line| line.starts_with("error: "));
    let first = errors.next().unwrap_or_else(|| panic!("no error line: {}", ran.stderr));
    assert_eq!(errors.next(), None, "{}", ran.stderr);
    first
}

/// The tensors of a checkpoint are those of the uninterrupted run at that step.
fn assert_checkpoint(run: &Path, step: u64) {
    for file in ["model.safetensors", "optimizer.safetensors"] {
        let read = |run: &Path| fs::read(run.join(format!("checkpoints/step-{step:06}")).join(file));
        let found = read(run).unwrap_or_else(|e| panic!("step {step}, {file}: {e}"));
        assert!(
            found == read(&uninterrupted().join("run")).unwrap(),
            "step {step}: {file} differs"
        );
    }
}

/// Each hook with each fault that it can have, in step 2: no checkpoint was due before, and several of the hooks run
/// when the step has changed the parameters already.
#[test]
fn a_fault_in_any_hook_stops_the_run_after_a_checkpoint_of_the_last_whole_step() {
    let library = late_library();
    for (hook, fault, message) in [
        ("on-validation", "panic", "panicked: told to"),
        ("on-validation", "error", "told to fail"),
        ("weigh-gradients", "panic", "panicked: told to"),
        ("weigh-gradients", "error", "told to fail"),
        ("weigh-gradients", "nan", "weights[0] is NaN"),
        ("weigh-gradients", "length", "weights has 4 values, expected 3"),
        ("scalarize", "panic", "panicked: told to"),
        ("scalarize", "error", "told to fail"),
        ("scalarize", "nan", "weights[0] is NaN"),
        ("scalarize", "length", "weights has 4 values, expected 3"),
        ("after-update", "panic", "panicked: told to"),
        ("after-update", "error", "told to fail"),
        ("weights", "panic", "panicked: told to"),
        ("weights", "nan", "weights[0] is NaN"),
        ("weights", "length", "weights has 4 values, expected 3"),
        ("metrics", "panic", "panicked: told to"),
        ("metrics", "nan", "metric mean is NaN"),
        ("save", "panic", "panicked: told to"),
        ("save", "nan", "NaN"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let what = format!("{fault} in {hook}");
        let (hook_set, fault_set) = (
            format!("scalarizer.hook={hook}"),
            format!("scalarizer.fault=\"{fault}\""),
        );
        let more = [
            "--steps",
            "3",
            "--set",
            &hook_set,
            "--set",
            &fault_set,
            "--set",
            "scalarizer.at=2",
        ];
        let ran = host_in(folder.path(), &words(&late(&library, &more)));
        assert_eq!(ran.code, 1, "{what}: {}", ran.stderr);
        let error = error_line(&ran);
        let named = format!("step 2 failed: plugin late, {} at step 2: ", hook.replace('-', "_"));
        assert!(error.contains(&named) && error.contains(message), "{what}: {error}");
        assert!(error.contains("run/checkpoints/step-000001"), "{what}: {error}");
        assert!(
            ran.stderr.contains("moa-host train --resume run"),
            "{what}: {}",
            ran.stderr
        );
        assert_checkpoint(&folder.path().join("run"), 1);

        let again = host_in(folder.path(), &["train", "--resume", "run"]);
        assert_eq!(again.code, 1, "{what}: {}", again.stderr);
        assert_eq!(error_line(&again), error, "{what}");
    }
}

#[test]
fn without_undo_a_step_that_failed_half_way_goes_back_to_the_newest_checkpoint() {
    let library = late_library();
    let fault = [
        "--steps",
        "3",
        "--set",
        "scalarizer.hook=after-update",
        "--set",
        "scalarizer.fault=panic",
        "--set",
        "scalarizer.at=3",
        "--set",
        "checkpoint.rollback=false",
    ];
    for (every, wanted) in [
        (
            "checkpoint.every=2",
            "the newest checkpoint is run/checkpoints/step-000002",
        ),
        ("checkpoint.every=0", "there is no checkpoint yet"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let more = [&fault[..], &["--set", every]].concat();
        let ran = host_in(folder.path(), &words(&late(&library, &more)));
        assert_eq!(ran.code, 1, "{}", ran.stderr);
        let error = error_line(&ran);
        assert!(
            error.contains("after_update at step 3") && error.contains(wanted),
            "{error}"
        );
        assert!(error.contains("checkpoint.rollback"), "{error}");
    }
    // Before the update there is nothing to undo.
    let folder = tempfile::tempdir().unwrap();
    let scalarize = ["--set", "scalarizer.hook=scalarize", "--set", "checkpoint.every=0"];
    let more = [&fault[..], &scalarize].concat();
    let ran = host_in(folder.path(), &words(&late(&library, &more)));
    assert!(
        error_line(&ran).contains("run/checkpoints/step-000002"),
        "{}",
        ran.stderr
    );
    assert_checkpoint(&folder.path().join("run"), 2);
}

#[test]
fn a_reward_that_stops_the_run_and_numbers_that_are_not_finite_leave_a_checkpoint_too() {
    let library = late_library();
    // Batches: the first validation, step 1, its validation, step 2.
    let objective = "objective=[{name=\"length\", reward=\"late-reward\", params={at=4}}, \
                     {name=\"accuracy\", reward=\"accuracy\"}, {name=\"clarity\", reward=\"clarity\"}]";
    let folder = tempfile::tempdir().unwrap();
    let ran = host_in(
        folder.path(),
        &words(&late(&library, &["--steps", "3", "--set", objective])),
    );
    assert_eq!(ran.code, 1, "{}", ran.stderr);
    let error = error_line(&ran);
    assert!(
        error.contains("step 2 failed: objective length: reward late-reward"),
        "{error}"
    );
    assert!(
        error.contains("told to fail") && error.contains("step-000001"),
        "{error}"
    );
    assert!(
        ran.stderr.contains("on_error"),
        "the reward's own hint stays: {}",
        ran.stderr
    );

    let folder = tempfile::tempdir().unwrap();
    let wild = [
        "--steps",
        "3",
        "--set",
        "optimizer.lr=1e38",
        "--set",
        "optimizer.clip_norm=0",
    ];
    let ran = host_in(folder.path(), &words(&late(&library, &wild)));
    assert_eq!(ran.code, 1, "{}", ran.stderr);
    let error = error_line(&ran);
    assert!(
        error.contains("step 1 failed: ") && error.contains("step-000000"),
        "{error}"
    );
}

/// Nothing was done yet, so nothing is kept.
#[test]
fn a_failure_in_the_first_validation_says_so() {
    let library = late_library();
    let folder = tempfile::tempdir().unwrap();
    let more = [
        "--set",
        "scalarizer.hook=on-validation",
        "--set",
        "scalarizer.fault=panic",
        "--set",
        "scalarizer.at=0",
    ];
    let ran = host_in(folder.path(), &words(&late(&library, &more)));
    assert_eq!(ran.code, 1, "{}", ran.stderr);
    let error = error_line(&ran);
    assert!(
        error.contains("the first validation failed: plugin late, on_validation at step 0"),
        "{error}"
    );
    assert!(error.contains("no step was completed") && !folder.path().join("run/checkpoints").exists());
}

/// The signal comes while step 2 scalarizes: the step is finished, and the run goes on later as if nothing had been.
#[test]
fn a_signal_ends_the_run_after_the_step_with_a_checkpoint() {
    let library = late_library();
    for signal in ["-INT", "-TERM"] {
        let folder = tempfile::tempdir().unwrap();
        let wait = [
            "--set",
            "scalarizer.fault=wait",
            "--set",
            "scalarizer.at=2",
            "--steps",
            "3",
        ];
        let mut child = command(folder.path(), &words(&late(&library, &wait)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (mut stdin, stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        BufReader::new(stdout).read_line(&mut String::new()).unwrap();
        let kill = Command::new("kill").args([signal, &child.id().to_string()]).status();
        assert!(kill.unwrap().success());
        let mut text = String::new();
        while !text.contains("stopping after this step") {
            assert!(stderr.read_line(&mut text).unwrap() > 0, "{signal}: {text}");
        }
        stdin.write_all(b"\n").unwrap();
        stderr.read_to_string(&mut text).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(130), "{signal}: {text}");
        let run = folder.path().join("run");
        assert!(
            text.contains("interrupted after step 2") && text.contains("step-000002"),
            "{text}"
        );
        assert!(!text.contains("error") && text.contains("--resume run"), "{text}");
        assert!(!run.join("model").exists());
        assert_checkpoint(&run, 2);

        // Without a line to read, stdin is at its end.
        let resumed = host_in(folder.path(), &["train", "--resume", "run"]);
        assert_eq!(resumed.code, 0, "{signal}: {}", resumed.stderr);
        assert_same(&run, &uninterrupted().join("run"), signal);
    }
}

/// A second signal does not wait for anything.
#[test]
fn a_second_signal_ends_the_process_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let wait = ["--set", "scalarizer.fault=wait", "--steps", "3"];
    let mut child = command(folder.path(), &words(&late(&late_library(), &wait)))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let _held = child.stdin.take(); // the hook never gets its line
    BufReader::new(child.stdout.take().unwrap())
        .read_line(&mut String::new())
        .unwrap();
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut text = String::new();
    let kill = || {
        Command::new("kill")
            .args(["-INT", &child.id().to_string()])
            .status()
            .unwrap()
    };
    assert!(kill().success());
    while !text.contains("stopping after this step") {
        assert!(stderr.read_line(&mut text).unwrap() > 0, "{text}");
    }
    assert!(kill().success());
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert!(
        !folder.path().join("run/checkpoints").exists(),
        "it did not wait to write one"
    );
}
