//! Covariance Targeted Weight Adaptation: weights that keep each objective's score positively correlated with
//! what the update really does (Lu and Jiang, arXiv 2602.06869, "Covariance Targeted Weight Adaptation").
//!
//! For scores s `[B, M]`, weights w `[M]` and a completion's clipped weight v_b in the policy gradient:
//! ```text
//! ρ_t = exp(clamp(new_t − old_t, ±20))        token t kept: ρ_t ≤ 1 + clip_high (Â ≥ 0) or ρ_t ≥ 1 − clip_low (Â < 0)
//! v   = Â · mean over the response's tokens of ρ_t · kept_t        ("mean-unclipped": over kept tokens; "sum")
//! c_m = mean over prompts of Cov(s_m, v) within the prompt         (population covariance, or Pearson correlation)
//! c̄   ← (1 − τ) c̄ + τ c                                            (the first c as it is)
//! δ_m = max(c*_m − c̄_m, 0), 0 where the batch mean of s_m has reached its target
//! w_m ← w_m · exp(λ δ_m)
//! ```
//! The covariance law of the paper: to first order, an objective improves where its covariance with v is
//! positive. Completions whose v is not finite, or beyond 100 times the median |v|, are left out, prompts with
//! fewer than two completions as well; with `pooled`, one covariance over all completions, centred by prompt.
//!
//! Departures from the released code: prompts are whole (there each rank saw its part of a batch and averaged
//! over ranks); where more than half of the completions have v = 0 (prompts with equal rewards) the median is
//! taken over the others, as a median of 0 would drop every completion that carries a signal; a weight of 0
//! stays 0; a weight stops growing at 1e20, which one update far from the old policy can ask for. As published, a weight never falls, so that Σ w grows and with it the reward's scale: the metric
//! `weight_sum` shows it, `renormalize` divides by it.

use moa_sdk::prelude::*;

/// What is compared with the targets.
#[derive(Clone, Copy, Default, Choice, Serialize, Deserialize)]
pub enum Statistic {
    /// Population covariance.
    #[default]
    Covariance,
    /// Pearson correlation, of the prompts where score and v both vary; 0 where there are none.
    Correlation,
}

/// How a response's tokens make its v.
#[derive(Clone, Copy, Default, Choice, Serialize, Deserialize)]
pub enum Aggregation {
    /// Mean over all tokens, clipped ones as 0.
    #[default]
    Mean,
    /// Mean over the tokens that are not clipped.
    MeanUnclipped,
    /// Sum.
    Sum,
}

/// What steers the weights, the weights, and the statistics so far.
#[derive(Params, Serialize, Deserialize)]
pub struct Ctwa {
    /// first weight of each objective, in order; default: equal. They are >= 0 and sum to 1.
    #[param(weights)]
    weights: Vec<f64>,
    /// λ: how fast weights grow.
    #[param(default = 0.02, range = 0.0..)]
    weight_lr: f64,
    /// τ: share of the new step in the moving average.
    #[param(default = 0.1, above = 0.0, range = ..=1.0)]
    ema_tau: f64,
    /// c*: the statistic below which an objective's weight grows, one for each objective or one for all; default:
    /// 0.1 for the first objective, 0.05 for each other.
    covariance_targets: Vec<f64>,
    /// mean score at which an objective's weight no longer grows, one for each objective or one for all.
    #[param(per_objective)]
    objective_targets: Option<Vec<f64>>,
    /// what is compared with the targets.
    statistic: Statistic,
    /// how a response's tokens make its v.
    aggregation: Aggregation,
    /// one covariance over all completions, centred by prompt, instead of a mean over prompts.
    #[param(default = false)]
    pooled: bool,
    /// divide the weights by their sum after each step.
    #[param(default = false)]
    renormalize: bool,
    /// c̄ `[M]`.
    #[state]
    average: Option<Vec<f64>>,
    /// The last c `[M]`.
    #[state]
    last: Option<Vec<f64>>,
}

#[scalarizer]
impl Scalarizer for Ctwa {
    const NAME: &str = "ctwa";
    const PAPER: &str =
        "Lu and Jiang, Uncovering Cross-Objective Interference in Multi-Objective Alignment, arXiv 2602.06869";
    // One prompt, ratios of 1: v = Â = ±1, so that c = ¼ Σ (s − ½) v = (½, −½). Targets 0: δ = (0, ½), and λ = 2 ln 2
    // doubles the second weight.
    const EXAMPLES: &str = include_str!("examples.jsonl");

    fn new(setup: &Setup, mut params: Self) -> Result<Self> {
        let m = setup.m();
        if params.covariance_targets.is_empty() {
            params.covariance_targets = (0..m).map(|m| if m == 0 { 0.1 } else { 0.05 }).collect();
        }
        params.covariance_targets = math::broadcast("covariance_targets", &params.covariance_targets, m)?;
        Ok(params)
    }

    fn scalarize(&mut self, _batch: &Batch) -> Result<Signal> {
        Ok(Signal::weights(&self.weights))
    }

    fn after_update(&mut self, update: &Update) -> Result<()> {
        let Some(c) = self.statistics(update) else {
            return Ok(()); // nothing to compare within any prompt: the step says nothing about the weights
        };
        let tau = self.ema_tau;
        let average: Vec<f64> = match &self.average {
            Some(average) => average
                .iter()
                .zip(&c)
                .map(|(old, new)| (1.0 - tau) * old + tau * new)
                .collect(),
            None => c.clone(),
        };
        for (m, weight) in self.weights.iter_mut().enumerate() {
            let targets = self.objective_targets.as_ref();
            let reached = targets.is_some_and(|targets| update.scores().column_mean(m) >= targets[m]);
            let deficit = if reached {
                0.0
            } else {
                (self.covariance_targets[m] - average[m]).max(0.0)
            };
            let growth = (self.weight_lr * deficit).exp().min(LARGEST_WEIGHT);
            *weight = (*weight * growth).min(LARGEST_WEIGHT);
        }
        if self.renormalize {
            let sum: f64 = self.weights.iter().sum();
            self.weights.iter_mut().for_each(|weight| *weight /= sum);
        }
        (self.average, self.last) = (Some(average), Some(c));
        Ok(())
    }

    fn weights(&self) -> Option<Vec<f32>> {
        Some(math::to_f32(&self.weights))
    }

    fn metrics(&self) -> Metrics {
        let statistic = self.statistic.name();
        Metrics::new()
            .with("weight_sum", self.weights.iter().sum::<f64>())
            .each(statistic, self.last.iter().flatten())
            .each("average", self.average.iter().flatten())
    }
}

impl Ctwa {
    /// c `[M]`; `None` without any prompt that has two completions left.
    fn statistics(&self, update: &Update) -> Option<Vec<f64>> {
        let v: Vec<f64> = (0..update.len())
            .map(|b| clipped_weight(update, b, self.aggregation))
            .collect();
        let limit = OUTLIER * median_size(&v);
        let mut prompts: Vec<Vec<usize>> = math::groups_of(update.groups())
            .into_iter()
            .map(|(_, rows)| rows)
            .collect();
        prompts
            .iter_mut()
            .for_each(|rows| rows.retain(|&b| v[b].abs() <= limit)); // NaN goes, too
        prompts.retain(|rows| rows.len() > 1);
        let one = |m: usize| {
            let pairs = prompts.iter().map(|rows| {
                let scores: Vec<f64> = rows.iter().map(|&b| f64::from(update.scores().get(b, m))).collect();
                (scores, rows.iter().map(|&b| v[b]).collect::<Vec<f64>>())
            });
            let statistic = self.statistic;
            if self.pooled {
                let (scores, v): (Vec<_>, Vec<_>) = pairs.map(|(scores, v)| (centred(&scores), centred(&v))).unzip();
                of_pair(statistic, &scores.concat(), &v.concat()).unwrap_or(0.0)
            } else {
                let defined: Vec<f64> = pairs
                    .filter_map(|(scores, v)| of_pair(statistic, &scores, &v))
                    .collect();
                math::mean(&defined)
            }
        };
        (!prompts.is_empty()).then(|| (0..update.m()).map(one).collect())
    }
}

/// A weight stops growing here: one update that moves the policy far, or scores of 1e5, would make it infinite.
const LARGEST_WEIGHT: f64 = 1e20;
/// new − old is clamped to ± this before the exponential.
const LOG_RATIO: f64 = 20.0;
/// A completion is left out where |v| is beyond this many times the median.
const OUTLIER: f64 = 100.0;
/// A product of standard deviations up to this is taken for 0.
const NO_DEVIATION: f64 = 1e-8;
/// In "mean-unclipped", against division by 0 where no token is kept.
const KEPT_EPSILON: f64 = 1e-8;

/// v of completion `b`; NaN for a response without tokens, which so is left out.
fn clipped_weight(update: &Update, b: usize, aggregation: Aggregation) -> f64 {
    let advantage = f64::from(update.advantages()[b]);
    let (old, new) = (update.old_logprobs().row(b), update.new_logprobs().row(b));
    let (mut sum, mut kept) = (0.0, 0_u32);
    for (old, new) in old.iter().zip(new) {
        let ratio = (f64::from(*new) - f64::from(*old)).clamp(-LOG_RATIO, LOG_RATIO).exp();
        let keep = if advantage >= 0.0 {
            ratio <= 1.0 + update.clip_high()
        } else {
            ratio >= 1.0 - update.clip_low()
        };
        if keep {
            sum += advantage * ratio;
            kept += 1;
        }
    }
    match aggregation {
        Aggregation::Mean => sum / new.len() as f64,
        Aggregation::MeanUnclipped => sum / (f64::from(kept) + KEPT_EPSILON),
        Aggregation::Sum => sum,
    }
}

/// The lower median of |v| over finite values; where that is 0, over those that are not 0.
fn median_size(v: &[f64]) -> f64 {
    let mut sizes: Vec<f64> = v.iter().map(|v| v.abs()).filter(|size| size.is_finite()).collect();
    sizes.sort_by(f64::total_cmp);
    let median = |sizes: &[f64]| sizes.get(sizes.len().saturating_sub(1) / 2).copied().unwrap_or(0.0);
    match median(&sizes) {
        0.0 => median(&sizes[sizes.partition_point(|&size| size == 0.0)..]),
        median => median,
    }
}

/// `None` for a correlation where one of the two does not vary.
fn of_pair(statistic: Statistic, scores: &[f64], v: &[f64]) -> Option<f64> {
    let covariance = math::covariance(scores, v);
    if matches!(statistic, Statistic::Covariance) {
        return Some(covariance);
    }
    let deviations = (math::covariance(scores, scores) * math::covariance(v, v)).sqrt();
    (deviations > NO_DEVIATION).then(|| covariance / deviations)
}

fn centred(values: &[f64]) -> Vec<f64> {
    let mean = math::mean(values);
    values.iter().map(|value| value - mean).collect()
}

moa_sdk::export!(scalarizers: [Ctwa]);

moa_sdk::testing::suite!(Ctwa,
    golden = [
        "../../../tests/golden/ctwa-mean.jsonl",
        "../../../tests/golden/ctwa-mean-correlation.jsonl",
        "../../../tests/golden/ctwa-mean-pooled.jsonl",
        "../../../tests/golden/ctwa-mean-unclipped.jsonl",
        "../../../tests/golden/ctwa-sum.jsonl",
    ],
    // The default targets favour the first objective, and a weight grows with one objective, too.
    params = [
        {} without permutation and single_objective,
        {"pooled": true, "statistic": "correlation"} without permutation and single_objective,
        {"aggregation": "mean-unclipped", "renormalize": true} without permutation,
    ],
    permutation = [
        [2, 0, 1]: {"covariance_targets": [0.1]} => {"covariance_targets": [0.1]},
        [2, 0, 1]: {"weights": [0.5, 0.3, 0.2], "covariance_targets": [0.3, 0.2, 0.1]}
            => {"weights": [0.2, 0.5, 0.3], "covariance_targets": [0.1, 0.3, 0.2]},
    ],
);

#[cfg(test)]
mod tests;
