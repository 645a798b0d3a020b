//! `report` and `compare` on run folders: the same folder makes the same page, hostile texts in it do no harm, and runs
//! that are not comparable are refused.

use std::{fs, path::Path, sync::OnceLock};

use serde_json::Value;

use crate::support::host::host_in;
use crate::support::run::{copy, late, late_library, words};
use tempfile::TempDir;

/// Two short runs of `late` that differ in the seed, `run-0` and `run-1`, and one with another learning rate, `fast-0`.
fn runs() -> &'static Path {
    static RUNS: OnceLock<TempDir> = OnceLock::new();
    let folder = RUNS.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let library = late_library();
        for (name, seed, lr) in [
            ("run-0", "0", "0.0003"),
            ("run-1", "1", "0.0003"),
            ("fast-0", "0", "0.003"),
        ] {
            let lr = format!("optimizer.lr={lr}");
            let more = ["--steps", "2", "--seed", seed, "--set", &lr, "--run-dir", name];
            let arguments: Vec<String> = late(&library, &more);
            // The last --run-dir is an error for clap: take the first one out.
            let place = arguments.iter().position(|word| word == "--run-dir").unwrap();
            let arguments = [&arguments[..place], &arguments[place + 2..]].concat();
            let ran = host_in(folder.path(), &words(&arguments));
            assert_eq!(ran.code, 0, "{}", ran.stderr);
            assert!(ran.stderr.contains("report in"), "{}", ran.stderr);
        }
        folder
    });
    folder.path()
}

#[test]
fn the_same_run_folder_makes_the_same_page_and_nothing_in_it_is_obeyed() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    copy(&runs().join("run-0"), &run);
    let made = || {
        let ran = host_in(folder.path(), &["report", "run"]);
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        fs::read_to_string(run.join("report.html")).unwrap()
    };
    assert_eq!(made(), made());
    for name in ["objectives.csv", "validations.csv", "metrics.csv", "front-volume.svg"] {
        assert!(run.join("report").join(name).is_file(), "{name}");
    }
    // Every response becomes one that tries to get out.
    let hostile = "</pre></script><script>alert(1)</script>\u{1b}[31m\u{202e}\" onload=x";
    let path = run.join("validation_responses.jsonl");
    let lines: Vec<String> = fs::read_to_string(&path)
        .unwrap()
        .lines()
        .map(|line| {
            let mut line: Value = serde_json::from_str(line).unwrap();
            line["response"] = hostile.into();
            line["prompt"] = hostile.into();
            line["ground_truth"] = hostile.into();
            line.to_string() + "\n"
        })
        .collect();
    fs::write(&path, lines.concat()).unwrap();
    let page = made();
    assert!(page.contains("&lt;script&gt;alert(1)"), "the text itself is shown");
    for bad in ["<script", "\u{1b}", "\u{202e}", "src=", "@import", "url(", "NaN"] {
        assert!(!page.contains(bad), "the page holds {bad:?}");
    }
    assert!(page.contains("default-src 'none'"));
    // The only address is the name of SVG's namespace.
    assert_eq!(
        page.matches("http").count(),
        page.matches("http://www.w3.org/2000/svg").count() + page.matches("http-equiv").count()
    );
}

#[test]
fn seeds_are_one_group_and_what_differs_names_it() {
    let ran = host_in(runs(), &["compare", "run-0", "run-1", "fast-0", "--format", "json"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let table: Value = serde_json::from_str(&ran.stdout).unwrap();
    let groups = table["groups"].as_array().unwrap();
    let named: Vec<_> = groups
        .iter()
        .map(|g| (g["group"].as_str().unwrap(), g["seeds"].to_string()))
        .collect();
    assert_eq!(
        named,
        [
            ("optimizer.lr=0.0003", "[0,1]".to_owned()),
            ("optimizer.lr=0.003", "[0]".to_owned())
        ]
    );
    // The mean is that of the two tests.
    let test = |run: &str| -> f64 {
        let text = fs::read_to_string(runs().join(run).join("test.json")).unwrap();
        let test: Value = serde_json::from_str(&text).unwrap();
        test["performance"]
            .as_object()
            .unwrap()
            .values()
            .next()
            .unwrap()
            .as_f64()
            .unwrap()
    };
    let mean = groups[0]["objectives"][0]["over_seeds"]["mean"].as_f64().unwrap();
    assert!((mean - (test("run-0") + test("run-1")) / 2.0).abs() < 1e-12);
    // Three seeds dealt to groups of two and one: p cannot be below 2/3.
    let over_seeds = &table["tests"][0]["over_seeds"];
    assert!(
        (over_seeds["p_least"].as_f64().unwrap() - 2.0 / 3.0).abs() < 1e-12,
        "{over_seeds}"
    );
    for format in ["markdown", "csv", "latex"] {
        let ran = host_in(runs(), &["compare", "run-0", "run-1", "--format", format]);
        assert_eq!(ran.code, 0, "{format}: {}", ran.stderr);
        assert!(ran.stdout.contains("conciseness"), "{}", ran.stdout);
    }
}

#[test]
fn what_cannot_be_compared_is_refused_or_left_out_with_a_reason() {
    let folder = tempfile::tempdir().unwrap();
    for (from, to) in [("run-0", "run-0"), ("run-0", "twin"), ("run-1", "stopped")] {
        copy(&runs().join(from), &folder.path().join(to));
    }
    let twice = host_in(folder.path(), &["compare", "run-0", "twin"]);
    assert_eq!(twice.code, 2);
    assert!(
        twice
            .stderr
            .contains("run-0 and twin have the same settings and the same seed 0"),
        "{}",
        twice.stderr
    );

    let path = folder.path().join("stopped/run.json");
    let text = fs::read_to_string(&path)
        .unwrap()
        .replace("\"end\": \"finished\"", "\"end\": {\"failed\": \"a reason\"}");
    fs::write(&path, text).unwrap();
    let left_out = host_in(folder.path(), &["compare", "run-0", "stopped"]);
    assert_eq!(left_out.code, 0, "{}", left_out.stderr);
    assert!(
        left_out.stdout.contains("Left out: stopped: it failed: a reason."),
        "{}",
        left_out.stdout
    );

    let none = host_in(folder.path(), &["compare", "nowhere"]);
    assert_eq!(none.code, 2);
    assert!(none.stderr.contains("nowhere is not a run folder"), "{}", none.stderr);
}
