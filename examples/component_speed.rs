//! How fast a reward is as a component, beside its native form, in one run.
//!
//! `cargo build --release && cargo build --release --target wasm32-unknown-unknown -p moa-plugin-accuracy`, then
//! `cargo run --release --example component_speed`. Scores 4,096 completions of 1 KiB with the native form and with the
//! component, alternating, and prints the median of each in milliseconds and their ratio. A component takes all cores, so
//! the completions of the native form, which takes the thread that it is called on, are split over as many threads.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a bench")]

use std::time::Instant;

use moa_core::plugin::{Completion, Plugins, RewardPlugin};
use serde_json::json;

const COMPLETIONS: usize = 4096;
const ROUNDS: usize = 31;

fn main() {
    let program = std::env::current_exe().unwrap();
    let built = program.parent().unwrap().parent().unwrap();
    let mut plugins = Plugins::searching(vec![built.to_owned()]);
    let response = response();
    let completions = vec![
        Completion {
            prompt: "What is 6 times 7?",
            response: &response,
            ground_truth: "42",
            response_tokens: 300,
            extra: "{}",
            ..Completion::default()
        };
        COMPLETIONS
    ];
    let native = plugins.reward("accuracy", &json!({})).unwrap();
    let component = plugins.reward("accuracy.wasm", &json!({})).unwrap();
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let (mut native_ms, mut component_ms) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        native_ms.push(milliseconds(&native, &completions, threads));
        component_ms.push(milliseconds(&component, &completions, 1));
    }
    let (native, component) = (median(native_ms), median(component_ms));
    println!(
        "{COMPLETIONS} completions of {} bytes, median of {ROUNDS}",
        response.len()
    );
    println!("native     {native:8.2} ms on {threads} threads");
    println!("component  {component:8.2} ms on {threads} threads");
    println!("ratio      {:8.2}", component / native);
}

/// A worked solution with its answer at the end, 1 KiB.
fn response() -> String {
    let mut text = String::new();
    while text.len() < 1024 - 40 {
        text.push_str("We multiply 6 by 7, which is \\frac{84}{2}. ");
    }
    text.truncate(1024 - 24);
    text.push_str(" The answer is \\boxed{42}");
    text.truncate(1024);
    text
}

/// Time to score all completions with `callers` threads that each call the reward once.
fn milliseconds(reward: &RewardPlugin, completions: &[Completion<'_>], callers: usize) -> f64 {
    let start = Instant::now();
    std::thread::scope(|scope| {
        for part in completions.chunks(completions.len().div_ceil(callers)) {
            scope.spawn(move || {
                let scores = reward.score_all(part).unwrap();
                assert!(scores.iter().all(|score| *score == Ok(1.0)), "every answer is right");
            });
        }
    });
    start.elapsed().as_secs_f64() * 1e3
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
