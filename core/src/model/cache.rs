//! Sampling's side of the decoder: prompts are computed once, their keys and values shared by all their completions,
//! and each completion keeps its own after that. No graph, no candle.

use rayon::prelude::*;

use super::decoder::{Weights, check_tokens};
use super::error::ModelError;
use super::ops::attention::Heads;
use super::ops::decode::{HeadCache, attend};
use super::ops::gemm::{Threads, linear};
use super::ops::head::norm_rows;
use super::ops::layer::{self, LayerShape};
use super::ops::rope::RopeTable;
use super::ops::{ROWS, norm};
use super::packed::Packed;

/// Weights below which every thread takes some completions through the whole model on its own (the weights then stay in
/// its cache); above, all threads share each product, so that the weights are read from memory once a step.
const SMALL: usize = 4 << 20;

/// One completion under way.
struct Row {
    prompt: usize,
    position: u32,
    own: Vec<HeadCache>, // [layers, K]
}

/// Keys and values of P prompts and of the completions that are still going.
pub struct Cache<'w> {
    weights: &'w Weights,
    rope: RopeTable,
    prompts: Vec<Vec<HeadCache>>, // [P][layers, K]
    rows: Vec<Row>,               // [B alive]
}

impl<'w> Cache<'w> {
    /// Computes the prompts and opens one completion for each entry of `groups` [B], the index of its prompt. Gives the
    /// cache and the logits [B, V] of each completion's first token. At most `max_new` tokens may follow.
    pub fn prefill<P: AsRef<[u32]>>(
        weights: &'w Weights,
        prompts: &[P],
        groups: &[u32],
        max_new: usize,
    ) -> Result<(Self, Vec<f32>), ModelError> {
        let none: [&[u32]; 0] = [];
        let packed = Packed::new(prompts, &none, &[])?;
        check_tokens(&weights.spec, &packed)?;
        if let Some(group) = groups.iter().find(|g| **g as usize >= prompts.len()) {
            return Err(ModelError::Batch {
                what: "group of a completion",
                found: group.to_string(),
                expected: format!("less than {}, the number of prompts", prompts.len()),
            });
        }
        let shape = &weights.shape;
        let (heads, d) = (shape.heads, shape.hidden);
        let rope = RopeTable::new(&weights.spec, packed.context() + max_new);
        let mut caches = vec![Vec::with_capacity(weights.layers.len() * heads.kv); prompts.len()];
        let mut x = weights.embed(packed.tokens());
        for layer in &weights.layers {
            let (z, saved) = layer::forward(shape, layer, &rope, &packed, &x, true);
            if let Some(saved) = saved {
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
            }
            x = z;
        }
        let mut last = Vec::with_capacity(prompts.len() * d);
        for segment in packed.segments() {
            let end = segment.start + segment.len;
            last.extend_from_slice(&x[(end - 1) * d..end * d]);
        }
        let hidden = norm_rows(&last, &weights.norm, shape.eps).0;
        let vocab = weights.spec.vocab;
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
                own: vec![HeadCache::default(); weights.layers.len() * heads.kv],
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

    /// Completions that are still going.
    pub fn alive(&self) -> usize {
        self.rows.len()
    }

    /// Drops the completions whose entry in `keep` [B alive] is false; the others keep their order.
    pub fn retain(&mut self, keep: &[bool]) {
        let mut keep = keep.iter();
        self.rows.retain(|_| keep.next().copied().unwrap_or(false));
    }

    /// Appends one token to each completion [B alive] and gives the logits of the next one [B alive, V].
    pub fn step(&mut self, tokens: &[u32]) -> Result<Vec<f32>, ModelError> {
        let spec = &self.weights.spec;
        let bad = |what, found: String, expected: String| Err(ModelError::Batch { what, found, expected });
        if tokens.len() != self.rows.len() {
            return bad(
                "tokens of a step",
                tokens.len().to_string(),
                self.rows.len().to_string(),
            );
        }
        if let Some(token) = tokens.iter().find(|t| **t as usize >= spec.vocab) {
            return bad(
                "token",
                token.to_string(),
                format!("less than the vocabulary's {}", spec.vocab),
            );
        }
        if let Some(row) = self.rows.iter().find(|r| r.position as usize >= self.rope.positions()) {
            return bad(
                "position",
                row.position.to_string(),
                format!("less than {}", self.rope.positions()),
            );
        }
        let mut logits = vec![0f32; tokens.len() * spec.vocab];
        let small = self.weights.layers.iter().map(Vec::len).sum::<usize>() < SMALL;
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
                .zip(logits.par_chunks_mut(span * spec.vocab))
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
        for (index, w) in self.weights.layers.iter().enumerate() {
            let to = (&mut rstd[..], &mut qkv[..]);
            layer::project(shape, w, self.rope, &positions, &x, to, None, &mut scratch, threads);
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
            let to = (&mut y[..], &mut rstd[..], &mut wide[..]);
            layer::finish(shape, w, &x, &mixed, to, &mut z, &mut scratch, threads);
            std::mem::swap(&mut x, &mut z);
        }
        for (x, z) in x.chunks(ROWS * d).zip(z.chunks_mut(ROWS * d)) {
            norm::forward(x, &self.weights.norm, shape.eps, &mut rstd[..x.len() / d], z);
        }
        linear(
            &z,
            self.weights.head(),
            d,
            self.weights.spec.vocab,
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
