//! `moa-host plugin check`: good plugins pass every case, each fault of a hostile one shows as the status that it
//! should, and what is no plugin gets one line.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use crate::support::library;
use serde_json::Value;

/// The hostile fixture, built once.
static HOSTILE: LazyLock<PathBuf> = LazyLock::new(|| library::fixture("hostile"));

/// What a command did.
struct Outcome {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

/// `moa-host plugin check LIB …`, with the faults of the hostile fixture in `environment`.
fn check(library: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Outcome {
    let output = Command::new(env!("CARGO_BIN_EXE_moa-host"))
        .args(["plugin", "check"])
        .arg(library)
        .args(arguments)
        .env_remove("HOSTILE_FAULT")
        .env_remove("HOSTILE_REWARD_FAULT")
        .envs(environment.iter().copied())
        .output()
        .expect("moa-host runs");
    Outcome {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).expect("the report is text"),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// The cases of a report as (plugin, case, status, reason).
fn cases(json: &str) -> Vec<(String, String, String, String)> {
    let report: Value = serde_json::from_str(json).expect("--json gives JSON");
    let text = |case: &Value, key: &str| case[key].as_str().unwrap_or_default().to_owned();
    let cases = report["cases"].as_array().expect("the report has cases");
    let four = |case: &Value| {
        (
            text(case, "plugin"),
            text(case, "case"),
            text(case, "status"),
            text(case, "reason"),
        )
    };
    cases.iter().map(four).collect()
}

/// Runs the cases that begin with `case` with one fault; the first must end with `status` and a reason that has all
/// of `words`.
fn assert_found(variable: &str, fault: &str, case: &str, status: &str, words: &[&str]) {
    let arguments = ["--json", "--only", case, "--timeout", "60"];
    let outcome = check(&HOSTILE, &arguments, &[(variable, fault)]);
    let plugin = match variable {
        "HOSTILE_FAULT" => "hostile/hostile",
        _ => "hostile/hostile-reward",
    };
    let all = cases(&outcome.stdout);
    let found = all.iter().find(|(of, name, ..)| of == plugin && name == case);
    let (_, _, found, reason) = found.unwrap_or_else(|| panic!("{fault}: no {case} in {}", outcome.stdout));
    assert_eq!(found, status, "{fault}, {case}: {reason}");
    for word in words {
        assert!(reason.contains(word), "{fault}, {case}: {word:?} is not in {reason:?}");
    }
    let bad = matches!(status, "failed" | "crashed");
    assert_eq!(outcome.code, Some(i32::from(bad)), "{fault}, {case}");
}

#[test]
fn the_first_plugins_pass_every_case() {
    for name in [
        "linear",
        "ctwa",
        "accuracy",
        "conciseness",
        "clarity",
        "format",
        "length",
        "match",
        "repetition",
        "json-schema",
    ] {
        let outcome = check(&library::plugin(name), &["--json"], &[]);
        let all = cases(&outcome.stdout);
        assert!(all.len() > 20, "{name}: {} cases, {}", all.len(), outcome.stderr);
        for (_, case, status, reason) in &all {
            let none_there = case == "examples" && reason == "it carries no examples";
            assert!(
                status == "passed" || status == "skipped" && none_there,
                "{name}, {case}: {status}, {reason}"
            );
        }
        assert_eq!(outcome.code, Some(0), "{name}");
        assert!(outcome.stderr.is_empty(), "{name}: {}", outcome.stderr);
    }
}

#[test]
fn each_fault_of_a_scalarizer_is_found() {
    for (fault, case, status, words) in [
        ("none", "examples", "passed", &[][..]),
        (
            "panic-new",
            "defaults",
            "crashed",
            &["M = 1: plugin hostile, new: panicked: told to PanicNew at", "lib.rs:"],
        ),
        (
            "panic-validation",
            "finite-ordinary",
            "crashed",
            &["on_validation at step 0: panicked"],
        ),
        (
            "panic-observe",
            "finite-zero-gradients",
            "crashed",
            &["observe_gradients at step 1"],
        ),
        (
            "panic-scalarize",
            "determinism",
            "crashed",
            &["scalarize at step 1: panicked"],
        ),
        (
            "panic-update",
            "small-stack",
            "crashed",
            &["after_update at step 1: panicked"],
        ),
        (
            "panic-weights",
            "finite-ordinary",
            "crashed",
            &["weights at step 0: panicked"],
        ),
        (
            "panic-metrics",
            "finite-ordinary",
            "crashed",
            &["metrics at step 0: panicked"],
        ),
        ("panic-save", "state-bytes", "crashed", &["save: panicked"]),
        (
            "error-scalarize",
            "finite-binary",
            "failed",
            &["scalarize at step 1: told to fail"],
        ),
        (
            "weights-length",
            "finite-ordinary",
            "failed",
            &["weights has 2 values, expected 1"],
        ),
        ("weights-nan", "finite-ordinary", "failed", &["weights[0] is NaN"]),
        (
            "rewards-length",
            "finite-one-completion",
            "failed",
            &["rewards has 0 values, expected 1"],
        ),
        ("rewards-infinite", "finite-ordinary", "failed", &["rewards[0] is inf"]),
        (
            "token-length",
            "finite-ordinary",
            "failed",
            &["token advantages has 16 values"],
        ),
        ("scale-nan", "finite-ordinary", "failed", &["advantage_scale[0] is NaN"]),
        (
            "current-weights-length",
            "finite-ordinary",
            "failed",
            &["M = 2", "weights has 1 values"],
        ),
        ("metric-nan", "finite-ordinary", "failed", &["metric number is NaN"]),
        ("state-nan", "state-bytes", "failed", &["number is NaN"]),
        (
            "abort",
            "finite-ordinary",
            "crashed",
            &["ended by signal 6 (abort) before it answered"],
        ),
        (
            "exit",
            "finite-ordinary",
            "crashed",
            &["ended with code 0 before it answered"],
        ),
        ("random", "finite-ordinary", "passed", &[]),
        (
            "random",
            "determinism",
            "failed",
            &["rewards[0] is ", "in two instances"],
        ),
        ("thread-bound", "determinism", "passed", &[]),
        ("thread-bound", "small-stack", "passed", &[]),
        (
            "thread-bound",
            "moved-between-threads",
            "failed",
            &["mixing_weights[0] is 1 and 0.5", "on another thread"],
        ),
        ("deep-stack", "finite-ordinary", "passed", &[]),
        (
            "deep-stack",
            "small-stack",
            "crashed",
            &["its process was ended by signal"],
        ),
        (
            "prints",
            "finite-ordinary",
            "warning",
            &["writes on stdout", "a line of its own"],
        ),
        ("nan-on-equal", "finite-binary", "passed", &[]),
        ("nan-on-equal", "finite-equal-scores", "failed", &["rewards[0] is NaN"]),
        ("huge-weights", "finite-scale-1e5", "passed", &[]),
        ("huge-weights", "finite-scale-1e10", "failed", &["a reward of", "inf"]),
        (
            "needs-two",
            "defaults",
            "skipped",
            &["refuses M = 1: plugin hostile, new: needs at least 2 objectives"],
        ),
        ("needs-two", "finite-ordinary", "passed", &[]),
        (
            "needs-params",
            "defaults",
            "skipped",
            &["M = 1, 2, 3, 4, 5, 6, 7, 8: plugin hostile, new:", "no default"],
        ),
        ("needs-params", "finite-ordinary", "passed", &[]),
        ("needs-params", "unknown-param", "passed", &[]),
        (
            "needs-params",
            "written-defaults",
            "skipped",
            &["its defaults do not build"],
        ),
        ("needs-params", "examples", "passed", &[]),
        ("silent-refusal", "defaults", "failed", &["an error without a message"]),
        ("forgets", "state-bytes", "passed", &[]),
        (
            "forgets",
            "state-mid-run",
            "failed",
            &["scalarize at step 2: rewards[0] is 2 and 1", "a state that was loaded"],
        ),
        (
            "changes-state",
            "state-bytes",
            "failed",
            &["the state changes when it is read back"],
        ),
        (
            "refuses-state",
            "state-mid-run",
            "failed",
            &["cannot be read back", "not this one"],
        ),
        (
            "lenient",
            "unknown-param",
            "failed",
            &["takes the unknown param `no-such-param`"],
        ),
        (
            "lenient",
            "wrong-type",
            "failed",
            &["takes {\"no\":\"value\"}", "`fault`"],
        ),
        (
            "vague",
            "unknown-param",
            "failed",
            &["without naming it: plugin hostile, new: no"],
        ),
        ("vague", "wrong-type", "failed", &["`fault` without naming it"]),
        (
            "wrong-example",
            "examples",
            "failed",
            &["\"weights are 1\"", "weights[1] is 1, expected 0.75"],
        ),
        (
            "unfinished-example",
            "examples",
            "warning",
            &["\"weights are 1\" expects nothing"],
        ),
        ("panic-new", "examples", "skipped", &["it carries no examples"]),
    ] {
        assert_found("HOSTILE_FAULT", fault, case, status, words);
    }
}

#[test]
fn each_fault_of_a_reward_is_found() {
    for (fault, case, status, words) in [
        (
            "none",
            "description",
            "warning",
            &["param `fault` has no doc comment"][..],
        ),
        ("none", "threads", "passed", &[]),
        ("panic-new", "defaults", "crashed", &["new: panicked: told to"]),
        (
            "panic-score",
            "finite-ordinary",
            "crashed",
            &["score_all: panicked: told to"],
        ),
        (
            "error-on-empty",
            "finite-empty",
            "warning",
            &["2 of 2 completions get no score: the response is empty"],
        ),
        ("error-on-empty", "finite-blank", "passed", &[]),
        ("nan", "finite-unicode", "failed", &["the score of completion 0 is NaN"]),
        (
            "length",
            "one-result-each",
            "failed",
            &["1 completions", "0 scores, expected 1"],
        ),
        (
            "random",
            "determinism",
            "failed",
            &["completion 0 is 0 and 64 in two calls"],
        ),
        ("by-place", "determinism", "passed", &[]),
        (
            "by-place",
            "order",
            "failed",
            &["completion 1 is 1 and 0 among others and alone"],
        ),
        ("thread-bound", "order", "passed", &[]),
        (
            "thread-bound",
            "small-stack",
            "failed",
            &["and -1 on the main and on another thread"],
        ),
        ("thread-bound", "threads", "failed", &["from several threads"]),
    ] {
        assert_found("HOSTILE_REWARD_FAULT", fault, case, status, words);
    }
}

#[test]
fn a_hang_costs_its_case_and_three_end_the_waiting() {
    let arguments = ["--json", "--timeout", "1", "--only", "finite-"];
    let outcome = check(&HOSTILE, &arguments, &[("HOSTILE_FAULT", "hang")]);
    assert_eq!(outcome.code, Some(1), "{}", outcome.stderr);
    let all = cases(&outcome.stdout);
    for (index, (_, case, status, reason)) in all.iter().enumerate() {
        let (expected, words) = match index {
            0..3 => ("crashed", "no answer in 1 s"),
            _ => ("skipped", "3 cases before it gave no answer"),
        };
        assert_eq!((status.as_str(), reason.as_str()), (expected, words), "{case}");
    }
    // A hang leaves the other cases as they are. Ten seconds are what a case has unless it is told.
    let arguments = ["--json", "--only", "finite-long-b"];
    let faults = [("HOSTILE_REWARD_FAULT", "hang-on-long")];
    let outcome = check(&HOSTILE, &arguments, &faults);
    for (_, case, status, reason) in cases(&outcome.stdout) {
        assert_eq!(
            (status.as_str(), reason.as_str()),
            ("crashed", "no answer in 10 s"),
            "{case}"
        );
    }
    let arguments = ["--json", "--only", "finite-unicode"];
    let outcome = check(&HOSTILE, &arguments, &faults);
    assert_eq!(outcome.code, Some(0), "{}", outcome.stdout);
}

#[test]
fn a_library_that_ends_the_process_that_opens_it_is_one_crashed_case() {
    let outcome = check(&HOSTILE, &[], &[("HOSTILE_FAULT", "abort-describe")]);
    assert_eq!(outcome.code, Some(1), "{}", outcome.stderr);
    let lines: Vec<&str> = outcome.stdout.lines().collect();
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(
        lines[0].starts_with("crashed  hostile  handshake  – its process was ended by signal 6"),
        "{lines:?}"
    );
    assert_eq!(lines[1], "1 cases: 1 crashed");
}

#[test]
fn what_is_no_plugin_gets_one_line() {
    let folder = tempfile::tempdir().expect("a folder");
    let text = folder.path().join("libtext.so");
    std::fs::write(&text, "moa_plugin_handshake_text, but no library").expect("a file");
    for (library, words) in [
        (
            library::fixture("foreign"),
            "was built for plugin interface 99 (moa-sdk 9.9.9)",
        ),
        (library::fixture("blank"), "is not a moa plugin"),
        (text, "cannot be opened"),
        (folder.path().join("libnothing.so"), "was not found"),
    ] {
        let outcome = check(&library, &[], &[]);
        assert_eq!(outcome.code, Some(2), "{words}: {}", outcome.stdout);
        assert!(outcome.stdout.is_empty(), "{words}: {}", outcome.stdout);
        let lines: Vec<&str> = outcome.stderr.lines().collect();
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert!(lines[0].starts_with("error: ") && lines[0].contains(words), "{lines:?}");
        assert!(lines[1].starts_with("hint: "), "{lines:?}");
    }
}

#[test]
fn the_report_has_a_line_a_case_and_a_summary_and_is_the_same_each_time() {
    let library = library::plugin("linear");
    let text = check(&library, &[], &[]).stdout;
    assert_eq!(text, check(&library, &[], &[]).stdout);
    let json = check(&library, &["--json"], &[]).stdout;
    let all = cases(&json);
    let lines: Vec<&str> = text.lines().collect();
    let (summary, lines) = lines.split_last().expect("a summary");
    assert_eq!(lines.len(), all.len());
    for (line, (plugin, case, status, _)) in lines.iter().zip(&all) {
        let (columns, words) = line.split_once(" – ").expect("a description or a reason");
        let columns: Vec<&str> = columns.split_whitespace().collect();
        assert_eq!(columns, [status, plugin, case]);
        assert!(!words.is_empty());
    }
    let passed = all.iter().filter(|(_, _, status, _)| status == "passed");
    let expected = format!("{} cases: {} passed", all.len(), passed.count());
    assert_eq!(*summary, expected);
    let report: Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!(report["summary"]["skipped"], 0);
    assert_eq!(report["sdk"], env!("CARGO_PKG_VERSION"));
    for case in report["cases"].as_array().expect("cases") {
        assert!(case["about"].as_str().is_some_and(|about| !about.is_empty()), "{case}");
    }

    let none = check(&library, &["--only", "nothing"], &[]);
    assert_eq!(none.code, Some(2));
    assert!(none.stderr.contains("begins with `nothing`"), "{}", none.stderr);
}
