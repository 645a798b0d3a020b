//! Low-rank adapters: what peft and PyTorch compute with them (tests/golden/lora), finite differences, the merged model
//! as a twin, and runs that train, resume, save and merge them.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use moa_core::engine::gramian;
use moa_core::model::{Cache, Cotangent, Lora, Model, Packed, Weights};
use moa_core::update::{AdamW, AdamWSettings};
use safetensors::SafeTensors;
use serde_json::Value;
use tempfile::TempDir;

use crate::support::golden;
use crate::support::host::host_in;
use crate::support::run::{copy, cut_back, metrics};
use crate::support::slopes::assert_slopes;

const CASES: [&str; 4] = ["llama", "qwen2", "qwen3", "llama-rslora"];
const TOKENIZER: &str =
    r#"{"version":"1.0","added_tokens":[],"model":{"type":"WordLevel","vocab":{"a":0},"unk_token":"a"}}"#;

fn read(path: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect()
}

/// The base of a case in a folder with a tokenizer.
fn base(reference: &Value) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    copy(&golden(reference["base"].as_str().unwrap()), folder.path());
    fs::write(folder.path().join("tokenizer.json"), TOKENIZER).unwrap();
    folder
}

/// A case: the base with the adapters of peft, its reference, and its sequences, each a prompt of one token and a response.
struct Case {
    model: Model,
    reference: Value,
    packed: Arc<Packed>,
    base: TempDir,
}

fn case(name: &str) -> Case {
    let folder = golden("lora").join(name);
    let reference = read(&folder.join("reference.json"));
    let base = base(&reference);
    let mut model = Model::load(&base.path().to_string_lossy()).unwrap();
    model.load_adapters(&folder).unwrap();
    let sequences = reference["sequences"].as_array().unwrap().iter();
    let ids: Vec<Vec<u32>> = sequences
        .map(|s| numbers(&s["ids"]).iter().map(|id| *id as u32).collect())
        .collect();
    let (prompts, responses): (Vec<&[u32]>, Vec<&[u32]>) = ids.iter().map(|ids| ids.split_at(1)).unzip();
    let packed = Arc::new(Packed::new(&prompts, &responses, &[0, 1, 2]).unwrap());
    Case {
        model,
        reference,
        packed,
        base,
    }
}

fn all_sequences(reference: &Value, key: &str) -> Vec<f64> {
    let sequences = reference["sequences"].as_array().unwrap().iter();
    sequences.flat_map(|s| numbers(&s[key])).collect()
}

fn assert_close(what: &str, found: &[f32], expected: &[f64], tolerance: f64) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (i, (found, expected)) in found.iter().zip(expected).enumerate() {
        let difference = (f64::from(*found) - expected).abs();
        assert!(
            difference <= tolerance,
            "{what}[{i}]: found {found}, expected {expected}"
        );
    }
}

/// A tensor of a safetensors file.
fn tensor(file: &SafeTensors<'_>, name: &str) -> Vec<f64> {
    let bytes = file
        .tensor(name)
        .unwrap_or_else(|e| panic!("{name}: {e}"))
        .data()
        .chunks_exact(4);
    bytes
        .map(|b| f64::from(f32::from_le_bytes([b[0], b[1], b[2], b[3]])))
        .collect()
}

#[test]
fn log_probabilities_with_adapters_and_without_are_pefts() {
    for name in CASES {
        let Case {
            model,
            reference,
            packed,
            ..
        } = case(name);
        let with = model.weights().score(&packed, 1.0).unwrap().logprobs;
        assert_close(name, &with, &all_sequences(&reference, "logprobs"), 1e-4);
        assert_eq!(
            model.forward(&packed, 1.0).unwrap().stats().logprobs,
            with,
            "{name}: the pass that is kept"
        );
        let without = model.base_weights().score(&packed, 1.0).unwrap().logprobs;
        assert_close(name, &without, &all_sequences(&reference, "base_logprobs"), 1e-4);
        let merged = model.merged_weights().unwrap().score(&packed, 1.0).unwrap().logprobs;
        let with: Vec<f64> = with.iter().map(|l| f64::from(*l)).collect();
        assert_close(&format!("{name}, merged"), &merged, &with, 2e-5);
        assert!(
            with.iter().zip(&without).any(|(a, b)| (a - f64::from(*b)).abs() > 1e-2),
            "{name}"
        );
    }
}

#[test]
fn gradients_gramian_and_a_step_are_pytorchs() {
    for name in CASES {
        let Case {
            mut model,
            reference,
            packed,
            ..
        } = case(name);
        let columns: Vec<Vec<f32>> = reference["c"]
            .as_array()
            .unwrap()
            .iter()
            .map(|of| {
                of.as_array()
                    .unwrap()
                    .iter()
                    .flat_map(numbers)
                    .map(|c| c as f32)
                    .collect()
            })
            .collect();
        let cotangents: Vec<Cotangent<'_>> = columns.iter().map(|c| Cotangent::of(c)).collect();
        let sets = model.forward(&packed, 1.0).unwrap().gradients(&cotangents).unwrap();
        let bytes = fs::read(golden("lora").join(name).join("gradients.safetensors")).unwrap();
        let file = SafeTensors::deserialize(&bytes).unwrap();
        assert_eq!(file.len(), 3 * sets[0].iter().len(), "{name}: nothing else is trained");
        for (m, set) in sets.iter().enumerate() {
            for (slot, found) in set.iter() {
                let want = tensor(&file, &format!("{m}.{}", slot.name));
                let size = want.iter().fold(0f64, |size, w| size.max(w.abs()));
                assert!(size > 0.0, "{name} {}", slot.name);
                assert_close(&format!("{name} {m} {}", slot.name), found, &want, 1e-4 * size + 1e-6);
            }
        }
        let found = gramian(&sets, &vec![true; sets[0].iter().len()]).unwrap();
        let want: Vec<f64> = reference["gramian"]
            .as_array()
            .unwrap()
            .iter()
            .flat_map(numbers)
            .collect();
        let size = want[0].max(want[4]).max(want[8]);
        for (found, want) in found.iter().zip(&want) {
            assert!((found - want).abs() < 1e-4 * size, "{name}: {found}, expected {want}");
        }
        let adamw = &reference["adamw"];
        let number = |key: &str| adamw[key].as_f64().unwrap();
        let betas = numbers(&adamw["betas"]);
        let settings = AdamWSettings {
            betas: (betas[0], betas[1]),
            epsilon: number("eps"),
            weight_decay: number("weight_decay"),
            clip_norm: None,
        };
        let params = model.params_mut().trainable_mut();
        AdamW::new(settings, params)
            .step(params, &sets[0], number("lr"))
            .unwrap();
        let bytes = fs::read(golden("lora").join(name).join("stepped.safetensors")).unwrap();
        let file = SafeTensors::deserialize(&bytes).unwrap();
        for (slot, found) in params.iter() {
            // where a gradient is near eps, its rounding moves the step by up to lr / eps = 10 times as much
            assert_close(
                &format!("{name} {}", slot.name),
                found,
                &tensor(&file, &slot.name),
                3e-5,
            );
        }
    }
}

/// Two responses to each of three prompts, so that columns which are constant over a response share a pass.
fn groups() -> Arc<Packed> {
    let run = |seed: u32, n: u32| -> Vec<u32> { (0..n).map(|i| (seed + i * i * 5 + i * 3) % 31).collect() };
    let prompts = [run(1, 5), run(2, 1), run(3, 20)];
    let responses = [run(5, 9), run(6, 1), run(7, 30), run(8, 3), run(9, 4), run(10, 2)];
    Arc::new(Packed::new(&prompts, &responses, &[0, 1, 2, 0, 1, 2]).unwrap())
}

#[test]
fn finite_differences_agree() {
    for name in CASES {
        let mut model = case(name).model;
        let packed = groups();
        let n = packed.targets().len();
        let (g, e): (Vec<f32>, Vec<f32>) = (0..n).map(|i| ((i as f32 * 1.3).sin(), (i as f32 * 0.7).cos())).unzip();
        let column = Cotangent {
            logprobs: &g,
            entropy: Some(&e),
        };
        let gradient = model
            .forward(&packed, 0.9)
            .unwrap()
            .gradients(&[column])
            .unwrap()
            .remove(0);
        assert_slopes(&mut model, &gradient, 2e-3, |model| {
            let scored = model.weights().score(&packed, 0.9).unwrap();
            let terms = scored.logprobs.iter().zip(&g).chain(scored.entropy.iter().zip(&e));
            terms.map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
        });
    }
}

/// Columns that go through the layers together are what each is alone: with groups and responses that a column does not
/// reach, and beside a column of another kind.
#[test]
fn columns_that_share_a_pass_are_exact() {
    for name in CASES {
        let model = case(name).model;
        let packed = groups();
        let constant = |of_response: [f32; 6]| -> Vec<f32> {
            let spans = packed.offsets().windows(2).zip(of_response);
            spans.flat_map(|(w, value)| vec![value; w[1] - w[0]]).collect()
        };
        let uneven = (0..packed.targets().len()).map(|i| (i as f32).sin()).collect();
        let columns = [
            constant([0.7, -1.2, -0.4, 0.0, 0.5, 2.0]),
            uneven,
            constant([-0.3, 0.0, 0.9, 1.0, 0.0, 0.0]),
            constant([0.0, 0.0, 0.0, 0.0, -0.8, 0.0]),
        ];
        let columns: Vec<Cotangent<'_>> = columns.iter().map(|c| Cotangent::of(c)).collect();
        let forward = model.forward(&packed, 0.8).unwrap();
        let sets = forward.gradients(&columns).unwrap();
        for (m, (column, set)) in columns.iter().zip(&sets).enumerate() {
            let alone = forward.gradients(std::slice::from_ref(column)).unwrap().remove(0);
            for ((slot, found), (_, want)) in set.iter().zip(alone.iter()) {
                let size = want.iter().fold(0f32, |size, w| size.max(w.abs()));
                assert!(size > 0.0, "{name} {}, column {m}", slot.name);
                for (found, want) in found.iter().zip(want) {
                    assert!(
                        (found - want).abs() <= 1e-5 * size,
                        "{name} {}, column {m}: {found}, {want}",
                        slot.name
                    );
                }
            }
        }
    }
}

/// Decoding with adapters in the kernels and from the merged weights gives the same logits.
#[test]
fn the_cache_decodes_with_adapters() {
    for name in CASES {
        let model = case(name).model;
        let logits = |weights: &Weights| {
            let (mut cache, mut logits) = Cache::prefill(weights, &[[1, 2, 3]], &[0, 0], 4).unwrap();
            logits.extend(cache.step(&[4, 5]).unwrap());
            logits.extend(cache.step(&[6, 7]).unwrap());
            logits
        };
        let merged = logits(&model.merged_weights().unwrap());
        let expected: Vec<f64> = merged.iter().map(|l| f64::from(*l)).collect();
        assert_close(name, &logits(&model.weights()), &expected, 1e-4);
    }
}

fn lora(targets: &[usize], rank: usize) -> Lora {
    let mut chosen = [false; 7];
    targets.iter().for_each(|target| chosen[*target] = true);
    Lora {
        rank,
        alpha: 8.0,
        rslora: false,
        targets: chosen,
    }
}

/// New adapters change nothing, and their A waits for B; once B is not zero, everything has a gradient.
#[test]
fn new_adapters_change_nothing_and_only_a_waits_for_its_gradient() {
    let reference = read(&golden("lora/qwen3/reference.json"));
    let folder = base(&reference);
    let open = || Model::load(&folder.path().to_string_lossy()).unwrap();
    let packed = groups();
    let plain = open().weights().score(&packed, 1.0).unwrap().logprobs;
    for targets in [&[0, 1, 2, 3, 4, 5, 6][..], &[2], &[3, 5], &[6]] {
        let mut model = open();
        model.add_adapters(lora(targets, 3), 7).unwrap();
        assert_eq!(model.weights().score(&packed, 1.0).unwrap().logprobs, plain);
        assert_eq!(
            model.merged_weights().unwrap().score(&packed, 1.0).unwrap().logprobs,
            plain
        );
        assert_eq!(
            model.params().trainable().iter().len(),
            2 * 2 * targets.len(),
            "two layers, A and B"
        );
        assert_eq!(model.canary().unwrap(), Vec::<String>::new());
        let params = model.params_mut().trainable_mut();
        let layout = params.layout().clone();
        let b = layout
            .slots()
            .iter()
            .filter(|slot| slot.name.ends_with("lora_B.weight"));
        for slot in b {
            let values = &mut params.values_mut()[slot.range.clone()];
            values
                .iter_mut()
                .enumerate()
                .for_each(|(i, v)| *v = (i as f32).sin() * 0.1);
        }
        assert_eq!(model.canary().unwrap(), Vec::<String>::new());
        let column = vec![1.0; packed.targets().len()];
        let gradient = model.forward(&packed, 1.0).unwrap().gradient(&column).unwrap();
        assert!(
            gradient.iter().all(|(_, values)| values.iter().any(|v| *v != 0.0)),
            "{targets:?}"
        );
    }
    let init = |seed| {
        let mut model = open();
        model.add_adapters(lora(&[0], 3), seed).unwrap();
        model.params().trainable().values().to_vec()
    };
    assert!(init(1) == init(1) && init(1) != init(2));
}

/// What was saved loads back as it was, as adapters and merged; peft's own folder is written again with the same values.
#[test]
fn a_saved_folder_loads_back() {
    for name in CASES {
        let Case {
            model, packed, base, ..
        } = case(name);
        let place = tempfile::tempdir().unwrap();
        let folder = place.path().join("adapters");
        model.save(&folder).unwrap();
        let config = read(&folder.join("adapter_config.json"));
        let theirs = read(&golden("lora").join(name).join("adapter_config.json"));
        for key in [
            "r",
            "lora_alpha",
            "use_rslora",
            "bias",
            "peft_type",
            "task_type",
            "lora_dropout",
        ] {
            assert_eq!(config[key], theirs[key], "{name}: {key}");
        }
        let tensors = |folder: &Path| {
            let bytes = fs::read(folder.join("adapter_model.safetensors")).unwrap();
            let file = SafeTensors::deserialize(&bytes).unwrap();
            let mut all: Vec<_> = file
                .iter()
                .map(|(n, t)| (n.to_owned(), t.shape().to_vec(), t.data().to_vec()))
                .collect();
            all.sort();
            all
        };
        assert!(
            tensors(&folder) == tensors(&golden("lora").join(name)),
            "{name}: other names, shapes or values"
        );
        let mut again = Model::load(&base.path().to_string_lossy()).unwrap();
        again.load_adapters(&folder).unwrap();
        assert_eq!(again.params().trainable().values(), model.params().trainable().values());
        let merged = Model::load(&folder.to_string_lossy()).unwrap();
        let found = merged.weights().score(&packed, 1.0).unwrap().logprobs;
        assert_eq!(
            found,
            model.merged_weights().unwrap().score(&packed, 1.0).unwrap().logprobs
        );
        let error = Model::load(&folder.to_string_lossy())
            .unwrap()
            .add_adapters(lora(&[0], 1), 0)
            .unwrap_err();
        assert!(error.to_string().contains("folder of adapters"), "{error}");
    }
}

#[test]
fn adapters_of_another_kind_are_refused_by_the_key_that_says_so() {
    let place = tempfile::tempdir().unwrap();
    let folder = golden("lora/llama");
    for (key, value) in [
        ("peft_type", Value::from("IA3")),
        ("use_dora", Value::from(true)),
        ("bias", Value::from("all")),
        ("r", Value::from(0)),
        ("target_modules", Value::from(vec!["q_proj", "embed_tokens"])),
        ("target_modules", Value::from("all-linear")),
        ("modules_to_save", Value::from(vec!["lm_head"])),
        ("rank_pattern", serde_json::json!({"q_proj": 2})),
    ] {
        let mut config = read(&folder.join("adapter_config.json"));
        config[key] = value;
        fs::write(place.path().join("adapter_config.json"), config.to_string()).unwrap();
        let error = Model::load(&place.path().to_string_lossy()).err().unwrap().to_string();
        assert!(error.contains(key) && error.contains("expected"), "{key}: {error}");
    }
}

/// A run with adapters is the same after a stop, leaves the model alone, saves adapters, and merges into a folder that
/// answers as the run's last validation did.
#[test]
fn a_run_trains_resumes_saves_and_merges_adapters() {
    let folder = tempfile::tempdir().unwrap();
    let mut words = vec!["--plugin", "mgda", "--steps", "4", "--run-dir", "run"];
    for set in [
        "model.lora.rank=4",
        "validation.rows=10",
        "rollout.prompts=4",
        "rollout.max_new_tokens=32",
        "algorithm.kl.coefficient=0.01",
        "algorithm.minibatch=2",
        "checkpoint.every=1",
        "checkpoint.keep=4",
        "optimizer.lr=0.01",
    ] {
        words.extend(["--set", set]);
    }
    let ran = host_in(folder.path(), &words);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let (whole, cut) = (folder.path().join("run"), folder.path().join("cut"));
    copy(&whole, &cut);
    cut_back(&cut, 2);
    let resumed = host_in(folder.path(), &["train", "--resume", "cut"]);
    assert_eq!(resumed.code, 0, "{}", resumed.stderr);
    assert_eq!(metrics(&cut), metrics(&whole));
    for name in [
        "model/adapter_model.safetensors",
        "model/adapter_config.json",
        "checkpoints/step-000004/optimizer.safetensors",
        "checkpoints/step-000004/adapter_model.safetensors",
        "validation.jsonl",
    ] {
        let read = |run: &Path| fs::read(run.join(name)).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert!(read(&cut) == read(&whole), "{name} differs");
    }
    assert!(!whole.join("model/model.safetensors").exists());
    // sampled from merged weights, trained with adapters in the kernels: the two agree
    let gap = metrics(&whole)
        .iter()
        .map(|line| line["policy/sampler_gap"].as_f64())
        .collect::<Vec<_>>();
    assert!(gap.iter().all(|gap| gap.is_some_and(|gap| gap < 1e-4)), "{gap:?}");

    let changed = host_in(
        folder.path(),
        &["train", "--resume", "cut", "--set", "model.lora.rank=5"],
    );
    assert!(
        changed.code == 2 && changed.stderr.contains("model.lora.rank"),
        "{}",
        changed.stderr
    );

    let merged = host_in(folder.path(), &["model", "merge", "run/model", "--out", "merged"]);
    assert_eq!(merged.code, 0, "{}", merged.stderr);
    fs::write(
        folder.path().join("pairs.jsonl"),
        "{\"prompt\": \"1 + 1\", \"response\": \"2 3\"}\n",
    )
    .unwrap();
    let logprobs = |model: &str| {
        let ran = host_in(folder.path(), &["logprobs", "--model", model, "--input", "pairs.jsonl"]);
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        ran.stdout
    };
    assert_eq!(logprobs("merged"), logprobs("run/model"));
    assert_ne!(logprobs("merged"), logprobs("embedded"));
    let again = host_in(folder.path(), &["model", "merge", "merged", "--out", "twice"]);
    assert!(
        again.code != 0 && again.stderr.contains("adapter_config.json"),
        "{}",
        again.stderr
    );
    let over = host_in(
        folder.path(),
        &["--model", "run/model", "--set", "model.lora.rank=2", "--steps", "1"],
    );
    assert!(over.code != 0 && over.stderr.contains("model merge"), "{}", over.stderr);
}
