//! The KV cache that sampling decodes with. A prompt is computed once, and all its completions share its keys and
//! values; each completion adds its own.

use rayon::prelude::*;

use super::decoder::Weights;
use super::error::ModelError;
use super::ops::attention::Heads;
use super::ops::decode::{HeadCache, attend};
use super::ops::gemm::{Threads, linear};
use super::ops::layer::{AttentionInputs, LayerOutputs, LayerShape};
use super::ops::rope::RopeTable;
use super::ops::rows::ROWS;
use super::ops::{final_norm, norm};
use super::packed::Packed;

/// With fewer weights than this, each thread takes some completions through the whole model alone: the weights stay in
/// its cache. With more, all threads share each product, so that the weights are read from memory once a step.
const SMALL: usize = 4 << 20;

/// A completion that is being decoded.
struct Row {
    prompt: usize,
    position: u32,
    own: Vec<HeadCache>, // [layers, K]
}

/// Keys and values of P prompts and of the completions that are still being decoded.
pub struct Cache<'w> {
    weights: &'w Weights,
    rope: RopeTable,
    prompts: Vec<Vec<HeadCache>>, // [P][layers, K]
    rows: Vec<Row>,               // [B alive]
}

impl<'w> Cache<'w> {
    /// Computes the `prompts` `[P]` and opens one completion for each entry of `groups` `[B]`, the index of its prompt.
    /// Returns the cache and the logits of each completion's first token `[B, V]`. At most `max_new` tokens may follow.
    ///
    /// # Errors
    /// A prompt is empty, a token is beyond the vocabulary, or an index names no prompt.
    pub fn prefill<P: AsRef<[u32]>>(
        weights: &'w Weights,
        prompts: &[P],
        groups: &[u32],
        max_new: usize,
    ) -> Result<(Self, Vec<f32>), ModelError> {
        let none: [&[u32]; 0] = [];
        let packed = Packed::new(prompts, &none, &[])?;
        weights.check_tokens(&packed)?;
        if let Some(group) = groups.iter().find(|g| **g as usize >= prompts.len()) {
            return Err(ModelError::Batch {
                what: "group of a completion",
                found: group.to_string(),
                expected: format!("less than {}, the number of prompts", prompts.len()),
            });
        }
        let shape = &weights.shape;
        let (heads, d) = (shape.heads, shape.hidden);
        let rope = RopeTable::new(&weights.architecture, packed.context() + max_new);
        let mut caches = vec![Vec::with_capacity(weights.places.layers.len() * heads.kv); prompts.len()];
        let mut x = weights.embed(packed.tokens());
        for layer in weights.layers(&rope) {
            let (z, saved) = layer.forward_and_save(&packed, &x);
            caches
                .par_iter_mut()
                .zip(packed.segments())
                .for_each(|(caches, segment)| {
                    let rows = &saved.qkv[segment.start * heads.width()..][..segment.len * heads.width()];
                    for kv in 0..heads.kv {
                        let mut cache = HeadCache::default();
                        rows.chunks_exact(heads.width())
                            .for_each(|row| push(&mut cache, heads, kv, row));
                        caches.push(cache);
                    }
                });
            x = z;
        }
        let mut last = Vec::with_capacity(prompts.len() * d);
        for segment in packed.segments() {
            let end = segment.start + segment.len;
            last.extend_from_slice(&x[(end - 1) * d..end * d]);
        }
        let hidden = final_norm::forward(&last, weights.norm(), shape.eps).0;
        let vocab = weights.architecture.vocab;
        let mut by_prompt = vec![0f32; prompts.len() * vocab];
        linear(&hidden, weights.head(), d, vocab, &mut by_prompt, false, Threads::All);
        let mut logits = Vec::with_capacity(groups.len() * vocab);
        let mut rows = Vec::with_capacity(groups.len());
        for &group in groups {
            let prompt = group as usize;
            logits.extend_from_slice(&by_prompt[prompt * vocab..(prompt + 1) * vocab]);
            rows.push(Row {
                prompt,
                position: u32::try_from(prompts[prompt].as_ref().len()).unwrap_or(u32::MAX),
                own: vec![HeadCache::default(); weights.places.layers.len() * heads.kv],
            });
        }
        Ok((
            Cache {
                weights,
                rope,
                prompts: caches,
                rows,
            },
            logits,
        ))
    }

    /// Completions that are still being decoded.
    #[must_use]
    pub fn alive(&self) -> usize {
        self.rows.len()
    }

    /// Drops the completions whose entry in `keep` `[B alive]` is false; the others keep their order.
    pub fn retain(&mut self, keep: &[bool]) {
        let mut keep = keep.iter();
        self.rows.retain(|_| keep.next().copied().unwrap_or(false));
    }

    /// Appends one token to each completion `[B alive]` and returns the logits of the next one `[B alive, V]`.
    ///
    /// # Errors
    /// There are not B alive tokens, a token is beyond the vocabulary, or more than `max_new` tokens follow a prompt.
    pub fn step(&mut self, tokens: &[u32]) -> Result<Vec<f32>, ModelError> {
        let architecture = &self.weights.architecture;
        let bad = |what, found: String, expected: String| Err(ModelError::Batch { what, found, expected });
        if tokens.len() != self.rows.len() {
            return bad(
                "tokens of a step",
                tokens.len().to_string(),
                self.rows.len().to_string(),
            );
        }
        if let Some(token) = tokens.iter().find(|t| **t as usize >= architecture.vocab) {
            return bad(
                "token",
                token.to_string(),
                format!("less than the vocabulary's {}", architecture.vocab),
            );
        }
        if let Some(row) = self.rows.iter().find(|r| r.position as usize >= self.rope.positions()) {
            return bad(
                "position",
                row.position.to_string(),
                format!("less than {}", self.rope.positions()),
            );
        }
        let mut logits = vec![0f32; tokens.len() * architecture.vocab];
        let small = self.weights.places.layers.len() * self.weights.shape.weights() < SMALL;
        let step = Step {
            weights: self.weights,
            rope: &self.rope,
            prompts: &self.prompts,
        };
        if small && !tokens.is_empty() {
            let span = tokens.len().div_ceil(rayon::current_num_threads());
            self.rows
                .par_chunks_mut(span)
                .zip(tokens.par_chunks(span))
                .zip(logits.par_chunks_mut(span * architecture.vocab))
                .for_each(|((rows, tokens), logits)| step.run(rows, tokens, logits, Threads::One));
        } else {
            step.run(&mut self.rows, tokens, &mut logits, Threads::All);
        }
        Ok(logits)
    }
}

fn push(cache: &mut HeadCache, heads: Heads, kv: usize, qkv: &[f32]) {
    let key = (heads.query + kv) * heads.dim;
    let value = key + heads.kv * heads.dim;
    cache.push(&qkv[key..key + heads.dim], &qkv[value..value + heads.dim]);
}

/// One step of some completions.
struct Step<'a> {
    weights: &'a Weights,
    rope: &'a RopeTable,
    prompts: &'a [Vec<HeadCache>],
}

impl Step<'_> {
    fn run(&self, rows: &mut [Row], tokens: &[u32], logits: &mut [f32], threads: Threads) {
        let shape = &self.weights.shape;
        let LayerShape {
            hidden: d,
            intermediate: f,
            heads,
            ..
        } = *shape;
        let n = rows.len();
        let positions: Vec<u32> = rows.iter().map(|row| row.position).collect();
        let mut x = self.weights.embed(tokens); // [n, D]
        let (mut y, mut z) = (vec![0f32; n * d], vec![0f32; n * d]);
        let mut rstd = vec![0f32; n];
        let mut qkv = vec![0f32; n * heads.width()];
        let mut mixed = vec![0f32; n * heads.out()];
        let mut wide = vec![0f32; n * 2 * f];
        let mut scratch = Vec::new();
        for (index, layer) in self.weights.layers(self.rope).enumerate() {
            let to = AttentionInputs {
                rstd: &mut rstd,
                qkv: &mut qkv,
                qk_raw: &mut [],
                qk_rstd: &mut [],
            };
            layer.attention_inputs(&positions, &x, to, &mut scratch, threads);
            let attend = |scores: &mut Vec<f32>, ((row, qkv), mixed): ((&mut Row, &[f32]), &mut [f32])| {
                self.attend(row, index, heads, qkv, scores, mixed);
            };
            let (qkv_rows, mixed_rows) = (heads.width(), heads.out());
            match threads {
                Threads::One => {
                    let mut scores = Vec::new();
                    rows.iter_mut()
                        .zip(qkv.chunks_exact(qkv_rows))
                        .zip(mixed.chunks_exact_mut(mixed_rows))
                        .for_each(|item| attend(&mut scores, item));
                }
                Threads::All => rows
                    .par_iter_mut()
                    .zip(qkv.par_chunks_exact(qkv_rows))
                    .zip(mixed.par_chunks_exact_mut(mixed_rows))
                    .for_each_init(Vec::new, |scores, item| attend(scores, item)),
            }
            let to = LayerOutputs {
                y: &mut y,
                rstd: &mut rstd,
                gate_up: &mut wide,
                z: &mut z,
            };
            layer.attention_output_and_mlp(&x, &mixed, to, &mut scratch, threads);
            std::mem::swap(&mut x, &mut z);
        }
        for (x, z) in x.chunks(ROWS * d).zip(z.chunks_mut(ROWS * d)) {
            norm::forward(x, self.weights.norm(), shape.eps, &mut rstd[..x.len() / d], z);
        }
        linear(
            &z,
            self.weights.head(),
            d,
            self.weights.architecture.vocab,
            logits,
            false,
            threads,
        );
        rows.iter_mut().for_each(|row| row.position += 1);
    }

    /// Appends the row's key and value and attends, for one layer.
    fn attend(&self, row: &mut Row, layer: usize, heads: Heads, qkv: &[f32], scores: &mut Vec<f32>, mixed: &mut [f32]) {
        let span = heads.query / heads.kv * heads.dim;
        for kv in 0..heads.kv {
            let at = layer * heads.kv + kv;
            push(&mut row.own[at], heads, kv, qkv);
            let range = kv * span..(kv + 1) * span;
            let prompt = &self.prompts[row.prompt][at];
            attend(
                heads,
                &qkv[range.clone()],
                prompt,
                &row.own[at],
                scores,
                &mut mixed[range],
            );
        }
    }
}
