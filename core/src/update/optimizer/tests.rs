//! AdamW against an f64 evaluation of the textbook formula, and what it refuses.

use std::sync::Arc;

use super::arithmetic::CHUNK;
use super::*;
use crate::engine::Layout;

const LR: f64 = 0.01;

/// A matrix (decayed) and a vector (not decayed).
fn layout() -> Arc<Layout> {
    Arc::new(Layout::new([("matrix".into(), vec![2, 3]), ("vector".into(), vec![4])]))
}

fn params() -> Arena {
    let from = |start: f32, count: usize| (0..count).map(move |i| start + 0.25 * i as f32);
    Arena::new(layout(), from(-0.5, 6).chain(from(1.0, 4)).collect()).expect("fits")
}

/// Gradients of update `u`, of changing sign and size.
fn gradients(u: u64) -> GradientSet {
    let make = |shift: f32, count: usize| {
        (0..count).map(move |i| ((u as f32) * 1.7 + shift + i as f32).sin() * (1.0 + i as f32))
    };
    GradientSet::new(layout(), make(0.0, 6).chain(make(0.5, 4)).collect()).expect("fits")
}

fn values(values: &[f32]) -> Vec<f64> {
    values.iter().copied().map(f64::from).collect()
}

/// Both parts of a buffer.
fn parts(arena: &Arena) -> Vec<Vec<f64>> {
    arena.iter().map(|(_, part)| values(part)).collect()
}

fn new(clip_norm: Option<f64>) -> AdamW {
    AdamW::new(settings(clip_norm), &params())
}

/// The formula as in the PyTorch documentation of `torch.optim.AdamW`, on one flat f64 array for each
/// parameter.
fn reference(settings: &AdamWSettings, updates: u64) -> Vec<Vec<f64>> {
    let mut params = parts(&params());
    let (mut m, mut v) = (vec![vec![0.0; 6], vec![0.0; 4]], vec![vec![0.0; 6], vec![0.0; 4]]);
    let (beta1, beta2) = settings.betas;
    for u in 1..=updates {
        let gradients: Vec<Vec<f64>> = gradients(u).iter().map(|(_, part)| values(part)).collect();
        let norm = gradients.iter().flatten().map(|g| g * g).sum::<f64>().sqrt();
        let scale = settings.clip_norm.map_or(1.0, |clip| (clip / (norm + 1e-6)).min(1.0));
        for (index, gradient) in gradients.iter().enumerate() {
            for (i, g) in gradient.iter().map(|g| g * scale).enumerate() {
                if index == 0 {
                    params[0][i] -= LR * settings.weight_decay * params[0][i];
                }
                m[index][i] = beta1 * m[index][i] + (1.0 - beta1) * g;
                v[index][i] = beta2 * v[index][i] + (1.0 - beta2) * g * g;
                let (m_hat, v_hat) = (
                    m[index][i] / (1.0 - beta1.powf(u as f64)),
                    v[index][i] / (1.0 - beta2.powf(u as f64)),
                );
                params[index][i] -= LR * m_hat / (v_hat.sqrt() + settings.epsilon);
            }
        }
    }
    params
}

fn settings(clip_norm: Option<f64>) -> AdamWSettings {
    AdamWSettings {
        betas: (0.9, 0.95),
        epsilon: 1e-6,
        weight_decay: 0.3,
        clip_norm,
    }
}

fn train(optimizer: &mut AdamW, params: &mut Arena, updates: std::ops::RangeInclusive<u64>) -> Vec<StepReport> {
    updates
        .map(|u| optimizer.step(params, &gradients(u), LR).expect("finite gradients"))
        .collect()
}

#[test]
fn agrees_with_the_formula() {
    for clip_norm in [None, Some(1.0), Some(1e6)] {
        let mut params = params();
        let reports = train(&mut new(clip_norm), &mut params, 1..=10);
        for (part, expected) in parts(&params).iter().zip(reference(&settings(clip_norm), 10)) {
            for (i, (a, b)) in part.iter().zip(expected).enumerate() {
                assert!((a - b).abs() < 2e-6, "clip {clip_norm:?} [{i}]: {a} != {b}");
            }
        }
        let gradient = values(gradients(1).values()).iter().map(|g| g * g).sum::<f64>().sqrt();
        assert!((reports[0].gradient_norm - gradient).abs() < 1e-9);
        assert!(reports.iter().all(|report| report.clipped == (clip_norm == Some(1.0))));
    }
}

/// Parameters after ten steps of PyTorch 2.15's `torch.optim.AdamW` in f32 (two parameter groups, decay
/// 0.3 and 0) with `clip_grad_norm_` on the same gradients.
#[test]
fn agrees_with_pytorch() {
    for (clip_norm, matrix, vector) in [
        (
            None,
            [-0.5032329, -0.2432855, 0.0281750, 0.2627811, 0.4883153, 0.6999036],
            [0.9902033, 1.2761111, 1.5266963, 1.7623502],
        ),
        (
            Some(1.0),
            [-0.5036917, -0.2443184, 0.0278006, 0.2629877, 0.4894836, 0.7002386],
            [0.9890211, 1.2756727, 1.5262682, 1.7633916],
        ),
    ] {
        let mut params = params();
        train(&mut new(clip_norm), &mut params, 1..=10);
        for (part, expected) in parts(&params).iter().zip([&matrix[..], &vector[..]]) {
            for (a, b) in part.iter().zip(expected) {
                assert!((a - b).abs() < 5e-7, "clip {clip_norm:?}: {a} != {b}");
            }
        }
    }
}

/// 3 updates, the state taken out and put into a fresh optimizer, 3 more: the bits of 6 updates.
#[test]
fn state_round_trip() {
    let mut straight = params();
    train(&mut new(Some(1.0)), &mut straight, 1..=6);

    let mut resumed = params();
    let mut first = new(Some(1.0));
    train(&mut first, &mut resumed, 1..=3);
    let state = first.state().clone();
    train(&mut first, &mut resumed.clone(), 4..=4); // what was taken out stays
    let mut second = new(Some(1.0));
    second.load_state(state).expect("fits");
    assert_eq!(second.steps(), 3);
    train(&mut second, &mut resumed, 4..=6);
    assert_eq!(straight.values(), resumed.values());
}

#[test]
fn refusals_name_the_parameter_and_change_nothing() {
    let mut params = params();
    let before = params.clone();
    let mut optimizer = new(None);
    let mut refuse = |gradient: &GradientSet, lr: f64| {
        optimizer
            .step(&mut params, gradient, lr)
            .expect_err("refused")
            .to_string()
    };
    let good = gradients(1);
    let mut bad = good.clone();
    bad.values_mut()[8..].copy_from_slice(&[f32::NAN, f32::INFINITY]);
    assert_eq!(
        refuse(&bad, LR),
        "optimizer: the gradient of vector is NaN at element 2, expected a finite number"
    );
    let other = Arc::new(Layout::new([("matrix".into(), vec![3, 2]), ("vector".into(), vec![4])]));
    assert_eq!(
        refuse(&GradientSet::zeros(other.clone()), LR),
        "optimizer: names and shapes of the gradients are not those of the trained parameters"
    );
    assert_eq!(
        refuse(&good, f64::NAN),
        "optimizer: the learning rate is NaN, expected a finite number, 0 or more"
    );
    assert_eq!((before.values(), optimizer.steps()), (params.values(), 0));
    assert!(optimizer.step(&mut Arena::zeros(other.clone()), &good, LR).is_err());
    let other = AdamW::new(settings(None), &Arena::zeros(other));
    assert!(optimizer.load_state(other.state().clone()).is_err());
    assert_eq!(optimizer.steps(), 0);
}

/// A part larger than a chunk is updated to its end.
#[test]
fn parts_of_several_chunks() {
    let layout = Arc::new(Layout::new([("wide".into(), vec![2, CHUNK + 7])]));
    let mut params = Arena::zeros(layout.clone());
    let mut optimizer = AdamW::new(settings(None), &params);
    let signs = (0..layout.len()).map(|i| if i % 2 == 0 { 1.0 } else { -1.0 });
    let gradient = GradientSet::new(layout.clone(), signs.collect()).expect("fits");
    optimizer.step(&mut params, &gradient, LR).expect("finite");
    for (param, sign) in params.values().iter().zip(gradient.values()) {
        assert!((f64::from(*param) + LR * f64::from(*sign)).abs() < 1e-6);
    }
}
