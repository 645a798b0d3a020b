//! Fuzzes what a stranger's component can hand to the host: the bytes of its file, and the values that it gives back.
//!
//! `cargo run --release --example fuzz_components [SECONDS] [SEED]` (60 seconds, seed 0). Half of the time it loads
//! damaged copies of whole components and core modules (bytes flipped, cut, doubled, spliced); an error must be one line.
//! The other half it lets a guest give back random bytes as the results of a call; each completion must get one finite
//! score or one failure. It prints how often each outcome was seen. A panic or an abort is a finding; it is printed with
//! the number of the round, which the same seed repeats.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a fuzzer ends at the first finding"
)]

#[path = "../tests/support/components.rs"]
mod components;

use std::{
    collections::BTreeMap,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use components::{evil, evil_text, typed_module, wit};
use moa_core::{
    config::Limits,
    plugin::{Completion, Plugins, RewardPlugin},
};
use moa_sdk::Rng;
use serde_json::json;

fn main() {
    let number = |at| {
        std::env::args()
            .nth(at)
            .and_then(|text: String| text.parse::<u64>().ok())
    };
    let (seconds, seed) = (number(1).unwrap_or(60), number(2).unwrap_or(0));
    let folder = tempfile::tempdir().unwrap();
    // Damaged components must not fill the user's cache, and an environment is set from outside.
    if std::env::var_os("MOA_FUZZ").is_none() {
        let status = Command::new(std::env::current_exe().unwrap())
            .args(std::env::args().skip(1))
            .env("MOA_FUZZ", "1")
            .env("XDG_CACHE_HOME", folder.path())
            .status();
        std::process::exit(status.unwrap().code().unwrap_or(1));
    }
    let mut seen = BTreeMap::new();
    let end = Instant::now() + Duration::from_secs(seconds);
    let mut rounds = 0;
    let wholes = [evil(&[]), typed_module(&evil_text(&[]), &wit())];
    let guest = folder.path().join("guest.wasm");
    std::fs::write(&guest, &wholes[0]).unwrap();
    let limits = Limits {
        fuel: Some(1_000_000),
        milliseconds: Some(500),
        memory_mib: Some(16),
        result_bytes: Some(1 << 16),
    };
    let guest = Plugins::searching(Vec::new())
        .reward_within(&guest.to_string_lossy(), &json!({}), &limits)
        .unwrap();
    while Instant::now() < end {
        let mut rng = Rng::new(seed.wrapping_mul(1 << 32).wrapping_add(rounds));
        let outcome = match rounds % 2 {
            0 => loads(
                &damaged(&wholes[rng.below(wholes.len())], &mut rng),
                folder.path(),
                rounds,
            ),
            _ => returns(&guest, &mut rng, rounds),
        };
        *seen.entry(outcome).or_insert(0_u64) += 1;
        rounds += 1;
    }
    println!("{rounds} rounds");
    for (outcome, count) in seen {
        println!("{count:>10}  {outcome}");
    }
}

/// A copy with up to four defects.
fn damaged(whole: &[u8], rng: &mut Rng) -> Vec<u8> {
    let mut bytes = whole.to_vec();
    for _ in 0..=rng.below(4) {
        if bytes.is_empty() {
            break;
        }
        let at = rng.below(bytes.len());
        let length = rng.below(64).min(bytes.len() - at);
        match rng.below(6) {
            0 => bytes[at] ^= 1 << rng.below(8),
            1 => bytes[at] = u8::try_from(rng.below(256)).unwrap(),
            2 => bytes.truncate(at),
            3 => drop(bytes.drain(at..at + length)),
            4 => {
                let part = bytes[at..at + length].to_vec();
                let to = rng.below(bytes.len());
                drop(bytes.splice(to..to, part));
            }
            // Sizes and counts are where a parser believes its input.
            _ => bytes[at] = [0, 1, 0x7f, 0x80, 0xff][rng.below(5)],
        }
    }
    bytes
}

fn loads(bytes: &[u8], folder: &Path, round: u64) -> String {
    let path = folder.join("damaged.wasm");
    std::fs::write(&path, bytes).unwrap();
    match Plugins::searching(Vec::new()).reward(&path.to_string_lossy(), &json!({})) {
        Ok(_) => "loaded".to_owned(),
        Err(error) => {
            let text = error.to_string();
            assert_eq!(text.lines().count(), 1, "round {round}: {text}");
            assert!(text.contains("damaged.wasm"), "round {round}: {text}");
            let reason = text.split_once(".wasm").map_or("", |(_, reason)| reason);
            let words: Vec<&str> = reason.split_whitespace().skip_while(|w| *w == ":").take(4).collect();
            format!(
                "refused: {}",
                words
                    .join(" ")
                    .chars()
                    .filter(|c| !c.is_ascii_digit())
                    .collect::<String>()
            )
        }
    }
}

fn returns(guest: &RewardPlugin, rng: &mut Rng, round: u64) -> String {
    let mut bytes = vec![0_u8; 24];
    // Mostly small numbers, so that more than the first check is reached.
    for byte in &mut bytes {
        *byte = match rng.below(4) {
            0 => u8::try_from(rng.below(256)).unwrap(),
            1 => u8::try_from(rng.below(4)).unwrap(),
            _ => 0,
        };
    }
    let hex = |byte: &u8| [byte >> 4, byte & 15].map(|nibble| char::from(b'@' + nibble));
    let response: String = std::iter::once('x').chain(bytes.iter().flat_map(hex)).collect();
    let completion = Completion {
        response: &response,
        ..Completion::default()
    };
    let plain = Completion {
        response: "k",
        response_tokens: 50,
        ..Completion::default()
    };
    let scores = guest.score_all(&[completion]).unwrap();
    assert_eq!(scores.len(), 1, "round {round}");
    // Whatever it gave back, the next call finds a guest that works.
    assert_eq!(guest.score_all(&[plain]).unwrap(), [Ok(0.5)], "round {round}");
    match &scores[0] {
        Ok(score) => {
            assert!(score.is_finite(), "round {round}: {score}");
            "gave a score".to_owned()
        }
        Err(failure) => {
            assert_eq!(failure.message.lines().count(), 1, "round {round}: {failure}");
            format!("failed: {}", failure.cause.name())
        }
    }
}
