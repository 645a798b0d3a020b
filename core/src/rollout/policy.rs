//! The boundary between the algorithm and the tensors: sample, log-probabilities, gradients.

use std::sync::Arc;

use rayon::prelude::*;
use thiserror::Error;

use super::{Rollouts, Sampling, Stream, sampler::draw};
use crate::{
    data::Prompt,
    engine::{GradientSet, Params},
    error::Report,
    model::{Activations, Cache, Cotangent, Model, ModelError, Packed, Weights},
};

/// Completions decoded at once; further ones wait. Bounds the memory of keys and values.
const DECODE_ROWS: usize = 512;

/// Sampling, scoring or a backward pass failed.
#[derive(Debug, Error)]
pub enum PolicyError {
    /// The model failed.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// A logit is NaN: the parameters are no longer finite.
    #[error("sampling: the logits of row {row}, token {token} are not finite")]
    NotFinite {
        /// Row of the data file.
        row: usize,
        /// Token within the response.
        token: usize,
    },
}

impl Report for PolicyError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::Model(e) => e.hint(),
            Self::NotFinite { .. } => {
                Some("a smaller optimizer.lr or optimizer.clip_norm keeps the policy finite".into())
            }
        }
    }
}

/// A language model as the algorithm sees it.
pub struct Policy {
    model: Model,
    temperature: f32,
}

impl Policy {
    /// The policy of `model`, whose log-probabilities are taken at `temperature` > 0 (what sampling divides logits by).
    #[must_use]
    pub fn new(model: Model, temperature: f32) -> Self {
        Self { model, temperature }
    }

    /// The model.
    #[must_use]
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// The model, to be changed.
    pub fn model_mut(&mut self) -> &mut Model {
        &mut self.model
    }

    /// The model's parameters, to be changed.
    pub fn params_mut(&mut self) -> &mut Params {
        self.model.params_mut()
    }

    /// Samples `group_size` completions of each prompt. The tokens of a completion depend on the weights, its prompt and
    /// its own random stream only.
    ///
    /// # Errors
    /// The model fails, or its logits are not finite.
    pub fn sample(
        &self,
        prompts: Vec<Prompt>,
        group_size: usize,
        sampling: &Sampling,
        stream: Stream,
    ) -> Result<Rollouts, PolicyError> {
        self.sample_streaming(prompts, group_size, sampling, stream, &mut |_| {})
    }

    /// As [`Policy::sample`]; `on_group` sees each group as soon as its last completion has ended, while others
    /// are still being sampled.
    ///
    /// # Errors
    /// As [`Policy::sample`].
    pub fn sample_streaming(
        &self,
        prompts: Vec<Prompt>,
        group_size: usize,
        sampling: &Sampling,
        stream: Stream,
        on_group: &mut dyn FnMut(FinishedGroup<'_>),
    ) -> Result<Rollouts, PolicyError> {
        let weights = self.model.merged_weights()?;
        let mut rollouts = Rollouts {
            offsets: vec![0],
            ..Rollouts::default()
        };
        let per_wave = (DECODE_ROWS / group_size.max(1)).max(1);
        for (wave, some) in prompts.chunks(per_wave).enumerate() {
            let first = wave * per_wave;
            for completion in self.decode(&weights, some, first, group_size, sampling, stream, on_group)? {
                let group = first + completion.prompt;
                rollouts.groups.extend(u32::try_from(group));
                rollouts.truncated.push(!completion.finished);
                rollouts.texts.push(completion.text);
                rollouts.tokens.extend(completion.tokens);
                rollouts.logprobs.extend(completion.logprobs);
                rollouts.offsets.push(rollouts.tokens.len());
            }
        }
        rollouts.prompts = prompts;
        Ok(rollouts)
    }

    /// Decodes the completions of some prompts side by side; `first` is the number of the first prompt in the step.
    #[allow(clippy::too_many_arguments, reason = "what sampling needs, passed on")]
    fn decode(
        &self,
        weights: &Weights,
        prompts: &[Prompt],
        first: usize,
        group_size: usize,
        sampling: &Sampling,
        stream: Stream,
        on_group: &mut dyn FnMut(FinishedGroup<'_>),
    ) -> Result<Vec<Completion>, PolicyError> {
        let mut completions: Vec<Completion> = (0..prompts.len() * group_size)
            .map(|b| Completion {
                prompt: b / group_size,
                ..Completion::default()
            })
            .collect();
        if sampling.max_new_tokens == 0 || completions.is_empty() {
            return Ok(completions);
        }
        let mut generators: Vec<_> = (0..completions.len())
            .map(|b| stream.completion((first + b / group_size) as u64, (b % group_size) as u64))
            .collect();
        let groups: Vec<u32> = completions.iter().flat_map(|c| u32::try_from(c.prompt)).collect();
        let tokens: Vec<&[u32]> = prompts.iter().map(|p| p.tokens.as_slice()).collect();
        let ends = self.model.tokenizer.eos_ids();
        let vocab = self.model.architecture.vocab;
        let (mut cache, mut logits) = Cache::prefill(weights, &tokens, &groups, sampling.max_new_tokens)?;
        let mut alive: Vec<usize> = (0..completions.len()).collect();
        let mut open = vec![group_size; prompts.len()]; // completions of each prompt that go on
        loop {
            let drawn: Vec<(u32, f32)> = generators
                .par_iter_mut()
                .zip(logits.par_chunks_exact(vocab))
                .map_init(Vec::new, |scratch, (generator, logits)| {
                    draw(logits, sampling, generator, scratch)
                })
                .collect();
            for (&b, &(token, logprob)) in alive.iter().zip(&drawn) {
                let completion = &mut completions[b];
                if !logprob.is_finite() {
                    let row = prompts[completion.prompt].row;
                    return Err(PolicyError::NotFinite {
                        row,
                        token: completion.tokens.len(),
                    });
                }
                completion.tokens.push(token);
                completion.logprobs.push(logprob);
                completion.finished = ends.contains(&token);
            }
            let going = |b: &usize| !completions[*b].finished && completions[*b].tokens.len() < sampling.max_new_tokens;
            let keep: Vec<bool> = alive.iter().map(going).collect();
            let next: Vec<u32> = drawn
                .iter()
                .zip(&keep)
                .filter(|(_, keep)| **keep)
                .map(|(d, _)| d.0)
                .collect();
            let mut kept = keep.iter();
            generators.retain(|_| kept.next().copied().unwrap_or(false));
            let ended: Vec<usize> = alive
                .iter()
                .zip(&keep)
                .filter(|(_, keep)| !**keep)
                .map(|(&b, _)| b)
                .collect();
            alive.retain(going);
            for b in ended {
                let prompt = completions[b].prompt;
                completions[b].text = self.model.tokenizer.decode(&completions[b].tokens)?;
                open[prompt] -= 1;
                if open[prompt] == 0 {
                    let members = &completions[prompt * group_size..(prompt + 1) * group_size];
                    on_group(FinishedGroup {
                        group: first + prompt,
                        prompt: &prompts[prompt],
                        responses: members.iter().map(Completion::view).collect(),
                    });
                }
            }
            if alive.is_empty() {
                return Ok(completions);
            }
            cache.retain(&keep);
            logits = cache.step(&next)?;
        }
    }

    /// Log-probability of every response token `[N]` at the policy's temperature, with nothing kept for a backward pass.
    ///
    /// # Errors
    /// The model fails.
    pub fn logprobs(&self, rollouts: &Rollouts) -> Result<Vec<f32>, PolicyError> {
        self.frozen(self.model.weights()).logprobs(rollouts)
    }

    /// The policy for a KL term to compare with: the model with its adapters off, or, where there are none, the policy as
    /// it is now. It stays so. Only in the second case training makes a copy.
    #[must_use]
    pub fn to_reference(&self) -> ReferencePolicy {
        self.frozen(self.model.base_weights())
    }

    fn frozen(&self, weights: Weights) -> ReferencePolicy {
        let temperature = self.temperature;
        ReferencePolicy { weights, temperature }
    }

    /// One forward pass, kept for any number of backward passes.
    ///
    /// # Errors
    /// The model fails.
    pub fn forward(&self, rollouts: &Rollouts) -> Result<Forward, PolicyError> {
        Ok(Forward {
            inner: self.model.forward(&Arc::new(packed(rollouts)?), self.temperature)?,
        })
    }

    /// A mask over the trainable parameters: true where the name contains one of `parts`, or everywhere if `parts` is
    /// empty.
    #[must_use]
    pub fn parameter_mask(&self, parts: &[String]) -> Vec<bool> {
        self.model.params().trainable().layout().mask(parts)
    }

    /// Writes the model in the Hugging Face layout.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn save(&self, folder: &std::path::Path) -> Result<(), PolicyError> {
        Ok(self.model.save(folder)?)
    }
}

/// Weights that no longer change.
pub struct ReferencePolicy {
    weights: Weights,
    temperature: f32,
}

impl ReferencePolicy {
    /// Log-probability of every response token `[N]`, at the temperature of the policy that it was taken from.
    ///
    /// # Errors
    /// The model fails.
    pub fn logprobs(&self, rollouts: &Rollouts) -> Result<Vec<f32>, PolicyError> {
        let mut logprobs = Vec::with_capacity(rollouts.tokens.len());
        for chunk in rollouts.chunks(SCORE_TOKENS) {
            let part = rollouts.select(&chunk.collect::<Vec<_>>());
            logprobs.extend(self.weights.score(&packed(&part)?, self.temperature)?.logprobs);
        }
        Ok(logprobs)
    }
}

/// Packed tokens of one scoring pass: bounds memory, not the result.
const SCORE_TOKENS: usize = 16_384;

/// A prompt whose G completions have all ended.
pub struct FinishedGroup<'a> {
    /// Its number among the prompts of the step.
    pub group: usize,
    /// The prompt.
    pub prompt: &'a Prompt,
    /// The completions, in the order of the rollouts, G.
    pub responses: Vec<FinishedResponse<'a>>,
}

/// A completion that has ended.
pub struct FinishedResponse<'a> {
    /// Decoded, without special tokens.
    pub text: &'a str,
    /// Length in tokens.
    pub tokens: usize,
    /// Whether it hit the length cap before an end token.
    pub truncated: bool,
}

/// One completion under way.
#[derive(Default)]
struct Completion {
    prompt: usize,
    tokens: Vec<u32>,
    logprobs: Vec<f32>,
    finished: bool,
    /// Once it has ended.
    text: String,
}

impl Completion {
    fn view(&self) -> FinishedResponse<'_> {
        FinishedResponse {
            text: &self.text,
            tokens: self.tokens.len(),
            truncated: !self.finished,
        }
    }
}

fn packed(rollouts: &Rollouts) -> Result<Packed, ModelError> {
    let prompts: Vec<&[u32]> = rollouts.prompts.iter().map(|p| p.tokens.as_slice()).collect();
    let responses: Vec<&[u32]> = (0..rollouts.len()).map(|b| rollouts.response(b)).collect();
    Packed::new(&prompts, &responses, &rollouts.groups)
}

/// One forward pass over N response tokens, with what backward passes need of it.
pub struct Forward {
    inner: Activations,
}

impl Forward {
    /// Log-probabilities `[N]`.
    #[must_use]
    pub fn logprobs(&self) -> &[f32] {
        &self.inner.stats().logprobs
    }

    /// Entropy of each token's distribution in nats `[N]`.
    #[must_use]
    pub fn entropies(&self) -> &[f32] {
        &self.inner.stats().entropy
    }

    /// The gradient set of each column of cotangents (∂loss/∂logprob and ∂loss/∂entropy, `[N]`),
    /// M of them from this one forward pass. Columns that are constant over each response share a backward pass.
    ///
    /// # Errors
    /// A backward pass fails.
    pub fn gradients(&self, columns: &[Cotangent<'_>]) -> Result<Vec<GradientSet>, PolicyError> {
        Ok(self.inner.gradients(columns)?)
    }
}
