//! One decoder layer, forward and backward, on hidden states [T, D] and the layer's weights in a row:
//! y = x + attention(norm₁(x)), z = y + mlp(norm₂(y)).
//!
//! Dense work runs in tasks of rows, attention by group.

use std::ops::Range;

use rayon::prelude::*;

use super::attention::Heads;
use super::gemm::{Threads, linear, linear_input, linear_weight};
use super::pool::{Buffer, take};
use super::rope::RopeTable;
use super::simd::{add, add_scaled};
use super::{ROWS, attention, norm, swiglu};
use crate::model::packed::Packed;
use crate::model::pass::Pass;
use crate::model::spec::Spec;

/// Sizes of a layer and where each weight stands in its row of weights.
#[derive(Debug, Clone)]
pub struct LayerShape {
    /// Width of the hidden states, D.
    pub hidden: usize,
    /// Width of the MLP, F.
    pub intermediate: usize,
    /// Attention heads.
    pub heads: Heads,
    /// ε of both norms.
    pub eps: f32,
    pub(crate) norm1: Range<usize>,
    pub(crate) qkv: Range<usize>,
    pub(crate) bias: Range<usize>, // empty without
    pub(crate) q_norm: Range<usize>,
    pub(crate) k_norm: Range<usize>,
    pub(crate) out: Range<usize>,
    pub(crate) norm2: Range<usize>,
    pub(crate) gate_up: Range<usize>,
    pub(crate) down: Range<usize>,
}

impl LayerShape {
    /// The layout that [`crate::model::params`] lists the weights of a layer in.
    pub fn new(spec: &Spec) -> Self {
        let heads = Heads {
            query: spec.heads,
            kv: spec.kv_heads,
            dim: spec.head_dim,
        };
        let (d, f) = (spec.hidden, spec.intermediate);
        let mut at = 0;
        let mut take = |len: usize| {
            at += len;
            at - len..at
        };
        LayerShape {
            hidden: d,
            intermediate: f,
            heads,
            eps: super::narrow(spec.rms_eps),
            norm1: take(d),
            qkv: take(heads.width() * d),
            bias: take(if spec.qkv_bias { heads.width() } else { 0 }),
            q_norm: take(if spec.qk_norm { heads.dim } else { 0 }),
            k_norm: take(if spec.qk_norm { heads.dim } else { 0 }),
            out: take(heads.out() * d),
            norm2: take(d),
            gate_up: take(2 * f * d),
            down: take(d * f),
        }
    }

    /// Weights of the layer.
    pub fn len(&self) -> usize {
        self.down.end
    }

    /// Never: a layer has weights.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// What the backward needs of the forward.
pub(crate) struct Saved {
    rstd1: Buffer,          // [T]
    qk_raw: Buffer,         // [T, (H + K) d] before the norm of queries and keys; empty without
    qk_rstd: Buffer,        // [T, H + K]
    pub(crate) qkv: Buffer, // [T, (H + 2K) d] rotated
    lse: Buffer,            // [T, H]
    mixed: Buffer,          // [T, H d] attention's output
    y: Buffer,              // [T, D]
    rstd2: Buffer,          // [T]
    gate_up: Buffer,        // [T, 2F]
}

impl Saved {
    /// What was kept of some rows, given as ranges.
    pub(crate) fn rows(&self, shape: &LayerShape, ranges: &[Range<usize>]) -> Saved {
        let heads = shape.heads;
        let qk = if self.qk_rstd.is_empty() {
            0
        } else {
            heads.query + heads.kv
        };
        let of = |from: &Buffer, width: usize| rows(from, width, ranges);
        Saved {
            rstd1: of(&self.rstd1, 1),
            qk_raw: of(&self.qk_raw, qk * heads.dim),
            qk_rstd: of(&self.qk_rstd, qk),
            qkv: of(&self.qkv, heads.width()),
            lse: of(&self.lse, heads.query),
            mixed: of(&self.mixed, heads.out()),
            y: of(&self.y, shape.hidden),
            rstd2: of(&self.rstd2, 1),
            gate_up: of(&self.gate_up, 2 * shape.intermediate),
        }
    }
}

/// A copy of some rows of `from` [T, width], given as ranges.
pub(crate) fn rows(from: &[f32], width: usize, ranges: &[Range<usize>]) -> Buffer {
    let mut to = take(ranges.iter().map(|rows| rows.len() * width).sum());
    let mut rest = &mut to[..];
    let mut pieces = Vec::with_capacity(ranges.len());
    for rows in ranges {
        let (piece, behind) = rest.split_at_mut(rows.len() * width);
        pieces.push((piece, &from[rows.start * width..rows.end * width]));
        rest = behind;
    }
    pieces.into_par_iter().for_each(|(to, from)| to.copy_from_slice(from));
    to
}

/// Rows of one task: enough tasks for all threads, and no more rows than stay in the cache.
fn rows_per_task(total: usize, hidden: usize) -> usize {
    // wide layers: every task packs the weights for itself, so few and long ones
    let most = if hidden > 256 { 4 * ROWS } else { ROWS };
    total.div_ceil(2 * rayon::current_num_threads()).clamp(16, most)
}

/// Norm, projections, norm of queries and keys, rotation: rows of `x` -> rows of `qkv`.
#[allow(clippy::too_many_arguments)] // one step of the layer on borrowed buffers
pub(crate) fn project(
    shape: &LayerShape,
    w: &[f32],
    rope: &RopeTable,
    positions: &[u32],
    x: &[f32],
    (rstd, qkv): (&mut [f32], &mut [f32]),
    keep: Option<(&mut [f32], &mut [f32])>,
    scratch: &mut Vec<f32>,
    threads: Threads,
) {
    let (d, width, heads) = (shape.hidden, shape.heads.width(), shape.heads);
    scratch.resize(x.len(), 0.0);
    norm::forward(x, &w[shape.norm1.clone()], shape.eps, rstd, scratch);
    linear(scratch, &w[shape.qkv.clone()], d, width, qkv, false, threads);
    let bias = &w[shape.bias.clone()];
    if !bias.is_empty() {
        qkv.chunks_exact_mut(width).for_each(|row| add(bias, row));
    }
    if !shape.q_norm.is_empty() {
        norm_heads(shape, w, qkv, keep);
    }
    rope.rotate(qkv, width, heads.query + heads.kv, positions, false);
}

/// Qwen3's RMS norm of each query and key head, in place; keeps what it read and the factors if asked.
fn norm_heads(shape: &LayerShape, w: &[f32], qkv: &mut [f32], mut keep: Option<(&mut [f32], &mut [f32])>) {
    let heads = shape.heads;
    let (dim, n) = (heads.dim, heads.query + heads.kv);
    let mut raw = vec![0f32; dim];
    for (t, row) in qkv.chunks_exact_mut(heads.width()).enumerate() {
        for (h, head) in row.chunks_exact_mut(dim).take(n).enumerate() {
            raw.copy_from_slice(head);
            let weight = if h < heads.query { &shape.q_norm } else { &shape.k_norm };
            let mut rstd = [0f32];
            norm::forward(&raw, &w[weight.clone()], shape.eps, &mut rstd, head);
            if let Some((raws, rstds)) = &mut keep {
                raws[(t * n + h) * dim..(t * n + h + 1) * dim].copy_from_slice(&raw);
                rstds[t * n + h] = rstd[0];
            }
        }
    }
}

/// `x` [T, D] -> z [T, D], and what the backward needs if `save`.
pub(crate) fn forward(
    shape: &LayerShape,
    w: &[f32],
    rope: &RopeTable,
    packed: &Packed,
    x: &[f32],
    save: bool,
) -> (Vec<f32>, Option<Saved>) {
    let (d, f, heads) = (shape.hidden, shape.intermediate, shape.heads);
    let t = x.len() / d;
    let rows = rows_per_task(t, d);
    let (width, out, qk) = (heads.width(), heads.out(), heads.query + heads.kv);
    let keep = if save && !shape.q_norm.is_empty() { t } else { 0 };

    let mut rstd1 = take(t);
    let mut qkv = take(t * width);
    let mut qk_raw = take(keep * qk * heads.dim);
    let mut qk_rstd = take(keep * qk);
    if keep > 0 {
        x.par_chunks(rows * d)
            .zip(packed.positions().par_chunks(rows))
            .zip(rstd1.par_chunks_mut(rows).zip(qkv.par_chunks_mut(rows * width)))
            .zip(
                qk_raw
                    .par_chunks_mut(rows * qk * heads.dim)
                    .zip(qk_rstd.par_chunks_mut(rows * qk)),
            )
            .for_each_init(Vec::new, |scratch, (((x, positions), to), keep)| {
                project(shape, w, rope, positions, x, to, Some(keep), scratch, Threads::One);
            });
    } else {
        x.par_chunks(rows * d)
            .zip(packed.positions().par_chunks(rows))
            .zip(rstd1.par_chunks_mut(rows).zip(qkv.par_chunks_mut(rows * width)))
            .for_each_init(Vec::new, |scratch, ((x, positions), to)| {
                project(shape, w, rope, positions, x, to, None, scratch, Threads::One);
            });
    }

    let mut lse = take(t * heads.query);
    let mut mixed = take(t * out);
    attention::forward(heads, packed, &qkv, &mut mixed, &mut lse);

    let mut z = vec![0f32; t * d];
    if !save {
        x.par_chunks(rows * d)
            .zip(mixed.par_chunks(rows * out))
            .zip(z.par_chunks_mut(rows * d))
            .for_each_init(Scratch::default, |scratch, ((x, mixed), z)| {
                let n = x.len() / d;
                scratch.y.resize(n * d, 0.0);
                scratch.rstd.resize(n, 0.0);
                scratch.wide.resize(n * 2 * f, 0.0);
                let to = (&mut scratch.y[..], &mut scratch.rstd[..], &mut scratch.wide[..]);
                finish(shape, w, x, mixed, to, z, &mut scratch.narrow, Threads::One);
            });
        return (z, None);
    }
    let mut y = take(t * d);
    let mut rstd2 = take(t);
    let mut gate_up = take(t * 2 * f);
    x.par_chunks(rows * d)
        .zip(mixed.par_chunks(rows * out))
        .zip(
            y.par_chunks_mut(rows * d)
                .zip(rstd2.par_chunks_mut(rows))
                .zip(gate_up.par_chunks_mut(rows * 2 * f)),
        )
        .zip(z.par_chunks_mut(rows * d))
        .for_each_init(Vec::new, |scratch, (((x, mixed), ((y, rstd), wide)), z)| {
            finish(shape, w, x, mixed, (y, rstd, wide), z, scratch, Threads::One);
        });
    (
        z,
        Some(Saved {
            rstd1,
            qk_raw,
            qk_rstd,
            qkv,
            lse,
            mixed,
            y,
            rstd2,
            gate_up,
        }),
    )
}

#[derive(Default)]
struct Scratch {
    y: Vec<f32>,
    rstd: Vec<f32>,
    wide: Vec<f32>,
    narrow: Vec<f32>,
}

/// Output projection, second norm, MLP: rows of `x` and of attention's output -> rows of `z`.
#[allow(clippy::too_many_arguments)] // as `project`
pub(crate) fn finish(
    shape: &LayerShape,
    w: &[f32],
    x: &[f32],
    mixed: &[f32],
    (y, rstd, gate_up): (&mut [f32], &mut [f32], &mut [f32]),
    z: &mut [f32],
    scratch: &mut Vec<f32>,
    threads: Threads,
) {
    let (d, f, out) = (shape.hidden, shape.intermediate, shape.heads.out());
    let rows = x.len() / d;
    y.copy_from_slice(x);
    linear(mixed, &w[shape.out.clone()], out, d, y, true, threads);
    scratch.resize(rows * d.max(f), 0.0);
    let h = &mut scratch[..rows * d];
    norm::forward(y, &w[shape.norm2.clone()], shape.eps, rstd, h);
    linear(h, &w[shape.gate_up.clone()], d, 2 * f, gate_up, false, threads);
    let s = &mut scratch[..rows * f];
    swiglu::forward(gate_up, f, s);
    z.copy_from_slice(y);
    linear(s, &w[shape.down.clone()], f, d, z, true, threads);
}

/// Gradients of `x` [R, D] over the rows of a pass, and of the weights for each of its M columns, from `dz` [R, D].
pub(crate) fn backward(
    shape: &LayerShape,
    w: &[f32],
    rope: &RopeTable,
    pass: &Pass<'_>,
    x: &[f32],
    saved: &Saved,
    dz: &[f32],
) -> (Vec<f32>, Vec<Vec<f32>>) {
    let (d, f, heads) = (shape.hidden, shape.intermediate, shape.heads);
    let t = x.len() / d;
    let rows = rows_per_task(t, d);
    let (width, out, qk) = (heads.width(), heads.out(), heads.query + heads.kv);
    let m = pass.columns().len();
    let mut dw = vec![vec![0f32; shape.len()]; m];

    // MLP and output projection, by rows
    let mut s = take(t * f);
    let mut h = take(t * d);
    let mut dgate_up = take(t * 2 * f);
    let mut dy = vec![0f32; t * d];
    let mut dmixed = take(t * out);
    let dnorm2: Vec<Vec<f32>> = dz
        .par_chunks(rows * d)
        .zip(
            saved
                .y
                .par_chunks(rows * d)
                .zip(saved.rstd2.par_chunks(rows))
                .zip(saved.gate_up.par_chunks(rows * 2 * f)),
        )
        .zip(
            s.par_chunks_mut(rows * f)
                .zip(h.par_chunks_mut(rows * d))
                .zip(dgate_up.par_chunks_mut(rows * 2 * f)),
        )
        .zip(dy.par_chunks_mut(rows * d).zip(dmixed.par_chunks_mut(rows * out)))
        .zip(pass.factors().par_chunks(rows * m))
        .map_init(
            Vec::new,
            |dh, ((((dz, ((y, rstd), gate_up)), ((s, h), dgate_up)), (dy, dmixed)), factors)| {
                let norm2 = &w[shape.norm2.clone()];
                linear_input(dz, &w[shape.down.clone()], f, d, s, Threads::One);
                swiglu::backward(gate_up, f, s, dgate_up);
                dh.resize(y.len(), 0.0);
                linear_input(dgate_up, &w[shape.gate_up.clone()], d, 2 * f, dh, Threads::One);
                dy.copy_from_slice(dz);
                let mut dnorm = vec![0f32; m * d];
                norm::backward(y, norm2, rstd, dh, factors, dy, &mut dnorm);
                norm::again(y, norm2, rstd, h);
                linear_input(dy, &w[shape.out.clone()], out, d, dmixed, Threads::One);
                dnorm
            },
        )
        .collect();
    dnorm2.iter().for_each(|part| add_columns(part, &mut dw, &shape.norm2));
    weights(pass, dz, &s, (f, d), &mut dw, &shape.down);
    weights(pass, &dgate_up, &h, (d, 2 * f), &mut dw, &shape.gate_up);
    weights(pass, &dy, &saved.mixed, (out, d), &mut dw, &shape.out);
    drop((s, dgate_up));

    let mut dqkv = take(t * width);
    attention::backward(heads, pass, &saved.qkv, (&saved.mixed, &saved.lse), &dmixed, &mut dqkv);
    drop(dmixed);

    // rotation, norms, projections, by rows; `dy` becomes `dx`, and each task gives its part of the small gradients
    let parts: Vec<Small> = dqkv
        .par_chunks_mut(rows * width)
        .zip(pass.packed().positions().par_chunks(rows))
        .zip(x.par_chunks(rows * d).zip(saved.rstd1.par_chunks(rows)))
        .zip(h.par_chunks_mut(rows * d).zip(dy.par_chunks_mut(rows * d)))
        .zip(pass.factors().par_chunks(rows * m))
        .enumerate()
        .map_init(
            Vec::new,
            |dh, (task, ((((dqkv, positions), (x, rstd)), (h, dx)), factors))| {
                let norm1 = &w[shape.norm1.clone()];
                rope.rotate(dqkv, width, heads.query + heads.kv, positions, true);
                let mut small = Small::new(shape, m);
                if !shape.q_norm.is_empty() {
                    let first = task * rows * qk;
                    let n = positions.len() * qk;
                    let raw = &saved.qk_raw[first * heads.dim..(first + n) * heads.dim];
                    norm_heads_backward(
                        shape,
                        w,
                        raw,
                        &saved.qk_rstd[first..first + n],
                        factors,
                        dqkv,
                        &mut small,
                    );
                }
                if !shape.bias.is_empty() {
                    for (row, factors) in dqkv.chunks_exact(width).zip(factors.chunks_exact(m)) {
                        let columns = small.bias.chunks_exact_mut(width).zip(factors);
                        columns.for_each(|(bias, factor)| add_scaled(*factor, row, bias));
                    }
                }
                dh.resize(x.len(), 0.0);
                linear_input(dqkv, &w[shape.qkv.clone()], d, width, dh, Threads::One);
                norm::backward(x, norm1, rstd, dh, factors, dx, &mut small.norm1);
                norm::again(x, norm1, rstd, h);
                small
            },
        )
        .collect();
    for small in &parts {
        add_columns(&small.norm1, &mut dw, &shape.norm1);
        add_columns(&small.q_norm, &mut dw, &shape.q_norm);
        add_columns(&small.k_norm, &mut dw, &shape.k_norm);
        add_columns(&small.bias, &mut dw, &shape.bias);
    }
    weights(pass, &dqkv, &h, (d, width), &mut dw, &shape.qkv);
    (dy, dw)
}

/// Gradients of a layer's vectors from some rows, for M columns each.
struct Small {
    norm1: Vec<f32>,  // [M, D]
    q_norm: Vec<f32>, // [M, d] or empty
    k_norm: Vec<f32>, // [M, d] or empty
    bias: Vec<f32>,   // [M, (H + 2K) d] or empty
}

impl Small {
    fn new(shape: &LayerShape, m: usize) -> Self {
        let zeros = |range: &Range<usize>| vec![0f32; m * range.len()];
        Small {
            norm1: zeros(&shape.norm1),
            q_norm: zeros(&shape.q_norm),
            k_norm: zeros(&shape.k_norm),
            bias: zeros(&shape.bias),
        }
    }
}

/// Adds `part` [M, width] to `range` of each column's weights.
fn add_columns(part: &[f32], dw: &mut [Vec<f32>], range: &Range<usize>) {
    if !range.is_empty() {
        let columns = part.chunks_exact(range.len()).zip(dw);
        columns.for_each(|(part, dw)| add(part, &mut dw[range.clone()]));
    }
}

/// Gradient of one matrix [out, inp] for each column of a pass: Σ_rows f · dyᵀ x, into `range` of the column's weights.
fn weights(
    pass: &Pass<'_>,
    dy: &[f32],
    x: &[f32],
    (inp, out): (usize, usize),
    dw: &mut [Vec<f32>],
    range: &Range<usize>,
) {
    if let ([dw], false) = (&mut *dw, pass.is_shared()) {
        linear_weight(dy, x, inp, out, &mut dw[range.clone()], false);
        return;
    }
    // the narrower side takes the factors
    for (k, dw) in dw.iter_mut().enumerate() {
        let dw = &mut dw[range.clone()];
        if out <= inp {
            let dy = pass.scaled(k, dy, out);
            linear_weight(&dy, &pass.reached(k, x, inp), inp, out, dw, false);
        } else {
            let x = pass.scaled(k, x, inp);
            linear_weight(&pass.reached(k, dy, out), &x, inp, out, dw, false);
        }
    }
}

/// Backward of the norm of queries and keys, over rows of `dqkv` in place; adds to the gradients of their weights.
fn norm_heads_backward(
    shape: &LayerShape,
    w: &[f32],
    raw: &[f32],
    rstd: &[f32],
    factors: &[f32],
    dqkv: &mut [f32],
    small: &mut Small,
) {
    let heads = shape.heads;
    let (dim, n) = (heads.dim, heads.query + heads.kv);
    let m = small.q_norm.len() / dim;
    let mut dhead = vec![0f32; dim];
    for (t, (row, factors)) in dqkv
        .chunks_exact_mut(heads.width())
        .zip(factors.chunks_exact(m))
        .enumerate()
    {
        for (h, head) in row.chunks_exact_mut(dim).take(n).enumerate() {
            let at = t * n + h;
            let (weight, dweight) = if h < heads.query {
                (&shape.q_norm, &mut small.q_norm)
            } else {
                (&shape.k_norm, &mut small.k_norm)
            };
            dhead.fill(0.0);
            let raw = &raw[at * dim..(at + 1) * dim];
            let weight = &w[weight.clone()];
            norm::backward(raw, weight, &rstd[at..=at], head, factors, &mut dhead, dweight);
            head.copy_from_slice(&dhead);
        }
    }
}
