//! One token from one row of logits: temperature, top-k, top-p, and a random stream of its own for every completion.

use rand_chacha::ChaCha8Rng;
use rand_core::{RngCore, SeedableRng};

/// How tokens are drawn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sampling {
    /// Divides the logits; 0 takes the most likely token (greedy).
    pub temperature: f32,
    /// Keep the smallest set of tokens whose probability reaches this, 0 < top_p <= 1.
    pub top_p: f32,
    /// Keep the k most likely tokens; 0 keeps all.
    pub top_k: usize,
    /// A response ends here if no end token came before, in tokens.
    pub max_new_tokens: usize,
}

impl Sampling {
    /// The temperature at which log-probabilities are taken: greedy decoding reports those of temperature 1.
    #[must_use]
    pub fn logprob_temperature(&self) -> f32 {
        if self.temperature > 0.0 { self.temperature } else { 1.0 }
    }
}

/// Names a random stream: which run, and which step of it. Prompt and sample are added for each completion, so a
/// completion's tokens do not depend on what else is in the batch or on the order of evaluation.
#[derive(Clone, Copy, Debug)]
pub struct Stream {
    /// The run's seed.
    pub seed: u64,
    /// The training step; validation uses streams of its own, see [`Stream::validation`].
    pub step: u64,
}

impl Stream {
    /// The stream of a training step.
    #[must_use]
    pub fn training(seed: u64, step: u64) -> Self {
        Self { seed, step }
    }

    /// The stream of the validation after `step`: never the one of any training step.
    #[must_use]
    pub fn validation(seed: u64, step: u64) -> Self {
        Self {
            seed,
            step: step | 1 << 63,
        }
    }

    /// The stream of the test after `step`: neither a training step's nor a validation's.
    #[must_use]
    pub fn test(seed: u64, step: u64) -> Self {
        Self {
            seed,
            step: step | 3 << 62,
        }
    }

    /// The generator of one completion. The four numbers are the ChaCha key, so no two streams share a state.
    #[must_use]
    pub fn completion(&self, prompt: u64, sample: u64) -> ChaCha8Rng {
        let mut key = [0; 32];
        for (slot, number) in key.chunks_exact_mut(8).zip([self.seed, self.step, prompt, sample]) {
            slot.copy_from_slice(&number.to_le_bytes());
        }
        ChaCha8Rng::from_seed(key)
    }
}

/// A uniform number in [0, 1) with 53 random bits.
fn uniform(rng: &mut ChaCha8Rng) -> f64 {
    (rng.next_u64() >> 11) as f64 / (1u64 << 53) as f64 // 53 bits fit an f64 exactly
}

/// Draws one token from `logits` `[V]`. Returns it with its log-probability under the whole distribution at this
/// temperature (what the training step differentiates; top-k and top-p only restrict what may be drawn).
/// `scratch` is reused between calls and holds the probabilities afterwards.
pub fn draw(logits: &[f32], sampling: &Sampling, rng: &mut ChaCha8Rng, scratch: &mut Vec<f32>) -> (u32, f32) {
    let inverse = 1.0 / sampling.logprob_temperature();
    let (mut best, mut max) = (0, f32::NEG_INFINITY);
    for (token, &logit) in logits.iter().enumerate() {
        if logit > max {
            (best, max) = (token, logit);
        }
    }
    scratch.clear();
    scratch.extend(logits.iter().map(|&logit| ((logit - max) * inverse).exp()));
    let total: f64 = scratch.iter().map(|&p| f64::from(p)).sum();
    let token = if sampling.temperature <= 0.0 {
        best
    } else if sampling.top_k == 0 && sampling.top_p >= 1.0 {
        invert(scratch.iter().copied().enumerate(), uniform(rng) * total).unwrap_or(best)
    } else {
        let kept = nucleus(scratch, sampling, total);
        let mass: f64 = kept.iter().map(|&token| f64::from(scratch[token])).sum();
        invert(kept.iter().map(|&token| (token, scratch[token])), uniform(rng) * mass).unwrap_or(best)
    };
    #[allow(clippy::cast_possible_truncation)] // a log-probability fits f32
    let logprob = (f64::from((logits[token] - max) * inverse) - total.ln()) as f32;
    #[allow(clippy::cast_possible_truncation)] // a vocabulary has fewer than 2^32 entries
    (token as u32, logprob)
}

/// Inverse transform: the first entry at which the running sum passes `target`. None only if rounding leaves a rest
/// of the sum behind the last entry.
fn invert(entries: impl Iterator<Item = (usize, f32)>, target: f64) -> Option<usize> {
    let mut sum = 0.0;
    for (token, p) in entries {
        sum += f64::from(p);
        if target < sum {
            return Some(token);
        }
    }
    None
}

/// The tokens that top-k and top-p leave, most likely first; ties go to the lower id.
fn nucleus(probabilities: &[f32], sampling: &Sampling, total: f64) -> Vec<usize> {
    let mut order: Vec<usize> = (0..probabilities.len()).collect();
    order.sort_by(|&a, &b| probabilities[b].total_cmp(&probabilities[a]).then(a.cmp(&b)));
    if sampling.top_k > 0 {
        order.truncate(sampling.top_k);
    }
    let kept: f64 = if sampling.top_k > 0 {
        order.iter().map(|&t| f64::from(probabilities[t])).sum()
    } else {
        total
    };
    let mut sum = 0.0;
    let mut keep = order.len();
    for (rank, &token) in order.iter().enumerate() {
        sum += f64::from(probabilities[token]);
        if sum >= f64::from(sampling.top_p) * kept {
            keep = rank + 1;
            break;
        }
    }
    order.truncate(keep);
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Sampling = Sampling {
        temperature: 1.0,
        top_p: 1.0,
        top_k: 0,
        max_new_tokens: 1,
    };

    fn frequencies(sampling: Sampling, logits: &[f32]) -> Vec<f64> {
        let mut counts = vec![0.0; logits.len()];
        let mut scratch = Vec::new();
        for sample in 0..20_000 {
            let mut rng = Stream::training(7, 1).completion(0, sample);
            let (token, _) = draw(logits, &sampling, &mut rng, &mut scratch);
            counts[token as usize] += 1.0 / 20_000.0;
        }
        counts
    }

    #[test]
    fn frequencies_follow_the_softmax_at_a_temperature() {
        let logits = [0.0f32, 1.0, 2.0, -30.0];
        for temperature in [0.5f32, 1.0, 2.0] {
            let weights: Vec<f64> = logits.iter().map(|l| f64::from(l / temperature).exp()).collect();
            let total: f64 = weights.iter().sum();
            for (seen, weight) in frequencies(Sampling { temperature, ..ALL }, &logits)
                .iter()
                .zip(&weights)
            {
                // Four standard errors of a share of 20,000 draws.
                assert!(
                    (seen - weight / total).abs() < 4.0 * (0.25f64 / 20_000.0).sqrt(),
                    "{seen} {weight}"
                );
            }
        }
    }

    #[test]
    fn top_k_and_top_p_cut_the_tail() {
        let logits = [0.0f32, 3.0, 1.0, 2.0]; // probabilities .032 .644 .087 .237
        let two = frequencies(Sampling { top_k: 2, ..ALL }, &logits);
        assert!(two[0] == 0.0 && two[2] == 0.0 && two[1] > two[3] && two[3] > 0.2);
        let nucleus = frequencies(Sampling { top_p: 0.9, ..ALL }, &logits);
        assert!(nucleus[0] == 0.0 && nucleus[2] > 0.0);
        let one = frequencies(Sampling { top_p: 0.5, ..ALL }, &logits);
        assert!(one[1] > 0.999 && one[0] == 0.0 && one[2] == 0.0 && one[3] == 0.0);
    }

    #[test]
    fn greedy_takes_the_first_of_equal_maxima_and_reports_temperature_one() {
        let mut rng = Stream::training(0, 0).completion(0, 0);
        let (token, logprob) = draw(
            &[1.0, 2.0, 2.0],
            &Sampling {
                temperature: 0.0,
                ..ALL
            },
            &mut rng,
            &mut Vec::new(),
        );
        assert_eq!(token, 1);
        assert!((logprob - -(2.0f32 + (-1.0f32).exp()).ln()).abs() < 1e-6);
    }

    #[test]
    fn streams_differ_in_every_coordinate() {
        let first = |stream: Stream, prompt, sample| stream.completion(prompt, sample).next_u64();
        let all = [
            first(Stream::training(1, 1), 0, 0),
            first(Stream::training(2, 1), 0, 0),
            first(Stream::training(1, 2), 0, 0),
            first(Stream::training(1, 1), 1, 0),
            first(Stream::training(1, 1), 0, 1),
            first(Stream::validation(1, 1), 0, 0),
            first(Stream::test(1, 1), 0, 0),
        ];
        let mut unique = all.to_vec();
        unique.sort_unstable();
        unique.dedup();
        assert_eq!(unique.len(), all.len());
    }
}
