//! AdamW against an f64 evaluation of the textbook formula, and what it refuses.

use super::arithmetic::CHUNK;
use super::*;

const LR: f64 = 0.01;

/// A matrix (decayed) and a vector (not decayed).
fn params(dtype: DType) -> Vec<(String, Var)> {
    let make = |shape: &[usize], from: f32| {
        let count: usize = shape.iter().product();
        let values: Vec<f32> = (0..count).map(|i| from + 0.25 * i as f32).collect();
        let tensor = Tensor::from_vec(values, shape, &Device::Cpu)
            .and_then(|t| t.to_dtype(dtype))
            .expect("valid shape");
        Var::from_tensor(&tensor).expect("a variable")
    };
    vec![
        ("matrix".into(), make(&[2, 3], -0.5)),
        ("vector".into(), make(&[4], 1.0)),
    ]
}

/// Gradients of update `u`, of changing sign and size.
fn gradients(u: u64) -> Vec<Option<Tensor>> {
    let make = |shape: &[usize], shift: f32| {
        let count: usize = shape.iter().product();
        let values: Vec<f32> = (0..count)
            .map(|i| ((u as f32) * 1.7 + shift + i as f32).sin() * (1.0 + i as f32))
            .collect();
        Some(Tensor::from_vec(values, shape, &Device::Cpu).expect("valid shape"))
    };
    vec![make(&[2, 3], 0.0), make(&[4], 0.5)]
}

fn values(tensor: &Tensor) -> Vec<f64> {
    to_f32_vec(tensor)
        .expect("readable")
        .into_iter()
        .map(f64::from)
        .collect()
}

/// The formula as in the PyTorch documentation of `torch.optim.AdamW`, on one flat f64 array for each
/// parameter.
fn reference(settings: &AdamWSettings, updates: u64) -> Vec<Vec<f64>> {
    let mut params: Vec<Vec<f64>> = params(DType::F32).iter().map(|(_, p)| values(p.as_tensor())).collect();
    let (mut m, mut v) = (vec![vec![0.0; 6], vec![0.0; 4]], vec![vec![0.0; 6], vec![0.0; 4]]);
    let (beta1, beta2) = settings.betas;
    for u in 1..=updates {
        let gradients: Vec<Vec<f64>> = gradients(u).iter().flatten().map(values).collect();
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

fn train(optimizer: &mut AdamW, updates: std::ops::RangeInclusive<u64>) -> Vec<StepReport> {
    updates
        .map(|u| optimizer.step(&gradients(u), LR).expect("finite gradients"))
        .collect()
}

#[test]
fn agrees_with_the_formula() {
    for clip_norm in [None, Some(1.0), Some(1e6)] {
        let settings = settings(clip_norm);
        let params = params(DType::F32);
        let mut optimizer = AdamW::new(settings, params.clone()).expect("valid settings");
        let reports = train(&mut optimizer, 1..=10);
        for ((name, param), expected) in params.iter().zip(reference(&settings, 10)) {
            for (i, (a, b)) in values(param.as_tensor()).iter().zip(expected).enumerate() {
                assert!((a - b).abs() < 2e-6, "clip {clip_norm:?} {name}[{i}]: {a} != {b}");
            }
        }
        let gradient = gradients(1)
            .iter()
            .flatten()
            .flat_map(values)
            .map(|g| g * g)
            .sum::<f64>()
            .sqrt();
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
        let params = params(DType::F32);
        train(
            &mut AdamW::new(settings(clip_norm), params.clone()).expect("valid"),
            1..=10,
        );
        for ((name, param), expected) in params.iter().zip([&matrix[..], &vector[..]]) {
            for (a, b) in values(param.as_tensor()).iter().zip(expected) {
                assert!((a - b).abs() < 5e-7, "clip {clip_norm:?} {name}: {a} != {b}");
            }
        }
    }
}

/// bf16 parameters follow an f32 master copy: updates far below bf16's resolution add up.
#[test]
fn master_copy_of_half_precision() {
    let tiny = AdamWSettings {
        weight_decay: 0.0,
        ..settings(None)
    };
    let params = params(DType::BF16);
    let before = values(params[1].1.as_tensor());
    let mut optimizer = AdamW::new(tiny, params.clone()).expect("valid settings");
    let ones = || {
        vec![
            Some(Tensor::ones((2, 3), DType::BF16, &Device::Cpu).expect("ones")),
            Some(Tensor::ones(4, DType::BF16, &Device::Cpu).expect("ones")),
        ]
    };
    for _ in 0..100 {
        optimizer.step(&ones(), 1e-3).expect("finite gradients"); // each update is −0.001; bf16 near 1 moves in 1/128
    }
    for (a, b) in values(params[1].1.as_tensor()).iter().zip(before) {
        assert!((a - (b - 0.1)).abs() < 0.005, "{a} from {b}");
    }
    assert_eq!(params[1].1.dtype(), DType::BF16);
    assert_eq!(optimizer.state().expect("state").tensors.len(), 6);
}

/// 3 updates, save, load into a fresh optimizer, 3 more: the bits of 6 updates.
#[test]
fn state_round_trip() {
    let straight = params(DType::F32);
    train(
        &mut AdamW::new(settings(Some(1.0)), straight.clone()).expect("valid"),
        1..=6,
    );

    let resumed = params(DType::F32);
    let mut first = AdamW::new(settings(Some(1.0)), resumed.clone()).expect("valid");
    train(&mut first, 1..=3);
    let mut state = first.state().expect("state");
    let names: Vec<&str> = state.tensors.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(
        names,
        ["moment1.matrix", "moment2.matrix", "moment1.vector", "moment2.vector"]
    );
    state.tensors.reverse();
    let mut second = AdamW::new(settings(Some(1.0)), resumed.clone()).expect("valid");
    second.load_state(state).expect("fits");
    assert_eq!(second.steps(), 3);
    train(&mut second, 4..=6);
    for ((_, a), (_, b)) in straight.iter().zip(&resumed) {
        assert_eq!(values(a.as_tensor()), values(b.as_tensor()));
    }
}

#[test]
fn refusals_name_the_parameter_and_change_nothing() {
    let params = params(DType::F32);
    let before: Vec<_> = params.iter().map(|(_, p)| values(p.as_tensor())).collect();
    let mut optimizer = AdamW::new(settings(None), params.clone()).expect("valid");
    let mut refuse =
        |gradients: &[Option<Tensor>], lr: f64| optimizer.step(gradients, lr).expect_err("refused").to_string();
    let good = gradients(1);
    assert_eq!(
        refuse(&[good[0].clone(), None], LR),
        "optimizer: parameter vector has no gradient"
    );
    assert_eq!(refuse(&good[..1], LR), "optimizer: 1 gradients for 2 parameters");
    let bad = Tensor::from_slice(&[0.0, 1.0, f32::NAN, f32::INFINITY], 4, &Device::Cpu).expect("tensor");
    assert_eq!(
        refuse(&[good[0].clone(), Some(bad)], LR),
        "optimizer: the gradient of vector is NaN at element 2, expected a finite number"
    );
    assert_eq!(
        refuse(&[good[1].clone(), good[1].clone()], LR),
        "optimizer: the gradient of matrix has shape [4], expected [2, 3]"
    );
    assert_eq!(
        refuse(&good, f64::NAN),
        "optimizer: the learning rate is NaN, expected a finite number, 0 or more"
    );
    let after: Vec<_> = params.iter().map(|(_, p)| values(p.as_tensor())).collect();
    assert_eq!(before, after);
    assert_eq!(optimizer.steps(), 0);

    let mut state = optimizer.state().expect("state");
    let (name, tensor) = state.tensors.remove(1);
    let error = optimizer.load_state(state.clone()).expect_err("incomplete");
    assert_eq!(error.to_string(), "optimizer: saved state lacks moment2.matrix");
    state
        .tensors
        .extend([(name, tensor.clone()), ("moment1.other".into(), tensor)]);
    let error = optimizer.load_state(state).expect_err("too much");
    assert_eq!(
        error.to_string(),
        "optimizer: saved state has an unknown tensor moment1.other"
    );
}

/// A transposed gradient view is read in its own order, and a tensor larger than a chunk is updated
/// to its end.
#[test]
fn layouts_and_chunks() {
    let wide = CHUNK + 7;
    let param = Var::zeros((2, wide), DType::F32, &Device::Cpu).expect("zeros");
    let mut optimizer = AdamW::new(settings(None), vec![("wide".into(), param.clone())]).expect("valid");
    let signs: Vec<f32> = (0..2 * wide).map(|i| if i % 2 == 0 { 1.0 } else { -1.0 }).collect();
    let gradient = Tensor::from_vec(signs, (wide, 2), &Device::Cpu)
        .and_then(|g| g.t())
        .expect("a view");
    optimizer.step(&[Some(gradient)], LR).expect("finite");
    let found = values(param.as_tensor());
    assert!(found[..wide].iter().all(|p| (p + LR).abs() < 1e-6));
    assert!(found[wide..].iter().all(|p| (p - LR).abs() < 1e-6));
}
