//! Twelve small random models of the three families: logits, log-probabilities and gradients as PyTorch and transformers
//! 5.23 give them in f32 (attention "eager", no cache; tests/golden/model/*/reference.json).
//!
//! Tolerance: two attention implementations of PyTorch differ by 1.2e-5 in these logits of size 5.

use std::path::PathBuf;
use std::sync::Arc;

use moa_core::model::{Cache, Model, Packed};
use serde_json::Value;

const MODELS: [&str; 12] = [
    "llama",
    "llama-legacy",
    "llama-f16",
    "llama-rope-scaled",
    "llama-rope-scaled-legacy",
    "qwen2",
    "qwen2-sharded",
    "qwen3",
    "qwen3-tied",
    "qwen3-bf16",
    "../families/llama3",
    "../families/qwen2-yarn",
];
const TOLERANCE: f64 = 5e-5;

/// A tokenizer of one word: the golden models come without.
const TOKENIZER: &str =
    r#"{"version":"1.0","added_tokens":[],"model":{"type":"WordLevel","vocab":{"a":0},"unk_token":"a"}}"#;

/// The golden model in a folder of its own that has a tokenizer.
fn load(name: &str) -> (Model, Value, tempfile::TempDir) {
    let source = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../tests/golden/model")
        .join(name);
    let folder = tempfile::tempdir().expect("a temporary folder");
    for entry in std::fs::read_dir(&source).expect(name) {
        let path = entry.expect(name).path();
        std::fs::copy(&path, folder.path().join(path.file_name().expect("a file"))).expect("copied");
    }
    std::fs::write(folder.path().join("tokenizer.json"), TOKENIZER).expect("written");
    let reference = std::fs::read_to_string(source.join("reference.json")).expect("reference");
    let model = Model::load(&folder.path().display().to_string()).unwrap_or_else(|e| panic!("{name}: {e}"));
    (model, serde_json::from_str(&reference).expect("JSON"), folder)
}

fn numbers(value: &Value) -> Vec<f64> {
    value
        .as_array()
        .into_iter()
        .flatten()
        .map(|v| v.as_f64().expect("a number"))
        .collect()
}

fn ids(value: &Value) -> Vec<u32> {
    numbers(value).into_iter().map(|v| v as u32).collect()
}

fn close(what: &str, found: &[f32], expected: &[f64], tolerance: f64) {
    assert_eq!(found.len(), expected.len(), "{what}: length");
    for (i, (f, e)) in found.iter().zip(expected).enumerate() {
        assert!(
            (f64::from(*f) - e).abs() <= tolerance,
            "{what}[{i}]: found {f}, expected {e}"
        );
    }
}

#[test]
fn logits_and_logprobs() {
    let none: [Vec<u32>; 0] = [];
    for name in MODELS {
        let (model, reference, _folder) = load(name);
        let weights = model.weights();
        for sequence in reference["sequences"].as_array().expect("sequences") {
            let ids = ids(&sequence["ids"]);
            let logits = weights
                .logits(&Packed::new(&[&ids], &none, &[]).expect("packed"))
                .expect("logits");
            let vocab = model.architecture.vocab;
            if sequence["logits"].is_array() {
                let want: Vec<f64> = sequence["logits"]
                    .as_array()
                    .into_iter()
                    .flatten()
                    .flat_map(numbers)
                    .collect();
                close(name, &logits, &want, TOLERANCE);
            } else {
                close(
                    name,
                    &logits[(ids.len() - 1) * vocab..],
                    &numbers(&sequence["logits_last"]),
                    TOLERANCE,
                );
            }
            // the first token as the prompt, the rest as its response
            let packed = Arc::new(Packed::new(&[&ids[..1]], &[&ids[1..]], &[0]).expect("packed"));
            let want = numbers(&sequence["logprobs"]);
            close(
                name,
                &weights.score(&packed, 1.0).expect("score").logprobs,
                &want,
                TOLERANCE,
            );
            close(
                name,
                &model.forward(&packed, 1.0).expect("forward").stats().logprobs,
                &want,
                TOLERANCE,
            );
        }
    }
}

#[test]
fn gradients() {
    for name in MODELS {
        let (model, reference, _folder) = load(name);
        let grad = &reference["grad"];
        let ids = ids(&reference["sequences"][grad["sequence"].as_u64().expect("an index") as usize]["ids"]);
        let cotangent: Vec<f32> = numbers(&grad["c"]).into_iter().map(|c| c as f32).collect();
        let packed = Arc::new(Packed::new(&[&ids[..1]], &[&ids[1..]], &[0]).expect("packed"));
        let forward = model.forward(&packed, 1.0).expect("forward");
        let loss: f64 = forward
            .stats()
            .logprobs
            .iter()
            .zip(&cotangent)
            .map(|(l, c)| f64::from(l * c))
            .sum();
        assert!(
            (loss - grad["loss"].as_f64().expect("loss")).abs() < 1e-3,
            "{name}: loss {loss}"
        );
        let gradients = forward.gradient(&cotangent).expect("gradients");
        let params = grad["params"].as_object().expect("parameters");
        assert_eq!(params.len(), gradients.iter().len(), "{name}: number of parameters");
        for (slot, values) in gradients.iter() {
            let want = &params[&slot.name];
            let what = format!("{name}: {}", slot.name);
            let (l2, sum) = (want["l2"].as_f64().expect("l2"), want["sum"].as_f64().expect("sum"));
            let found: f64 = values.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>().sqrt();
            assert!(
                (found - l2).abs() <= 2e-5 * l2 + 1e-5,
                "{what}: norm {found}, expected {l2}"
            );
            let found: f64 = values.iter().map(|v| f64::from(*v)).sum();
            assert!(
                (found - sum).abs() <= 2e-4 * l2 + 1e-4,
                "{what}: sum {found}, expected {sum}"
            );
            let first = numbers(&want["first8"]);
            close(&what, &values[..first.len()], &first, 2e-5 * l2 + 1e-5);
        }
    }
}

#[test]
fn decoding_gives_the_packed_logits() {
    // those with sequences of a hundred tokens
    for name in &MODELS[..10] {
        let (model, reference, _folder) = load(name);
        let weights = model.weights();
        let all: Vec<Vec<u32>> = reference["sequences"]
            .as_array()
            .expect("sequences")
            .iter()
            .map(|s| ids(&s["ids"]))
            .collect();
        // two prompts, three completions; the second one ends early
        let prompts = [&all[1][..], &all[2][..5]];
        let groups = [0u32, 1, 1];
        let new = [&all[3][..40], &all[3][40..60], &all[3][60..100]];
        let (mut cache, mut logits) = Cache::prefill(&weights, &prompts, &groups, 40).expect("prefill");
        let mut alive = vec![0, 1, 2];
        for step in 0..40 {
            for (slot, &b) in alive.iter().enumerate() {
                let mut ids = prompts[groups[b] as usize].to_vec();
                ids.extend_from_slice(&new[b][..step]);
                let none: [Vec<u32>; 0] = [];
                let want = weights
                    .logits(&Packed::new(&[&ids], &none, &[]).expect("packed"))
                    .expect("logits");
                let vocab = model.architecture.vocab;
                let want: Vec<f64> = want[(ids.len() - 1) * vocab..].iter().map(|v| f64::from(*v)).collect();
                close(name, &logits[slot * vocab..(slot + 1) * vocab], &want, 1e-4);
            }
            let keep: Vec<bool> = alive.iter().map(|&b| step < new[b].len()).collect();
            cache.retain(&keep);
            alive.retain(|&b| step < new[b].len());
            let tokens: Vec<u32> = alive.iter().map(|&b| new[b][step]).collect();
            logits = cache.step(&tokens).expect("step");
            assert_eq!(logits.len(), cache.alive() * model.architecture.vocab);
        }
        assert_eq!(alive, [0, 2], "the short completion left");
        assert!(cache.step(&[0]).is_err(), "one token for two completions");
    }
}

#[test]
fn every_weight_gets_a_gradient() {
    for name in MODELS {
        let (model, _, _folder) = load(name);
        let dead = model.canary().expect("canary");
        assert!(dead.is_empty(), "{name}: {dead:?}");
    }
}

/// The same model with the keys that published models have.
#[test]
fn older_keys_say_the_same() {
    for name in ["../families/llama3", "../families/qwen2-yarn"] {
        let (new, _, folder) = load(name);
        let place = folder.path();
        std::fs::copy(place.join("config-hub.json"), place.join("config.json")).expect("copied");
        let old = Model::load(&place.display().to_string()).expect(name);
        assert_eq!(new.architecture, old.architecture, "{name}");
    }
}

/// Mistral without its window is Llama; with it, it is refused.
#[test]
fn mistral_without_a_window_is_llama() {
    let (llama, _, folder) = load("llama");
    let config = folder.path().join("config.json");
    let text = std::fs::read_to_string(&config).expect("read");
    let mut value: Value = serde_json::from_str(&text).expect("JSON");
    value["architectures"] = serde_json::json!(["MistralForCausalLM"]);
    value["model_type"] = serde_json::json!("mistral");
    value["sliding_window"] = Value::Null;
    std::fs::write(&config, value.to_string()).expect("written");
    let mistral = Model::load(&folder.path().display().to_string()).expect("loads");
    let none: [Vec<u32>; 0] = [];
    let packed = Packed::new(&[vec![3, 1, 4, 1, 5]], &none, &[]).expect("packed");
    let logits = |model: &Model| model.weights().logits(&packed).expect("logits");
    assert_eq!(logits(&llama), logits(&mistral));
    value["sliding_window"] = serde_json::json!(8);
    std::fs::write(&config, value.to_string()).expect("written");
    let error = Model::load(&folder.path().display().to_string())
        .err()
        .expect("a window")
        .to_string();
    assert!(error.contains("`sliding_window` is 8"), "{error}");
}
