//! Repetition: the share of the response's n-grams that are not a repeat of an earlier one,
//! ```text
//! distinct n-grams / all n-grams  =  1 − repeated / all
//! ```
//! which is distinct-n (Li et al., arXiv 1510.03055) as a reward: 1 where nothing is said twice, near 0 for a loop.
//! arXiv 2502.03373 ("Demystifying Long Chain-of-Thought Reasoning") penalises the repeated n-grams of long chains
//! token by token; this is the same count as one number for a response. An n-gram is n words in a row, in small
//! letters, split at blanks; with `unit = "characters"` n characters, for languages without blanks and for loops
//! inside a word. A response of fewer than n of them has nothing to repeat and scores 1.
//!
//! Time is that of a sort, memory 16 bytes for each n-gram. Only the first 2^20 n-grams are looked at, and two of
//! them count as the same where 64-bit hashes of theirs are: among 2^20 by chance in one response of 3 · 10^7.

use moa_sdk::prelude::*;

/// What an n-gram is made of.
#[derive(Choice, Clone, Copy, Default)]
pub enum Unit {
    /// What stands between blanks.
    #[default]
    Words,
    /// Single characters, blanks included.
    Characters,
}

/// What counts as a repeat.
#[derive(Params)]
pub struct Params {
    /// Length of the n-grams.
    #[param(default = 3)]
    n: u32,
    /// What they are made of: words or characters.
    unit: Unit,
}

/// The reward.
pub struct Repetition {
    n: usize,
    unit: Unit,
}

/// n-grams that are looked at.
const MOST: usize = 1 << 20;
/// Longest n-gram: hashes by polynomials in 64 bits have systematic collisions from about 2^10 units on.
const LONGEST: usize = 1000;

impl Reward for Repetition {
    const NAME: &str = "repetition";
    const ABOUT: &str = "share of the response's n-grams that do not repeat an earlier one";
    type Params = Params;

    fn new(params: Params) -> Result<Self> {
        let n = params.n as usize;
        if !(1..=LONGEST).contains(&n) {
            return Err(Error::new(format!("n is {n}, expected 1 to {LONGEST}"))
                .hint("3 words are usual; 1 counts single words"));
        }
        Ok(Self { n, unit: params.unit })
    }

    #[allow(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        reason = "at most 2^20 n-grams; a share"
    )]
    fn score(&self, completion: &Completion<'_>) -> Result<f32> {
        let most = MOST + self.n - 1;
        let text = completion.response;
        let units: Vec<u64> = match self.unit {
            Unit::Words => text.split_whitespace().take(most).map(word_hash).collect(),
            Unit::Characters => text.chars().take(most).map(|c| mixed(u64::from(c))).collect(),
        };
        let mut grams = rolling(&units, self.n);
        let all = grams.len();
        if all == 0 {
            return Ok(1.0);
        }
        grams.sort_unstable();
        grams.dedup();
        Ok((grams.len() as f64 / all as f64) as f32)
    }
}

/// FNV-1a over the small letters of a word.
fn word_hash(word: &str) -> u64 {
    let letters = word.chars().flat_map(char::to_lowercase);
    let hash = letters.fold(0xcbf2_9ce4_8422_2325_u64, |hash, letter| {
        (hash ^ u64::from(letter)).wrapping_mul(0x0100_0000_01b3)
    });
    mixed(hash)
}

/// Spreads a number over all bits (the finalizer of SplitMix64), so that sums of products of it are good hashes.
fn mixed(x: u64) -> u64 {
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// The hash of every n-gram: polynomials in an odd base, each from the one before in constant time.
fn rolling(units: &[u64], n: usize) -> Vec<u64> {
    const BASE: u64 = 0x9e37_79b9_7f4a_7c15;
    let leading = (0..n).fold(1_u64, |power, _| power.wrapping_mul(BASE));
    let mut grams = Vec::with_capacity((units.len() + 1).saturating_sub(n));
    let mut hash = 0_u64;
    for (at, unit) in units.iter().enumerate() {
        hash = hash.wrapping_mul(BASE).wrapping_add(*unit);
        if at >= n {
            hash = hash.wrapping_sub(units[at - n].wrapping_mul(leading));
        }
        if at + 1 >= n {
            grams.push(hash);
        }
    }
    grams
}

moa_sdk::export!(rewards: [Repetition]);

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use moa_sdk::serde_json::{Value, json};

    fn score(params: &Value, response: &str) -> Result<f32> {
        let completion = Completion {
            response,
            ..Completion::default()
        };
        moa_sdk::testing::score::<Repetition>(params, &completion)
    }

    #[test]
    fn the_share_of_distinct_n_grams() -> Result<()> {
        for (n, unit, response, expected) in [
            (1, "words", "a b c d", 1.0),
            (1, "words", "a A a b", 0.5),
            (2, "words", "so it is so it is", 0.6), // so-it, it-is, is-so of five
            (3, "words", "a a a a a", 1.0 / 3.0),
            (3, "words", "a a", 1.0),
            (3, "words", "", 1.0),
            (2, "words", "  a\n\tb  ", 1.0),
            (2, "words", "ÄB c äb C", 2.0 / 3.0),
            (2, "characters", "aaaa", 1.0 / 3.0),
            (2, "characters", "一二一二", 2.0 / 3.0),
            (3, "characters", "ab", 1.0),
        ] {
            let found = score(&json!({ "n": n, "unit": unit }), response)?;
            assert!((found - expected).abs() < 1e-6, "{n} {unit} of {response:?}: {found}");
        }
        for n in [0, 1001] {
            assert!(score(&json!({ "n": n }), "").is_err_and(|error| error.message.starts_with("n is ")));
        }
        Ok(())
    }

    /// The hashes against the n-grams themselves, on random texts of few words, where most are repeats.
    #[test]
    fn counts_are_those_of_a_set_of_n_grams() -> Result<()> {
        let mut rng = Rng::new(1);
        for n in 1..6_usize {
            for _ in 0..40 {
                let words: Vec<String> = (0..rng.below(300)).map(|_| rng.below(3).to_string()).collect();
                let grams: Vec<&[String]> = words.windows(n).collect();
                let distinct: BTreeSet<_> = grams.iter().collect();
                let expected = distinct.len() as f32 / grams.len().max(1) as f32;
                let found = score(&json!({ "n": n }), &words.join(" "))?;
                let expected = if grams.is_empty() { 1.0 } else { expected };
                assert!((found - expected).abs() < 1e-6, "{n}: {found}, expected {expected}");
            }
        }
        Ok(())
    }

    #[test]
    fn a_loop_scores_near_zero_however_long() -> Result<()> {
        for unit in ["words", "characters"] {
            let looped = score(&json!({ "unit": unit }), &"and so on ".repeat(100_000))?;
            assert!(looped < 1e-4, "{unit}: {looped}");
        }
        Ok(())
    }

    #[test]
    fn on_every_family_of_completions() -> Result<()> {
        for unit in ["words", "characters"] {
            for n in [1, 3, 1000] {
                let params = json!({ "n": n, "unit": unit });
                moa_sdk::testing::check_reward::<Repetition>(&params, 0.0..=1.0)?;
            }
        }
        Ok(())
    }
}
