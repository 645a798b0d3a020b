//! One policy update: mini-batches, micro-batches, M cotangent columns of one forward pass, clip, AdamW.

use super::{
    aggregation::Denominators,
    loss::{LossInput, LossOutput, LossSettings, loss, objective_losses, penalty_loss},
    optimizer::AdamW,
};
use crate::{
    advantage::{Advantages, Per},
    engine::{EngineError, GradientSet, gramian},
    error::Error,
    metrics::Numbers,
    model::Cotangent,
    plugin::PluginError,
    rollout::{Forward, Policy, Rollouts},
};

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
    pub fn is_off_policy(&self, prompts: usize) -> bool {
        self.epochs > 1 || (self.minibatch > 0 && self.minibatch < prompts)
    }
}

/// What an update works on. Packed arrays are `[N]`.
#[derive(Clone, Copy)]
pub struct UpdateBatch<'a> {
    /// The completions.
    pub rollouts: &'a Rollouts,
    /// Their advantages.
    pub advantages: &'a Advantages,
    /// Log-probabilities before the update; none where the first pass is the only one.
    pub old: Option<&'a [f32]>,
    /// Log-probabilities under the reference policy, for the KL term.
    pub reference: Option<&'a [f32]>,
    /// Parts of the names of the parameters that make the Gramian; empty: all.
    pub gradient_layers: &'a [String],
}

/// What an update reports: means over its mini-batches.
#[derive(Clone, Debug, Default)]
pub struct UpdateReport {
    /// Optimizer steps taken.
    pub minibatches: usize,
    /// Sums over mini-batches of the numbers for metrics.jsonl, by their names there.
    pub numbers: Numbers,
    /// KL estimate summed over a completion's tokens, mean over completions, without its coefficient.
    pub completion_kl: f64,
    /// Mean over the tokens of the first mini-batch of |log-probability when sampled − log-probability now|.
    pub sampler_gap: f64,
    /// Gramian `[M, M]` of the first mini-batch, where the scalarizer weighs gradients.
    pub gram: Option<Vec<f64>>,
    /// Weights `[M]` that the objectives' gradients were summed with, where the scalarizer weighs them.
    pub weights: Option<Vec<f64>>,
}

impl UpdateReport {
    /// Takes note of a KL penalty in the reward: its estimate summed over each completion's tokens `[B]`, without its
    /// `coefficient`; N is `tokens`.
    pub fn add_reward_kl(&mut self, kl: &[f64], tokens: usize, coefficient: f64) {
        let (sum, n) = (kl.iter().sum::<f64>(), self.minibatches as f64);
        self.numbers.add("policy/kl", n * sum / tokens.max(1) as f64);
        self.numbers.add("policy/kl_coefficient", n * coefficient);
        self.completion_kl = sum / kl.len().max(1) as f64;
    }

    /// The numbers, means over the mini-batches.
    pub fn means(&self) -> impl Iterator<Item = (&'static str, f64)> + '_ {
        self.numbers.divided_by(self.minibatches.max(1) as f64)
    }
}

/// Asked for weights `[M]` in each mini-batch where the scalarizer weighs gradients: number of the mini-batch within
/// the step, Gramian `[M, M]`, losses `[M]`.
pub type WeighGradients<'a> = dyn FnMut(u32, &[f64], &[f64]) -> Result<Vec<f32>, PluginError> + 'a;

/// Gradients of one mini-batch: one column for each objective where gradients are weighed, else one; the gradient of the
/// KL term and the entropy bonus, which belong to no objective, is the last column where gradients are weighed.
struct MiniBatchGradients {
    sets: Vec<GradientSet>,
    losses: Vec<LossOutput>,
    /// Token mean.
    entropy: f64,
    /// Token mean of |log-probability when sampled − log-probability now|.
    sampler_gap: f64,
}

/// Updates the policy on a batch: an optimizer step for each mini-batch of each epoch. `forward` is a forward pass over
/// the whole batch with the parameters as they are, where there has been one: the first step starts from it if it takes
/// all completions at once.
///
/// # Errors
/// A pass fails, a number is not finite, the scalarizer fails to weigh. The parameters are then those before the
/// mini-batch that failed.
pub fn update_policy(
    policy: &mut Policy,
    optimizer: &mut AdamW,
    batch: UpdateBatch<'_>,
    settings: &UpdateSettings,
    mut forward: Option<Forward>,
    lr: f64,
    weigh_gradients: &mut WeighGradients<'_>,
) -> Result<UpdateReport, Error> {
    let mut report = UpdateReport::default();
    let mask = policy.parameter_mask(batch.gradient_layers);
    for _ in 0..settings.epochs {
        for rows in minibatches(batch.rollouts, settings.minibatch) {
            // Taken: after an optimizer step the parameters are no longer those of the forward pass.
            let forward = forward.take().filter(|_| rows.len() == batch.rollouts.len());
            let columns = gradients(policy, batch, &rows, settings, forward.as_ref())?;
            drop(forward); // as long as it holds the parameters, writing them would copy them
            let mut loss = 0.0;
            let gradient = match batch.advantages.per {
                Per::Objective { m } => {
                    let gram = gramian(&columns.sets[..m], &mask)?; // [M, M]
                    let losses: Vec<f64> = columns.losses[..m].iter().map(|l| l.value).collect();
                    let number = u32::try_from(report.minibatches).unwrap_or(u32::MAX);
                    let mut weights = weigh_gradients(number, &gram, &losses)?; // [M]
                    loss += losses.iter().zip(&weights).map(|(l, &w)| l * f64::from(w)).sum::<f64>();
                    report.gram.get_or_insert(gram);
                    let sum = report.weights.get_or_insert_with(|| vec![0.0; m]);
                    sum.iter_mut().zip(&weights).for_each(|(sum, &w)| *sum += f64::from(w));
                    if columns.sets.len() > m {
                        weights.push(1.0); // the terms of no objective, whatever the objectives weigh
                        loss += columns.losses[m].value;
                    }
                    GradientSet::weighted_sum(columns.sets, &weights)?
                }
                Per::Completion | Per::Token => {
                    loss += columns.losses[0].value;
                    GradientSet::weighted_sum(columns.sets, &[1.0])?
                }
            };
            let grad_norm = optimizer
                .step(policy.params_mut().trainable_mut(), &gradient, lr)?
                .gradient_norm;
            report.numbers.add("loss", loss);
            report.numbers.add("policy/entropy", columns.entropy);
            if let Some(penalty) = settings.loss.kl {
                report
                    .numbers
                    .add("policy/kl", columns.losses.iter().map(|l| l.kl).sum());
                report.numbers.add("policy/kl_coefficient", penalty.coefficient);
            }
            report.completion_kl += columns.losses.iter().map(|l| l.completion_kl).sum::<f64>();
            if report.minibatches == 0 {
                report.sampler_gap = columns.sampler_gap;
            }
            report.numbers.add_all(&columns.losses[0].numbers);
            report.numbers.add("policy/grad_norm", grad_norm);
            report.minibatches += 1;
        }
    }
    let n = report.minibatches.max(1) as f64;
    report.completion_kl /= n;
    report.weights.iter_mut().flatten().for_each(|weight| *weight /= n);
    Ok(report)
}

/// What the objectives' gradients over a whole batch say.
pub struct BatchGramian {
    /// `[M, M]`, row-major.
    pub gram: Vec<f64>,
    /// `[M]`
    pub losses: Vec<f64>,
    /// The forward pass that the gradients came from, for [`update_policy`] with the same parameters;
    /// none where the batch took more than one.
    pub forward: Option<Forward>,
}

/// Gramian and losses of the advantages `[B, M]` of each objective over a whole batch, without an update: one forward
/// pass, and one backward pass for all of them. KL term and entropy bonus belong to no objective and are not in them.
///
/// # Errors
/// As [`update_policy`].
pub fn batch_gramian(
    policy: &Policy,
    rollouts: &Rollouts,
    advantages: &Advantages,
    gradient_layers: &[String],
    settings: &UpdateSettings,
) -> Result<BatchGramian, Error> {
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
        advantages,
        old: None,
        reference: None,
        gradient_layers,
    };
    let columns = gradients(policy, batch, &rows, &policy_term, forward.as_ref())?;
    Ok(BatchGramian {
        gram: gramian(&columns.sets, &policy.parameter_mask(gradient_layers))?,
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

/// Gradients of one mini-batch, summed over micro-batches of whole groups. `forward` is a forward pass over `rows`,
/// where there has been one.
fn gradients(
    policy: &Policy,
    batch: UpdateBatch<'_>,
    rows: &[usize],
    settings: &UpdateSettings,
    forward: Option<&Forward>,
) -> Result<MiniBatchGradients, Error> {
    let minibatch = batch.rollouts.select(rows);
    let whole = Denominators::of(minibatch.offsets.windows(2).map(|w| w[1] - w[0]), settings.norm_length);
    let all = 0..rows.len();
    let chunks = match forward {
        Some(_) => vec![all],
        None => minibatch.chunks(settings.micro_batch_tokens),
    };
    let mut total: Option<MiniBatchGradients> = None;
    for chunk in chunks {
        let rows = &rows[chunk];
        let part = batch.rollouts.select(rows);
        let own;
        let forward = match forward {
            Some(forward) => forward,
            None => {
                own = policy.forward(&part)?;
                &own
            }
        };
        let old = batch.old.map(|packed| batch.rollouts.select_tokens(packed, rows)); // [N]
        let reference = batch.reference.map(|packed| batch.rollouts.select_tokens(packed, rows)); // [N]
        let input = LossInput {
            logprobs: forward.logprobs(),
            old: old.as_deref(),
            reference: reference.as_deref(),
            entropies: Some(forward.entropies()),
            offsets: &part.offsets,
        };
        let losses = losses_per_column(batch, rows, &input, settings, &whole)?;
        let cotangents: Vec<Cotangent<'_>> = losses
            .iter()
            .map(|loss| Cotangent {
                logprobs: &loss.cotangent,
                entropy: Some(loss.entropy_cotangent.as_slice()).filter(|entropy| !entropy.is_empty()),
            })
            .collect();
        let per_token = 1.0 / whole.tokens.max(1) as f64;
        let gaps = part
            .logprobs
            .iter()
            .zip(forward.logprobs())
            .map(|(a, b)| f64::from((a - b).abs()));
        let gradients = MiniBatchGradients {
            sets: forward.gradients(&cotangents)?,
            losses,
            entropy: forward.entropies().iter().map(|&e| f64::from(e)).sum::<f64>() / whole.tokens.max(1) as f64,
            sampler_gap: gaps.sum::<f64>() * per_token,
        };
        match &mut total {
            None => total = Some(gradients),
            Some(total) => total.add(gradients)?,
        }
    }
    Ok(total.ok_or(EngineError::Empty {
        what: "completions of a mini-batch",
    })?)
}

impl MiniBatchGradients {
    /// Adds those of another micro-batch.
    fn add(&mut self, other: Self) -> Result<(), Error> {
        for (sum, set) in self.sets.iter_mut().zip(&other.sets) {
            sum.add(set)?;
        }
        for (sum, part) in self.losses.iter_mut().zip(other.losses) {
            *sum += part;
        }
        self.entropy += other.entropy;
        self.sampler_gap += other.sampler_gap;
        Ok(())
    }
}

/// One loss for each cotangent column, over the rows of a micro-batch.
fn losses_per_column(
    batch: UpdateBatch<'_>,
    rows: &[usize],
    input: &LossInput<'_>,
    settings: &UpdateSettings,
    whole: &Denominators,
) -> Result<Vec<LossOutput>, Error> {
    let columns = batch.advantages.columns(rows, &batch.rollouts.offsets); // [N] each
    if matches!(batch.advantages.per, Per::Objective { .. }) {
        let mut losses = objective_losses(&settings.loss, input, &columns, whole)?;
        if settings.loss.has_penalty() {
            losses.push(penalty_loss(&settings.loss, input, whole)?);
        }
        return Ok(losses);
    }
    let losses = columns.iter().map(|column| loss(&settings.loss, input, column, whole));
    Ok(losses.collect::<Result<_, _>>()?)
}

#[cfg(test)]
mod tests;
