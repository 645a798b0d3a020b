//! The fused decoder against a slow, obvious twin in plain candle operations, against finite differences, and the
//! properties that packing promises.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::support::decoder;
use crate::support::slopes::assert_slopes;
use candle_core::{DType, Device, Tensor, Var};
use moa_core::model::{Architecture, Cotangent, Family, Model, Packed, Tokenizer, TokenizerFiles};

const TOKENIZER: &[u8] =
    br#"{"version":"1.0","added_tokens":[],"model":{"type":"WordLevel","vocab":{"a":0},"unk_token":"a"}}"#;

fn model(family: Family, tied: bool) -> Model {
    let spec = Architecture {
        family,
        vocab: 37,
        hidden: 24,
        layers: 2,
        heads: 4,
        kv_heads: 2,
        head_dim: 6,
        intermediate: 20,
        rope_theta: 100.0,
        rope_scaling: None,
        rms_eps: 1e-6,
        tied,
        qkv_bias: family == Family::Qwen2,
        qk_norm: family == Family::Qwen3,
        max_positions: 128,
    };
    let tokenizer = Tokenizer::from_bytes(&TokenizerFiles {
        tokenizer: TOKENIZER,
        ..Default::default()
    })
    .expect("tokenizer");
    let mut model = Model::init(spec, tokenizer, 7).expect("model");
    // norms of 1 and biases of 0 would hide errors in them
    let params = model.params_mut().trainable_mut();
    let layout = params.layout().clone();
    for (i, slot) in layout.slots().iter().enumerate() {
        if slot.shape.len() == 1 || slot.name.contains("embed") {
            let values = &mut params.values_mut()[slot.range.clone()];
            for (k, value) in values.iter_mut().enumerate() {
                *value += 0.3 * (k as f32 * (1.7 + i as f32)).sin();
            }
        }
    }
    model
}

const FAMILIES: [(Family, bool); 4] = [
    (Family::Llama, false),
    (Family::Qwen2, true),
    (Family::Qwen3, true),
    (Family::Qwen3, false),
];

/// Log-probabilities of `response` after `prompt` by plain candle operations, one sequence at a time.
fn twin(
    model: &Model,
    params: &BTreeMap<String, Var>,
    prompt: &[u32],
    response: &[u32],
    temperature: f64,
) -> candle_core::Result<Tensor> {
    let params = params
        .iter()
        .map(|(name, var)| (name.clone(), var.as_tensor().clone()))
        .collect();
    Ok(decoder::score(&params, &model.architecture, prompt, response, temperature)?.0)
}

/// A model's parameters as candle's.
fn variables(model: &Model) -> BTreeMap<String, Var> {
    let variable = |values: &[f32], shape: &[usize]| {
        Tensor::from_slice(values, shape, &Device::Cpu)
            .and_then(|t| Var::from_tensor(&t))
            .expect("fits")
    };
    let params = model.params().all().iter();
    params
        .map(|(slot, values)| (slot.name.clone(), variable(values, &slot.shape)))
        .collect()
}

/// Prompts, responses and groups with every odd case: G of 0, 1 and 3, an empty response, one token, a tile's end.
fn batch() -> (Vec<Vec<u32>>, Vec<Vec<u32>>, Vec<u32>) {
    let run = |seed: u32, n: u32| -> Vec<u32> { (0..n).map(|i| (seed + i * i * 5 + i * 11) % 37).collect() };
    let prompts = vec![run(1, 5), run(2, 1), run(3, 20), run(4, 3)];
    let responses = vec![run(5, 9), run(6, 1), run(7, 70), vec![], run(9, 4), run(10, 2)];
    (prompts, responses, vec![0, 2, 0, 0, 1, 2])
}

fn values(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().and_then(|t| t.to_vec1()).expect("f32")
}

fn cotangents(n: usize, m: usize) -> Vec<f32> {
    (0..n).map(|i| ((i * 13 + m * 5) as f32).sin()).collect()
}

#[test]
fn the_unfused_twin_gives_the_same_logprobs_and_gradients() {
    for (family, tied) in FAMILIES {
        let model = model(family, tied);
        let (prompts, responses, groups) = batch();
        let packed = Arc::new(Packed::new(&prompts, &responses, &groups).expect("packed"));
        let forward = model.forward(&packed, 0.7).expect("forward");
        let n = packed.targets().len();
        let cotangent = cotangents(n, 0);
        let params = variables(&model);
        let mut loss = Tensor::zeros((), DType::F32, &Device::Cpu).expect("zero");
        for (b, response) in responses.iter().enumerate().filter(|(_, r)| !r.is_empty()) {
            let range = packed.offsets()[b]..packed.offsets()[b + 1];
            let logprobs = twin(&model, &params, &prompts[groups[b] as usize], response, 0.7).expect("twin");
            for (f, t) in forward.stats().logprobs[range.clone()].iter().zip(values(&logprobs)) {
                assert!((f - t).abs() < 2e-5, "{family:?} response {b}: {f} and {t}");
            }
            let c = Tensor::new(&cotangent[range], &Device::Cpu).expect("cotangent");
            loss = (loss + (logprobs * c).and_then(|p| p.sum_all()).expect("sum")).expect("loss");
        }
        let store = loss.backward().expect("backward");
        let gradients = forward.gradient(&cotangent).expect("gradients");
        for (slot, found) in gradients.iter() {
            let name = &slot.name;
            let want = values(store.get(params[name].as_tensor()).expect("twin's gradient"));
            let size = want.iter().fold(0f32, |m, v| m.max(v.abs()));
            assert!(size > 0.0, "{family:?} {name}");
            for (f, w) in found.iter().zip(&want) {
                assert!(
                    (f - w).abs() <= 3e-5 * size + 1e-6,
                    "{family:?} {name}: {f} and {w}, largest {size}"
                );
            }
        }
    }
}

#[test]
fn finite_differences_agree() {
    for (family, tied) in FAMILIES {
        let mut model = model(family, tied);
        let (prompts, responses, groups) = batch();
        let packed = Arc::new(Packed::new(&prompts, &responses, &groups).expect("packed"));
        let cotangent = cotangents(packed.targets().len(), 1);
        let gradients = model
            .forward(&packed, 1.0)
            .expect("forward")
            .gradient(&cotangent)
            .expect("gradients");
        let loss = |model: &Model| -> f64 {
            let scored = model.weights().score(&packed, 1.0).expect("score");
            scored
                .logprobs
                .iter()
                .zip(&cotangent)
                .map(|(l, c)| f64::from(*l) * f64::from(*c))
                .sum()
        };
        assert_slopes(&mut model, &gradients, 1e-2, loss);
    }
}

#[test]
fn many_backward_passes_of_one_forward() {
    let model = model(Family::Qwen2, true);
    let (prompts, responses, groups) = batch();
    let packed = Arc::new(Packed::new(&prompts, &responses, &groups).expect("packed"));
    let n = packed.targets().len();
    let forward = model.forward(&packed, 1.0).expect("forward");
    for m in 0..3 {
        let shared = forward.gradient(&cotangents(n, m)).expect("gradients");
        let fresh = model
            .forward(&packed, 1.0)
            .and_then(|f| f.gradient(&cotangents(n, m)))
            .expect("gradients");
        for ((slot, a), (_, b)) in shared.iter().zip(fresh.iter()) {
            assert_eq!(
                a, b,
                "{}, objective {m}: also the same bit for bit when run again",
                slot.name
            );
        }
    }
    assert!(forward.gradient(&[1.0]).is_err());
    let none = forward.gradient(&vec![0.0; n]).expect("gradients");
    assert!(none.values().iter().all(|v| *v == 0.0));
}

/// Keeping only the layers' inputs changes no bit of any gradient.
#[test]
fn activations_that_are_computed_again_are_the_same() {
    for (family, tied) in FAMILIES {
        let mut model = model(family, tied);
        let (prompts, responses, groups) = batch();
        let packed = Arc::new(Packed::new(&prompts, &responses, &groups).expect("packed"));
        let n = packed.targets().len();
        let (dense, mut part) = (cotangents(n, 2), cotangents(n, 3));
        part[..packed.offsets()[3]].fill(0.0);
        let columns = [Cotangent::of(&dense), Cotangent::of(&part)];
        let mut gradients = |recompute| {
            model.set_recompute(recompute);
            let forward = model.forward(&packed, 0.8).expect("forward");
            forward.gradients(&columns).expect("gradients")
        };
        let (kept, again) = (gradients(false), gradients(true));
        for (kept, again) in kept.iter().zip(&again) {
            assert!(kept.values() == again.values(), "{family:?}");
        }
    }
}

/// Columns that reach some groups only, none, all, or nearly all: each is what it would be over the whole batch.
#[test]
fn a_column_costs_what_it_reaches_and_is_exact() {
    for (family, tied) in FAMILIES {
        let model = model(family, tied);
        let (prompts, responses, groups) = batch();
        let packed = Arc::new(Packed::new(&prompts, &responses, &groups).expect("packed"));
        let n = packed.targets().len();
        let forward = model.forward(&packed, 0.8).expect("forward");
        let dense = cotangents(n, 2);
        let only = |group: u32| -> Vec<f32> {
            let mut column = vec![0.0; n];
            for b in (0..responses.len()).filter(|&b| groups[b] == group) {
                let range = packed.offsets()[b]..packed.offsets()[b + 1];
                column[range.clone()].copy_from_slice(&dense[range]);
            }
            column
        };
        let parts: Vec<Vec<f32>> = (0..4).map(only).collect();
        assert!(parts[3].iter().all(|g| *g == 0.0) && parts[..3].iter().all(|p| p.iter().any(|g| *g != 0.0)));
        let mut columns: Vec<Cotangent<'_>> = parts.iter().map(|part| Cotangent::of(part)).collect();
        columns.push(Cotangent::of(&dense));
        let sets = forward.gradients(&columns).expect("gradients");
        for (slot, whole) in sets[4].iter() {
            let (name, of) = (&slot.name, |g: usize| sets[g].get(&slot.name).expect("the same names"));
            let sum = (1..4).fold(of(0).to_vec(), |sum, g| {
                sum.iter().zip(of(g)).map(|(a, b)| a + b).collect()
            });
            let size = whole.iter().fold(0f32, |m, v| m.max(v.abs()));
            for (a, b) in sum.iter().zip(whole) {
                assert!(
                    (a - b).abs() <= 1e-5 * size,
                    "{family:?} {name}: {a} and {b}, largest {size}"
                );
            }
        }
    }
}

/// Columns that are constant over each response go through the layers together, and are what each is alone: with responses
/// and whole groups that a column does not reach, beside columns of other kinds, and where no column reaches anything.
#[test]
fn columns_that_share_a_pass_are_exact() {
    for (family, tied) in FAMILIES {
        let model = model(family, tied);
        let (prompts, responses, groups) = batch();
        let packed = Arc::new(Packed::new(&prompts, &responses, &groups).expect("packed"));
        let n = packed.targets().len();
        let forward = model.forward(&packed, 0.8).expect("forward");
        let constant = |of_response: [f32; 6]| -> Vec<f32> {
            let spans = packed.offsets().windows(2).zip(of_response);
            spans.flat_map(|(w, value)| vec![value; w[1] - w[0]]).collect()
        };
        let (zero, dense) = (vec![0.0; n], cotangents(n, 2));
        let flat = [
            constant([0.7, -1.2, -0.4, 0.0, 0.0, 2.0]),
            constant([-0.3, 0.0, 0.9, 1.0, 1.5, 0.0]),
            constant([0.0, 0.0, 0.0, 0.0, -0.8, 0.0]),
            constant([0.1, 0.2, 0.0, 0.0, 0.3, -0.4]),
        ];
        let mut columns: Vec<Cotangent<'_>> = flat.iter().map(|c| Cotangent::of(c)).collect();
        columns.insert(1, Cotangent::of(&dense));
        columns.push(Cotangent::of(&zero));
        columns.push(Cotangent {
            logprobs: &flat[0],
            entropy: Some(&dense),
        });
        let sets = forward.gradients(&columns).expect("gradients");
        for (m, (column, set)) in columns.iter().zip(&sets).enumerate() {
            let alone = forward.gradients(std::slice::from_ref(column)).expect("gradients");
            for ((slot, a), (_, b)) in set.iter().zip(alone[0].iter()) {
                let name = &slot.name;
                let size = b.iter().fold(0f32, |m, v| m.max(v.abs()));
                assert!(size > 0.0 || m == 5, "{family:?} {name}, column {m}");
                for (a, b) in a.iter().zip(b) {
                    assert!(
                        (a - b).abs() <= 1e-5 * size,
                        "{family:?} {name}, column {m}: {a} and {b}, largest {size}"
                    );
                }
            }
        }
        let nothing = forward
            .gradients(&[Cotangent::of(&zero), Cotangent::of(&zero)])
            .expect("gradients");
        assert!(nothing.iter().all(|set| set.values().iter().all(|v| *v == 0.0)));
    }
}

/// The gradient of Σ e·H + g·log p along itself, for a batch of which it reaches two groups.
#[test]
fn finite_differences_of_the_entropy_agree() {
    for (family, tied) in FAMILIES {
        let mut model = model(family, tied);
        let (prompts, responses, groups) = batch();
        let packed = Arc::new(Packed::new(&prompts, &responses, &groups).expect("packed"));
        let n = packed.targets().len();
        let (mut g, mut e) = (cotangents(n, 1), cotangents(n, 3));
        let last = packed.offsets()[3]; // responses of groups 0 to 2 without the long one's group
        let long = packed.offsets()[2]..last;
        g[long.clone()].fill(0.0);
        e[long].fill(0.0);
        let column = Cotangent {
            logprobs: &g,
            entropy: Some(&e),
        };
        let gradients = model
            .forward(&packed, 0.9)
            .and_then(|forward| forward.gradients(&[column]))
            .expect("gradients")
            .remove(0);
        let value = |model: &Model| -> f64 {
            let scored = model.weights().score(&packed, 0.9).expect("score");
            let terms = scored.logprobs.iter().zip(&g).chain(scored.entropy.iter().zip(&e));
            terms.map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
        };
        // the entropy bends more than a log-probability
        assert_slopes(&mut model, &gradients, 2e-3, value);
    }
}

#[test]
fn entropy_and_graphless_scores() {
    let model = model(Family::Llama, true);
    let (prompts, responses, groups) = batch();
    let packed = Arc::new(Packed::new(&prompts, &responses, &groups).expect("packed"));
    let weights = model.weights();
    let (scored, logits) = (
        weights.score(&packed, 2.0).expect("score"),
        weights.logits(&packed).expect("logits"),
    );
    let forward = model.forward(&packed, 2.0).expect("forward");
    assert_eq!(forward.stats().logprobs, scored.logprobs);
    for (i, row) in packed.predictors().iter().enumerate() {
        let z: Vec<f64> = logits[*row as usize * 37..][..37]
            .iter()
            .map(|v| f64::from(*v) / 2.0)
            .collect();
        let lse = z.iter().map(|z| z.exp()).sum::<f64>().ln();
        let entropy: f64 = z.iter().map(|z| -(z - lse) * (z - lse).exp()).sum();
        assert!(
            (entropy - f64::from(scored.entropy[i])).abs() < 1e-4,
            "entropy of token {i}"
        );
        let logprob = z[packed.targets()[i] as usize] - lse;
        assert!(
            (logprob - f64::from(scored.logprobs[i])).abs() < 1e-4,
            "logprob of token {i}"
        );
    }
}

#[test]
fn a_frozen_copy_stays_and_seeds_repeat() {
    let mut model = model(Family::Qwen2, true);
    let (prompts, responses, groups) = batch();
    let packed = Packed::new(&prompts, &responses, &groups).expect("packed");
    let frozen = model.weights();
    let before = frozen.score(&packed, 1.0).expect("score").logprobs;
    model
        .params_mut()
        .trainable_mut()
        .values_mut()
        .iter_mut()
        .for_each(|v| *v *= 1.1);
    assert_eq!(frozen.score(&packed, 1.0).expect("score").logprobs, before);
    assert_ne!(model.weights().score(&packed, 1.0).expect("score").logprobs, before);

    let again = |seed| {
        let tokenizer = model.tokenizer.clone();
        Model::init(model.architecture.clone(), tokenizer, seed)
            .and_then(|m| m.to_safetensors())
            .expect("bytes")
    };
    assert_eq!(again(3), again(3));
    assert_ne!(again(3), again(4));
    let out_of_vocabulary = Packed::new(&[vec![37]], &[vec![1]], &[0]).expect("packed");
    let error = frozen
        .score(&out_of_vocabulary, 1.0)
        .expect_err("token 37 of 37")
        .to_string();
    assert!(error.contains("37"), "{error}");
}
