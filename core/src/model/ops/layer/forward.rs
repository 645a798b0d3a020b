//! A layer's forward pass.

use std::ops::Range;

use rayon::prelude::*;

use super::shape::{Layer, LayerShape, Which};
use crate::model::ops::gemm::{Threads, linear};
use crate::model::ops::pool::{Buffer, take};
use crate::model::ops::rows::{Cut, ROWS, copy_ranges, part, tasks};
use crate::model::ops::simd::add;
use crate::model::ops::{attention, norm, swiglu};
use crate::model::packed::Packed;

/// What the backward pass needs of the forward pass.
pub(crate) struct Saved {
    pub(super) rstd1: Buffer,   // [T]
    pub(super) qk_raw: Buffer,  // [T, (H + K) d] before the norm of queries and keys; empty without that norm
    pub(super) qk_rstd: Buffer, // [T, H + K], or empty
    pub(crate) qkv: Buffer,     // [T, (H + 2K) d] rotated
    pub(super) lse: Buffer,     // [T, H]
    pub(super) mixed: Buffer,   // [T, H d] attention's output
    pub(super) y: Buffer,       // [T, D]
    pub(super) rstd2: Buffer,   // [T]
    pub(super) gate_up: Buffer, // [T, 2F]
}

impl Saved {
    /// A copy of the rows in `ranges`.
    pub(crate) fn copy_ranges(&self, shape: &LayerShape, ranges: &[Range<usize>]) -> Saved {
        let heads = shape.heads;
        let qk = if self.qk_rstd.is_empty() {
            0
        } else {
            heads.query + heads.kv
        };
        let copy = |from: &Buffer, width: usize| copy_ranges(from, width, ranges);
        Saved {
            rstd1: copy(&self.rstd1, 1),
            qk_raw: copy(&self.qk_raw, qk * heads.dim),
            qk_rstd: copy(&self.qk_rstd, qk),
            qkv: copy(&self.qkv, heads.width()),
            lse: copy(&self.lse, heads.query),
            mixed: copy(&self.mixed, heads.out()),
            y: copy(&self.y, shape.hidden),
            rstd2: copy(&self.rstd2, 1),
            gate_up: copy(&self.gate_up, 2 * shape.intermediate),
        }
    }
}

/// What attention read and returned; see [`Saved`].
struct Attended {
    rstd1: Buffer,
    qk_raw: Buffer,
    qk_rstd: Buffer,
    qkv: Buffer,
    lse: Buffer,
    mixed: Buffer,
}

/// Rows that [`Layer::attention_inputs`] writes.
pub(crate) struct AttentionInputs<'a> {
    /// 1 / rms of the first norm `[R]`.
    pub(crate) rstd: &'a mut [f32],
    /// Queries, keys and values, rotated [R, (H + 2K) d].
    pub(crate) qkv: &'a mut [f32],
    /// Queries and keys before their norm [R, (H + K) d]; empty: not kept.
    pub(crate) qk_raw: &'a mut [f32],
    /// 1 / rms of that norm `[R, H + K]`; empty: not kept.
    pub(crate) qk_rstd: &'a mut [f32],
}

/// Rows that [`Layer::attention_output_and_mlp`] writes.
pub(crate) struct LayerOutputs<'a> {
    /// x + attention `[R, D]`.
    pub(crate) y: &'a mut [f32],
    /// 1 / rms of the second norm `[R]`.
    pub(crate) rstd: &'a mut [f32],
    /// Gate and up projections `[R, 2F]`.
    pub(crate) gate_up: &'a mut [f32],
    /// y + MLP `[R, D]`.
    pub(crate) z: &'a mut [f32],
}

/// Rows of one task: enough tasks for all threads, and no more rows than stay in the cache.
pub(super) fn rows_per_task(total: usize, hidden: usize) -> usize {
    // wide layers: every task packs the weights for itself, so few and long ones
    let most = if hidden > 256 { 4 * ROWS } else { ROWS };
    total.div_ceil(2 * rayon::current_num_threads()).clamp(16, most)
}

impl Layer<'_> {
    /// Norm, projections and attention: `x` `[T, D]` -> queries, keys, values and attention's output.
    fn attention(&self, packed: &Packed, x: &[f32], save: bool) -> Attended {
        let (d, heads) = (self.shape.hidden, self.shape.heads);
        let t = x.len() / d;
        let rows = rows_per_task(t, d);
        let (width, out, qk) = (heads.width(), heads.out(), heads.query + heads.kv);
        let kept = if save && self.has_qk_norm() { t } else { 0 };

        let mut rstd1 = take(t);
        let mut qkv = take(t * width);
        let mut qk_raw = take(kept * qk * heads.dim);
        let mut qk_rstd = take(kept * qk);
        let (mut to_rstd, mut to_qkv) = (Cut::new(&mut rstd1, 1), Cut::new(&mut qkv, width));
        let (mut to_raw, mut to_qk_rstd) = (Cut::new(&mut qk_raw, qk * heads.dim), Cut::new(&mut qk_rstd, qk));
        let work: Vec<_> = tasks(t, rows)
            .map(|rows| {
                let to = AttentionInputs {
                    rstd: to_rstd.next(rows.len()),
                    qkv: to_qkv.next(rows.len()),
                    qk_raw: to_raw.next(rows.len()),
                    qk_rstd: to_qk_rstd.next(rows.len()),
                };
                (part(x, &rows, d), &packed.positions()[rows], to)
            })
            .collect();
        work.into_par_iter()
            .for_each_init(Vec::new, |scratch, (x, positions, to)| {
                self.attention_inputs(positions, x, to, scratch, Threads::One);
            });

        let mut lse = take(t * heads.query);
        let mut mixed = take(t * out);
        attention::forward(heads, packed, &qkv, &mut mixed, &mut lse);
        Attended {
            rstd1,
            qk_raw,
            qk_rstd,
            qkv,
            lse,
            mixed,
        }
    }

    /// `x` `[T, D]` -> z `[T, D]`.
    pub(crate) fn forward(&self, packed: &Packed, x: &[f32]) -> Vec<f32> {
        let (d, f, out) = (self.shape.hidden, self.shape.intermediate, self.shape.heads.out());
        let rows = rows_per_task(x.len() / d, d);
        let mixed = self.attention(packed, x, false).mixed;
        let mut z = vec![0f32; x.len()];
        x.par_chunks(rows * d)
            .zip(mixed.par_chunks(rows * out))
            .zip(z.par_chunks_mut(rows * d))
            .for_each_init(Scratch::default, |scratch, ((x, mixed), z)| {
                let n = x.len() / d;
                scratch.y.resize(n * d, 0.0);
                scratch.rstd.resize(n, 0.0);
                scratch.wide.resize(n * 2 * f, 0.0);
                let to = LayerOutputs {
                    y: &mut scratch.y,
                    rstd: &mut scratch.rstd,
                    gate_up: &mut scratch.wide,
                    z,
                };
                self.attention_output_and_mlp(x, mixed, to, &mut scratch.narrow, Threads::One);
            });
        z
    }

    /// `x` `[T, D]` -> z `[T, D]`, and what the backward pass needs.
    pub(crate) fn forward_and_save(&self, packed: &Packed, x: &[f32]) -> (Vec<f32>, Saved) {
        let (d, f, out) = (self.shape.hidden, self.shape.intermediate, self.shape.heads.out());
        let t = x.len() / d;
        let rows = rows_per_task(t, d);
        let Attended {
            rstd1,
            qk_raw,
            qk_rstd,
            qkv,
            lse,
            mixed,
        } = self.attention(packed, x, true);
        let mut z = vec![0f32; t * d];
        let mut y = take(t * d);
        let mut rstd2 = take(t);
        let mut gate_up = take(t * 2 * f);
        let (mut to_y, mut to_z) = (Cut::new(&mut y, d), Cut::new(&mut z, d));
        let (mut to_rstd, mut to_gate_up) = (Cut::new(&mut rstd2, 1), Cut::new(&mut gate_up, 2 * f));
        let work: Vec<_> = tasks(t, rows)
            .map(|rows| {
                let to = LayerOutputs {
                    y: to_y.next(rows.len()),
                    rstd: to_rstd.next(rows.len()),
                    gate_up: to_gate_up.next(rows.len()),
                    z: to_z.next(rows.len()),
                };
                (part(x, &rows, d), part(&mixed, &rows, out), to)
            })
            .collect();
        work.into_par_iter().for_each_init(Vec::new, |scratch, (x, mixed, to)| {
            self.attention_output_and_mlp(x, mixed, to, scratch, Threads::One);
        });
        let saved = Saved {
            rstd1,
            qk_raw,
            qk_rstd,
            qkv,
            lse,
            mixed,
            y,
            rstd2,
            gate_up,
        };
        (z, saved)
    }

    /// Norm, projections, norm of queries and keys, rotation: rows of `x` `[R, D]` -> queries, keys and values.
    pub(crate) fn attention_inputs(
        &self,
        positions: &[u32],
        x: &[f32],
        to: AttentionInputs<'_>,
        scratch: &mut Vec<f32>,
        threads: Threads,
    ) {
        let (shape, heads) = (self.shape, self.shape.heads);
        let (d, width) = (shape.hidden, heads.width());
        scratch.resize(x.len(), 0.0);
        norm::forward(x, self.weight(&shape.norm1), shape.eps, to.rstd, scratch);
        linear(scratch, self.weight(&shape.qkv), d, width, to.qkv, false, threads);
        if let Some((lora, product)) = self.adapters(Which::Qkv) {
            lora.forward(product, scratch, to.qkv, threads);
        }
        let bias = self.weight(&shape.bias);
        if !bias.is_empty() {
            to.qkv.chunks_exact_mut(width).for_each(|row| add(bias, row));
        }
        if self.has_qk_norm() {
            self.norm_heads(to.qkv, to.qk_raw, to.qk_rstd);
        }
        self.rope
            .rotate(to.qkv, width, heads.query + heads.kv, positions, false);
    }

    /// Qwen3's RMS norm of each query and key head, in place in `qkv` [R, (H + 2K) d]. Keeps what it read in `raws`
    /// [R, (H + K) d] and the factors in `rstds` `[R, H + K]`, unless they are empty.
    fn norm_heads(&self, qkv: &mut [f32], raws: &mut [f32], rstds: &mut [f32]) {
        let (shape, heads) = (self.shape, self.shape.heads);
        let (dim, n) = (heads.dim, heads.query + heads.kv);
        let mut raw = vec![0f32; dim];
        for (t, row) in qkv.chunks_exact_mut(heads.width()).enumerate() {
            for (h, head) in row.chunks_exact_mut(dim).take(n).enumerate() {
                raw.copy_from_slice(head);
                let weight = if h < heads.query { &shape.q_norm } else { &shape.k_norm };
                let mut rstd = [0f32];
                norm::forward(&raw, self.weight(weight), shape.eps, &mut rstd, head);
                if !rstds.is_empty() {
                    let at = t * n + h;
                    raws[at * dim..(at + 1) * dim].copy_from_slice(&raw);
                    rstds[at] = rstd[0];
                }
            }
        }
    }

    /// Output projection, second norm, MLP: rows of `x` `[R, D]` and of attention's output `mixed` `[R, H d]` -> z.
    pub(crate) fn attention_output_and_mlp(
        &self,
        x: &[f32],
        mixed: &[f32],
        to: LayerOutputs<'_>,
        scratch: &mut Vec<f32>,
        threads: Threads,
    ) {
        let shape = self.shape;
        let (d, f, out) = (shape.hidden, shape.intermediate, shape.heads.out());
        let rows = x.len() / d;
        let LayerOutputs { y, rstd, gate_up, z } = to;
        y.copy_from_slice(x);
        linear(mixed, self.weight(&shape.out), out, d, y, true, threads);
        if let Some((lora, product)) = self.adapters(Which::Out) {
            lora.forward(product, mixed, y, threads);
        }
        scratch.resize(rows * d.max(f), 0.0);
        let h = &mut scratch[..rows * d];
        norm::forward(y, self.weight(&shape.norm2), shape.eps, rstd, h);
        linear(h, self.weight(&shape.gate_up), d, 2 * f, gate_up, false, threads);
        if let Some((lora, product)) = self.adapters(Which::GateUp) {
            lora.forward(product, h, gate_up, threads);
        }
        let s = &mut scratch[..rows * f];
        swiglu::forward(gate_up, f, s);
        z.copy_from_slice(y);
        linear(s, self.weight(&shape.down), f, d, z, true, threads);
        if let Some((lora, product)) = self.adapters(Which::Down) {
            lora.forward(product, s, z, threads);
        }
    }
}

/// Buffers of one thread that keeps nothing for a backward pass.
#[derive(Default)]
struct Scratch {
    y: Vec<f32>,
    rstd: Vec<f32>,
    wide: Vec<f32>,
    narrow: Vec<f32>,
}
