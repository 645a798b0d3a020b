//! Rewards in other languages than Rust: builds each `examples/reward-*` with its own build.sh, scores completions with
//! it through the built binary, and trains with one.
//!
//! The languages' tools are no part of this repository. Where they are not on PATH, nor beside the example as its
//! build.sh installs them, a test says so on stderr and ends. To run them all, with the tools installed:
//! `MOA_GUESTS=1 cargo test --release -p moa-core --test integration guests::`; a build that fails is a
//! failure then. The one in WebAssembly text needs no tools.

use std::{
    env,
    ffi::OsString,
    fs,
    io::{self, Write},
    path::PathBuf,
    process::Command,
    sync::{Mutex, OnceLock, PoisonError},
};

use crate::support::host::{Outcome, host_with};
use crate::support::root;
use serde_json::{Value, json};

/// An example that is built.
struct Guest {
    /// Its folder in examples/.
    folder: &'static str,
    /// What build.sh runs.
    tools: &'static [&'static str],
    /// Where build.sh installs them, in the folder.
    local: &'static str,
    /// What it builds.
    file: &'static str,
}

const PYTHON: Guest = Guest {
    folder: "reward-python",
    tools: &["componentize-py"],
    local: ".venv/bin",
    file: "steps.wasm",
};
const JAVASCRIPT: Guest = Guest {
    folder: "reward-js",
    tools: &["componentize-qjs"],
    local: "node_modules/.bin",
    file: "tables.wasm",
};
const C: Guest = Guest {
    folder: "reward-c",
    tools: &["wit-bindgen", "zig"],
    local: ".tools/bin",
    file: "balanced.wasm",
};

/// One build at a time: each takes seconds of a core, or installs a language.
static BUILDING: Mutex<()> = Mutex::new(());

impl Guest {
    /// The component, built in a copy of the example; `None` if the tools are not there and need not be.
    fn build(&self) -> Option<Vec<u8>> {
        let _one = BUILDING.lock().unwrap_or_else(PoisonError::into_inner);
        let example = root().join("examples").join(self.folder);
        let path = self.path();
        let on_path = |tool: &str| env::split_paths(&path).any(|folder| folder.join(tool).is_file());
        let missing: Vec<&str> = self.tools.iter().copied().filter(|tool| !on_path(tool)).collect();
        if !missing.is_empty() && env::var_os("MOA_GUESTS").is_none_or(|value| value != "1") {
            let missing = missing.join(", ");
            // Not eprintln!, whose text a passing test keeps to itself: what did not run is seen in every run.
            let folder = self.folder;
            let line =
                format!("skipped: the tests of examples/{folder} ({missing} is not on PATH; MOA_GUESTS=1 installs)");
            #[allow(clippy::explicit_write, reason = "eprintln! would be captured")]
            writeln!(io::stderr(), "{line}").unwrap();
            return None;
        }
        let copy = tempfile::tempdir().unwrap();
        for entry in fs::read_dir(&example).unwrap() {
            let from = entry.unwrap().path();
            if from.is_file() && from.extension().is_none_or(|ending| ending != "wasm") {
                fs::copy(&from, copy.path().join(from.file_name().unwrap())).unwrap();
            }
        }
        let output = Command::new("sh")
            .arg("build.sh")
            .current_dir(copy.path())
            .env("PATH", &path)
            .env("MOA_WIT", root().join("sdk/wit"))
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "examples/{}/build.sh failed:\n{}{}",
            self.folder,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        Some(fs::read(copy.path().join(self.file)).unwrap())
    }

    /// PATH, and then where build.sh installs.
    fn path(&self) -> OsString {
        let local: PathBuf = root().join("examples").join(self.folder).join(self.local);
        let path = env::var_os("PATH").unwrap_or_default();
        env::join_paths(env::split_paths(&path).chain([local])).unwrap()
    }
}

/// The Python component, which two tests share: an interpreter takes a while to build and to compile.
fn python() -> Option<&'static [u8]> {
    static BUILT: OnceLock<Option<Vec<u8>>> = OnceLock::new();
    BUILT.get_or_init(|| PYTHON.build()).as_deref()
}

/// `moa-host reward score` of the component in `file` on completions in JSON.
fn run(file: &str, component: &[u8], params: &str, completions: &[Value]) -> Outcome {
    let lines: String = completions.iter().map(|line| format!("{line}\n")).collect();
    host_with(
        &["reward", "score", file, "--params", params, "--input", "in.jsonl"],
        &[(file, component), ("in.jsonl", lines.as_bytes())],
    )
}

fn scores(outcome: &Outcome) -> Vec<f64> {
    assert_eq!(outcome.code, 0, "{}{}", outcome.stdout, outcome.stderr);
    let line = |line: &str| -> Value { serde_json::from_str(line).unwrap() };
    outcome
        .stdout
        .lines()
        .map(|text| {
            line(text)["score"]
                .as_f64()
                .unwrap_or_else(|| panic!("no score: {text}"))
        })
        .collect()
}

/// A completion with this response.
fn answered(response: &str) -> Value {
    json!({ "prompt": "How many nuts are in one pile?", "response": response, "ground_truth": "7" })
}

/// Scores each response and compares; scores are f32.
fn assert_scores(file: &str, component: &[u8], params: &str, cases: &[(&str, f64)]) {
    let completions: Vec<Value> = cases.iter().map(|(response, _)| answered(response)).collect();
    let found = scores(&run(file, component, params, &completions));
    assert_eq!(found.len(), cases.len());
    for ((response, expected), found) in cases.iter().zip(found) {
        assert!((found - expected).abs() < 1e-6, "{found}, not {expected}: {response}");
    }
}

/// Asserts that the component refuses `params` with `words`.
fn assert_refused(file: &str, component: &[u8], params: &str, words: &[&str]) {
    let outcome = run(file, component, params, &[answered("7")]);
    assert_ne!(outcome.code, 0, "{}", outcome.stdout);
    assert!(outcome.stdout.is_empty(), "{}", outcome.stdout);
    for word in words {
        assert!(outcome.stderr.contains(word), "{word:?} is missing: {}", outcome.stderr);
    }
}

#[test]
fn webassembly_text() {
    let component = fs::read(root().join("examples/reward-text/length.wat")).unwrap();
    let of = |tokens: u32| {
        let mut line = answered("one two");
        line["response_tokens"] = json!(tokens);
        line
    };
    let outcome = run("length.wat", &component, "{}", &[0, 39, 40, 41, 5].map(of));
    assert_eq!(scores(&outcome), [1.0, 1.0, 0.0, 0.0, 1.0]);
    // More than a page of memory, more completions than one call takes, and the memory of each call used again.
    let long: Vec<Value> = (0..300_u32)
        .map(|i| {
            let mut line = answered(&"word ".repeat(2000));
            line["response_tokens"] = json!(i % 80);
            line
        })
        .collect();
    let expected: Vec<f64> = (0..300).map(|i| if i % 80 < 40 { 1.0 } else { 0.0 }).collect();
    assert_eq!(scores(&run("length.wat", &component, "{}", &long)), expected);
    assert_refused(
        "length.wat",
        &component,
        "{\"most\": 50}",
        &["brief", "takes no params"],
    );
}

#[test]
fn python_scores() {
    let Some(component) = python() else { return };
    let cases = [
        (
            "First 9 + 7 = 16 cups. Next 16 - 9 = 7 cups. The answer is \\boxed{7}",
            1.0,
        ),
        ("1) 3 * 3 = 9\n2) 9 + 5 = 13\n\\boxed{13}", 0.5),
        ("3 * 3 = 9 + 5 = 14", 0.5),
        ("- 9 - 4 = 5", 1.0),
        (
            "2x + 3 = 7, so x = 2, and 5 - 8 = -3, 1,000 / 8 = 125, 7 \\times 2 = 15",
            2.0 / 3.0,
        ),
        ("1 / 0 = 3", 0.0),
        ("\\boxed{7}", 0.0),
        ("", 0.0),
    ];
    assert_scores("steps.wasm", component, "{}", &cases);
    let params = "{\"at_least\": 2, \"tolerance\": 0.01}";
    assert_scores(
        "steps.wasm",
        component,
        params,
        &[("10 / 3 = 3.33", 0.5), ("1 + 1 = 2, 2 + 2 = 4", 1.0)],
    );
    assert_refused("steps.wasm", component, "{\"at_leest\": 2}", &["at_leest", "at_least"]);
    assert_refused(
        "steps.wasm",
        component,
        "{\"at_least\": 0}",
        &["at_least", "0", "1 or more"],
    );
}

#[test]
fn python_scores_a_training_run() {
    let Some(component) = python() else { return };
    let config = "[[objective]]\nname = \"accuracy\"\nreward = \"accuracy\"\n\n\
                  [[objective]]\nname = \"steps\"\nreward = \"steps.wasm\"\nparams = { at_least = 2 }\n";
    let run = host_with(
        &[
            "train",
            "--config",
            "mine.toml",
            "--plugin",
            "linear",
            "--steps",
            "2",
            "--run-dir",
            "run",
            "--set",
            "validation.rows=10",
            "--set",
            "rollout.prompts=4",
            "--set",
            "logging.samples=32",
        ],
        &[("mine.toml", config.as_bytes()), ("steps.wasm", component)],
    );
    assert_eq!(run.code, 0, "{}", run.stderr);
    let read = |name: &str| fs::read_to_string(run.folder.path().join("run").join(name)).unwrap();
    let parse = |line: &str| -> Value { serde_json::from_str(line).unwrap() };
    let steps: Vec<Value> = read("metrics.jsonl").lines().map(parse).collect();
    assert_eq!(steps.len(), 2);
    let mean = steps[0]["score/steps"].as_f64().unwrap();
    assert!(mean > 0.0 && mean < 1.0, "the base model is sometimes wrong: {mean}");

    // What the run was told is what the reward says of the same completions alone.
    let samples: Vec<Value> = read("samples.jsonl").lines().map(parse).collect();
    assert_eq!(samples.len(), 64);
    let told: Vec<f64> = samples.iter().map(|s| s["scores"][1].as_f64().unwrap()).collect();
    let completions: Vec<Value> = samples
        .iter()
        .map(|s| answered(s["response"].as_str().unwrap()))
        .collect();
    let alone = scores(&self::run("steps.wasm", component, "{\"at_least\": 2}", &completions));
    for ((told, alone), sample) in told.iter().zip(alone).zip(samples) {
        assert!((told - alone).abs() < 1e-6, "{told}, alone {alone}: {sample}");
    }
}

#[test]
fn javascript() {
    let Some(component) = JAVASCRIPT.build() else { return };
    let well_formed = "Two columns:\n\n| a | b |\n|---|:-:|\n| 1 | x \\| y |\n";
    let cases = [
        (well_formed, 1.0),
        (
            "| a | b |\n|---|---|\n| 1 | 2 | 3 |\n\ntext\n\n| a | b\n| --- | ---\n| 1 | 2\n",
            0.5,
        ),
        ("| a | b |\n| 1 | 2 |\n| 3 | 4 |\n", 0.0),
        ("```\n| a | b |\n|---|---|\n| 1 | 2 |\n```\n", 0.0),
        ("no table", 0.0),
        ("", 0.0),
    ];
    assert_scores("tables.wasm", &component, "{}", &cases);
    assert_scores("tables.wasm", &component, "{\"columns\": 2}", &[(well_formed, 1.0)]);
    assert_scores("tables.wasm", &component, "{\"columns\": 3}", &[(well_formed, 0.0)]);
    assert_refused("tables.wasm", &component, "{\"colums\": 2}", &["colums", "columns"]);
    assert_refused("tables.wasm", &component, "{\"columns\": -1}", &["columns", "-1"]);
}

#[test]
fn c() {
    let Some(component) = C.build() else { return };
    let cases = [
        ("\\boxed{7}", 1.0),
        ("\\boxed{7", 0.5),
        ("}{", 1.0 / 3.0),
        ("$a$ \\{ \\$ \\}", 1.0),
        ("{{$", 0.25),
        ("ends with \\", 1.0),
        ("", 1.0),
    ];
    assert_scores("balanced.wasm", &component, "{}", &cases);
    assert_refused(
        "balanced.wasm",
        &component,
        "{\"a\": 1}",
        &["balanced-tex", "takes no params"],
    );
}
