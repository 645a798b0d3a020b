//! Updates of the embedded model on a small sampled batch.

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
    let all = vec![true; a.layout().slots().len()];
    let difference = GradientSet::weighted_sum(vec![a.clone(), b.clone()], &[1.0, -1.0]).unwrap();
    let (distance, size) = (difference.dot(&difference, &all).unwrap(), a.dot(a, &all).unwrap());
    assert!(
        size > 0.0 && distance.sqrt() <= relative * size.sqrt(),
        "{} of {}",
        distance.sqrt(),
        size.sqrt()
    );
}

fn whole_batch(
    policy: &Policy,
    rollouts: &Rollouts,
    advantages: &Advantages,
    settings: &UpdateSettings,
) -> MiniBatchGradients {
    let reference: Vec<f32> = rollouts.logprobs.iter().map(|l| l - 0.3).collect();
    let reference = settings.loss.kl.map(|_| reference.as_slice());
    let batch = UpdateBatch {
        rollouts,
        advantages,
        old: None,
        reference,
        gradient_layers: &[],
    };
    let rows: Vec<usize> = (0..rollouts.len()).collect();
    gradients(policy, batch, &rows, settings, None).unwrap()
}

#[test]
fn micro_batches_sum_to_the_whole() {
    let (policy, rollouts) = sampled();
    let advantages = Advantages::of_objectives(advantages(rollouts.len()), 2);
    let whole = whole_batch(&policy, &rollouts, &advantages, &settings(usize::MAX));
    let parts = whole_batch(&policy, &rollouts, &advantages, &settings(1));
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
    let columns = whole_batch(
        &policy,
        &rollouts,
        &Advantages::of_objectives(two, 2),
        &settings(usize::MAX),
    );
    let sum = GradientSet::weighted_sum(columns.sets, &weights).unwrap();
    let one = whole_batch(
        &policy,
        &rollouts,
        &Advantages::of_objectives(mixed, 1),
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
    let advantages = Advantages::of_objectives(advantages(rollouts.len()), 2);
    let columns = whole_batch(&policy, &rollouts, &advantages, &with_kl);
    assert_eq!((columns.sets.len(), columns.losses.len()), (3, 3));
    let plain = whole_batch(&policy, &rollouts, &advantages, &settings(usize::MAX));
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
    let (mut policy, rollouts) = sampled();
    let mut with_entropy = settings(usize::MAX);
    with_entropy.loss.entropy = 0.7;
    let advantages = Advantages::of_objectives(advantages(rollouts.len()), 2);
    let columns = whole_batch(&policy, &rollouts, &advantages, &with_entropy);
    let plain = whole_batch(&policy, &rollouts, &advantages, &settings(usize::MAX));
    assert_close(&columns.sets[0], &plain.sets[0], 1e-6);
    assert!((columns.losses[2].value + 0.7 * columns.entropy).abs() < 1e-6);
    // one step against the gradient of −0.7 H raises H by step · ‖∇‖² / 0.7
    let bonus = &columns.sets[2];
    let all = vec![true; bonus.layout().slots().len()];
    let norm2 = bonus.dot(bonus, &all).unwrap();
    let step = 1e-3 / norm2.sqrt();
    let params = policy.params_mut().trainable_mut().values_mut();
    for (param, slope) in params.iter_mut().zip(bonus.values()) {
        *param -= crate::num::to_f32(step) * slope;
    }
    let after = whole_batch(&policy, &rollouts, &advantages, &with_entropy).entropy;
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
        let (mut policy, rollouts) = sampled();
        let two = advantages(rollouts.len());
        let gramian = batch_gramian(
            &policy,
            &rollouts,
            &Advantages::of_objectives(two.clone(), 2),
            &[],
            &two_epochs,
        )
        .unwrap();
        let forward = gramian.forward.filter(|_| share);
        assert!(!share || forward.is_some());
        let old = policy.logprobs(&rollouts).unwrap();
        let advantages = Advantages::of_objectives(two, 2);
        let batch = UpdateBatch {
            rollouts: &rollouts,
            advantages: &advantages,
            old: Some(&old),
            reference: None,
            gradient_layers: &[],
        };
        let mut optimizer = AdamW::new(AdamWSettings::default(), policy.model().params().trainable());
        let mut grams = Vec::new();
        update_policy(
            &mut policy,
            &mut optimizer,
            batch,
            &two_epochs,
            forward,
            1e-3,
            &mut |_, gram, _| {
                grams.push(gram.to_vec());
                Ok(vec![0.5, 0.5])
            },
        )
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
    let batch = batch_gramian(
        &policy,
        &rollouts,
        &Advantages::of_objectives(two.clone(), 2),
        &[],
        &settings(usize::MAX),
    )
    .unwrap();
    let (gram, losses) = (batch.gram, batch.losses);
    let columns = whole_batch(
        &policy,
        &rollouts,
        &Advantages::of_objectives(two.clone(), 2),
        &settings(usize::MAX),
    );
    let all = vec![true; columns.sets[0].layout().slots().len()];
    let product = columns.sets[0].dot(&columns.sets[1], &all).unwrap();
    assert!((gram[1] - product).abs() < 1e-9 && gram[1] == gram[2] && losses.len() == 2);
    let last = [".2.".to_owned()];
    let part = batch_gramian(
        &policy,
        &rollouts,
        &Advantages::of_objectives(two, 2),
        &last,
        &settings(usize::MAX),
    )
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
    let (mut policy, rollouts) = sampled();
    assert_eq!(
        minibatches(&rollouts, 2),
        [(0..8).collect::<Vec<_>>(), (8..12).collect()]
    );
    assert_eq!(minibatches(&rollouts, 0).len(), 1);
    let mut optimizer = AdamW::new(AdamWSettings::default(), policy.model().params().trainable());
    let old = policy.logprobs(&rollouts).unwrap();
    let advantages = Advantages::of_objectives(advantages(rollouts.len()), 2);
    let mut seen = Vec::new();
    let two_epochs = UpdateSettings {
        minibatch: 2,
        epochs: 2,
        ..settings(usize::MAX)
    };
    assert!(two_epochs.is_off_policy(3) && !settings(1).is_off_policy(3));
    let batch = UpdateBatch {
        rollouts: &rollouts,
        advantages: &advantages,
        old: Some(&old),
        reference: None,
        gradient_layers: &[],
    };
    let report = update_policy(
        &mut policy,
        &mut optimizer,
        batch,
        &two_epochs,
        None,
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
