//! One policy update: mini-batches, micro-batches, M cotangent columns of one forward pass, clip, AdamW.

use thiserror::Error;

use super::{
    aggregation::Denominators,
    loss::{Advantages, LossError, LossInput, LossOutput, LossSettings, loss, objective_losses, penalty_loss},
    optimizer::{AdamW, OptimizerError},
};
use crate::{
    error::Hint,
    model::Cotangent,
    plugin::PluginError,
    rollout::{Forward, GradientSet, Policy, PolicyError, Rollouts, gramian},
    scalarizer::{Credit, Signal},
};

/// An update could not be made. The parameters are those before the mini-batch that failed.
#[derive(Debug, Error)]
pub enum UpdateError {
    /// The forward or backward pass failed.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// The loss got something that it cannot use.
    #[error(transparent)]
    Loss(#[from] LossError),
    /// The optimizer refused a gradient.
    #[error(transparent)]
    Optimizer(#[from] OptimizerError),
    /// The scalarizer failed to weigh the gradients.
    #[error(transparent)]
    Plugin(#[from] PluginError),
    /// A tensor operation failed.
    #[error("gradients: {0}")]
    Tensor(#[from] candle_core::Error),
}

impl Hint for UpdateError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::Policy(e) => e.hint(),
            Self::Loss(e) => e.hint(),
            Self::Optimizer(e) => e.hint(),
            Self::Plugin(e) => e.hint(),
            Self::Tensor(_) => None,
        }
    }
}

/// How an update is made; the same in every step of a run.
#[derive(Clone, Debug)]
pub struct UpdateSettings {
    /// Loss, clip ranges, aggregation, KL.
    pub loss: LossSettings,
    /// Prompts of a mini-batch; 0 takes all.
    pub minibatch: usize,
    /// Passes over the batch.
    pub epochs: usize,
    /// Packed tokens of one forward pass; bounds memory, does not change the result beyond rounding.
    pub micro_batch_tokens: usize,
    /// Divisor of `seq-mean-token-sum-norm`, in tokens.
    pub norm_length: usize,
}

impl UpdateSettings {
    /// Whether a batch of `prompts` prompts takes more than one optimizer step: only then do old and new
    /// log-probabilities differ within the update.
    #[must_use]
    pub fn several_steps(&self, prompts: usize) -> bool {
        self.epochs > 1 || (self.minibatch > 0 && self.minibatch < prompts)
    }
}

/// What an update works on. Packed arrays are `[N]`.
#[derive(Clone, Copy)]
pub struct UpdateBatch<'a> {
    /// The completions.
    pub rollouts: &'a Rollouts,
    /// Their advantages.
    pub signal: &'a Signal,
    /// Log-probabilities before the update; none where the first pass is the only one.
    pub old: Option<&'a [f32]>,
    /// Log-probabilities under the reference policy, for the KL term.
    pub reference: Option<&'a [f32]>,
    /// A forward pass over all completions with the parameters as they are, where there has been one: the first
    /// optimizer step starts from it if it takes all completions at once.
    pub forward: Option<&'a Forward>,
}

/// What an update reports: means over its mini-batches.
#[derive(Clone, Debug, Default)]
pub struct UpdateReport {
    /// Optimizer steps taken.
    pub minibatches: usize,
    /// Policy loss plus KL term.
    pub loss: f64,
    /// KL estimate, without its coefficient: aggregated as the loss is, or the token mean where it is in the reward.
    pub kl: f64,
    /// KL estimate summed over a completion's tokens, mean over completions.
    pub completion_kl: f64,
    /// Weight that the KL penalty had; 0 without one.
    pub kl_coefficient: f64,
    /// Entropy of the next-token distribution, token mean.
    pub entropy: f64,
    /// Share of clipped tokens.
    pub clip_fraction: f64,
    /// Gradient norm before clipping.
    pub grad_norm: f64,
    /// Gramian `[M, M]` of the first mini-batch, where the scalarizer weighs gradients.
    pub gram: Option<Vec<f64>>,
}

/// Asked for weights `[M]` in each mini-batch where the scalarizer weighs gradients: number of the mini-batch within
/// the step, Gramian `[M, M]`, losses `[M]`.
pub type Weigh<'a> = dyn FnMut(u32, &[f64], &[f64]) -> Result<Vec<f32>, PluginError> + 'a;

/// Gradients of one mini-batch: one column for each objective where gradients are weighed, else one; the gradient of the
/// KL term and the entropy bonus, which belong to no objective, is the last column where gradients are weighed.
struct Columns {
    sets: Vec<GradientSet>,
    losses: Vec<LossOutput>,
    entropy: f64,
}

/// Updates the policy on a batch.
///
/// # Errors
/// A pass fails, a number is not finite, the scalarizer fails to weigh.
pub fn update_policy(
    policy: &Policy,
    optimizer: &mut AdamW,
    batch: UpdateBatch<'_>,
    settings: &UpdateSettings,
    lr: f64,
    weigh: &mut Weigh<'_>,
) -> Result<UpdateReport, UpdateError> {
    let mut report = UpdateReport::default();
    for _ in 0..settings.epochs {
        for rows in minibatches(batch.rollouts, settings.minibatch) {
            // after an optimizer step the parameters are no longer those of the forward pass
            let forward = batch.forward.filter(|_| report.minibatches == 0);
            let columns = gradients(policy, UpdateBatch { forward, ..batch }, &rows, settings)?;
            let gradient = if batch.signal.weighs_gradients() {
                let m = batch.signal.objectives();
                let gram = gramian(&columns.sets[..m], &policy.selects(batch.signal.gradient_layers()))?;
                let losses: Vec<f64> = columns.losses[..m].iter().map(|l| l.value).collect();
                let number = u32::try_from(report.minibatches).unwrap_or(u32::MAX);
                let mut weights = weigh(number, &gram, &losses)?;
                report.loss += losses.iter().zip(&weights).map(|(l, &w)| l * f64::from(w)).sum::<f64>();
                report.gram.get_or_insert(gram);
                if columns.sets.len() > m {
                    weights.push(1.0); // the terms of no objective, whatever the objectives weigh
                    report.loss += columns.losses[m].value;
                }
                GradientSet::weighted_sum(&columns.sets, &weights)?
            } else {
                report.loss += columns.losses[0].value;
                GradientSet::weighted_sum(&columns.sets, &[1.0])?
            };
            report.kl += columns.losses.iter().map(|l| l.kl).sum::<f64>();
            report.completion_kl += columns.losses.iter().map(|l| l.completion_kl).sum::<f64>();
            report.clip_fraction += columns.losses[0].clip_fraction;
            report.entropy += columns.entropy;
            report.grad_norm += optimizer.step(&gradient.into_optional(), lr)?.gradient_norm;
            report.minibatches += 1;
        }
    }
    let n = report.minibatches.max(1) as f64;
    report.loss /= n;
    report.kl /= n;
    report.completion_kl /= n;
    report.clip_fraction /= n;
    report.entropy /= n;
    report.grad_norm /= n;
    Ok(report)
}

/// What the objectives' gradients over a whole batch say.
pub struct BatchGramian {
    /// `[M, M]`, row-major.
    pub gram: Vec<f64>,
    /// `[M]`
    pub losses: Vec<f64>,
    /// The forward pass that the gradients came from, for an update with the same parameters ([`UpdateBatch::forward`]);
    /// none where the batch took more than one.
    pub forward: Option<Forward>,
}

/// Gramian and losses of the per-objective advantages `[B, M]` over a whole batch, without an update: one forward
/// pass, and one backward pass for all of them. KL term and entropy bonus belong to no objective and are not in them.
///
/// # Errors
/// As [`update_policy`].
pub fn objective_gramian(
    policy: &Policy,
    rollouts: &Rollouts,
    advantages: &[f32],
    layers: &[String],
    settings: &UpdateSettings,
) -> Result<BatchGramian, UpdateError> {
    let signal = Signal::for_gramian(advantages.to_vec(), advantages.len() / rollouts.len().max(1));
    let policy_term = UpdateSettings {
        loss: settings.loss.without_penalty(),
        ..settings.clone()
    };
    let rows: Vec<usize> = (0..rollouts.len()).collect();
    let forward = match rollouts.chunks(settings.micro_batch_tokens).len() {
        1 => Some(policy.forward(&rollouts.select(&rows))?),
        _ => None,
    };
    let batch = UpdateBatch {
        rollouts,
        signal: &signal,
        old: None,
        reference: None,
        forward: forward.as_ref(),
    };
    let columns = gradients(policy, batch, &rows, &policy_term)?;
    Ok(BatchGramian {
        gram: gramian(&columns.sets, &policy.selects(layers))?,
        losses: columns.losses.iter().map(|l| l.value).collect(),
        forward,
    })
}

/// Rows of each mini-batch: `prompts` whole groups at a time, in order; 0 takes all.
fn minibatches(rollouts: &Rollouts, prompts: usize) -> Vec<Vec<usize>> {
    let per = if prompts == 0 {
        rollouts.prompts.len().max(1)
    } else {
        prompts
    };
    let mut batches: Vec<Vec<usize>> = vec![Vec::new(); rollouts.prompts.len().div_ceil(per)];
    for (row, &group) in rollouts.groups.iter().enumerate() {
        batches[group as usize / per].push(row);
    }
    batches.retain(|rows| !rows.is_empty());
    batches
}

/// Gradients of one mini-batch, summed over micro-batches of whole groups.
fn gradients(
    policy: &Policy,
    batch: UpdateBatch<'_>,
    rows: &[usize],
    settings: &UpdateSettings,
) -> Result<Columns, UpdateError> {
    let minibatch = batch.rollouts.select(rows);
    let whole = Denominators::of(minibatch.offsets.windows(2).map(|w| w[1] - w[0]), settings.norm_length);
    let mut total: Option<Columns> = None;
    for chunk in minibatch.chunks(settings.micro_batch_tokens) {
        let rows = &rows[chunk];
        let part = batch.rollouts.select(rows);
        let own;
        let forward = match batch.forward.filter(|_| rows.len() == batch.rollouts.len()) {
            Some(forward) => forward,
            None => {
                own = policy.forward(&part)?;
                &own
            }
        };
        let old = batch.old.map(|packed| batch.rollouts.select_tokens(packed, rows));
        let reference = batch.reference.map(|packed| batch.rollouts.select_tokens(packed, rows));
        let input = LossInput {
            logprobs: forward.logprobs(),
            old: old.as_deref(),
            reference: reference.as_deref(),
            entropies: Some(forward.entropies()),
            offsets: &part.offsets,
        };
        let losses = column_losses(batch, rows, &input, settings, &whole)?;
        let cotangents: Vec<Cotangent<'_>> = losses
            .iter()
            .map(|loss| Cotangent {
                logprobs: &loss.cotangent,
                entropy: Some(loss.entropy_cotangent.as_slice()).filter(|entropy| !entropy.is_empty()),
            })
            .collect();
        let sets: Vec<GradientSet> = forward.gradients(&cotangents)?;
        let entropy = forward.entropies().iter().map(|&e| f64::from(e)).sum::<f64>() / whole.tokens.max(1) as f64;
        match &mut total {
            None => total = Some(Columns { sets, losses, entropy }),
            Some(total) => {
                for (sum, set) in total.sets.iter_mut().zip(&sets) {
                    sum.add(set)?;
                }
                for (sum, part) in total.losses.iter_mut().zip(losses) {
                    *sum += part;
                }
                total.entropy += entropy;
            }
        }
    }
    total.ok_or_else(|| UpdateError::Tensor(candle_core::Error::Msg("a mini-batch without completions".into())))
}

/// One loss for each cotangent column, over the rows of a micro-batch.
fn column_losses(
    batch: UpdateBatch<'_>,
    rows: &[usize],
    input: &LossInput<'_>,
    settings: &UpdateSettings,
    whole: &Denominators,
) -> Result<Vec<LossOutput>, LossError> {
    let scale = batch.signal.scale;
    let scaled = |values: Vec<f32>| -> Vec<f32> { values.into_iter().map(|a| a * scale).collect() };
    match &batch.signal.credit {
        Credit::Completions(advantages) => {
            let part = scaled(rows.iter().map(|&b| advantages[b]).collect());
            Ok(vec![loss(
                &settings.loss,
                input,
                Advantages::PerCompletion(&part),
                whole,
            )?])
        }
        Credit::Tokens(advantages) => {
            let part = scaled(batch.rollouts.select_tokens(advantages, rows));
            Ok(vec![loss(&settings.loss, input, Advantages::PerToken(&part), whole)?])
        }
        Credit::Objectives { advantages, m } => {
            let columns: Vec<Vec<f32>> = (0..*m)
                .map(|k| scaled(rows.iter().map(|&b| advantages[b * m + k]).collect()))
                .collect();
            let views: Vec<Advantages<'_>> = columns.iter().map(|c| Advantages::PerCompletion(c)).collect();
            let mut losses = objective_losses(&settings.loss, input, &views, whole)?;
            if settings.loss.has_penalty() {
                losses.push(penalty_loss(&settings.loss, input, whole)?);
            }
            Ok(losses)
        }
    }
}

#[cfg(test)]
mod tests;
