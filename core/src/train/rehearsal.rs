//! Settings that do not go with what a scalarizer returns are refused before a model is loaded. What it returns is known
//! from its hooks, or from asking a second one of its kind about a made-up batch.

use crate::{
    advantage::{AdvantageError, check_terms},
    config::{Config, KlPlacement},
    plugin::{BatchInput, Hooks, Needs, ScalarizerPlugin, SignalKind},
};

/// Whether the config has a term that some signals cannot have.
pub(super) fn is_needed(config: &Config) -> bool {
    config.algorithm.estimator.needs_greedy() || has_kl_in_reward(config)
}

fn has_kl_in_reward(config: &Config) -> bool {
    let kl = &config.algorithm.kl;
    kl.coefficient > 0.0 && kl.placement == KlPlacement::Reward
}

/// Asks `scalarizer`, which is used for nothing else. One that refuses the made-up batch is left to the first step.
///
/// # Errors
/// Its signal has no reward for a term that needs one.
pub(super) fn rehearse(config: &Config, mut scalarizer: ScalarizerPlugin) -> Result<(), AdvantageError> {
    const GROUP: usize = 4;
    let check = |kind: &SignalKind, name: &str| {
        check_terms(
            name,
            kind,
            config.algorithm.estimator.needs_greedy(),
            has_kl_in_reward(config),
        )
    };
    let (name, needs, m) = (scalarizer.name().to_owned(), scalarizer.needs(), scalarizer.m());
    if scalarizer.hooks().has(Hooks::WEIGH_GRADIENTS) {
        return check(&SignalKind::GradientWeights, &name);
    }
    let b = 2 * GROUP;
    let scores: Vec<f32> = (0..b * m).map(|i| [0.0, 1.0, 0.5, 0.25, 0.75][i * 7 % 5]).collect();
    let groups: Vec<u32> = (0..b).map(|row| u32::from(row >= GROUP)).collect();
    let (lengths, offsets) = (vec![2; b], (0..=b).map(|row| 2 * row).collect::<Vec<usize>>());
    let (advantages, logprobs) = (scores.clone(), vec![-1.0; 2 * b]);
    let asked = scalarizer.scalarize(&BatchInput {
        step: 1,
        m,
        scores: &scores,
        groups: &groups,
        lengths: &lengths,
        objective_advantages: Some(advantages.as_slice()).filter(|_| needs.has(Needs::OBJECTIVE_ADVANTAGES)),
        old_logprobs: Some(logprobs.as_slice()).filter(|_| needs.has(Needs::OLD_LOGPROBS)),
        ref_logprobs: Some(logprobs.as_slice()).filter(|_| needs.has(Needs::REF_LOGPROBS)),
        offsets: &offsets,
    });
    asked.map_or(Ok(()), |signal| check(signal.kind(), &name))
}
