//! One whole step of the built binary: its parameters afterwards are PyTorch's (tests/golden/step), and those of the
//! short, obvious loop below, written in f64 for each kind of estimator, loss, aggregation and KL term.
//!
//! ```text
//! scores → reward → advantages → loss of each mini-batch → gradient → clipped norm → AdamW
//! ```
//! The completions are what the binary sampled and wrote to samples.jsonl: everything after them is computed anew.
//!
//! Tolerance: the host computes in f32 and stores parameters in f32. In parameters of size 2 a rounding is 2e-7, and
//! the smallest of the updates is 6e-4; measured differences are at most 4e-4 of the largest update of a tensor.

use std::{collections::BTreeMap, fs, path::Path};

use crate::support::{decoder, host::host_in, root};
use candle_core::{DType, Device, Tensor, Var, safetensors};
use moa_core::model::{Architecture, Model};
use serde_json::Value;
use tempfile::TempDir;

/// Of the largest update of a tensor.
const TOLERANCE: f64 = 2e-3;

type Params = BTreeMap<String, Tensor>;

/// A completion as samples.jsonl has it.
struct Completion {
    row: u64,
    prompt: Vec<u32>,
    response: Vec<u32>,
    /// `[M]`
    scores: Vec<f64>,
}

/// The config of a step, `tests/golden/step/<name>.toml`, with some keys changed.
fn config(name: &str, changes: &[(&str, &str)]) -> toml::Table {
    let path = root().join("tests/golden/step").join(format!("{name}.toml"));
    let mut config: toml::Table = toml::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    for (key, value) in changes {
        let (tables, last) = key.rsplit_once('.').unwrap();
        let mut table = &mut config;
        for name in tables.split('.') {
            table = table
                .entry(name)
                .or_insert(toml::Table::new().into())
                .as_table_mut()
                .unwrap();
        }
        let value: toml::Table = toml::from_str(&format!("value = {value}")).unwrap();
        table.insert((*last).to_owned(), value["value"].clone());
    }
    config
}

/// Runs the step in a folder of its own, with the tiny Llama and the tokenizer of tests/golden.
fn run(config: &toml::Table) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let (model, golden) = (folder.path().join("model"), root().join("tests/golden"));
    fs::create_dir(&model).unwrap();
    for (from, name) in [
        ("model/llama", "config.json"),
        ("model/llama", "model.safetensors"),
        ("step", "tokenizer.json"),
        ("step", "tokenizer_config.json"),
    ] {
        fs::copy(golden.join(from).join(name), model.join(name)).unwrap();
    }
    fs::copy(golden.join("step/prompts.jsonl"), folder.path().join("prompts.jsonl")).unwrap();
    fs::write(folder.path().join("step.toml"), toml::to_string(config).unwrap()).unwrap();
    let arguments = [
        "--config",
        "step.toml",
        "--model",
        "model",
        "--run-dir",
        "run",
        "--quiet",
    ];
    let ran = host_in(folder.path(), &arguments);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    folder
}

/// The end token of tests/golden/step/tokenizer.json; samples.jsonl leaves it out.
const END: u32 = 26;

fn completions(run: &Path) -> Vec<Completion> {
    // The words of the tokenizer are `w00` to `w63`.
    let ids = |text: &Value| -> Vec<u32> {
        let words = text.as_str().unwrap().split_whitespace();
        words.map(|word| word[1..].parse().unwrap()).collect()
    };
    let parse = |line: &str| {
        let sample: Value = serde_json::from_str(line).unwrap();
        let mut response = ids(&sample["response"]);
        if sample["truncated"] == false {
            response.push(END);
        }
        assert_eq!(sample["tokens"].as_u64(), Some(response.len() as u64), "{line}");
        Completion {
            row: sample["row"].as_u64().unwrap(),
            prompt: ids(&sample["prompt"]),
            response,
            scores: numbers(&sample["scores"]),
        }
    };
    let text = fs::read_to_string(run.join("run/samples.jsonl")).unwrap();
    text.lines().map(parse).collect()
}

fn numbers(list: &Value) -> Vec<f64> {
    list.as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect()
}

fn load(path: &Path) -> Params {
    let tensors = safetensors::load(path, &Device::Cpu).unwrap();
    tensors
        .into_iter()
        .map(|(name, t)| (name, t.to_dtype(DType::F64).unwrap()))
        .collect()
}

fn values(tensor: &Tensor) -> Vec<f64> {
    tensor.flatten_all().and_then(|t| t.to_vec1()).unwrap()
}

/// The parameters after a run are `expected`, up to a share of each tensor's largest update.
fn assert_after(folder: &Path, expected: &Params, what: &str) {
    let before = load(&folder.join("model/model.safetensors"));
    let after = load(&folder.join("run/model/model.safetensors"));
    assert!(
        after.keys().eq(expected.keys()) && after.len() == before.len(),
        "{what}"
    );
    for (name, expected) in expected {
        let (found, expected, before) = (values(&after[name]), values(expected), values(&before[name]));
        let largest = |a: &[f64], b: &[f64]| a.iter().zip(b).fold(0f64, |most, (a, b)| most.max((a - b).abs()));
        let (update, difference) = (largest(&expected, &before), largest(&found, &expected));
        assert!(update > 1e-4, "{what}: {name} moves by {update} only");
        assert!(
            difference < TOLERANCE * update,
            "{what}: {name} differs by {difference}, its largest update is {update}"
        );
    }
}

#[test]
fn the_parameters_after_a_step_are_pytorchs() {
    let golden = root().join("tests/golden/step");
    let recorded = fs::read_to_string(golden.join("completions.jsonl")).unwrap();
    let recorded: Vec<Value> = recorded
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    for name in ["grpo", "reinforce"] {
        let folder = run(&config(name, &[]));
        let sampled = completions(folder.path());
        assert_eq!(sampled.len(), recorded.len());
        for (found, expected) in sampled.iter().zip(&recorded) {
            let tokens = |key: &str| -> Vec<f64> { numbers(&expected[key]) };
            let same = |found: &[u32], key: &str| found.iter().map(|&id| f64::from(id)).eq(tokens(key));
            let place = (name, found.row);
            assert!(
                same(&found.prompt, "prompt") && same(&found.response, "response"),
                "{place:?}"
            );
            assert!(
                expected["row"] == found.row && tokens("scores") == found.scores,
                "{place:?}"
            );
        }
        let expected = load(&golden.join(format!("{name}.safetensors")));
        assert_after(folder.path(), &expected, name);
    }
}

#[test]
fn the_obvious_loop_gives_the_same_parameters() {
    let cases: [(&str, &[(&str, &str)]); 7] = [
        ("grpo", &[]),
        ("reinforce", &[]),
        (
            "grpo",
            &[
                ("algorithm.estimator", "'dr-grpo'"),
                ("algorithm.aggregation", "'seq-mean-token-sum-norm'"),
            ],
        ),
        (
            "grpo",
            &[
                ("algorithm.estimator", "'rloo'"),
                ("algorithm.loss", "'gspo'"),
                ("algorithm.aggregation", "'seq-mean-token-mean'"),
            ],
        ),
        (
            "grpo",
            &[
                ("algorithm.estimator", "'opo'"),
                ("algorithm.loss", "'cispo'"),
                ("algorithm.aggregation", "'seq-mean-token-sum'"),
            ],
        ),
        (
            "reinforce",
            &[
                ("algorithm.estimator", "'reinforce++-baseline'"),
                ("algorithm.kl.estimator", "'k2'"),
                ("optimizer.clip_norm", "0.0"),
            ],
        ),
        (
            "reinforce",
            &[
                ("algorithm.estimator", "'grpo-passk'"),
                ("algorithm.kl.estimator", "'k1'"),
                ("algorithm.micro_batch_tokens", "20"),
            ],
        ),
    ];
    for (name, changes) in cases {
        let config = config(name, changes);
        let folder = run(&config);
        let spec = Model::load(&folder.path().join("model").display().to_string())
            .unwrap()
            .architecture;
        let before = load(&folder.path().join("model/model.safetensors"));
        let after = step(&config, &spec, before, &completions(folder.path())).unwrap();
        assert_after(folder.path(), &after, &format!("{name} {changes:?}"));
    }
}

/// One step, written out.
fn step(
    config: &toml::Table,
    spec: &Architecture,
    before: Params,
    batch: &[Completion],
) -> candle_core::Result<Params> {
    let number = |path: &str| -> f64 {
        let mut keys = path.split('.');
        let first = config.get(keys.next().unwrap());
        let value = keys.fold(first, |value, key| value?.get(key));
        value.map_or(0.0, |v| v.as_float().unwrap_or_else(|| v.as_integer().unwrap() as f64))
    };
    let algorithm = &config["algorithm"];
    let temperature = number("rollout.temperature");

    // scores [B, M] → rewards [B] → advantages [B]
    let weights = config["scalarizer"]["weights"].as_array().unwrap();
    let weights: Vec<f64> = weights.iter().map(|w| w.as_float().unwrap()).collect();
    let reward = |c: &Completion| c.scores.iter().zip(&weights).map(|(s, w)| s * w).sum::<f64>();
    let rewards: Vec<f64> = batch.iter().map(reward).collect();
    let advantages = advantages(algorithm["estimator"].as_str().unwrap(), &rewards, batch);

    // log-probabilities of the policy that sampled, which is the reference too
    let old: Vec<Vec<f64>> = batch
        .iter()
        .map(|c| {
            Ok(values(
                &decoder::score(&before, spec, &c.prompt, &c.response, temperature)?.0,
            ))
        })
        .collect::<candle_core::Result<_>>()?;

    let vars: BTreeMap<String, Var> = before
        .iter()
        .map(|(name, t)| Ok((name.clone(), Var::from_tensor(t)?)))
        .collect::<candle_core::Result<_>>()?;
    let mut moments: BTreeMap<&String, (Tensor, Tensor)> = BTreeMap::new();
    let mut prompts: Vec<u64> = batch.iter().map(|c| c.row).collect();
    prompts.dedup();
    let minibatch = match number("algorithm.minibatch") as usize {
        0 => prompts.len(),
        n => n,
    };
    let mut update = 0;
    for _ in 0..number("algorithm.epochs") as usize {
        for rows in prompts.chunks(minibatch) {
            let chosen: Vec<usize> = (0..batch.len()).filter(|&b| rows.contains(&batch[b].row)).collect();
            let tokens: usize = chosen.iter().map(|&b| old[b].len()).sum();
            let params: Params = vars
                .iter()
                .map(|(name, var)| (name.clone(), var.as_tensor().clone()))
                .collect();
            let mut loss = Tensor::zeros((), DType::F64, &Device::Cpu)?;
            for &b in &chosen {
                let (c, advantage, length) = (&batch[b], advantages[b], old[b].len() as f64);
                let (new, entropy) = decoder::score(&params, spec, &c.prompt, &c.response, temperature)?;
                let weight = match algorithm["aggregation"].as_str().unwrap() {
                    "token-mean" => 1.0 / tokens as f64,
                    "seq-mean-token-sum" => 1.0 / chosen.len() as f64,
                    "seq-mean-token-mean" => 1.0 / length / chosen.len() as f64,
                    "seq-mean-token-sum-norm" => 1.0 / number("rollout.max_new_tokens") / chosen.len() as f64,
                    other => panic!("{other}"),
                };
                let difference = (&new - Tensor::new(&old[b][..], &Device::Cpu)?)?; // [T]
                let (low, high) = (1.0 - number("algorithm.clip_low"), 1.0 + number("algorithm.clip_high"));
                let dual = number("algorithm.dual_clip");
                let bounded = |ratio: f64| {
                    let term = (-advantage * ratio).max(-advantage * ratio.clamp(low, high));
                    if dual > 0.0 && advantage < 0.0 {
                        term.min(-advantage * dual)
                    } else {
                        term
                    }
                };
                // A bounded term is a constant: it has no gradient, so it is left out.
                let counts = |ratio: &f64| f64::from(bounded(*ratio) == -advantage * ratio);
                let policy = match algorithm.get("loss").and_then(toml::Value::as_str).unwrap_or("ppo") {
                    "ppo" => {
                        let ratio = difference.exp()?;
                        let counts: Vec<f64> = values(&ratio).iter().map(counts).collect();
                        ((ratio * Tensor::new(counts, &Device::Cpu)?)? * -advantage)?.sum_all()?
                    }
                    "gspo" => {
                        let ratio = difference.mean_all()?.exp()?;
                        let counts = counts(&ratio.to_scalar()?);
                        (ratio * (-advantage * counts * length))?
                    }
                    "cispo" => {
                        let ratio = values(&difference.exp()?);
                        let clipped: Vec<f64> = ratio.iter().map(|r| r.clamp(low, high)).collect();
                        ((&new * Tensor::new(clipped, &Device::Cpu)?)? * -advantage)?.sum_all()?
                    }
                    other => panic!("{other}"),
                };
                let kl = match algorithm.get("kl").map_or("k1", |kl| kl["estimator"].as_str().unwrap()) {
                    "k1" => difference.sum_all()?,
                    "k2" => (difference.sqr()? * 0.5)?.sum_all()?,
                    "k3" => ((difference.neg()?.exp()? + &difference)? - 1.0)?.sum_all()?,
                    other => panic!("{other}"),
                };
                let penalty =
                    ((kl * number("algorithm.kl.coefficient"))? - (entropy.sum_all()? * number("algorithm.entropy"))?)?;
                loss = (loss + (policy + penalty)? * weight)?;
            }
            let gradients = loss.backward()?;
            update += 1;
            // Where every term is bounded, nothing reaches the parameters.
            let gradient = |name: &String| match gradients.get(vars[name].as_tensor()) {
                Some(gradient) => gradient.clone(),
                None => before[name].zeros_like().expect("zeros"),
            };
            let squares: f64 = vars
                .keys()
                .map(|name| values(&gradient(name)).iter().map(|g| g * g).sum::<f64>())
                .sum();
            let clip = match number("optimizer.clip_norm") {
                0.0 => 1.0,
                clip => (clip / (squares.sqrt() + 1e-6)).min(1.0),
            };
            let betas = config["optimizer"]["betas"].as_array().unwrap();
            let (beta1, beta2) = (betas[0].as_float().unwrap(), betas[1].as_float().unwrap());
            let lr = number("optimizer.lr");
            for (name, var) in &vars {
                let g = (gradient(name) * clip)?;
                let (m, v) = match moments.remove(name) {
                    Some(moments) => moments,
                    None => (g.zeros_like()?, g.zeros_like()?),
                };
                let m = ((m * beta1)? + (&g * (1.0 - beta1))?)?;
                let v = ((v * beta2)? + (g.sqr()? * (1.0 - beta2))?)?;
                let decay = if g.rank() > 1 {
                    number("optimizer.weight_decay")
                } else {
                    0.0
                };
                let mean = (&m / (1.0 - beta1.powi(update)))?;
                let size = ((&v / (1.0 - beta2.powi(update)))?.sqrt()? + number("optimizer.eps"))?;
                let p = (var.as_tensor() * (1.0 - lr * decay))?;
                var.set(&(p - ((mean / size)? * lr)?)?)?;
                moments.insert(name, (m, v));
            }
        }
    }
    Ok(vars
        .into_iter()
        .map(|(name, var)| (name, var.as_tensor().copy().unwrap()))
        .collect())
}

/// `[B]`
fn advantages(estimator: &str, rewards: &[f64], batch: &[Completion]) -> Vec<f64> {
    let length = |b: usize| batch[b].response.len() as f64;
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let variance = |values: &[f64]| {
        let centre = mean(values);
        values.iter().map(|v| (v - centre).powi(2)).sum::<f64>() / (values.len() as f64 - 1.0)
    };
    let group = |b: usize| -> Vec<usize> { (0..batch.len()).filter(|&i| batch[i].row == batch[b].row).collect() };
    let of_group = |b: usize| -> Vec<f64> { group(b).into_iter().map(|i| rewards[i]).collect() };
    let whitened = |values: Vec<f64>| -> Vec<f64> {
        let tokens: Vec<f64> = (0..batch.len())
            .flat_map(|b| vec![values[b]; batch[b].response.len()])
            .collect();
        let (centre, size) = (mean(&tokens), (variance(&tokens) + 1e-8).sqrt());
        values.iter().map(|v| (v - centre) / size).collect()
    };
    let each = |advantage: &dyn Fn(usize) -> f64| -> Vec<f64> { (0..batch.len()).map(advantage).collect() };
    match estimator {
        "grpo" => each(&|b| (rewards[b] - mean(&of_group(b))) / (variance(&of_group(b)).sqrt() + 1e-6)),
        "dr-grpo" => each(&|b| rewards[b] - mean(&of_group(b))),
        "rloo" => each(&|b| {
            let others: Vec<f64> = group(b).into_iter().filter(|&i| i != b).map(|i| rewards[i]).collect();
            rewards[b] - mean(&others)
        }),
        "opo" => each(&|b| {
            let tokens: f64 = group(b).into_iter().map(length).sum();
            let weighted: f64 = group(b).into_iter().map(|i| rewards[i] * length(i)).sum();
            rewards[b] - weighted / tokens
        }),
        "grpo-passk" => each(&|b| {
            let mut sorted = of_group(b);
            sorted.sort_by(f64::total_cmp);
            let (second, best) = (sorted[sorted.len() - 2], sorted[sorted.len() - 1]);
            let gap = (best - second) / (variance(&sorted).sqrt() + 1e-6);
            if rewards[b] == best { gap } else { 0.0 }
        }),
        "reinforce++" => whitened(rewards.to_vec()),
        "reinforce++-baseline" => whitened(each(&|b| rewards[b] - mean(&of_group(b)))),
        other => panic!("{other}"),
    }
}
