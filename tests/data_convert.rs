//! `data convert`: the hub's files to the papers' layout, with the papers' splits; what is wrong with a file. The
//! problems are made up.

use std::fs;
use std::path::Path;

use crate::support::host::{Outcome, host_with};
use moa_core::data::{Keys, PromptText, Row, read_rows, write_parquet};
use serde_json::{Value, json};

const ASK: &str = "Let's think step by step and output the final answer within \\boxed{}.";

fn lines(rows: impl IntoIterator<Item = Value>) -> Vec<u8> {
    rows.into_iter()
        .map(|row| format!("{row}\n"))
        .collect::<String>()
        .into_bytes()
}

fn math500(rows: std::ops::Range<usize>) -> Vec<u8> {
    lines(rows.map(|i| {
        json!({
            "problem": format!("What is {i} + 1?"), "solution": format!("It is $\\boxed{{{}}}$.", i + 1),
            "answer": (i + 1).to_string(), "subject": "Prealgebra", "level": 1 + i % 5, "unique_id": format!("made-up/{i}.json"),
        })
    }))
}

fn good(arguments: &[&str], files: &[(&str, &[u8])]) -> Outcome {
    let outcome = host_with(arguments, files);
    assert_eq!((outcome.code, outcome.stdout.as_str()), (0, ""), "{}", outcome.stderr);
    outcome
}

/// The rows of a written split.
fn split(outcome: &Outcome, name: &str) -> Vec<Row> {
    read(&outcome.folder.path().join("out").join(format!("{name}.parquet")))
}

fn read(path: &Path) -> Vec<Row> {
    read_rows(
        path,
        &Keys {
            require_ground_truth: true,
            ..Keys::default()
        },
    )
    .unwrap_or_else(|error| panic!("{error}"))
}

fn prompt(row: &Row) -> &str {
    match &row.prompt {
        PromptText::Messages(messages) if messages.len() == 1 && messages[0].role == "user" => &messages[0].content,
        other => panic!("not one user message: {other:?}"),
    }
}

fn extra(row: &Row) -> Value {
    serde_json::from_str(&row.extra).expect("extra is JSON")
}

fn refused(arguments: &[&str], files: &[(&str, &[u8])], words: &[&str]) {
    let outcome = host_with(arguments, files);
    assert_eq!(outcome.code, 1, "{}", outcome.stderr);
    for word in words {
        assert!(outcome.stderr.contains(word), "{word:?} is missing: {}", outcome.stderr);
    }
    assert!(outcome.stderr.contains("\nhint: "), "{}", outcome.stderr);
    assert!(
        !outcome.folder.path().join("out").exists(),
        "half a data set was written"
    );
}

#[test]
fn math500_has_the_papers_rows_in_the_papers_splits() {
    let outcome = good(
        &["data", "convert", "math500", "test.jsonl", "--out", "out"],
        &[("test.jsonl", &math500(0..500))],
    );
    let [train, val, test] = ["train", "val", "test"].map(|name| split(&outcome, name));
    assert_eq!((train.len(), val.len(), test.len()), (300, 100, 100));
    assert!(outcome.stderr.contains("train.parquet, 300 rows"), "{}", outcome.stderr);

    // datasets 4: d.train_test_split(test_size=0.4, seed=42) of range(500), and its test part with 0.5 and 42 again:
    // numpy.random.default_rng(42).permutation(500)[200:], and [:200][default_rng(42).permutation(200)]
    let rows = |rows: &[Row]| -> Vec<usize> {
        let number = |row: &Row| row.ground_truth.parse::<usize>().expect("a number") - 1;
        rows.iter().map(number).collect()
    };
    assert_eq!(rows(&train)[..4], TRAIN);
    assert_eq!(rows(&val)[..4], VAL);
    assert_eq!(rows(&test)[..4], TEST);
    let mut all = [rows(&train), rows(&val), rows(&test)].concat();
    all.sort_unstable();
    assert!(all.into_iter().eq(0..500), "a row is missing or twice");

    let row = &val[3];
    let i = VAL[3];
    assert_eq!(prompt(row), format!("What is {i} + 1? {ASK}"));
    assert_eq!(row.data_source, "HuggingFaceH4/MATH-500");
    let expected = json!({
        "solution": format!("It is $\\boxed{{{}}}$.", i + 1), "subject": "Prealgebra", "level": 1 + i % 5,
        "unique_id": format!("made-up/{i}.json"), "ability": "math", "reward_model": {"style": "rule"},
        "extra_info": {"index": 3, "split": "val"},
    });
    assert_eq!(extra(row), expected);
}

const TRAIN: [usize; 4] = [345, 3, 337, 498];
const VAL: [usize; 4] = [370, 376, 479, 397];
const TEST: [usize; 4] = [202, 321, 466, 373];

#[test]
fn a_seed_moves_rows_and_repeats() {
    let file = math500(0..20);
    let run = |seed: &str| {
        let outcome = good(
            &["data", "convert", "math500", "a.jsonl", "--out", "out", "--seed", seed],
            &[("a.jsonl", &file)],
        );
        ["train", "val", "test"]
            .map(|name| fs::read(outcome.folder.path().join(format!("out/{name}.parquet"))).expect("a file"))
    };
    assert_eq!(run("1"), run("1"));
    assert_ne!(run("1"), run("2"));
}

fn math(i: usize, subject: &str, solution: &str) -> Value {
    json!({"problem": format!("Problem {i}"), "level": "Level 2", "type": subject, "solution": solution})
}

#[test]
fn math_lighteval_takes_algebra_and_halves_the_test_file() {
    let train = lines([
        math(
            0,
            "Algebra",
            "One. $\\boxed{1}$ Or rather \\boxed{\\frac{1}{\\sqrt{2}}}.",
        ),
        math(1, "Geometry", "no answer, and nobody asks"),
        math(2, "Algebra", "So \\boxed{ x \\in \\{1, 2\\} }."),
        math(3, "Algebra", "So $\\boxed 7$."),
    ]);
    let test = lines((10..15).map(|i| math(i, "Algebra", &format!("\\boxed{{{i}}}"))));
    let arguments = [
        "data",
        "convert",
        "math-lighteval",
        "train.jsonl",
        "--test",
        "test.jsonl",
        "--out",
        "out",
    ];
    let outcome = good(&arguments, &[("train.jsonl", &train), ("test.jsonl", &test)]);
    let truths = |name: &str| {
        split(&outcome, name)
            .into_iter()
            .map(|row| row.ground_truth)
            .collect::<Vec<_>>()
    };
    assert_eq!(truths("train"), ["\\frac{1}{\\sqrt{2}}", " x \\in \\{1, 2\\} ", "7"]);
    assert_eq!(truths("val"), ["10", "11"]);
    assert_eq!(truths("test"), ["12", "13", "14"]);
    let row = &split(&outcome, "train")[1];
    assert_eq!(prompt(row), format!("Problem 2 {ASK}"));
    assert_eq!(row.data_source, "DigitalLearningGmbH/MATH-lighteval");
    let expected = json!({
        "level": "Level 2", "type": "Algebra", "ability": "math", "reward_model": {"style": "rule"},
        "extra_info": {"index": 1, "split": "train"},
    });
    assert_eq!(extra(row), expected);

    let arguments = [&arguments[..], &["--subject", "geometry"]].concat();
    refused(
        &arguments,
        &[("train.jsonl", &train), ("test.jsonl", &test)],
        &["train.jsonl: line 2", "`solution`", "\\boxed"],
    );
}

#[test]
fn gsm8k_takes_the_number_after_the_mark_also_from_parquet() {
    let rows: Vec<Row> = (0..6)
        .map(|i| Row {
            index: i,
            // a written file always has a prompt column; the hub's has none, and nobody reads this one
            prompt: PromptText::Text("unused".to_owned()),
            ground_truth: String::new(),
            data_source: String::new(),
            extra:
                json!({"question": format!("How many? {i}"), "answer": format!("Many: <<1000+{i}>>.\n#### 1,00{i} ")})
                    .to_string(),
            response: None,
            truth_column: None,
        })
        .collect();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("train.parquet");
    write_parquet(&file, &rows).unwrap_or_else(|error| panic!("{error}"));
    let file = file.to_string_lossy();
    let outcome = good(&["data", "convert", "gsm8k", &file, "--out", "out"], &[]);
    let mut all: Vec<Row> = ["train", "val", "test"]
        .iter()
        .flat_map(|name| split(&outcome, name))
        .collect();
    assert_eq!(all.len(), 6);
    all.sort_by(|a, b| a.ground_truth.cmp(&b.ground_truth));
    for (i, row) in all.iter().enumerate() {
        assert_eq!(row.ground_truth, format!("100{i}"));
        assert_eq!(prompt(row), format!("How many? {i} {ASK}"));
        assert_eq!(row.data_source, "openai/gsm8k");
        assert_eq!(extra(row)["solution"], format!("Many: <<1000+{i}>>.\n#### 1,00{i} "));
    }
}

#[test]
fn a_file_that_does_not_fit_is_named_with_row_and_field() {
    let convert = |name: &'static str| ["data", "convert", name, "a.jsonl", "--out", "out"];
    let three = math500(0..3);
    refused(
        &convert("gsm8k"),
        &[("a.jsonl", &three)],
        &["a.jsonl: line 1", "`question`", "gsm8k", "convert math500"],
    );
    let mut broken = three.clone();
    broken.extend(lines([json!({"problem": "p", "answer": 5})]));
    refused(
        &convert("math500"),
        &[("a.jsonl", &broken)],
        &["line 4", "`answer` is int, expected text"],
    );
    let none = lines([json!({"question": "q", "answer": "five"})]);
    refused(
        &convert("gsm8k"),
        &[("a.jsonl", &none)],
        &["line 1", "`answer` has no answer", "####"],
    );
    let open = lines([math(0, "Algebra", "cut short: \\boxed{1")]);
    refused(
        &convert("math-lighteval"),
        &[("a.jsonl", &open)],
        &["line 1", "`solution`", "closed"],
    );
    let geometry = lines([math(0, "Geometry", "\\boxed{1}")]);
    refused(
        &convert("math-lighteval"),
        &[("a.jsonl", &geometry)],
        &["subject \"Algebra\"", "`Geometry`"],
    );
    refused(
        &convert("math500"),
        &[("a.jsonl", &math500(0..2))],
        &["found 2, expected at least 3"],
    );
    refused(&convert("math500"), &[], &["a.jsonl: cannot be read"]);
    let one = [&convert("math500")[..], &["--test", "a.jsonl"]].concat();
    refused(&one, &[("a.jsonl", &math500(0..1))], &["found 1, expected at least 2"]);
}
