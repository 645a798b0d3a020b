//! What a run measures: definitions (name, unit, direction, formula) and where the numbers go.

pub mod interference;

mod progress;
mod record;

use std::fmt::Write;

pub use progress::Progress;
pub use record::{JsonLines, Numbers, Record};
use serde::{Deserialize, Serialize};

/// Whether a high value is good, bad, or neither.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Better {
    /// Higher is better.
    #[serde(rename = "higher")]
    High,
    /// Lower is better.
    #[serde(rename = "lower")]
    Low,
    /// Neither; it describes the run.
    #[serde(rename = "-")]
    Neither,
}

impl Better {
    /// "higher", "lower" or "-".
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::High => "higher",
            Self::Low => "lower",
            Self::Neither => "-",
        }
    }
}

/// A metric is data: what it is called in `metrics.jsonl`, its unit, its direction, how it is computed.
#[derive(Clone, Copy, Debug)]
pub struct Definition {
    /// Name; `{}` stands for an objective's name or a plugin's own metric.
    pub name: &'static str,
    /// Unit of the value.
    pub unit: &'static str,
    /// Which way is good.
    pub better: Better,
    /// How it is computed, in the symbols of the docs (P, G, B, M, N).
    pub formula: &'static str,
}

const fn define(name: &'static str, unit: &'static str, better: Better, formula: &'static str) -> Definition {
    Definition {
        name,
        unit,
        better,
        formula,
    }
}

/// Every number of a line in `metrics.jsonl`, in the order of the line.
pub const DEFINITIONS: &[Definition] = &[
    define(
        "reward/mean",
        "reward",
        Better::High,
        "mean over B of the scalar that the scalarizer makes of the scores",
    ),
    define(
        "reward/std",
        "reward",
        Better::Neither,
        "standard deviation of the reward over B (divided by B)",
    ),
    define(
        "score/{}",
        "score",
        Better::High,
        "mean over B of the objective's score",
    ),
    define(
        "score_std/{}",
        "score",
        Better::Neither,
        "sample standard deviation of the objective's score over B",
    ),
    define(
        "weight/{}",
        "1",
        Better::Neither,
        "weight of the objective that trained: on scores, advantages or (mean over mini-batches) gradients",
    ),
    define(
        "advantage_scale",
        "1",
        Better::Neither,
        "factor on all advantages that the scalarizer asked for",
    ),
    define(
        "scalarizer/{}",
        "plugin's own",
        Better::Neither,
        "a number that the scalarizer reports about itself",
    ),
    define("length/mean", "tokens", Better::Neither, "mean response length, N / B"),
    define(
        "length/truncated",
        "share",
        Better::Low,
        "share of responses that hit the length cap",
    ),
    define(
        "length/baseline",
        "tokens",
        Better::Neither,
        "running mean response length over all training responses",
    ),
    define(
        "loss",
        "nat",
        Better::Neither,
        "policy loss plus KL term less entropy bonus, aggregated as configured; mean over mini-batches",
    ),
    define(
        "policy/entropy",
        "nat",
        Better::Neither,
        "mean over N of the entropy of the next-token distribution",
    ),
    define(
        "policy/kl",
        "nat",
        Better::Low,
        "the configured KL estimate to the reference, aggregated as the loss is; mean over N where it is in the reward",
    ),
    define(
        "policy/kl_coefficient",
        "1",
        Better::Neither,
        "weight that the KL estimate had in the step's loss or rewards",
    ),
    define(
        "policy/sampler_gap",
        "nat",
        Better::Low,
        "mean over N of |log-probability when sampled - log-probability in the first pass of the update|",
    ),
    define(
        "policy/clip_fraction",
        "share",
        Better::Low,
        "share of tokens whose ratio is clipped",
    ),
    define(
        "policy/dual_clip_fraction",
        "share",
        Better::Low,
        "share of tokens whose loss the dual clip bounds",
    ),
    define(
        "policy/approx_kl",
        "nat",
        Better::Low,
        "mean over N of old - new log-probability: estimates KL(old || new); 0 in the first optimizer step of a batch",
    ),
    define(
        "policy/ratio_mean",
        "1",
        Better::Neither,
        "mean over N of the ratio of new to old probability; 1 in the first optimizer step of a batch",
    ),
    define(
        "policy/grad_norm",
        "1",
        Better::Neither,
        "L2 norm of the gradient before clipping; mean over mini-batches",
    ),
    define("optimizer/lr", "1", Better::Neither, "learning rate of the step"),
    define(
        "gradient/norm/{}",
        "1",
        Better::Neither,
        "L2 norm of the objective's gradient, the root of the Gramian's diagonal",
    ),
    define(
        "gradient/cosine/{}",
        "1",
        Better::High,
        "cosine of two objectives' gradients, from the Gramian",
    ),
    define(
        "covariance/{}",
        "score x reward",
        Better::High,
        "mean over prompts of the within-prompt covariance of score and reward",
    ),
    define(
        "pearson/{}",
        "1",
        Better::High,
        "mean over prompts of the within-prompt correlation of score and reward",
    ),
    define(
        "spearman/{}",
        "1",
        Better::High,
        "mean over prompts of the within-prompt rank correlation of score and reward",
    ),
    define(
        "interference/{}",
        "share",
        Better::Low,
        "share of prompts where the covariance of score and reward is negative",
    ),
    define(
        "top_quarter_lift/{}",
        "score",
        Better::High,
        "mean score of the quarter of B with the highest reward, less the mean over B",
    ),
    define(
        "reward_hacking",
        "share",
        Better::Low,
        "share of prompts whose best completion by reward is Pareto-dominated by another",
    ),
    define(
        "groups/equal_reward",
        "share",
        Better::Low,
        "share of prompts whose completions all have the same reward: no signal",
    ),
    define(
        "reward_failures/{}",
        "completions",
        Better::Low,
        "completions of the step on which the objective's reward failed; under a further `/` by cause",
    ),
    define(
        "skipped",
        "completions",
        Better::Low,
        "completions left out of the step by on_error = \"skip\"",
    ),
];

/// What reports, comparisons and evaluations make of the runs.
pub const DERIVED: &[Definition] = &[
    define(
        "front_volume",
        "1",
        Better::High,
        "hypervolume of the validations above a stated reference point, each objective scaled so that the reference is 0 and \
         the best value seen is 1 (Zitzler and Thiele 1999)",
    ),
    define(
        "t_interval",
        "the objective's",
        Better::Neither,
        "mean ± t(0.975, n - 1) · s / √n over n seeds (Student 1908)",
    ),
    define(
        "iqm",
        "the objective's",
        Better::Neither,
        "interquartile mean over seeds: the mean without the ⌊n/4⌋ lowest and highest (arXiv 2108.13264)",
    ),
    define(
        "p_seeds",
        "1",
        Better::Low,
        "two-sided permutation p of the difference of two means over seeds: signs flipped where seeds are paired, else values \
         dealt anew (arXiv 1806.08295)",
    ),
    define(
        "p_prompts",
        "1",
        Better::Low,
        "two-sided sign-flip p over prompts, each prompt's difference being that of its means over seeds (arXiv 2411.00640)",
    ),
    define(
        "p_holm",
        "1",
        Better::Low,
        "p after Holm's correction for all tests of its kind in the table (Holm 1979)",
    ),
    define(
        "p_least",
        "1",
        Better::Low,
        "the least p that the number of seeds allows, whatever the values are",
    ),
    define(
        "p_improvement",
        "1",
        Better::High,
        "share of pairs of seeds in which the method is better than the baseline, ties half (arXiv 2108.13264)",
    ),
    define(
        "pass@k",
        "share",
        Better::High,
        "1 - Π (1 - k/i) over i = n-c+1 … n: at least one of k answers of n passes where c do (arXiv 2107.03374)",
    ),
    define(
        "maj@k",
        "share",
        Better::High,
        "probability that the most frequent of k answers, drawn without replacement, is right; ties by lot (arXiv 2203.11171)",
    ),
];

/// The definition of a metric by its name in `metrics.jsonl`.
#[must_use]
pub fn definition(name: &str) -> Option<&'static Definition> {
    DEFINITIONS.iter().find(|d| match d.name.split_once("{}") {
        None => d.name == name,
        Some((before, after)) => {
            name.len() > before.len() + after.len() && name.starts_with(before) && name.ends_with(after)
        }
    })
}

/// All definitions as text, for people: name and unit, which way is better, the formula below.
#[must_use]
pub fn definitions_text() -> String {
    let mut text = String::new();
    for Definition {
        name,
        unit,
        better,
        formula,
    } in DEFINITIONS.iter().chain(DERIVED)
    {
        let better = better.name();
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{name:<28} {unit:<16} better: {better}\n    {formula}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_find_their_definition() {
        assert_eq!(definition("score/accuracy").unwrap().name, "score/{}");
        assert_eq!(definition("length/mean").unwrap().unit, "tokens");
        assert!(definition("score/").is_none());
        assert!(definition("made_up").is_none());
    }
}
