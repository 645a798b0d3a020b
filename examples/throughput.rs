//! Times sampling and the update's forward and backward: `cargo run --release --example throughput [MODEL]`.
//!
//! Without a path: a random model of the embedded one's size, 16 prompts of 47 tokens × 8 completions × 64 tokens.
//! With one: that model, 4 × 4 × 48. Best of some rounds, in seconds.

#![allow(
    clippy::print_stdout,
    clippy::cast_possible_truncation,
    clippy::unwrap_used,
    reason = "a program that prints times"
)]

use std::sync::Arc;
use std::time::Instant;

use moa_core::model::{Architecture, Cache, Cotangent, Family, Model, Packed, Tokenizer, TokenizerFiles};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// The embedded model's size: 292,992 weights.
fn random_model() -> Result<Model> {
    let spec = Architecture {
        family: Family::Qwen2,
        vocab: 544,
        hidden: 96,
        layers: 3,
        heads: 3,
        kv_heads: 1,
        head_dim: 32,
        intermediate: 192,
        rope_theta: 10_000.0,
        rope_scaling: None,
        rms_eps: 1e-6,
        tied: true,
        qkv_bias: true,
        qk_norm: false,
        max_positions: 512,
    };
    let tokenizer =
        br#"{"version":"1.0","added_tokens":[],"model":{"type":"WordLevel","vocab":{"a":0},"unk_token":"a"}}"#;
    let tokenizer = Tokenizer::from_bytes(&TokenizerFiles {
        tokenizer,
        ..Default::default()
    })?;
    Ok(Model::init(spec, tokenizer, 0)?)
}

/// Runs `f` some times; its last result and the shortest time.
fn best<T>(rounds: usize, mut f: impl FnMut() -> Result<T>) -> Result<(T, f64)> {
    let start = Instant::now();
    let mut last = f()?;
    let mut shortest = start.elapsed().as_secs_f64();
    for _ in 1..rounds {
        let start = Instant::now();
        last = f()?;
        shortest = shortest.min(start.elapsed().as_secs_f64());
    }
    Ok((last, shortest))
}

fn main() -> Result<()> {
    let path = std::env::args().nth(1);
    let (model, [p, g, prompt_len, new], rounds) = match &path {
        None => (random_model()?, [16, 8, 47, 64], 10),
        Some(path) => (Model::load(path)?, [4, 4, 47, 48], 2),
    };
    let vocab = model.architecture.vocab as u32;
    let prompts: Vec<Vec<u32>> = (0..p as u32)
        .map(|i| (0..prompt_len as u32).map(|t| (i * 31 + t * 7 + 1) % vocab).collect())
        .collect();
    let groups: Vec<u32> = (0..(p * g) as u32).map(|b| b / g as u32).collect();

    println!(
        "{} weights, {p} x {g} x {new} tokens, prompts of {prompt_len}",
        model.architecture.size()
    );
    let total = (p * g * new) as f64;
    let report = |what: &str, seconds: f64| {
        println!("{what:26} {seconds:9.4} s  {:9.0} tokens/s", total / seconds);
    };

    let weights = model.weights();
    let (responses, seconds) = best(rounds, || {
        let (mut cache, mut logits) = Cache::prefill(&weights, &prompts, &groups, new)?;
        let mut responses = vec![Vec::with_capacity(new); p * g];
        for step in 0..new {
            // any token will do, as long as the next one depends on the logits
            let tokens: Vec<u32> = logits
                .chunks_exact(vocab as usize)
                .enumerate()
                .map(|(b, row)| (row[step % row.len()].to_bits() >> 3).wrapping_add(b as u32) % vocab)
                .collect();
            responses.iter_mut().zip(&tokens).for_each(|(r, t)| r.push(*t));
            if step + 1 < new {
                logits = cache.step(&tokens)?;
            }
        }
        Ok(responses)
    })?;
    report("decode", seconds);

    let packed = Arc::new(Packed::new(&prompts, &responses, &groups)?);
    let n = packed.targets().len();
    report("score, no graph", best(rounds, || Ok(weights.score(&packed, 1.0)?))?.1);
    report("forward", best(rounds, || Ok(model.forward(&packed, 1.0)?))?.1);
    let cotangent = |m: usize| -> Vec<f32> { (0..n).map(|i| ((i * 7 + m * 3) as f32).sin() / n as f32).collect() };
    let update = |m: usize| {
        best(rounds, || {
            let columns: Vec<Vec<f32>> = (0..m).map(cotangent).collect();
            let columns: Vec<Cotangent<'_>> = columns.iter().map(|column| Cotangent::of(column)).collect();
            Ok(model.forward(&packed, 1.0)?.gradients(&columns)?)
        })
    };
    let (_, one) = update(1)?;
    report("forward + backward, M = 1", one);
    let (_, three) = update(3)?;
    report("forward + backward, M = 3", three);
    println!("M = 3 costs {:.2} times M = 1", three / one);
    Ok(())
}
