//! What a user's mistake gets: one clear error with a hint, the right exit code, and nothing half-written.

use std::fs;

use crate::support::host::{Outcome, host, host_with};
use crate::support::root;

/// Asserts an error: exit code, words of the message, a hint, and an untouched working folder.
fn assert_refused(outcome: &Outcome, code: i32, words: &[&str]) {
    assert_eq!(outcome.code, code, "stderr: {}", outcome.stderr);
    let errors: Vec<&str> = outcome.stderr.lines().filter(|l| l.starts_with("error: ")).collect();
    assert_eq!(errors.len(), 1, "one error line expected: {}", outcome.stderr);
    for word in words {
        assert!(outcome.stderr.contains(word), "{word:?} is missing: {}", outcome.stderr);
    }
    assert!(
        outcome.stderr.lines().any(|l| l.starts_with("hint: ")),
        "no hint: {}",
        outcome.stderr
    );
    assert!(!outcome.stderr.contains("panicked"), "{}", outcome.stderr);
    assert!(outcome.stdout.is_empty(), "stdout is data: {}", outcome.stdout);
    assert!(
        !outcome.folder.path().join("runs").exists(),
        "a run folder was left behind"
    );
}

#[test]
fn no_such_plugin() {
    let outcome = host(&["--plugin", "ctva"]);
    assert_refused(&outcome, 2, &["ctva", "libctva.so", "ctwa"]);
    let outcome = host(&["--plugin", "elsewhere/libnothing.so"]);
    assert_refused(&outcome, 2, &["elsewhere/libnothing.so"]);
}

#[test]
fn a_misspelt_key_names_the_nearest() {
    let outcome = host(&["--set", "rollout.group_sise=4"]);
    assert_refused(&outcome, 2, &["rollout.group_sise", "group_size"]);
}

#[test]
fn a_misspelt_key_in_a_file_has_its_line() {
    let outcome = host_with(
        &["--config", "mine.toml"],
        &[("mine.toml", b"# mine\n[optimizer]\nlearning_rat = 1e-3\n")],
    );
    assert_refused(&outcome, 2, &["mine.toml", "3", "learning_rat"]);
}

#[test]
fn a_missing_config_file() {
    assert_refused(&host(&["--config", "nowhere.toml"]), 2, &["nowhere.toml"]);
}

#[test]
fn weights_that_do_not_sum_to_one() {
    let outcome = host(&["--plugin", "ctwa", "--set", "scalarizer.weights=[0.5, 0.5, 0.5]"]);
    assert_refused(&outcome, 2, &["ctwa", "1.5"]);
}

#[test]
fn more_objectives_than_weights() {
    let outcome = host(&["--plugin", "ctwa", "--set", "scalarizer.weights=[0.5, 0.5]"]);
    assert_refused(&outcome, 2, &["weights", "2", "3"]);
}

#[test]
fn a_misspelt_param_of_a_plugin() {
    let outcome = host(&["--plugin", "ctwa", "--set", "scalarizer.weight_lrr=0.1"]);
    assert_refused(&outcome, 2, &["weight_lrr", "weight_lr"]);
}

#[test]
fn a_parquet_file_without_prompts() {
    let outcome = host_with(
        &["--plugin", "ctwa", "--set", "data.train=rows.jsonl"],
        &[("rows.jsonl", b"{\"question\": \"1 + 1?\", \"ground_truth\": \"2\"}\n")],
    );
    assert_refused(&outcome, 1, &["rows.jsonl", "prompt", "question"]);
    let file = root().join("data/tiny-math/train.parquet");
    let set = format!("data.train={}", file.display());
    let outcome = host(&["--plugin", "ctwa", "--set", &set, "--set", "data.prompt_key=question"]);
    assert_refused(&outcome, 1, &["train.parquet", "question", "prompt"]);
}

#[test]
fn a_row_without_ground_truth() {
    let rows: &[u8] = b"{\"prompt\": \"1 + 1?\", \"ground_truth\": \"2\"}\n{\"prompt\": \"2 + 2?\"}\n";
    let outcome = host_with(
        &["--plugin", "ctwa", "--set", "data.train=rows.jsonl"],
        &[("rows.jsonl", rows)],
    );
    assert_refused(&outcome, 1, &["rows.jsonl", "2", "ground_truth"]);
}

#[test]
fn a_model_folder_without_tokenizer_or_of_an_unknown_architecture() {
    let source = root().join("tests/golden/model/qwen2");
    let config = fs::read(source.join("config.json")).unwrap();
    let weights = fs::read(source.join("model.safetensors")).unwrap();
    let outcome = host_with(
        &["--plugin", "ctwa", "--model", "m"],
        &[("m/config.json", &config), ("m/model.safetensors", &weights)],
    );
    assert_refused(&outcome, 1, &["tokenizer.json"]);

    let other = String::from_utf8(config)
        .unwrap()
        .replace("Qwen2ForCausalLM", "MambaForCausalLM")
        .replace("qwen2", "mamba");
    let outcome = host_with(
        &["--plugin", "ctwa", "--model", "m"],
        &[("m/config.json", other.as_bytes()), ("m/model.safetensors", &weights)],
    );
    assert_refused(&outcome, 1, &["MambaForCausalLM", "Qwen2ForCausalLM"]);
}

#[test]
fn a_gguf_cut_short() {
    // Magic, version 3, one tensor, one key, and then nothing.
    let mut file = b"GGUF".to_vec();
    file.extend(3u32.to_le_bytes());
    file.extend(1u64.to_le_bytes());
    file.extend(1u64.to_le_bytes());
    let outcome = host_with(&["--plugin", "ctwa", "--model", "short.gguf"], &[("short.gguf", &file)]);
    assert_refused(&outcome, 1, &["short.gguf"]);
    // A count that no file can hold must not be believed.
    file[8..16].copy_from_slice(&u64::MAX.to_le_bytes());
    let outcome = host_with(&["--plugin", "ctwa", "--model", "huge.gguf"], &[("huge.gguf", &file)]);
    assert_refused(&outcome, 1, &["huge.gguf"]);
}

#[test]
fn a_run_folder_that_is_in_use() {
    let outcome = host_with(
        &["--plugin", "ctwa", "--run-dir", "mine"],
        &[("mine/notes.txt", b"keep me")],
    );
    assert_eq!(outcome.code, 2, "{}", outcome.stderr);
    assert!(
        outcome.stderr.contains("mine") && outcome.stderr.contains("--run-dir"),
        "{}",
        outcome.stderr
    );
    assert_eq!(
        fs::read(outcome.folder.path().join("mine/notes.txt")).unwrap(),
        b"keep me"
    );
    assert_eq!(fs::read_dir(outcome.folder.path().join("mine")).unwrap().count(), 1);
}

#[test]
fn unknown_options_are_usage_errors() {
    let outcome = host(&["train", "--stepz", "3"]);
    assert_eq!(outcome.code, 2);
    assert!(
        outcome.stderr.contains("--stepz") && outcome.stderr.contains("--steps"),
        "{}",
        outcome.stderr
    );
}
