//! Estimators over one reward per completion. Formulas as in [`super::Estimator`].

use super::error::AdvantageError;
use super::groups::{Group, centred as centre, mean, sample_std};

/// Added to a group's standard deviation, so that a group of nearly equal rewards does not blow up.
const STD_EPSILON: f64 = 1e-6;
/// Added to the variance of all tokens, under the root, against division by 0 when all are equal.
const WHITEN_EPSILON: f64 = 1e-8;

/// A group of one has no baseline: its reward is its advantage.
pub(super) fn centred(rewards: &[f64], groups: &[Group]) -> Vec<f64> {
    let mut advantages = rewards.to_vec();
    for group in groups.iter().filter(|group| group.rows.len() > 1) {
        for (&row, centred) in group.rows.iter().zip(centre(rewards, &group.rows)) {
            advantages[row] = centred;
        }
    }
    advantages
}

pub(super) fn grpo(rewards: &[f64], groups: &[Group]) -> Vec<f64> {
    let mut advantages = centred(rewards, groups);
    for group in groups {
        // One completion has no standard deviation; 1 stands in, as in verl.
        let std = if group.rows.len() > 1 {
            sample_std(rewards, &group.rows)
        } else {
            1.0
        };
        for &row in &group.rows {
            advantages[row] /= std + STD_EPSILON;
        }
    }
    advantages
}

/// Rewards less a baseline for each completion.
pub(super) fn minus(rewards: &[f64], baselines: &[f32]) -> Vec<f64> {
    rewards.iter().zip(baselines).map(|(r, &b)| r - f64::from(b)).collect()
}

/// `r − mean of the others = n/(n−1) · (r − mean)`.
pub(super) fn rloo(rewards: &[f64], groups: &[Group]) -> Vec<f64> {
    let mut advantages = centred(rewards, groups);
    for group in groups.iter().filter(|group| group.rows.len() > 1) {
        let n = group.rows.len() as f64;
        for &row in &group.rows {
            advantages[row] *= n / (n - 1.0);
        }
    }
    advantages
}

/// Unlike in [`centred`], a group of one is its own baseline: what follows is a z-score over the batch.
pub(super) fn minus_group_mean(rewards: &[f64], groups: &[Group]) -> Vec<f64> {
    let mut advantages = vec![0.0; rewards.len()];
    for group in groups {
        for (&row, centred) in group.rows.iter().zip(centre(rewards, &group.rows)) {
            advantages[row] = centred;
        }
    }
    advantages
}

/// z-score over all tokens: a completion counts as often as it has tokens; variance over n − 1.
pub(super) fn whiten_over_tokens(values: Vec<f64>, lengths: &[u32]) -> Vec<f64> {
    let tokens: f64 = lengths.iter().map(|&n| f64::from(n)).sum();
    if tokens == 0.0 {
        return vec![0.0; values.len()];
    }
    let weighted = || values.iter().zip(lengths).map(|(&v, &n)| (v, f64::from(n)));
    let mean = weighted().map(|(v, n)| v * n).sum::<f64>() / tokens;
    let squares: f64 = weighted().map(|(v, n)| (v - mean).powi(2) * n).sum();
    // One token in all: no variance, and v − mean is 0 for the one completion that has it.
    let variance = squares / (tokens - 1.0).max(1.0);
    let scale = 1.0 / (variance + WHITEN_EPSILON).sqrt();
    values.into_iter().map(|v| (v - mean) * scale).collect()
}

pub(super) fn opo(rewards: &[f64], groups: &[Group], lengths: &[u32]) -> Vec<f64> {
    let mut advantages = rewards.to_vec();
    for group in groups.iter().filter(|group| group.rows.len() > 1) {
        let rows = &group.rows;
        let tokens: f64 = rows.iter().map(|&row| f64::from(lengths[row])).sum();
        let baseline = if tokens == 0.0 {
            mean(rewards, rows)
        } else {
            rows.iter()
                .map(|&row| rewards[row] * f64::from(lengths[row]))
                .sum::<f64>()
                / tokens
        };
        for &row in rows {
            advantages[row] -= baseline;
        }
    }
    advantages
}

/// Two completions that share the best reward have nothing between them: all of the group gets 0.
pub(super) fn grpo_passk(rewards: &[f64], groups: &[Group]) -> Result<Vec<f64>, AdvantageError> {
    let mut advantages = vec![0.0; rewards.len()];
    for group in groups {
        let mut order = group.rows.clone();
        order.sort_by(|&a, &b| rewards[b].total_cmp(&rewards[a]));
        let [best, second, ..] = order[..] else {
            return Err(AdvantageError::GroupOfOne {
                estimator: "grpo-passk",
                group: group.id,
            });
        };
        let std = sample_std(rewards, &group.rows);
        advantages[best] = (rewards[best] - rewards[second]) / (std + STD_EPSILON);
    }
    Ok(advantages)
}
