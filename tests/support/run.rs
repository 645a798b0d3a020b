//! Short runs for the tests of checkpoints, and whether two of them did the same.

use std::{fs, path::Path};

use serde_json::Value;

use super::library;

/// The path of the fixture `late`, built from its source as it is.
pub fn late_library() -> String {
    library::fixture("late").to_string_lossy().into_owned()
}

/// The arguments as a command takes them.
pub fn words(arguments: &[String]) -> Vec<&str> {
    arguments.iter().map(String::as_str).collect()
}

/// A run with the fixture `late` that is as small as a run gets, but has two mini-batches and two epochs a step. The
/// embedded training rows would take most of its time to read.
pub fn late(library: &str, more: &[&str]) -> Vec<String> {
    let rows = |key: &str, file: &str| {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../data/tiny-math");
        ["--set".to_owned(), format!("data.{key}={folder}/{file}.parquet")]
    };
    let rows = [
        rows("train", "validation"),
        rows("validation", "validation"),
        rows("test", "test"),
    ];
    let small = [
        "--plugin",
        library,
        "--scalarizer",
        "late",
        "--run-dir",
        "run",
        "--set",
        "rollout.prompts=2",
        "--set",
        "rollout.group_size=4",
        "--set",
        "rollout.max_new_tokens=16",
        "--set",
        "algorithm.minibatch=1",
        "--set",
        "algorithm.epochs=2",
        "--set",
        "validation.rows=4",
        "--set",
        "optimizer.schedule=constant",
    ];
    let words = small.iter().chain(more).map(|text| (*text).to_owned());
    rows.into_iter().flatten().chain(words).collect()
}

/// metrics.jsonl without the times.
pub fn metrics(run: &Path) -> Vec<Value> {
    let text = fs::read_to_string(run.join("metrics.jsonl")).unwrap();
    let mut lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for line in &mut lines {
        line.as_object_mut().unwrap().remove("time").unwrap();
    }
    lines
}

/// Everything that two runs wrote is the same, byte for byte, but for the times.
pub fn assert_same(found: &Path, expected: &Path, what: &str) {
    assert_eq!(metrics(found), metrics(expected), "{what}");
    for name in [
        "validation.jsonl",
        "samples.jsonl",
        "validation_responses.jsonl",
        "test.json",
        "test_responses.jsonl",
        "model/model.safetensors",
    ] {
        let read = |run: &Path| fs::read(run.join(name)).unwrap_or_else(|e| panic!("{what}, {name}: {e}"));
        assert!(read(found) == read(expected), "{what}: {name} differs");
    }
}

/// Copies a folder with all that is in it.
pub fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Takes everything from a finished run that came after its checkpoint of `step`, except the lines: as if it had been
/// killed just before its next checkpoint.
pub fn cut_back(run: &Path, step: u64) {
    fs::remove_dir_all(run.join("model")).unwrap();
    fs::remove_file(run.join("test.json")).unwrap();
    for entry in fs::read_dir(run.join("checkpoints")).unwrap() {
        let path = entry.unwrap().path();
        if !path.ends_with(format!("step-{step:06}")) {
            fs::remove_dir_all(path).unwrap();
        }
    }
}
