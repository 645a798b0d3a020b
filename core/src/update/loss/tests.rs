//! Losses against the golden table, finite differences, and their own parts.

use serde::Deserialize;

use super::super::kl::KlEstimator;
use super::*;

#[derive(Deserialize)]
struct Table {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    old_logprobs: Vec<Vec<f32>>,
    new_logprobs: Vec<Vec<f32>>,
    advantages: Vec<f32>,
    padded_length: usize,
    clip_low: f64,
    clip_high: f64,
    dual_clip: f64,
    aggregation: Aggregation,
    loss: f64,
    clip_fraction: f64,
    approx_kl: f64,
    dual_clip_fraction: f64,
    grad_new_logprobs: Vec<Vec<f64>>,
}

const AGGREGATIONS: [Aggregation; 4] = [
    Aggregation::TokenMean,
    Aggregation::SeqMeanTokenSum,
    Aggregation::SeqMeanTokenMean,
    Aggregation::SeqMeanTokenSumNorm,
];

fn offsets_of(lengths: &[usize]) -> Vec<usize> {
    let mut offsets = vec![0];
    for &length in lengths {
        offsets.push(offsets[offsets.len() - 1] + length);
    }
    offsets
}

fn settings(policy: PolicyLoss, aggregation: Aggregation) -> LossSettings {
    let kl = Some(KlPenalty {
        estimator: KlEstimator::K3,
        coefficient: 0.3,
    });
    LossSettings {
        policy,
        clip_low: 0.2,
        clip_high: 0.28,
        dual_clip: Some(3.0),
        aggregation,
        kl,
        entropy: 0.0,
    }
}

/// One advantage for each completion `[B]` as one for each token `[N]`.
fn spread(advantages: &[f32], offsets: &[usize]) -> Vec<f32> {
    responses(offsets)
        .zip(advantages)
        .flat_map(|(range, &value)| range.map(move |_| value))
        .collect()
}

/// A mini-batch of five responses whose ratios lie on both sides of every bound, none near one.
struct Batch {
    new: Vec<f32>,
    old: Vec<f32>,
    reference: Vec<f32>,
    advantages: Vec<f32>,
    offsets: Vec<usize>,
    whole: Denominators,
}

fn batch() -> Batch {
    let lengths = [1, 4, 2, 3, 5];
    let offsets = offsets_of(&lengths);
    // Log-ratios, spread so that clipping and dual clipping happen for both signs of the advantage.
    let steps = [-0.5, -0.1, 0.05, 0.4, 1.5, -0.3, 0.2, -1.0, 0.7];
    let (mut new, mut old, mut reference) = (vec![], vec![], vec![]);
    for t in 0..15_usize {
        let at = -0.4 - 0.13 * t as f32;
        old.push(at);
        new.push(at + steps[(t * 4) % 9]);
        reference.push(at + steps[(t * 7 + 2) % 9] * 0.8);
    }
    let advantages = vec![1.3, -0.9, 0.4, -2.1, 0.7];
    Batch {
        new,
        old,
        reference,
        advantages,
        offsets,
        whole: Denominators::of(lengths, 8),
    }
}

impl Batch {
    fn input<'a>(&'a self, new: &'a [f32]) -> LossInput<'a> {
        LossInput {
            logprobs: new,
            old: Some(&self.old),
            reference: Some(&self.reference),
            offsets: &self.offsets,
            entropies: None,
        }
    }

    fn advantages(&self) -> Vec<f32> {
        spread(&self.advantages, &self.offsets)
    }

    fn per_token(&self) -> Vec<f32> {
        (0..self.new.len()).map(|t| ((t * 5) % 7) as f32 - 3.2).collect()
    }
}

/// The table holds f32 results of f32 sums.
fn close(a: f64, b: f64) -> bool {
    (a - b).abs() <= 2e-6 + 2e-6 * b.abs()
}

#[test]
fn golden_policy_losses() {
    let text = include_str!("../../../../tests/golden/policy_loss.json");
    let table: Table = serde_json::from_str(text).expect("golden file parses");
    assert_eq!(table.cases.len(), 8);
    let mut bounded = (0, 0);
    for (number, case) in table.cases.iter().enumerate() {
        let settings = LossSettings {
            policy: PolicyLoss::PpoClip,
            clip_low: case.clip_low,
            clip_high: case.clip_high,
            dual_clip: Some(case.dual_clip),
            aggregation: case.aggregation,
            kl: None,
            entropy: 0.0,
        };
        let lengths: Vec<usize> = case.new_logprobs.iter().map(Vec::len).collect();
        let (new, old, offsets) = (
            case.new_logprobs.concat(),
            case.old_logprobs.concat(),
            offsets_of(&lengths),
        );
        let input = LossInput {
            logprobs: &new,
            old: Some(&old),
            reference: None,
            offsets: &offsets,
            entropies: None,
        };
        let whole = Denominators::of(lengths, case.padded_length);
        let found = loss(&settings, &input, &spread(&case.advantages, &offsets), &whole).expect("valid case");
        for (what, a, b) in [
            ("loss", found.value, case.loss),
            (
                "clip fraction",
                found.numbers.get("policy/clip_fraction"),
                case.clip_fraction,
            ),
            ("approximate KL", found.numbers.get("policy/approx_kl"), case.approx_kl),
            (
                "dual clip fraction",
                found.numbers.get("policy/dual_clip_fraction"),
                case.dual_clip_fraction,
            ),
        ] {
            assert!(close(a, b), "case {number} {what}: {a} != {b}");
        }
        for (t, (&a, b)) in found.cotangent.iter().zip(case.grad_new_logprobs.concat()).enumerate() {
            assert!(close(a.into(), b), "case {number} gradient of token {t}: {a} != {b}");
        }
        bounded.0 += usize::from(found.numbers.get("policy/clip_fraction") > 0.0);
        bounded.1 += usize::from(found.numbers.get("policy/dual_clip_fraction") > 0.0);
    }
    assert!(
        bounded.0 >= 2 && bounded.1 >= 1,
        "the table reaches both clips: {bounded:?}"
    );
}

/// Central differences in f32 log-probabilities; the loss itself is f64.
#[test]
fn cotangents_are_finite_differences() {
    let batch = batch();
    let per_token = batch.per_token();
    let h = 1.0 / 1024.0;
    for aggregation in AGGREGATIONS {
        for (policy, advantages) in [
            (PolicyLoss::PpoClip, batch.advantages()),
            (PolicyLoss::PpoClip, per_token.clone()),
            (PolicyLoss::Gspo, batch.advantages()),
        ] {
            let settings = settings(policy, aggregation);
            let at = |new: &[f32]| loss(&settings, &batch.input(new), &advantages, &batch.whole).expect("valid");
            let cotangent = at(&batch.new).cotangent;
            for t in 0..batch.new.len() {
                let moved = |by: f32| {
                    let mut new = batch.new.clone();
                    new[t] += by;
                    (f64::from(new[t]), at(&new).value)
                };
                let ((x0, y0), (x1, y1)) = (moved(-h), moved(h));
                let difference = (y1 - y0) / (x1 - x0);
                let found = f64::from(cotangent[t]);
                assert!(
                    (found - difference).abs() < 1e-5,
                    "{policy:?} {aggregation:?} token {t}: {found} {difference}"
                );
            }
        }
    }
}

/// CISPO's importance weight is a constant in the derivative.
#[test]
fn cispo_by_hand() {
    let offsets = [0, 2];
    let (new, old) = ([-1.0, -2.0], [-1.0 - 0.5_f32, -2.0 + 0.1]);
    let input = LossInput {
        logprobs: &new,
        old: Some(&old),
        reference: None,
        offsets: &offsets,
        entropies: None,
    };
    let settings = LossSettings {
        kl: None,
        ..settings(PolicyLoss::Cispo, Aggregation::TokenMean)
    };
    let whole = Denominators::of([2], 2);
    let found = loss(&settings, &input, &spread(&[2.0], input.offsets), &whole).expect("valid");
    let (clipped, free) = (1.28, (-0.1_f64).exp());
    assert!(close(found.cotangent[0].into(), -clipped * 2.0 / 2.0));
    assert!(close(found.cotangent[1].into(), -free * 2.0 / 2.0));
    assert!(close(found.value, clipped * 1.0 + free * 2.0));
    assert!(close(found.numbers.get("policy/clip_fraction"), 0.5));
}

/// Any cut between responses: parts add up to the whole, value by value.
#[test]
fn parts_sum_to_the_whole() {
    let batch = batch();
    for policy in [PolicyLoss::PpoClip, PolicyLoss::Gspo, PolicyLoss::Cispo] {
        for aggregation in AGGREGATIONS {
            let settings = settings(policy, aggregation);
            let whole = loss(&settings, &batch.input(&batch.new), &batch.advantages(), &batch.whole).expect("valid");
            for cut in 0..=5_usize {
                let mut sum = LossOutput::default();
                for responses in [0..cut, cut..5] {
                    let start = batch.offsets[responses.start];
                    let tokens = start..batch.offsets[responses.end];
                    let offsets: Vec<usize> = batch.offsets[responses.start..=responses.end]
                        .iter()
                        .map(|o| o - start)
                        .collect();
                    let input = LossInput {
                        logprobs: &batch.new[tokens.clone()],
                        old: Some(&batch.old[tokens.clone()]),
                        reference: Some(&batch.reference[tokens]),
                        offsets: &offsets,
                        entropies: None,
                    };
                    let advantages = spread(&batch.advantages[responses], &offsets);
                    sum += loss(&settings, &input, &advantages, &batch.whole).expect("valid");
                }
                assert_eq!(
                    sum.cotangent, whole.cotangent,
                    "{policy:?} {aggregation:?} cut at {cut}"
                );
                for (a, b) in [
                    (sum.value, whole.value),
                    (sum.policy, whole.policy),
                    (sum.kl, whole.kl),
                    (
                        sum.numbers.get("policy/clip_fraction"),
                        whole.numbers.get("policy/clip_fraction"),
                    ),
                    (
                        sum.numbers.get("policy/dual_clip_fraction"),
                        whole.numbers.get("policy/dual_clip_fraction"),
                    ),
                    (
                        sum.numbers.get("policy/approx_kl"),
                        whole.numbers.get("policy/approx_kl"),
                    ),
                    (
                        sum.numbers.get("policy/ratio_mean"),
                        whole.numbers.get("policy/ratio_mean"),
                    ),
                ] {
                    assert!(
                        (a - b).abs() < 1e-13,
                        "{policy:?} {aggregation:?} cut at {cut}: {a} != {b}"
                    );
                }
            }
            assert!(whole.kl > 0.0 && whole.value != whole.policy);
        }
    }
}

/// The first pass over a batch: the ratio is 1, the derivative −A w, nothing is clipped.
#[test]
fn on_policy_pass() {
    let batch = batch();
    for policy in [PolicyLoss::PpoClip, PolicyLoss::Gspo, PolicyLoss::Cispo] {
        let settings = LossSettings {
            kl: None,
            ..settings(policy, Aggregation::SeqMeanTokenMean)
        };
        let input = LossInput {
            old: None,
            reference: None,
            ..batch.input(&batch.new)
        };
        let found = loss(&settings, &input, &batch.advantages(), &batch.whole).expect("valid");
        let same = LossInput {
            old: Some(&batch.new),
            ..input
        };
        assert_eq!(
            found,
            loss(&settings, &same, &batch.advantages(), &batch.whole).expect("valid")
        );
        assert!(
            (found.numbers.get("policy/ratio_mean") - 1.0).abs() < 1e-12
                && found.numbers.get("policy/approx_kl") == 0.0
                && found.numbers.get("policy/clip_fraction") == 0.0
        );
        for (b, range) in responses(&batch.offsets).enumerate() {
            let expected = -f64::from(batch.advantages[b]) / range.len() as f64 / 5.0;
            for t in range {
                assert!(close(found.cotangent[t].into(), expected));
            }
        }
    }
}

/// With the same weights for all tokens the policy term is linear in the advantage where nothing is
/// clipped: M columns mix as the objectives do.
#[test]
fn objective_columns() {
    let batch = batch();
    let settings = LossSettings {
        clip_low: 100.0,
        clip_high: 100.0,
        dual_clip: None,
        ..settings(PolicyLoss::PpoClip, Aggregation::TokenMean)
    };
    let input = batch.input(&batch.new);
    let per_token = batch.per_token();
    let columns = [batch.advantages(), per_token.clone()];
    let losses = objective_losses(&settings, &input, &columns, &batch.whole).expect("valid");
    assert_eq!(losses.len(), 2);
    let mixed: Vec<f32> = responses(&batch.offsets)
        .enumerate()
        .flat_map(|(b, range)| range.map(move |t| (b, t)))
        .map(|(b, t)| 0.25 * batch.advantages[b] + 0.75 * per_token[t])
        .collect();
    let whole = loss(&settings, &input, &mixed, &batch.whole).expect("valid");
    let penalty = penalty_loss(&settings, &input, &batch.whole).expect("valid");
    for t in 0..batch.new.len() {
        let sum = 0.25 * losses[0].cotangent[t] + 0.75 * losses[1].cotangent[t] + penalty.cotangent[t];
        assert!(close(sum.into(), whole.cotangent[t].into()), "token {t}");
    }
}

/// Far-off old log-probabilities neither overflow nor pull, where no clip would stop them.
#[test]
fn log_ratio_is_clamped() {
    let settings = LossSettings {
        kl: None,
        dual_clip: None,
        ..settings(PolicyLoss::PpoClip, Aggregation::TokenMean)
    };
    let input = LossInput {
        logprobs: &[-1.0, -300.0],
        old: Some(&[-300.0, -1.0]),
        reference: None,
        offsets: &[0, 1, 2],
        entropies: None,
    };
    let whole = Denominators::of([1, 1], 1);
    let found = loss(&settings, &input, &[-1.0, 1.0], &whole).expect("valid");
    assert!(close(found.value, 20_f64.exp() / 2.0));
    assert_eq!(found.cotangent, [0.0, 0.0]);
}

#[test]
fn refusals() {
    let settings = settings(PolicyLoss::PpoClip, Aggregation::TokenMean);
    let whole = Denominators::of([1, 2], 2);
    let input = LossInput {
        logprobs: &[-1.0, -1.0, -1.0],
        old: None,
        reference: Some(&[-1.0; 3]),
        offsets: &[0, 1, 3],
        entropies: None,
    };
    let run = |input: LossInput<'_>, advantages: &[f32]| {
        loss(&settings, &input, advantages, &whole).map_err(|error| error.to_string())
    };
    assert!(run(input, &[1.0, 2.0, 2.0]).is_ok());
    assert_eq!(
        run(
            LossInput {
                logprobs: &[-1.0, -1.0, f32::NAN],
                ..input
            },
            &[1.0, 2.0, 2.0]
        ),
        Err("loss: the new log-probability of completion 1, token 1 is NaN, expected a finite number".into())
    );
    assert_eq!(
        run(input, &[1.0]),
        Err("loss: advantages has 1 entries, expected 3".into())
    );
    assert!(run(input, &[1.0, f32::NAN, 1.0]).is_err());
    assert!(
        run(
            LossInput {
                old: Some(&[-1.0]),
                ..input
            },
            &[1.0, 2.0, 2.0]
        )
        .is_err()
    );
    assert!(
        run(
            LossInput {
                offsets: &[0, 3, 1, 3],
                ..input
            },
            &[1.0, 2.0, 3.0]
        )
        .is_err()
    );
    assert!(
        run(
            LossInput {
                offsets: &[0, 1, 2],
                ..input
            },
            &[1.0, 2.0, 2.0]
        )
        .is_err()
    );
    assert!(run(LossInput { offsets: &[], ..input }, &[]).is_err());
    assert_eq!(
        run(
            LossInput {
                reference: None,
                ..input
            },
            &[1.0, 2.0, 2.0]
        ),
        Err(LossError::NoReference.to_string())
    );
}
