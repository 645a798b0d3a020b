//! Do the objectives pull in one direction? Statistics of one step, from scores `[B, M]`, rewards
//! `[B]` and group numbers `[B]`.
//!
//! Scores are oriented so that larger is better for every objective. Within-prompt statistics are
//! computed inside each group of at least two completions and averaged over groups: the policy
//! gradient compares completions of one prompt only. An objective *interferes* on a prompt where its
//! score falls as the reward rises (arXiv 2602.06869, §3). Sums are formed in f64.

use crate::advantage::groups::{Group, centred, mean, rows_by_group, sample_std};

/// A correlation closer to 0 than this is rounding, not a sign.
const NO_CORRELATION: f64 = 1e-9;

/// Statistics of one objective in one step.
#[derive(Debug, Clone, PartialEq)]
pub struct ObjectiveStatistics {
    /// Mean score over the batch.
    pub mean: f64,
    /// Sample standard deviation of the score over the batch.
    pub std: f64,
    /// Population covariance of score and reward within a prompt, mean over prompts.
    pub covariance: f64,
    /// Pearson correlation within a prompt, mean over the prompts where both vary; `None` if there
    /// are none.
    pub pearson: Option<f64>,
    /// Spearman's rank correlation within a prompt, ties sharing their mean rank; as `pearson`.
    pub spearman: Option<f64>,
    /// Share of prompts where score and reward are negatively correlated.
    pub negative_share: f64,
    /// Mean score of the quarter of the batch with the highest rewards, less the mean of all. Rows that
    /// tie for the last places share them equally.
    pub top_quarter_lift: f64,
}

/// Statistics of one step.
#[derive(Debug, Clone, PartialEq)]
pub struct Interference {
    /// One for each objective, in order `[M]`.
    pub objectives: Vec<ObjectiveStatistics>,
    /// Share of prompts where every completion with the highest reward is Pareto-dominated by another
    /// completion of the prompt: the reward picks what is worse in all objectives (reward hacking).
    pub dominated_share: f64,
    /// Share of prompts whose completions all have the same reward: no signal for group estimators.
    pub equal_reward_share: f64,
}

/// Arrays that do not describe the same batch.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("interference: {what} has {found} entries, expected {expected}")]
pub struct InterferenceError {
    /// Which array.
    pub what: &'static str,
    /// Its length.
    pub found: usize,
    /// The length it should have.
    pub expected: usize,
}

impl crate::error::Report for InterferenceError {
    fn hint(&self) -> Option<String> {
        None
    }
}

/// The statistics of a batch: scores `[B, M]` row-major, rewards `[B]`, group numbers `[B]`. Shares of
/// prompts count those with at least two completions; without any they are 0.
///
/// # Errors
/// [`InterferenceError`] if lengths do not fit.
pub fn interference(
    scores: &[f32],
    objectives: usize,
    rewards: &[f32],
    groups: &[u32],
) -> Result<Interference, InterferenceError> {
    let batch = rewards.len();
    for (what, found, expected) in [
        ("groups", groups.len(), batch),
        ("scores", scores.len(), batch * objectives),
    ] {
        if found != expected {
            return Err(InterferenceError { what, found, expected });
        }
    }
    let rewards: Vec<f64> = rewards.iter().map(|&r| f64::from(r)).collect();
    let columns: Vec<Vec<f64>> = (0..objectives)
        .map(|m| {
            scores
                .iter()
                .skip(m)
                .step_by(objectives)
                .map(|&s| f64::from(s))
                .collect()
        })
        .collect(); // [M][B]
    let mut prompts = rows_by_group(groups);
    prompts.retain(|prompt| prompt.rows.len() > 1);
    let top = top_quarter(&rewards);
    let statistics = columns
        .iter()
        .map(|column| statistics(column, &rewards, &prompts, &top))
        .collect();
    let share = |holds: &dyn Fn(&Group) -> bool| share(&prompts, holds);
    Ok(Interference {
        objectives: statistics,
        dominated_share: share(&|prompt| best_is_dominated(&columns, &rewards, &prompt.rows)),
        equal_reward_share: share(&|prompt| equal(&rewards, &prompt.rows)),
    })
}

impl Interference {
    /// The statistics as metrics, `<what>/<objective>`; correlations that do not exist are left out.
    #[must_use]
    pub fn metrics(&self, names: &[String]) -> Vec<(String, f64)> {
        let mut metrics = Vec::new();
        for (name, objective) in names.iter().zip(&self.objectives) {
            for (what, value) in [
                ("score", Some(objective.mean)),
                ("score_std", Some(objective.std)),
                ("covariance", Some(objective.covariance)),
                ("pearson", objective.pearson),
                ("spearman", objective.spearman),
                ("interference", Some(objective.negative_share)),
                ("top_quarter_lift", Some(objective.top_quarter_lift)),
            ] {
                metrics.extend(value.map(|value| (format!("{what}/{name}"), value)));
            }
        }
        metrics.push(("reward_hacking".into(), self.dominated_share));
        metrics.push(("groups/equal_reward".into(), self.equal_reward_share));
        metrics
    }
}

fn statistics(column: &[f64], rewards: &[f64], prompts: &[Group], top: &[f64]) -> ObjectiveStatistics {
    let all: Vec<usize> = (0..column.len()).collect();
    let (mut covariance, mut negative) = (0.0, 0_u32);
    let (mut pearson, mut spearman) = (Vec::new(), Vec::new());
    for Group { rows, .. } in prompts {
        let (scores, rewards) = (centred(column, rows), centred(rewards, rows));
        covariance += dot(&scores, &rewards) / rows.len() as f64;
        if let Some(r) = correlation(&scores, &rewards) {
            negative += u32::from(r < -NO_CORRELATION);
            pearson.push(r);
            spearman.extend(correlation(&centred_ranks(&scores), &centred_ranks(&rewards)));
        }
    }
    let count = prompts.len().max(1) as f64;
    let batch_mean = mean(column, &all);
    let places: f64 = top.iter().sum();
    ObjectiveStatistics {
        mean: batch_mean,
        std: sample_std(column, &all),
        covariance: covariance / count,
        pearson: mean_of(&pearson),
        spearman: mean_of(&spearman),
        negative_share: f64::from(negative) / count,
        top_quarter_lift: if places > 0.0 {
            dot(column, top) / places - batch_mean
        } else {
            0.0
        },
    }
}

/// How much of each row is in the top quarter by reward `[B]`, from 0 to 1; sums to ⌈B / 4⌉.
fn top_quarter(rewards: &[f64]) -> Vec<f64> {
    let places = rewards.len().div_ceil(4);
    let mut sorted = rewards.to_vec();
    sorted.sort_by(|a, b| b.total_cmp(a));
    let Some(&last) = sorted[..places].last() else {
        return Vec::new();
    };
    let above = rewards.iter().filter(|&&r| r > last).count();
    let tied = rewards.iter().filter(|&&r| r == last).count().max(1);
    let shared = (places - above) as f64 / tied as f64;
    rewards
        .iter()
        .map(|&r| {
            if r > last {
                1.0
            } else if r == last {
                shared
            } else {
                0.0
            }
        })
        .collect()
}

fn best_is_dominated(columns: &[Vec<f64>], rewards: &[f64], rows: &[usize]) -> bool {
    let best = rows.iter().map(|&row| rewards[row]).fold(f64::NEG_INFINITY, f64::max);
    let dominates = |a: usize, b: usize| {
        columns.iter().all(|column| column[a] >= column[b]) && columns.iter().any(|column| column[a] > column[b])
    };
    rows.iter()
        .filter(|&&row| rewards[row] == best)
        .all(|&row| rows.iter().any(|&other| dominates(other, row)))
}

/// Pearson's correlation of two centred arrays; `None` if one of them does not vary.
fn correlation(a: &[f64], b: &[f64]) -> Option<f64> {
    let norms = (dot(a, a) * dot(b, b)).sqrt();
    (norms > 0.0).then(|| dot(a, b) / norms)
}

/// Ranks with ties at their mean rank, less the mean of all ranks; twice the usual unit, so that they
/// are whole numbers.
fn centred_ranks(values: &[f64]) -> Vec<f64> {
    let above = |v: f64| {
        values
            .iter()
            .map(|&other| f64::from(v > other) - f64::from(v < other))
            .sum()
    };
    values.iter().map(|&v| above(v)).collect()
}

fn equal(values: &[f64], rows: &[usize]) -> bool {
    rows.iter().all(|&row| values[row] == values[rows[0]])
}

fn share(prompts: &[Group], holds: &dyn Fn(&Group) -> bool) -> f64 {
    prompts.iter().filter(|prompt| holds(prompt)).count() as f64 / prompts.len().max(1) as f64
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn mean_of(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(a: f64, b: f64) -> bool {
        (a - b).abs() < 1e-7 // scores are f32
    }

    /// Two prompts, interleaved. Prompt 0: reward 0 1 2 3, first objective rises with it, second falls.
    /// Prompt 1: rewards equal but one; first objective constant, second rises.
    #[test]
    fn by_hand() {
        let scores = [
            0.0, 6.0, //
            5.0, 0.0, // prompt 1
            1.0, 4.0, //
            5.0, 0.0, // prompt 1
            2.0, 2.0, //
            5.0, 0.0, // prompt 1
            9.0, 0.0, //
            5.0, 4.0, // prompt 1
        ];
        let rewards = [0.0, 1.0, 1.0, 1.0, 2.0, 1.0, 3.0, 2.0];
        let groups = [0, 1, 0, 1, 0, 1, 0, 1];
        let found = interference(&scores, 2, &rewards, &groups).expect("fits");
        let [first, second] = &found.objectives[..] else {
            panic!("two objectives")
        };
        // Prompt 0, first: centred scores −3 −2 −1 6 against −1.5 −0.5 0.5 1.5: 14 / 4.
        assert!(close(first.covariance, 3.5 / 2.0));
        assert!(close(first.pearson.expect("varies"), 14.0 / (50.0_f64 * 5.0).sqrt()));
        assert!(close(first.spearman.expect("varies"), 1.0));
        assert!(close(first.negative_share, 0.0));
        assert!(close(first.mean, 4.0));
        assert!(close(first.std, (58.0_f64 / 7.0).sqrt()));
        // Second: −10 / 4 in prompt 0; −1 −1 −1 3 against −¼ −¼ −¼ ¾ in prompt 1: 3 / 4.
        assert!(close(second.covariance, (-2.5 + 0.75) / 2.0));
        assert!(close(second.pearson.expect("varies"), 0.0));
        assert!(close(second.spearman.expect("varies"), 0.0));
        assert!(close(second.negative_share, 0.5));
        // Two places: reward 3 (9, 0), and half each of the two rewards of 2: (2, 2) and (5, 4).
        assert!(close(first.top_quarter_lift, (9.0 + 3.5) / 2.0 - 4.0));
        assert!(close(second.top_quarter_lift, (0.0 + 3.0) / 2.0 - 2.0));
        assert_eq!((found.dominated_share, found.equal_reward_share), (0.0, 0.0));
        let names = ["a".to_string(), "b".to_string()];
        let metrics = found.metrics(&names);
        assert_eq!(metrics.len(), 16);
        assert_eq!(metrics[5], ("interference/a".into(), 0.0));
    }

    /// Spearman differs from Pearson where the relation bends, and ties share ranks.
    #[test]
    fn rank_correlation_with_ties() {
        let found = interference(&[1.0, 2.0, 2.0, 9.0], 1, &[0.0, 2.0, 1.0, 3.0], &[4; 4]).expect("fits");
        // Ranks 1 2.5 2.5 4 against 1 3 2 4: Σ products of centred ranks 4.5, norms √4.5 √5.
        assert!(close(
            found.objectives[0].spearman.expect("varies"),
            (4.5_f64 / 5.0).sqrt()
        ));
    }

    /// Prompt 0 rewards a completion that is worse in both objectives; prompt 1 has such a completion
    /// among its best, but another of the best is not dominated; prompt 2 is a trade-off.
    #[test]
    fn reward_hacking() {
        let scores = [0.0, 0.0, 1.0, 0.0, 1.0, 1.0, 1.0, 0.0, 1.0, 0.0, 0.0, 1.0];
        let rewards = [2.0, 1.0, 1.0, 1.0, 0.5, 0.7];
        let found = interference(&scores, 2, &rewards, &[0, 0, 1, 1, 2, 2]).expect("fits");
        assert!(close(found.dominated_share, 1.0 / 3.0));
        assert!(close(found.equal_reward_share, 1.0 / 3.0));
    }

    /// Constant scores and rewards, groups of one, nothing at all: no signs out of rounding, no NaN.
    #[test]
    fn no_signal() {
        let found = interference(&[0.1, 0.7, 0.3, 0.9], 1, &[0.1, 0.1, 0.1, 0.5], &[0, 0, 0, 1]).expect("fits");
        let objective = &found.objectives[0];
        assert_eq!(
            (objective.covariance, objective.pearson, objective.spearman),
            (0.0, None, None)
        );
        assert_eq!((objective.negative_share, found.equal_reward_share), (0.0, 1.0));
        assert_eq!(found.metrics(&["x".into()]).len(), 7);
        let empty = interference(&[], 2, &[], &[]).expect("fits");
        assert_eq!((empty.objectives.len(), empty.dominated_share), (2, 0.0));
        assert!(
            empty
                .objectives
                .iter()
                .all(|o| o.mean == 0.0 && o.std == 0.0 && o.top_quarter_lift == 0.0)
        );
    }

    #[test]
    fn refusals() {
        let error = interference(&[1.0; 5], 2, &[1.0; 3], &[0; 3]).expect_err("5 scores");
        assert_eq!(error.to_string(), "interference: scores has 5 entries, expected 6");
        assert!(interference(&[1.0; 6], 2, &[1.0; 3], &[0; 2]).is_err());
    }
}
