//! `train --resume`: a run that was cut, killed or damaged ends as one that was not, byte for byte; and what cannot be
//! resumed gets one clear line.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::Path,
    process::Stdio,
    sync::OnceLock,
};

use serde_json::Value;

use crate::support::host::{Ran, command, host_in};
use crate::support::run::{assert_same, copy, cut_back, late, late_library, words};
use moa_core::run::checkpoint::Checksum;
use tempfile::TempDir;

/// The run that all others must end like: six steps of `late` without a fault.
fn uninterrupted() -> &'static Path {
    static RUN: OnceLock<TempDir> = OnceLock::new();
    let folder = RUN.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let ran = host_in(folder.path(), &words(&late(&late_library(), &["--steps", "6"])));
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        folder
    });
    folder.path()
}

fn assert_refused(ran: &Ran, wanted: &[&str]) {
    assert_eq!(ran.code, 2, "{}", ran.stderr);
    let errors: Vec<&str> = ran.stderr.lines().filter(|l| l.starts_with("error: ")).collect();
    assert!(errors.len() == 1 && ran.stderr.contains("\nhint: "), "{}", ran.stderr);
    for word in wanted {
        assert!(errors[0].contains(word), "{word:?} is missing: {}", errors[0]);
    }
    assert!(
        ran.stdout.is_empty() && !ran.stderr.contains("panicked"),
        "{}",
        ran.stderr
    );
}

/// Scalarizers with a state, KL, several updates a step, warm-up, a schedule, and the trace.
#[test]
fn a_resumed_run_ends_as_one_that_was_not_stopped() {
    for scalarizer in ["ctwa", "lagrangian", "gradnorm"] {
        let folder = tempfile::tempdir().unwrap();
        let ran = host_in(
            folder.path(),
            &[
                "--plugin",
                scalarizer,
                "--steps",
                "4",
                "--run-dir",
                "run",
                "--set",
                "validation.rows=10",
                "--set",
                "validation.every=1",
                "--set",
                "rollout.prompts=4",
                "--set",
                "rollout.max_new_tokens=32",
                "--set",
                "algorithm.minibatch=2",
                "--set",
                "algorithm.epochs=2",
                "--set",
                "algorithm.kl.coefficient=0.01",
                "--set",
                "optimizer.schedule=cosine",
                "--set",
                "optimizer.warmup=2",
                "--set",
                "logging.trace=true",
                "--set",
                "checkpoint.every=1",
                "--set",
                "checkpoint.keep=4",
            ],
        );
        assert_eq!(ran.code, 0, "{scalarizer}: {}", ran.stderr);
        let (whole, cut) = (folder.path().join("run"), folder.path().join("cut"));
        copy(&whole, &cut);
        cut_back(&cut, 2);
        let resumed = host_in(folder.path(), &["train", "--resume", "cut"]);
        assert_eq!(resumed.code, 0, "{scalarizer}: {}", resumed.stderr);
        assert!(
            resumed.stderr.contains("cut resumes after step 2"),
            "{}",
            resumed.stderr
        );
        assert_same(&cut, &whole, scalarizer);
        for name in [
            "trace.jsonl",
            "config.toml",
            "checkpoints/step-000004/optimizer.safetensors",
        ] {
            let read = |run: &Path| fs::read(run.join(name)).unwrap();
            assert!(read(&cut) == read(&whole), "{scalarizer}: {name} differs");
        }
        assert_eq!(resumed.stdout, ran.stdout, "the table shows step 0 as it was");
        assert_processes(&cut);
        assert_responses(&cut);
    }
}

/// run.json has both processes, the second one after step 2; `cut_back` left the first as it ended.
fn assert_processes(run: &Path) {
    let text = fs::read_to_string(run.join("run.json")).unwrap();
    let manifest: Value = serde_json::from_str(&text).unwrap();
    let processes = manifest["processes"].as_array().unwrap();
    let facts: Vec<_> = processes
        .iter()
        .map(|p| (p["after_step"].as_u64(), p["end"].as_str()))
        .collect();
    assert_eq!(facts, [(Some(0), Some("finished")), (Some(2), Some("finished"))]);
    let command = processes[1]["command"].as_array().unwrap();
    assert_eq!(command[1..], ["train", "--resume", "cut"]);
    let plugins = processes[1]["plugins"].as_array().unwrap();
    assert!(
        plugins.len() == 4 && plugins.iter().all(|p| p["hash"].as_str().unwrap().len() == 22),
        "{plugins:?}"
    );
    assert_eq!(manifest["objectives"][1]["better"], "lower");
}

/// The mean of the responses' performance is the validation's, at each step and in the test.
fn assert_responses(run: &Path) {
    let lines = |name: &str| -> Vec<Value> {
        let text = fs::read_to_string(run.join(name)).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let check = |records: &[Value], responses: &[Value]| {
        assert_eq!(
            responses.len() as u64,
            records.iter().map(|r| r["prompts"].as_u64().unwrap()).sum::<u64>()
        );
        for record in records {
            let of_step: Vec<&Value> = responses.iter().filter(|line| line["step"] == record["step"]).collect();
            for (m, expected) in record["performance"].as_object().unwrap().values().enumerate() {
                let total: f64 = of_step
                    .iter()
                    .map(|line| line["performance"][m].as_f64().unwrap())
                    .sum();
                let mean = total / of_step.len() as f64;
                assert!((mean - expected.as_f64().unwrap()).abs() < 1e-9, "{record}: {mean}");
            }
        }
    };
    check(&lines("validation.jsonl"), &lines("validation_responses.jsonl"));
    check(&lines("test.json"), &lines("test_responses.jsonl"));
}

#[test]
fn a_finished_run_goes_on_with_more_steps() {
    let folder = tempfile::tempdir().unwrap();
    let library = late_library();
    let ran = host_in(folder.path(), &words(&late(&library, &["--steps", "4"])));
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let again = host_in(folder.path(), &["train", "--resume", "run"]);
    assert_eq!(again.code, 0, "nothing left to do is no failure: {}", again.stderr);
    assert!(
        again.stderr.contains("run is finished: all 4 steps") && !again.stderr.contains("error: "),
        "{}",
        again.stderr
    );
    let more = host_in(folder.path(), &["train", "--resume", "run", "--set", "train.steps=6"]);
    assert_eq!(more.code, 0, "{}", more.stderr);
    assert!(more.stderr.contains("train.steps: 4 -> 6"), "{}", more.stderr);
    assert_same(&folder.path().join("run"), &uninterrupted().join("run"), "4 + 2 steps");
    let config = |folder: &Path| fs::read_to_string(folder.join("run/config.toml")).unwrap();
    assert_eq!(
        config(folder.path()),
        config(uninterrupted()),
        "config.toml says what was done"
    );
}

/// The scalarizer writes a line when it is in a hook, and the run is killed right after: in an update, before and in the
/// writing of a checkpoint, in a validation.
#[test]
fn a_killed_run_goes_on_from_its_newest_whole_checkpoint() {
    let library = late_library();
    for (hook, lines) in [
        ("weigh-gradients", 2),
        ("after-update", 1),
        ("metrics", 2),
        ("on-validation", 1),
        ("save", 3),
        ("save", 6),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let what = format!("killed after line {lines} of {hook}");
        let hook = format!("scalarizer.hook={hook}");
        let more = [
            "--steps",
            "6",
            "--set",
            &hook,
            "--set",
            "scalarizer.fault=print",
            "--set",
            "scalarizer.at=2",
            "--set",
            "checkpoint.every=1",
        ];
        let mut child = command(folder.path(), &words(&late(&library, &more)))
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        for _ in 0..lines {
            assert!(
                out.read_line(&mut String::new()).unwrap() > 0,
                "{what}: it ended before"
            );
        }
        child.kill().unwrap();
        let status = child.wait().unwrap();
        assert_eq!(status.code(), None, "{what}: it came to its end before the signal");
        let resumed = host_in(folder.path(), &["train", "--resume", "run"]);
        assert_eq!(resumed.code, 0, "{what}: {}", resumed.stderr);
        assert_same(&folder.path().join("run"), &uninterrupted().join("run"), &what);
    }
}

#[test]
fn a_damaged_checkpoint_is_passed_over_with_a_warning() {
    let folder = tempfile::tempdir().unwrap();
    let library = late_library();
    let more = ["--steps", "6", "--set", "checkpoint.every=3"];
    let ran = host_in(folder.path(), &words(&late(&library, &more)));
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let run = folder.path().join("run");
    fs::remove_dir_all(run.join("model")).unwrap();
    let damage = |step: &str| {
        let file = run.join("checkpoints").join(step).join("optimizer.safetensors");
        let mut bytes = fs::read(&file).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 16;
        fs::write(&file, bytes).unwrap();
    };
    damage("step-000006");
    let resumed = host_in(folder.path(), &["train", "--resume", "run"]);
    assert_eq!(resumed.code, 0, "{}", resumed.stderr);
    let warning = resumed.stderr.lines().find(|l| l.starts_with("warning: ")).unwrap();
    assert!(
        warning.contains("run/checkpoints/step-000006 is damaged") && warning.contains("optimizer.safetensors"),
        "{warning}"
    );
    assert_same(&run, &uninterrupted().join("run"), "resumed from the one before");

    fs::remove_dir_all(run.join("model")).unwrap();
    damage("step-000003");
    damage("step-000006");
    let refused = host_in(folder.path(), &["train", "--resume", "run"]);
    assert_refused(&refused, &["none of its 2 checkpoints is intact", "step-000006"]);
}

#[test]
fn what_cannot_be_resumed_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let resume = |more: &[&str]| host_in(folder.path(), &[&["train", "--resume", "run"], more].concat());
    assert_refused(&resume(&[]), &["run", "not a run folder", "config.toml"]);
    copy(&uninterrupted().join("run"), &folder.path().join("run"));
    let run = folder.path().join("run");
    fs::remove_dir_all(run.join("model")).unwrap();
    let before = fs::read(run.join("metrics.jsonl")).unwrap();

    assert_refused(
        &resume(&["--set", "algorithm.clip_low=1"]),
        &["algorithm.clip_low", "1.0", "0.2"],
    );
    assert_refused(&resume(&["--seed", "7"]), &["train.seed", "7", "0"]);
    assert_refused(&resume(&["--steps", "5"]), &["train.steps", "5", "6"]);
    let rows = b"{\"prompt\": \"1 + 1?\", \"ground_truth\": \"2\"}\n";
    fs::write(folder.path().join("rows.jsonl"), rows).unwrap();
    assert_refused(
        &resume(&["--set", "data.train=rows.jsonl"]),
        &["data.train rows.jsonl", "prompts"],
    );

    // Its config was edited, which is the same as another option.
    let config = fs::read_to_string(run.join("config.toml")).unwrap();
    fs::write(run.join("config.toml"), config.replace("epochs = 2", "epochs = 3")).unwrap();
    assert_refused(&resume(&[]), &["algorithm.epochs", "3", "2"]);
    fs::write(run.join("config.toml"), &config).unwrap();

    // Another process has it.
    let lock = fs::File::options().append(true).open(run.join(".lock")).unwrap();
    lock.lock().unwrap();
    assert_refused(&resume(&[]), &["in use"]);
    drop(lock);

    // Lines that the checkpoint had seen are gone.
    fs::write(run.join("metrics.jsonl"), &before[..before.len() / 2]).unwrap();
    assert_refused(&resume(&[]), &["metrics.jsonl"]);
    fs::write(run.join("metrics.jsonl"), &before).unwrap();

    assert_eq!(fs::read_to_string(run.join("config.toml")).unwrap(), config);
    assert!(!run.join("model").exists());
    fs::remove_dir_all(run.join("checkpoints")).unwrap();
    assert_refused(&resume(&[]), &["run has no checkpoint"]);
    assert_eq!(fs::read(run.join("metrics.jsonl")).unwrap(), before);
}

/// The file is whole, but says that another version wrote it: the run goes on, and the user is told.
#[test]
fn a_checkpoint_of_another_version_is_taken_with_a_warning() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    copy(&uninterrupted().join("run"), &run);
    fs::remove_dir_all(run.join("model")).unwrap();
    let checkpoint = run.join("checkpoints/step-000006");
    let state = fs::read_to_string(checkpoint.join("state.json")).unwrap();
    let version = format!("\"moa\": \"{}\"", env!("CARGO_PKG_VERSION"));
    assert!(state.contains(&version), "{state}");
    let older = state.replace(&version, "\"moa\": \"0.0.1\"");
    let sum = |text: &str| {
        let mut sum = Checksum::default();
        sum.add(text.as_bytes());
        format!("{}  {}  state.json", sum.hex(), text.len())
    };
    let sums = fs::read_to_string(checkpoint.join("checksums.txt")).unwrap();
    assert!(sums.contains(&sum(&state)), "{sums}");
    fs::write(
        checkpoint.join("checksums.txt"),
        sums.replace(&sum(&state), &sum(&older)),
    )
    .unwrap();
    fs::write(checkpoint.join("state.json"), older).unwrap();
    let resumed = host_in(folder.path(), &["train", "--resume", "run"]);
    assert_eq!(resumed.code, 0, "{}", resumed.stderr);
    assert!(
        resumed
            .stderr
            .contains("warning: the steps so far were done by moa 0.0.1"),
        "{}",
        resumed.stderr
    );
    assert_same(&run, &uninterrupted().join("run"), "only the end was left to do");
}

/// A model whose folder was written anew since the run began, with other weights.
#[test]
fn a_model_that_changed_since_the_run_began_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    copy(&uninterrupted().join("run/model"), &folder.path().join("model"));
    let library = late_library();
    let ran = host_in(
        folder.path(),
        &words(&late(&library, &["--steps", "1", "--model", "model"])),
    );
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    // The model moved: the same weights are found to be the same.
    copy(&folder.path().join("model"), &folder.path().join("moved"));
    fs::remove_dir_all(folder.path().join("model")).unwrap();
    let arguments = ["train", "--resume", "run", "--model", "moved", "--steps", "2"];
    let moved = host_in(folder.path(), &arguments);
    assert_eq!(moved.code, 0, "{}", moved.stderr);
    fs::copy(
        folder.path().join("run/model/model.safetensors"),
        folder.path().join("moved/model.safetensors"),
    )
    .unwrap();
    let other = host_in(folder.path(), &["train", "--resume", "run", "--steps", "3"]);
    assert_refused(&other, &["model moved", "weights"]);
}
