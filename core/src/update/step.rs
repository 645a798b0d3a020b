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
mod tests {
    use super::*;
    use crate::{
        config::{Aggregation, KlEstimator, PolicyLoss},
        data::Prompt,
        model::Model,
        rollout::{Sampling, Stream},
        update::{AdamWSettings, KlPenalty},
    };

    /// Three prompts with four sampled responses each, from the embedded model.
    fn sampled() -> (Policy, Rollouts) {
        let policy = Policy::new(Model::embedded().unwrap(), 1.0);
        let prompt = |row: usize, tokens: &[u32]| Prompt {
            row,
            text: String::new(),
            tokens: tokens.to_vec(),
            ground_truth: String::new(),
            data_source: String::new(),
            extra: String::new(),
        };
        let prompts = vec![
            prompt(0, &[2, 40, 41, 3]),
            prompt(1, &[2, 70, 3]),
            prompt(2, &[2, 90, 91, 92, 93, 3]),
        ];
        let sampling = Sampling {
            temperature: 1.0,
            top_p: 1.0,
            top_k: 0,
            max_new_tokens: 12,
        };
        let rollouts = policy.sample(prompts, 4, &sampling, Stream::training(1, 1)).unwrap();
        (policy, rollouts)
    }

    fn settings(micro_batch_tokens: usize) -> UpdateSettings {
        UpdateSettings {
            loss: LossSettings {
                policy: PolicyLoss::PpoClip,
                clip_low: 0.2,
                clip_high: 0.2,
                dual_clip: None,
                aggregation: Aggregation::TokenMean,
                kl: None,
                entropy: 0.0,
            },
            minibatch: 0,
            epochs: 1,
            micro_batch_tokens,
            norm_length: 12,
        }
    }

    /// Advantages of two objectives `[B, 2]` that disagree.
    fn advantages(b: usize) -> Vec<f32> {
        (0..b)
            .flat_map(|i| [(i as f32 * 0.7).sin(), (i as f32 * 1.3).cos()])
            .collect()
    }

    fn assert_close(a: &GradientSet, b: &GradientSet, relative: f64) {
        let all = vec![true; a.tensors().len()];
        let difference = GradientSet::weighted_sum(&[a.clone(), b.clone()], &[1.0, -1.0]).unwrap();
        let (distance, size) = (difference.dot(&difference, &all).unwrap(), a.dot(a, &all).unwrap());
        assert!(
            size > 0.0 && distance.sqrt() <= relative * size.sqrt(),
            "{} of {}",
            distance.sqrt(),
            size.sqrt()
        );
    }

    fn whole_batch(policy: &Policy, rollouts: &Rollouts, signal: &Signal, settings: &UpdateSettings) -> Columns {
        let reference: Vec<f32> = rollouts.logprobs.iter().map(|l| l - 0.3).collect();
        let reference = settings.loss.kl.map(|_| reference.as_slice());
        let batch = UpdateBatch {
            rollouts,
            signal,
            old: None,
            reference,
            forward: None,
        };
        let rows: Vec<usize> = (0..rollouts.len()).collect();
        gradients(policy, batch, &rows, settings).unwrap()
    }

    #[test]
    fn micro_batches_sum_to_the_whole() {
        let (policy, rollouts) = sampled();
        let signal = Signal::for_gramian(advantages(rollouts.len()), 2);
        let whole = whole_batch(&policy, &rollouts, &signal, &settings(usize::MAX));
        let parts = whole_batch(&policy, &rollouts, &signal, &settings(1));
        assert!(rollouts.chunks(1).len() == 3);
        for m in 0..2 {
            assert_close(&whole.sets[m], &parts.sets[m], 1e-5);
            assert!((whole.losses[m].value - parts.losses[m].value).abs() < 1e-9);
        }
        assert!((whole.entropy - parts.entropy).abs() < 1e-6);
    }

    /// On policy the loss is linear in the advantages, so weighing gradients is weighing advantages.
    #[test]
    fn the_weighted_sum_of_gradients_is_the_gradient_of_the_weighted_advantages() {
        let (policy, rollouts) = sampled();
        let two = advantages(rollouts.len());
        let weights = [0.3f32, 0.7];
        let mixed: Vec<f32> = two.chunks(2).map(|a| weights[0] * a[0] + weights[1] * a[1]).collect();
        let columns = whole_batch(&policy, &rollouts, &Signal::for_gramian(two, 2), &settings(usize::MAX));
        let sum = GradientSet::weighted_sum(&columns.sets, &weights).unwrap();
        let one = whole_batch(
            &policy,
            &rollouts,
            &Signal::for_gramian(mixed, 1),
            &settings(usize::MAX),
        );
        assert_close(&sum, &one.sets[0], 1e-5);
    }

    /// The KL term belongs to no objective: it is a column of its own, whatever the objectives weigh.
    #[test]
    fn the_kl_term_is_a_column_of_its_own() {
        let (policy, rollouts) = sampled();
        let mut with_kl = settings(usize::MAX);
        with_kl.loss.kl = Some(KlPenalty {
            estimator: KlEstimator::K2,
            coefficient: 0.5,
        });
        let signal = Signal::for_gramian(advantages(rollouts.len()), 2);
        let columns = whole_batch(&policy, &rollouts, &signal, &with_kl);
        assert_eq!((columns.sets.len(), columns.losses.len()), (3, 3));
        let plain = whole_batch(&policy, &rollouts, &signal, &settings(usize::MAX));
        assert_close(&columns.sets[1], &plain.sets[1], 1e-6);
        assert!(
            (columns.losses[2].kl - 0.5 * 0.3 * 0.3).abs() < 1e-4,
            "{}",
            columns.losses[2].kl
        );
    }

    /// The entropy bonus is in the last column too, by the entropies of the tokens alone.
    #[test]
    fn the_entropy_bonus_raises_the_entropy_and_is_no_objectives() {
        let (policy, rollouts) = sampled();
        let mut with_entropy = settings(usize::MAX);
        with_entropy.loss.entropy = 0.7;
        let signal = Signal::for_gramian(advantages(rollouts.len()), 2);
        let columns = whole_batch(&policy, &rollouts, &signal, &with_entropy);
        let plain = whole_batch(&policy, &rollouts, &signal, &settings(usize::MAX));
        assert_close(&columns.sets[0], &plain.sets[0], 1e-6);
        assert!((columns.losses[2].value + 0.7 * columns.entropy).abs() < 1e-6);
        // one step against the gradient of −0.7 H raises H by step · ‖∇‖² / 0.7
        let bonus = &columns.sets[2];
        let all = vec![true; bonus.tensors().len()];
        let norm2 = bonus.dot(bonus, &all).unwrap();
        let step = 1e-3 / norm2.sqrt();
        let moved: Vec<_> = policy
            .model()
            .params()
            .iter()
            .zip(bonus.tensors())
            .map(|((_, var), slope)| (var.as_tensor() - (slope * step).unwrap()).unwrap())
            .collect();
        policy.model().set_params(&moved).unwrap();
        let after = whole_batch(&policy, &rollouts, &signal, &with_entropy).entropy;
        let expected = step * norm2 / 0.7;
        assert!(
            (after - columns.entropy - expected).abs() < 0.05 * expected,
            "{} to {after}, expected a rise of {expected}",
            columns.entropy
        );
    }

    /// The forward pass of the Gramian serves the first optimizer step, and only that.
    #[test]
    fn an_update_from_the_gramians_forward_pass_is_the_update() {
        let two_epochs = UpdateSettings {
            epochs: 2,
            ..settings(usize::MAX)
        };
        let trained = |share: bool| {
            let (policy, rollouts) = sampled();
            let two = advantages(rollouts.len());
            let gramian = objective_gramian(&policy, &rollouts, &two, &[], &two_epochs).unwrap();
            let old = policy.logprobs(&rollouts).unwrap();
            let signal = Signal::for_gramian(two, 2);
            let batch = UpdateBatch {
                rollouts: &rollouts,
                signal: &signal,
                old: Some(&old),
                reference: None,
                forward: gramian.forward.as_ref().filter(|_| share),
            };
            let mut optimizer = AdamW::new(AdamWSettings::default(), policy.model().params().to_vec()).unwrap();
            let mut grams = Vec::new();
            update_policy(&policy, &mut optimizer, batch, &two_epochs, 1e-3, &mut |_, gram, _| {
                grams.push(gram.to_vec());
                Ok(vec![0.5, 0.5])
            })
            .unwrap();
            assert!(grams[0] == gramian.gram && grams[1] != grams[0]);
            policy.logprobs(&rollouts).unwrap()
        };
        assert_eq!(trained(true), trained(false));
    }

    #[test]
    fn the_gramian_holds_the_products_of_the_objectives_gradients() {
        let (policy, rollouts) = sampled();
        let two = advantages(rollouts.len());
        let batch = objective_gramian(&policy, &rollouts, &two, &[], &settings(usize::MAX)).unwrap();
        let (gram, losses) = (batch.gram, batch.losses);
        let columns = whole_batch(
            &policy,
            &rollouts,
            &Signal::for_gramian(two.clone(), 2),
            &settings(usize::MAX),
        );
        let all = vec![true; columns.sets[0].tensors().len()];
        let product = columns.sets[0].dot(&columns.sets[1], &all).unwrap();
        assert!((gram[1] - product).abs() < 1e-9 && gram[1] == gram[2] && losses.len() == 2);
        let last = [".2.".to_owned()];
        let part = objective_gramian(&policy, &rollouts, &two, &last, &settings(usize::MAX))
            .unwrap()
            .gram;
        assert!(
            part[0] > 0.0 && part[0] < gram[0],
            "one layer of three: {} of {}",
            part[0],
            gram[0]
        );
    }

    #[test]
    fn mini_batches_take_whole_groups_and_each_makes_a_step() {
        let (policy, rollouts) = sampled();
        assert_eq!(
            minibatches(&rollouts, 2),
            [(0..8).collect::<Vec<_>>(), (8..12).collect()]
        );
        assert_eq!(minibatches(&rollouts, 0).len(), 1);
        let mut optimizer = AdamW::new(AdamWSettings::default(), policy.model().params().to_vec()).unwrap();
        let old = policy.logprobs(&rollouts).unwrap();
        let signal = Signal::for_gramian(advantages(rollouts.len()), 2);
        let mut seen = Vec::new();
        let two_epochs = UpdateSettings {
            minibatch: 2,
            epochs: 2,
            ..settings(usize::MAX)
        };
        assert!(two_epochs.several_steps(3) && !settings(1).several_steps(3));
        let batch = UpdateBatch {
            rollouts: &rollouts,
            signal: &signal,
            old: Some(&old),
            reference: None,
            forward: None,
        };
        let report = update_policy(
            &policy,
            &mut optimizer,
            batch,
            &two_epochs,
            1e-3,
            &mut |number, gram, losses| {
                assert!(gram.len() == 4 && losses.len() == 2);
                seen.push(number);
                Ok(vec![0.5, 0.5])
            },
        )
        .unwrap();
        assert_eq!((seen, report.minibatches, optimizer.steps()), (vec![0, 1, 2, 3], 4, 4));
        let new = policy.logprobs(&rollouts).unwrap();
        assert!(
            old.iter().zip(&new).any(|(a, b)| (a - b).abs() > 1e-3),
            "four steps change the policy"
        );
    }

    /// What was sampled and what the training pass computes are the same numbers, so the ratio starts at 1.
    #[test]
    fn sampled_scored_and_trained_log_probabilities_agree() {
        let (policy, rollouts) = sampled();
        let scored = policy.logprobs(&rollouts).unwrap();
        let forward = policy.forward(&rollouts).unwrap();
        for ((a, b), c) in rollouts.logprobs.iter().zip(&scored).zip(forward.logprobs()) {
            assert!((a - b).abs() < 1e-4 && (b - c).abs() < 1e-5, "{a} {b} {c}");
        }
    }
}
