//! First-party rewards as WebAssembly components: built from the same source as the native ones, they give the same
//! scores.

use std::sync::atomic::AtomicUsize;

use crate::support::components::{built_by_cargo, hostile};
use crate::support::host::{built, host_with};
use moa_core::plugin::{Cause, Completion, MeanTokens, Plugins, Score};
use moa_sdk::Rng;
use serde_json::{Value, json};

/// Responses that hold answers in many forms, and pieces that no answer has.
fn responses() -> Vec<String> {
    const PIECES: [&str; 26] = [
        "First, 2 + 3 = 5. Second, it is over.",
        "1. add\n2. halve\n",
        "\\boxed{",
        "}",
        "{",
        "5",
        "12",
        "\\frac{1}{2}",
        "\\tfrac12",
        " ",
        "\n",
        "Step 1: 2 + 3 = 5.",
        "So the answer is",
        "\\fbox{7}",
        "\\boxed 3$",
        "\\sqrt{3}",
        "$",
        "\\text{cm}",
        "^\\circ",
        "\\%",
        "é",
        "\u{fffd}",
        "日本",
        "\\",
        "x=5",
        "0.50",
    ];
    let mut rng = Rng::new(7);
    let mut all: Vec<String> = (0..600)
        .map(|_| {
            let count = rng.below(14);
            (0..count).map(|_| PIECES[rng.below(PIECES.len())]).collect()
        })
        .collect();
    all.push(String::new());
    let clear = "1. Add 2 and 3.\n2. That is 5.\nSo the answer is \\boxed{5}";
    all.extend(vec![clear.to_owned(); 6]); // once for each truth
    all.push("\\boxed{5} ".repeat(20_000));
    all.push("\\boxed{".repeat(2_000));
    all
}

fn bits(scores: Vec<Score>) -> Vec<Result<u32, String>> {
    let word = |score: Score| score.map(f32::to_bits).map_err(|failure| failure.message);
    scores.into_iter().map(word).collect()
}

#[test]
fn the_native_and_the_component_form_give_equal_scores() {
    let folder = built_by_cargo();
    let mut plugins = Plugins::searching(vec![built()]);
    let responses = responses();
    let truths = ["5", "\\frac{1}{2}", "7", "", "\\sqrt3", "x"];
    let completions: Vec<Completion<'_>> = responses
        .iter()
        .enumerate()
        .map(|(i, response)| Completion {
            prompt: "What is it?",
            response,
            ground_truth: truths[i % truths.len()],
            data_source: "test",
            response_tokens: (response.len() / 3) as u32,
            means: Some(MeanTokens {
                running: 20.0,
                batch: 15.5,
                group: (i % 40) as f32,
            }),
            truncated: i % 7 == 0,
            extra: "{\"n\": 1}",
        })
        .collect();
    for (name, params) in [
        ("accuracy", json!({})),
        ("accuracy", json!({ "mode": "math" })),
        ("conciseness", json!({})),
        ("conciseness", json!({ "gated": true })),
        ("clarity", json!({})),
        ("clarity", json!({ "gated": true })),
    ] {
        let native = plugins.reward(name, &params).unwrap();
        let file = folder.join(format!("{name}.wasm"));
        let component = plugins.reward(&file.to_string_lossy(), &params).unwrap();
        assert_eq!(component.name(), native.name());
        assert_eq!(component.performance(), native.performance());
        assert_eq!(component.needs_means(), native.needs_means());
        let done = AtomicUsize::new(0);
        let native = bits(native.score_counted(&completions, &done).unwrap());
        let component = bits(component.score_counted(&completions, &done).unwrap());
        assert_eq!(done.into_inner(), 2 * completions.len());
        let right: usize = native.iter().filter(|score| **score == Ok(1f32.to_bits())).count();
        assert!(
            right > 0,
            "{name}: no completion has a score of 1, so nothing is compared"
        );
        for (i, (native, component)) in native.iter().zip(&component).enumerate() {
            assert_eq!(
                native, component,
                "{name} {params}, completion {i}: {:.200?}",
                responses[i]
            );
        }
    }
}

#[test]
fn a_component_is_inspected_as_a_library_is() {
    let file = crate::support::root().join("examples/reward-text/length.wat");
    let text = Plugins::searching(Vec::new())
        .describe(&file.to_string_lossy())
        .unwrap();
    assert!(text.starts_with("reward "), "{text}");
    for line in ["  file  ", "  about  ", "  validation  ", "  params  "] {
        assert!(text.contains(line), "no {line:?} in {text}");
    }
}

#[test]
fn params_are_checked_by_the_guest_with_the_words_of_the_native_form() {
    let file = built_by_cargo().join("clarity.wasm");
    let mut plugins = Plugins::searching(vec![built()]);
    let wrong = json!({ "gatd": true });
    let component = plugins
        .reward(&file.to_string_lossy(), &wrong)
        .err()
        .unwrap()
        .to_string();
    let native = plugins.reward("clarity", &wrong).err().unwrap().to_string();
    let words = native.split_once(": ").unwrap().1;
    assert!(component.contains(words), "{component} / {native}");
}

#[test]
fn a_panic_of_a_guest_reaches_the_user_with_its_text_and_place() {
    let file = hostile();
    let mut plugins = Plugins::searching(Vec::new());
    let reward = plugins
        .reward(&file.to_string_lossy(), &json!({ "fault": "panic-score" }))
        .unwrap();
    let scores = reward.score_all(&[Completion::default()]).unwrap();
    let Err(failure) = &scores[0] else {
        panic!("{scores:?}");
    };
    assert_eq!(failure.cause, Cause::Trap);
    assert!(failure.message.contains("its last words: panicked at"), "{failure}");
    assert!(failure.message.contains("hostile/src/lib.rs:"), "{failure}");
}

#[test]
fn a_run_scored_by_components_is_the_run_scored_natively() {
    let folder = built_by_cargo();
    let run = |ending: &str| {
        let block = |name: &str, gated: &str| {
            let reward = match ending {
                "" => name.to_owned(),
                ending => folder.join(format!("{name}{ending}")).display().to_string(),
            };
            format!("[[objective]]\nname = \"{name}\"\nreward = \"{reward}\"\n{gated}")
        };
        let config = format!(
            "[train]\nsteps = 3\nrun_dir = \"run\"\n[rollout]\nprompts = 4\ngroup_size = 4\n[validation]\nrows = 20\n\
             [scalarizer]\nname = \"linear\"\n{}{}{}",
            block("accuracy", ""),
            block("conciseness", "params = { gated = true }\n"),
            block("clarity", "params = { gated = true }\n"),
        );
        let outcome = host_with(&["--config", "c.toml", "--quiet"], &[("c.toml", config.as_bytes())]);
        assert_eq!(outcome.code, 0, "{}", outcome.stderr);
        let text = std::fs::read_to_string(outcome.folder.path().join("run/metrics.jsonl")).unwrap();
        let lines: Vec<Value> = text
            .lines()
            .map(|line| {
                let mut line: Value = serde_json::from_str(line).unwrap();
                line.as_object_mut().unwrap().remove("time");
                line
            })
            .collect();
        (
            lines,
            std::fs::read(outcome.folder.path().join("run/model/model.safetensors")).unwrap(),
        )
    };
    let (native, component) = (run(""), run(".wasm"));
    assert_eq!(native.0.len(), 3);
    assert_eq!(native.0, component.0);
    assert!(native.1 == component.1, "the trained weights differ");
}

#[test]
fn scores_are_data_and_the_summary_is_not() {
    let lines = "{\"prompt\":\"p\",\"response\":\"so \\\\boxed{5}\",\"ground_truth\":\"5\"}\n\
                 {\"prompt\":\"p\",\"response\":\"so \\\\boxed{6}\",\"ground_truth\":\"5\"}\n";
    let outcome = host_with(
        &[
            "reward",
            "score",
            "accuracy",
            "--params",
            "{\"mode\":\"string\"}",
            "--input",
            "in.jsonl",
        ],
        &[("in.jsonl", lines.as_bytes())],
    );
    assert_eq!(outcome.code, 0, "{}", outcome.stderr);
    assert_eq!(outcome.stdout, "{\"score\":1.0}\n{\"score\":0.0}\n");
    assert!(
        outcome.stderr.starts_with("accuracy: 2 completions in "),
        "{}",
        outcome.stderr
    );
    assert!(
        outcome.stderr.ends_with("mean 0.5000, min 0, max 1\n"),
        "{}",
        outcome.stderr
    );
    let list = host_with(&["reward", "list"], &[]);
    assert!(list.stdout.contains("reward accuracy\n"), "{}", list.stdout);
    let wrong = host_with(
        &["reward", "score", "accuracy", "--input", "in.jsonl"],
        &[(
            "in.jsonl",
            b"{\"prompt\":\"p\",\"response\":\"r\",\"response_tokens\":-1}\n",
        )],
    );
    assert_eq!(wrong.code, 1, "{}", wrong.stderr);
    let error = "error: row 0: response_tokens is -1, expected a whole number\n";
    assert!(wrong.stderr.starts_with(error), "{}", wrong.stderr);
}
