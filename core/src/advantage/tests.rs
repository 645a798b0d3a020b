//! Estimators against the golden tables, and the inputs that a batch can be.

use serde::Deserialize;
use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::test_runner::RngSeed;

use super::*;
use crate::error::Report;

/// As [`super::estimate`], with greedy completions that are worth `greedy` each.
fn with_greedy(
    estimator: Estimator,
    rewards: &[f32],
    groups: &[u32],
    lengths: &[u32],
    greedy: f32,
) -> Result<Vec<f32>, AdvantageError> {
    super::estimate(estimator, rewards, groups, lengths, Some(&vec![greedy; rewards.len()]))
}

fn estimate(
    estimator: Estimator,
    rewards: &[f32],
    groups: &[u32],
    lengths: &[u32],
) -> Result<Vec<f32>, AdvantageError> {
    with_greedy(estimator, rewards, groups, lengths, 0.0)
}

const ADVANTAGES: &str = include_str!("../../../tests/golden/advantages.json");
const GDPO: &str = include_str!("../../../tests/golden/gdpo.json");

#[derive(Deserialize)]
struct Table<C> {
    cases: Vec<C>,
}

#[derive(Deserialize)]
struct OutcomeCase {
    rewards: Vec<f32>,
    groups: Vec<u32>,
    lengths: Vec<u32>,
    greedy_rewards: Vec<f32>,
    advantages: BTreeMap<String, Vec<Vec<f32>>>, // [B][tokens]
}

#[derive(Deserialize)]
struct GdpoCase {
    groups: Vec<u32>,
    weights: Vec<f32>,
    scores: Vec<Vec<f32>>,
    advantages: Vec<f32>,
}

/// The tables were computed in f32.
fn close(a: f32, b: f32) -> bool {
    (a - b).abs() <= 2e-6 + 2e-6 * b.abs()
}

fn golden_name(name: &str) -> Option<Estimator> {
    let name = name.replace("reinforce_plus_plus", "reinforce++").replace('_', "-");
    Estimator::ALL
        .iter()
        .copied()
        .find(|estimator| estimator.name() == name)
}

#[test]
fn golden_outcome_estimators() {
    let table: Table<OutcomeCase> = serde_json::from_str(ADVANTAGES).expect("golden file parses");
    let mut compared = 0;
    for (number, case) in table.cases.iter().enumerate() {
        for (name, expected) in &case.advantages {
            let estimator = golden_name(name).expect("every estimator of the table is here");
            let greedy = Some(case.greedy_rewards.as_slice());
            let found =
                super::estimate(estimator, &case.rewards, &case.groups, &case.lengths, greedy).expect("valid case");
            assert_eq!(found.len(), expected.len());
            for (row, tokens) in expected.iter().enumerate() {
                assert_eq!(tokens.len(), case.lengths[row] as usize);
                for &token in tokens {
                    assert!(
                        close(found[row], token),
                        "case {number} {name} row {row}: {} != {token}",
                        found[row]
                    );
                    compared += 1;
                }
            }
        }
    }
    assert!(compared > 2000, "{compared} numbers compared");
}

#[test]
fn golden_gdpo() {
    let table: Table<GdpoCase> = serde_json::from_str(GDPO).expect("golden file parses");
    for case in &table.cases {
        let found = estimate_gdpo(&case.scores.concat(), &case.weights, &case.groups).expect("valid case");
        for (&a, &b) in found.iter().zip(&case.advantages) {
            assert!((a - b).abs() <= 2e-5 + 2e-5 * b.abs(), "{a} != {b}");
        }
        assert_eq!(found.len(), case.advantages.len());
    }
}

/// The order of rows does not matter: interleaving groups permutes the result.
#[test]
fn interleaved_groups() {
    let rewards = [0.1, 0.9, 0.4, -2.0, 0.3, 1.5];
    let (groups, lengths) = ([7, 7, 7, 2, 2, 2], [3, 1, 4, 1, 5, 9]);
    let order = [3, 0, 4, 1, 5, 2];
    for &estimator in Estimator::ALL {
        let straight = estimate(estimator, &rewards, &groups, &lengths).expect("valid");
        let mixed = estimate(
            estimator,
            &order.map(|row| rewards[row]),
            &order.map(|row| groups[row]),
            &order.map(|row| lengths[row]),
        )
        .expect("valid");
        for (place, &row) in order.iter().enumerate() {
            assert!(close(mixed[place], straight[row]), "{} row {row}", estimator.name());
        }
        assert!(
            straight.iter().any(|&a| a.abs() > 0.1),
            "{} gives a signal",
            estimator.name()
        );
    }
}

/// Equal rewards carry no signal, and rounding makes none up (in f32, seven times 0.1 over 7 is not 0.1).
#[test]
fn equal_rewards_give_exactly_zero() {
    for &estimator in Estimator::ALL {
        let found = with_greedy(
            estimator,
            &[0.1; 9],
            &[0, 0, 1, 1, 1, 1, 1, 1, 1],
            &[1, 2, 3, 4, 5, 6, 7, 8, 9],
            0.1,
        );
        assert_eq!(found, Ok(vec![0.0; 9]), "{}", estimator.name());
    }
}

#[test]
fn group_of_one() {
    let one = |estimator| estimate(estimator, &[2.0, 1.0, 0.0], &[0, 1, 1], &[1, 1, 1]);
    for (estimator, expected) in [
        (Estimator::Grpo, 2.0 / 1.000_001),
        (Estimator::DrGrpo, 2.0),
        (Estimator::Rloo, 2.0),
        (Estimator::ReinforcePlusPlus, 1.0),
        (Estimator::ReinforcePlusPlusBaseline, 0.0),
        (Estimator::Opo, 2.0),
        (Estimator::Gdpo, 0.0),
        (Estimator::Remax, 2.0),
    ] {
        let found = one(estimator).expect("valid");
        assert!(close(found[0], expected), "{}: {}", estimator.name(), found[0]);
    }
    let error = one(Estimator::GrpoPassk).expect_err("nothing to compare with");
    assert!(error.to_string().contains("group 0 has 1"), "{error}");
    assert!(error.hint().is_some());
}

/// Nothing to estimate, no tokens, one token: defined, never NaN.
#[test]
fn degenerate_batches() {
    for &estimator in Estimator::ALL {
        assert_eq!(estimate(estimator, &[], &[], &[]), Ok(vec![]));
        let empty = estimate(estimator, &[1.0, 0.0], &[0, 0], &[0, 0]).expect("valid");
        let one = estimate(estimator, &[1.0, 0.0], &[0, 0], &[1, 0]).expect("valid");
        assert!(empty.iter().chain(&one).all(|a| a.is_finite()), "{}", estimator.name());
    }
}

#[test]
fn refusals() {
    let error = estimate(Estimator::Grpo, &[1.0, f32::NAN], &[0, 0], &[1, 1]).expect_err("NaN");
    assert_eq!(
        error.to_string(),
        "advantages: rewards at index 1 is NaN, expected a finite number"
    );
    assert!(estimate(Estimator::Grpo, &[1.0], &[0, 0], &[1]).is_err());
    let error = super::estimate(Estimator::Remax, &[1.0], &[0], &[1], None).expect_err("no baseline");
    assert!(
        error
            .to_string()
            .contains("remax needs the rewards of greedy completions"),
        "{error}"
    );
    assert!(estimate(Estimator::Grpo, &[1.0], &[0], &[]).is_err());
    let error = estimate_gdpo(&[1.0, 2.0, 3.0], &[0.5, 0.5], &[0, 0]).expect_err("3 scores for 2 x 2");
    assert_eq!(error.to_string(), "advantages: scores has 3 entries, expected 4");
    assert!(estimate_gdpo(&[1.0, 2.0], &[f32::INFINITY], &[0, 0]).is_err());
}

/// `name` is what a config holds.
#[test]
fn names_round_trip() {
    for &estimator in Estimator::ALL {
        let json = serde_json::to_string(&estimator).expect("serialisable");
        assert_eq!(json, format!("\"{}\"", estimator.name()));
        assert_eq!(serde_json::from_str::<Estimator>(&json).expect("parses"), estimator);
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 64,
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(5),
        ..ProptestConfig::default()
    })]

    /// Baselines within a group leave nothing over: the advantages of each prompt sum to 0, and a bonus to all
    /// completions of a prompt changes nothing.
    #[test]
    fn group_baselines_centre_each_prompt_and_ignore_a_shift(
        rewards in prop::collection::vec(prop::collection::vec(-8i8..=8, 2..6), 1..6),
        shift in -4i8..=4,
    ) {
        let groups: Vec<u32> = (0..).zip(&rewards).flat_map(|(g, group)| vec![g; group.len()]).collect();
        let flat: Vec<f32> = rewards.concat().into_iter().map(f32::from).collect();
        let shifted: Vec<f32> = flat.iter().map(|r| r + f32::from(shift)).collect();
        let lengths = vec![3; flat.len()];
        for estimator in [Estimator::Grpo, Estimator::DrGrpo, Estimator::Rloo, Estimator::Opo] {
            let advantages = estimate(estimator, &flat, &groups, &lengths).unwrap();
            let mut rest = &advantages[..];
            for group in &rewards {
                let (of_group, later) = rest.split_at(group.len());
                rest = later;
                let sum: f32 = of_group.iter().sum();
                prop_assert!(sum.abs() < 1e-4, "{estimator:?}: {of_group:?} sum to {sum}");
            }
            let moved = estimate(estimator, &shifted, &groups, &lengths).unwrap();
            for (a, b) in advantages.iter().zip(&moved) {
                prop_assert!((a - b).abs() < 1e-4, "{estimator:?}: {a} became {b}");
            }
        }
    }
}
