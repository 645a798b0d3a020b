//! A hook that a plugin implements is called, and what it returned is what trains, what the trace records and what a
//! replay compares. The plugins are built outside the workspace, implement one hook each and ask for nothing.

use std::fs;
use std::process::Command;

use crate::support::host::{Outcome, host_with};
use crate::support::library;
use moa_core::error::Report;
use moa_core::plugin::{BatchInput, Hooks, Objective, Plugins, Setup};
use serde_json::{Value, json};

/// Two steps of two mini-batches with the scalarizer `name` of the fixture.
fn run(name: &str) -> Outcome {
    let library = library::fixture("hooks");
    let scalarizer = format!("scalarizer.name={name}");
    host_with(
        &[
            "--plugin",
            &library.to_string_lossy(),
            "--steps",
            "2",
            "--run-dir",
            "run",
            "--set",
            &scalarizer,
            "--set",
            "validation.rows=10",
            "--set",
            "rollout.prompts=4",
            "--set",
            "algorithm.minibatch=2",
            "--set",
            "logging.trace=true",
        ],
        &[],
    )
}

fn text(outcome: &Outcome, name: &str) -> String {
    fs::read_to_string(outcome.folder.path().join("run").join(name)).unwrap()
}

/// The events of a hook in the run's trace.
fn events(outcome: &Outcome, hook: &str) -> Vec<Value> {
    let trace = text(outcome, "trace.jsonl");
    let events = trace.lines().skip(1).map(|line| serde_json::from_str(line).unwrap());
    events.filter(|event: &Value| event["hook"] == hook).collect()
}

#[test]
fn a_hook_that_is_written_is_called() {
    for (name, hook, calls) in [
        ("observes", "observe_gradients", 2),
        ("weighs", "weigh_gradients", 4),
        ("follows", "after_update", 2),
    ] {
        let run = run(name);
        assert_eq!(run.code, 0, "{name}: {}", run.stderr);
        let metrics = text(&run, "metrics.jsonl");
        let last: Value = serde_json::from_str(metrics.lines().last().unwrap()).unwrap();
        assert_eq!(last["scalarizer/calls"], json!(f64::from(calls)), "{name}: {last}");
        assert_eq!(events(&run, hook).len(), calls as usize, "{name}");
        for other in ["observe_gradients", "weigh_gradients", "after_update"] {
            assert!(other == hook || events(&run, other).is_empty(), "{name} has no {other}");
        }
    }
    let run = run("validates");
    assert_eq!(run.code, 0, "{}", run.stderr);
    let validations = events(&run, "on_validation");
    let last = &validations.last().unwrap()["expect"]["metrics"];
    assert_eq!(last["calls"], json!(validations.len() as f64));
}

#[test]
fn what_weigh_gradients_returned_is_recorded_and_compared() {
    let run = run("weighs");
    assert_eq!(run.code, 0, "{}", run.stderr);
    for event in events(&run, "weigh_gradients") {
        let expect = &event["expect"];
        assert_eq!(expect["gradient_weights"], json!([5.0, -0.5, -0.5]), "{event}");
        assert_eq!(
            expect["weights"], expect["gradient_weights"],
            "it has no weights of its own"
        );
    }
    let trace = text(&run, "trace.jsonl");
    let library = library::fixture("hooks");
    let replay = |trace: &str| {
        let library = library.to_string_lossy();
        let arguments = ["plugin", "replay", &*library, "--trace", "t.jsonl", "--check"];
        host_with(&arguments, &[("t.jsonl", trace.as_bytes())])
    };
    let same = replay(&trace);
    assert_eq!(same.code, 0, "{}", same.stderr);
    // Another rule: the same trace for a scalarizer that weighs the first gradient otherwise.
    let other = trace.replacen("\"params\":{}", "\"params\":{\"first\":1.0}", 1);
    assert_ne!(other, trace);
    let other = replay(&other);
    assert_eq!(other.code, 1, "{}", other.stderr);
    assert!(
        other.stderr.contains("gradient_weights[0] is 1, expected 5"),
        "{}",
        other.stderr
    );
}

#[test]
fn a_signal_that_does_not_go_with_the_hooks_is_an_error() {
    for (name, found, hint) in [
        (
            "never-weighs",
            "the signal is weights, but weigh_gradients is implemented",
            "return gradient_weights() from scalarize",
        ),
        (
            "nothing-to-weigh",
            "the signal is gradient_weights, but weigh_gradients is not implemented",
            "implement weigh_gradients",
        ),
    ] {
        let run = run(name);
        assert_eq!(run.code, 1, "{name}: {}", run.stderr);
        let place = format!("plugin {name}, scalarize at step 1: {found}");
        assert!(run.stderr.contains(&place), "{}", run.stderr);
        assert!(run.stderr.contains(hint), "{}", run.stderr);
    }
    let library = library::fixture("hooks");
    let library = library.to_string_lossy();
    let check = host_with(
        &["plugin", "check", &*library, "--json", "--only", "finite-ordinary"],
        &[],
    );
    let report: Value = serde_json::from_str(&check.stdout).unwrap();
    let cases = report["cases"].as_array().unwrap().iter();
    let bad: Vec<&str> = cases
        .filter(|case| case["status"] != "passed")
        .filter_map(|case| case["plugin"].as_str())
        .collect();
    assert_eq!(
        bad,
        ["hooks/never-weighs", "hooks/nothing-to-weigh"],
        "{}",
        check.stdout
    );
    assert_eq!(check.code, 1);
}

#[test]
fn bad_answers_of_weigh_gradients_are_refused() {
    let mut plugins = Plugins::searching(vec![]);
    plugins
        .load(&library::fixture("hooks").to_string_lossy())
        .map(|_| ())
        .unwrap();
    let setup = Setup {
        objectives: vec![Objective::new("a"), Objective::new("b")],
        seed: 0,
    };
    for (answer, message) in [
        ("panic", "panicked: told to at "),
        ("length", "weights has 3 values, expected 2"),
        ("nan", "weights[0] is NaN, expected a finite number"),
    ] {
        let params = json!({ "answer": answer });
        let mut plugin = plugins.scalarizer(Some("weighs"), &setup, &params).unwrap();
        assert_eq!(plugin.hooks(), Hooks::NONE.scalarize().weigh_gradients());
        let signal = plugin.scalarize(&BatchInput {
            step: 7,
            m: 2,
            scores: &[1.0, 0.0],
            groups: &[0],
            lengths: &[1],
            ..BatchInput::default()
        });
        signal.unwrap();
        let weights = plugin.weigh_gradients(7, 0, 1e-6, &[1.0, 0.0, 0.0, 1.0], &[0.1, 0.2]);
        let error = weights.expect_err(answer);
        let start = format!("plugin weighs, weigh_gradients at step 7: {message}");
        assert!(error.to_string().starts_with(&start), "{error}");
        assert!(error.hint().is_some(), "{error}");
    }
}

/// The attribute tells the host which hooks there are; leaving it off must not be a hook that is never called.
#[test]
fn a_scalarizer_without_the_attribute_does_not_compile() {
    library::fixture("hooks");
    let output = Command::new(env!("CARGO"))
        .args([
            "build",
            "--release",
            "--offline",
            "--package",
            "fixture-hooks",
            "--features",
            "forgotten",
        ])
        .arg("--manifest-path")
        .arg(crate::support::root().join("tests/fixtures/Cargo.toml"))
        .arg("--target-dir")
        .arg(library::target_folder().join("fixtures"))
        .env_remove("CARGO_BUILD_TARGET")
        .env_remove("CARGO_TARGET_DIR")
        .output()
        .expect("cargo runs");
    assert!(!output.status.success());
    let told = String::from_utf8_lossy(&output.stderr);
    for part in [
        "`impl Scalarizer for NothingToWeigh` lacks the attribute `#[moa_sdk::scalarizer]`",
        "write `#[moa_sdk::scalarizer]` on the line above `impl Scalarizer for NothingToWeigh`",
    ] {
        assert!(told.contains(part), "{told}");
    }
}
