//! Settings that cannot work are refused before anything is loaded or written; defaults follow what is trained; and what
//! `sft` takes.

use std::fs;

use serde_json::{Value, json};

use crate::support::host::{host, host_with};

#[test]
fn settings_that_do_not_go_together_are_refused_before_the_run() {
    let reward_kl: &[&str] = &[
        "--set",
        "algorithm.kl.placement=reward",
        "--set",
        "algorithm.kl.coefficient=0.1",
    ];
    let remax: &[&str] = &["--set", "algorithm.estimator=remax"];
    let passk: &[&str] = &[
        "--set",
        "algorithm.estimator=grpo-passk",
        "--set",
        "rollout.group_size=1",
    ];
    for (plugin, more, words) in [
        ("mgda", reward_kl, "algorithm.kl.placement"),
        ("pama", reward_kl, "algorithm.kl.placement"),
        ("tchebycheff", remax, "algorithm.estimator"),
        ("linear", passk, "rollout.group_size"),
    ] {
        let ran = host(&[&["--plugin", plugin, "--steps", "1", "--run-dir", "run"], more].concat());
        assert_eq!(ran.code, 2, "{plugin}: {}", ran.stderr);
        assert!(
            ran.stderr.contains(words) && ran.stderr.contains("hint: "),
            "{plugin}: {}",
            ran.stderr
        );
        assert!(
            !ran.folder.path().join("run").exists(),
            "{plugin}: a run folder was made"
        );
    }
    // What does go together runs.
    for (plugin, more) in [("linear", reward_kl), ("linear", remax)] {
        let small = [
            "--steps",
            "1",
            "--set",
            "validation.rows=2",
            "--set",
            "rollout.prompts=2",
        ];
        let ran = host(&[&["--plugin", plugin], &small[..], more].concat());
        assert_eq!(ran.code, 0, "{plugin}: {}", ran.stderr);
    }
}

#[test]
fn defaults_follow_what_is_trained_and_say_why() {
    let rate = |model: &[&str]| host(&[&["config", "explain", "optimizer.lr"], model].concat());
    let embedded = rate(&[]);
    assert!(
        embedded.stdout.starts_with("optimizer.lr = 0.0003"),
        "{}",
        embedded.stdout
    );
    let real = rate(&["--model", "some/model"]);
    assert_eq!(real.code, 0, "{}", real.stderr);
    for words in [
        "optimizer.lr = 0.000001",
        "configs/model.toml:",
        "because  TRL's and verl's",
    ] {
        assert!(real.stdout.contains(words), "{words:?} is missing: {}", real.stdout);
    }
    let lora = rate(&["--model", "some/model", "--set", "model.lora.rank=8"]);
    assert!(lora.stdout.starts_with("optimizer.lr = 0.00001\n"), "{}", lora.stdout);
    let kl = host(&["config", "explain", "algorithm.kl.coefficient", "--model", "some/model"]);
    assert!(
        kl.stdout.starts_with("algorithm.kl.coefficient = 0.001"),
        "{}",
        kl.stdout
    );
}

/// A policy that runs away from its reference, on the embedded model, with a rate that does it in a few steps.
#[test]
fn a_policy_that_runs_away_is_said_once() {
    let ran = host(&[
        "--plugin",
        "linear",
        "--steps",
        "6",
        "--set",
        "optimizer.lr=0.01",
        "--set",
        "optimizer.schedule=constant",
        "--set",
        "algorithm.kl.coefficient=0.0001",
        "--set",
        "validation.rows=8",
        "--set",
        "validation.every=0",
    ]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let warnings: Vec<&str> = ran
        .stderr
        .lines()
        .filter(|line| line.contains("nats a token away"))
        .collect();
    assert!(
        warnings.len() == 1 && warnings[0].contains("lower optimizer.lr"),
        "{}",
        ran.stderr
    );
}

#[test]
fn sft_takes_what_trainers_take() {
    let arguments = [
        "sft",
        "--out",
        "out",
        "--steps",
        "2",
        "--set",
        "sft.batch=2",
        "--set",
        "optimizer.warmup=0",
        "--set",
        "sft.data=rows.jsonl",
    ];
    let user = json!({"role": "user", "content": "2 + 2?"});
    let answer = json!({"role": "assistant", "content": "4"});
    let losses: Vec<Value> = [
        json!({"prompt": [user], "response": "4"}),
        json!({"prompt": [user], "completion": [answer]}),
        json!({"messages": [user, answer]}),
        json!({"question": "2 + 2?", "answer": "4"}),
        json!({"instruction": "2 + 2?", "output": "4"}),
    ]
    .iter()
    .map(|row| {
        let ran = host_with(&arguments, &[("rows.jsonl", format!("{row}\n").as_bytes())]);
        assert_eq!(ran.code, 0, "{row}: {}", ran.stderr);
        let lines = fs::read_to_string(ran.folder.path().join("out.metrics.jsonl")).unwrap();
        let line: Value = serde_json::from_str(lines.lines().next().unwrap()).unwrap();
        line["loss"].clone()
    })
    .collect();
    assert!(losses.iter().all(|loss| *loss == losses[0]), "{losses:?}");
    let ran = host_with(&arguments, &[("rows.jsonl", b"{\"text\": \"2 + 2 is 4.\"}\n")]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
}
