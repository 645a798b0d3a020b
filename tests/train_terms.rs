//! What a loss and a reward may have beside the scores, through the built binary: entropy bonus, KL in the reward, a
//! steered coefficient, greedy baselines; and that with one objective there is nothing left to scalarize.

use std::fs;

use crate::support::host::{Outcome, host};
use crate::support::library;
use safetensors::SafeTensors;
use serde_json::Value;

/// A short run with these settings on top.
fn run(plugin: &str, settings: &[&str]) -> Outcome {
    let mut arguments = vec!["--plugin", plugin, "--steps", "3", "--run-dir", "run", "--quiet"];
    let small = ["validation.rows=4", "rollout.prompts=4", "rollout.max_new_tokens=48"];
    for setting in small.iter().chain(settings) {
        arguments.extend(["--set", setting]);
    }
    host(&arguments)
}

fn metric(outcome: &Outcome, name: &str) -> Vec<f64> {
    assert_eq!(outcome.code, 0, "{}", outcome.stderr);
    let text = fs::read_to_string(outcome.folder.path().join("run/metrics.jsonl")).unwrap();
    let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines
        .map(|line| line[name].as_f64().unwrap_or_else(|| panic!("{name} in {line}")))
        .collect()
}

/// All weights of the trained model, one after the other.
fn weights(outcome: &Outcome) -> Vec<f32> {
    assert_eq!(outcome.code, 0, "{}", outcome.stderr);
    let bytes = fs::read(outcome.folder.path().join("run/model/model.safetensors")).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let mut names = tensors.names();
    names.sort_unstable();
    let numbers = |name: &&str| -> Vec<f32> {
        let data = tensors.tensor(name).unwrap().data().to_vec();
        data.chunks_exact(4)
            .map(|b| f32::from_le_bytes(b.try_into().unwrap()))
            .collect()
    };
    names.iter().flat_map(numbers).collect()
}

fn largest_difference(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).fold(0.0, |most, (a, b)| most.max((a - b).abs()))
}

/// What a method does with one objective.
#[derive(Debug)]
enum Alone {
    /// The same advantages and gradients, bit for bit.
    Same,
    /// The same but for rounding: the estimator takes out a factor that the method has put in.
    Rounding,
}

/// One objective leaves nothing to scalarize: plain GRPO on that reward's scores.
#[test]
fn one_objective_gives_the_numbers_of_a_run_without_a_scalarizer() {
    // An ε of Adam's that is large beside gradients: a gradient that is 0 but for rounding does not turn into a step of
    // the full learning rate.
    let settings = [
        "objective=[{name=\"short\", reward=\"conciseness\"}]",
        "optimizer.eps=1.0",
        "optimizer.lr=0.1",
        "optimizer.warmup=0",
        "logging.samples=16",
    ];
    let plain = run("linear", &settings);
    // What linear trains on is the score itself.
    let samples = fs::read_to_string(plain.folder.path().join("run/samples.jsonl")).unwrap();
    let mut rewards = Vec::new();
    for line in samples.lines() {
        let sample: Value = serde_json::from_str(line).unwrap();
        assert_eq!(sample["reward"], sample["scores"][0]);
        rewards.push(sample["reward"].as_f64().unwrap());
    }
    assert!(rewards.contains(&0.0) && rewards.contains(&1.0), "{rewards:?}");
    let plain = weights(&plain);
    let still = weights(&run("linear", &[&settings[..], &["optimizer.lr=1e-12"]].concat()));
    let moved = largest_difference(&plain, &still);
    assert!(moved > 1e-4, "three steps move a weight by {moved}");

    for (library, name) in library::scalarizers() {
        let alone = match name.as_str() {
            "linear" | "tchebycheff" | "hypervolume" | "gradient" | "dynamic" => Alone::Same,
            "lagrangian" | "gradnorm" | "mgda" | "pama" => Alone::Same,
            "upgrad" | "dualproj" | "cagrad" | "pcgrad" | "nash-mtl" | "fairgrad" | "aligned-mtl" => Alone::Same,
            "imtl-g" | "config" | "pcd" | "gdpo" | "mo-grpo" | "rvpo" | "dvao" | "gd2po" => Alone::Same,
            "stch" | "constrained-grpo" | "saw" | "sa-mrpo" | "famo" => Alone::Same,
            // w s with a growing w: the group's standard deviation takes w out again
            "ctwa" => Alone::Rounding,
            other => panic!("say here what `{other}` does with one objective"),
        };
        let chosen = format!("scalarizer.name={name}");
        let settings: Vec<&str> = settings.iter().copied().chain([chosen.as_str()]).collect();
        let difference = largest_difference(&plain, &weights(&run(&library, &settings)));
        match alone {
            Alone::Same => assert_eq!(difference, 0.0, "{name}"),
            Alone::Rounding => assert!(difference < 1e-6, "{name}: {difference}"),
        }
    }
}

#[test]
fn an_entropy_bonus_keeps_the_entropy_up() {
    let last = |coefficient: &str| {
        let setting = format!("algorithm.entropy={coefficient}");
        let run = run("linear", &[&setting, "optimizer.warmup=0", "optimizer.lr=3e-3"]);
        metric(&run, "policy/entropy").pop().unwrap()
    };
    let (without, with) = (last("0"), last("1"));
    assert!(with > without + 0.05, "{without} without, {with} with an entropy bonus");
}

const IN_REWARD: &[&str] = &["algorithm.kl.placement=reward", "algorithm.kl.coefficient=0.5"];

#[test]
fn kl_in_the_reward_is_steered_to_its_target() {
    // Far below any KL: the error is clipped to 0.2, and 32 completions of a horizon of 32 make a factor of 1.2.
    let far = [
        "algorithm.kl.target=1e-9",
        "algorithm.kl.horizon=32",
        "optimizer.warmup=0",
        "optimizer.lr=3e-3",
    ];
    let adaptive = run("linear", &[IN_REWARD, &far].concat());
    let kl = metric(&adaptive, "policy/kl");
    assert!(
        kl[0].abs() < 1e-6 && kl[2] > 1e-4,
        "the first policy is the reference: {kl:?}"
    );
    let coefficient = metric(&adaptive, "policy/kl_coefficient");
    let growth = coefficient[2] / coefficient[1];
    assert!(coefficient[0] == 0.5 && (growth - 1.2).abs() < 1e-9, "{coefficient:?}");
    // In the loss, too; and a fixed coefficient stays.
    let in_loss = run("mgda", &[&["algorithm.kl.coefficient=0.5"], &far[..]].concat());
    let coefficient = metric(&in_loss, "policy/kl_coefficient");
    assert!((coefficient[2] / coefficient[1] - 1.2).abs() < 1e-9, "{coefficient:?}");
    let fixed = run("linear", &[IN_REWARD, &far[2..]].concat());
    assert_eq!(metric(&fixed, "policy/kl_coefficient"), [0.5; 3]);
    let without = weights(&run("linear", &far[2..]));
    assert!(
        largest_difference(&weights(&fixed), &without) > 1e-5,
        "the penalty changes the run"
    );
}

#[test]
fn kl_in_the_reward_needs_a_reward() {
    for plugin in ["mgda", "lagrangian"] {
        let refused = run(plugin, IN_REWARD);
        assert_eq!(refused.code, 2, "{}", refused.stderr);
        let named = refused
            .stderr
            .contains(&format!("scalarizer `{plugin}` returns weights on"));
        assert!(
            named && refused.stderr.contains("algorithm.kl.placement"),
            "{}",
            refused.stderr
        );
        assert!(
            refused.stderr.contains("hint: set algorithm.kl.placement to \"loss\""),
            "{}",
            refused.stderr
        );
    }
}

#[test]
fn remax_compares_with_greedy_completions() {
    let remax = ["algorithm.estimator=remax"];
    let trained = run("linear", &remax);
    assert!(weights(&trained) != weights(&run("linear", &["algorithm.estimator=dr-grpo"])));
    // per-objective advantages have a greedy baseline each
    assert_eq!(run("mgda", &remax).code, 0);
    let refused = run("tchebycheff", &remax);
    assert_eq!(refused.code, 2, "{}", refused.stderr);
    assert!(
        refused.stderr.contains("scalarizer `tchebycheff` returns rewards")
            && refused.stderr.contains("greedy completions"),
        "{}",
        refused.stderr
    );
}
