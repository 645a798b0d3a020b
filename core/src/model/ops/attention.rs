//! Causal grouped-query softmax attention over a packed batch. A response position attends to its whole prompt, to the
//! earlier positions of its own response and to itself. G responses share one prompt's keys and values.
//!
//! `qkv` is [T, (H + 2K)·d]: H query heads, K key heads and K value heads side by side in each row. Scores are computed
//! in tiles of at most [`TILE`] positions, so memory grows with the context and not with its square. The forward pass
//! keeps the log-sum-exp of every row `[T, H]`, from which the backward pass recomputes the probabilities (Dao et al.
//! 2022, §3.1).

use rayon::prelude::*;

use super::backward_pass::BackwardPass;
use super::gemm::{Mat, Threads, gemm};
use super::pool::take;
use super::simd::{add_scaled, dot, exp_shifted, scale_into, softmax_backward, softmax_unscaled};
use crate::model::packed::{Packed, Segment};

/// Positions of one score tile.
const TILE: usize = 64;

/// Head counts and size.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Heads {
    /// Query heads H.
    pub(crate) query: usize,
    /// Key-value heads K; a divisor of H.
    pub(crate) kv: usize,
    /// Values of one head, d.
    pub(crate) dim: usize,
}

impl Heads {
    /// Length of a `qkv` row.
    pub(crate) fn width(&self) -> usize {
        (self.query + 2 * self.kv) * self.dim
    }

    /// Length of an output row.
    pub(crate) fn out(&self) -> usize {
        self.query * self.dim
    }

    fn repeat(&self) -> usize {
        self.query / self.kv
    }

    fn scale(&self) -> f32 {
        1.0 / (self.dim as f32).sqrt()
    }
}

/// Cuts a row-major buffer into the pieces that belong to the groups of `packed`.
fn by_group<'a>(packed: &Packed, mut buffer: &'a mut [f32], width: usize) -> Vec<&'a mut [f32]> {
    let mut pieces = Vec::with_capacity(packed.groups().len());
    for group in packed.groups() {
        let (piece, rest) = buffer.split_at_mut((group.rows.end - group.rows.start) * width);
        pieces.push(piece);
        buffer = rest;
    }
    pieces
}

/// One score tile: `count` query positions from `first` of `segment`, for one key-value head.
struct Tile<'a> {
    heads: Heads,
    qkv: &'a [f32],
    segment: &'a Segment,
    kv: usize,
    first: usize,
    count: usize,
}

impl Tile<'_> {
    fn rows(&self) -> usize {
        self.count * self.heads.repeat()
    }

    fn prompt(&self) -> (usize, usize) {
        self.segment.prompt.unwrap_or((0, 0))
    }

    /// Keys of the segment itself that some position of the tile attends to.
    fn own(&self) -> usize {
        self.first + self.count
    }

    fn width(&self) -> usize {
        self.prompt().1 + self.own()
    }

    /// Keys that row `row` (position-major, then head) attends to.
    fn valid(&self, row: usize) -> usize {
        self.prompt().1 + self.first + row / self.heads.repeat() + 1
    }

    fn key_at(&self) -> usize {
        (self.heads.query + self.kv) * self.heads.dim
    }

    fn value_at(&self) -> usize {
        (self.heads.query + self.heads.kv + self.kv) * self.heads.dim
    }

    fn slab(&self, start: usize, column: usize) -> Mat<'_> {
        let width = self.heads.width();
        Mat::rows(&self.qkv[start * width + column..], width)
    }

    /// Query rows [rows, d] from a row-major buffer with `width` values a row, times `scale`.
    fn gather(&self, from: &[f32], width: usize, base: usize, scale: f32, out: &mut Vec<f32>) {
        let d = self.heads.dim;
        let span = self.heads.repeat() * d;
        out.resize(self.rows() * d, 0.0);
        for (i, out) in out.chunks_exact_mut(span).enumerate() {
            let at = (self.segment.start + self.first + i - base) * width + self.kv * span;
            scale_into(scale, &from[at..at + span], out);
        }
    }

    /// Left [rows, d] times the transposed keys (or values) -> out [rows, prompt + own].
    fn against(&self, left: &[f32], column: usize, out: &mut [f32]) {
        let (d, width) = (self.heads.dim, self.width());
        let (start, len) = self.prompt();
        let left = Mat::rows(left, d);
        if len > 0 {
            let keys = self.slab(start, column).t();
            gemm((self.rows(), len, d), out, width, false, 1.0, left, keys, Threads::One);
        }
        let keys = self.slab(self.segment.start, column).t();
        gemm(
            (self.rows(), self.own(), d),
            &mut out[len..],
            width,
            false,
            1.0,
            left,
            keys,
            Threads::One,
        );
    }

    /// Left [rows, prompt + own] times values (or keys) -> out [rows, d].
    fn mix(&self, left: &[f32], column: usize, scale: f32, out: &mut [f32]) {
        let (d, width) = (self.heads.dim, self.width());
        let (start, len) = self.prompt();
        let (rows, own) = (self.rows(), self.own());
        let slab = self.slab(self.segment.start, column);
        gemm(
            (rows, d, own),
            out,
            d,
            false,
            scale,
            Mat::rows(&left[len..], width),
            slab,
            Threads::One,
        );
        if len > 0 {
            let slab = self.slab(start, column);
            gemm(
                (rows, d, len),
                out,
                d,
                true,
                scale,
                Mat::rows(left, width),
                slab,
                Threads::One,
            );
        }
    }

    /// Adds leftᵀ [prompt + own, rows] · right [rows, d] to the key (or value) columns of `out`, whose first row is
    /// packed row `base`. The prompt's part goes to each of its `copies`, times that copy's factor.
    fn spread(&self, left: &[f32], right: &[f32], column: usize, base: usize, copies: &Copies, out: &mut [f32]) {
        let (d, width, row) = (self.heads.dim, self.width(), self.heads.width());
        let (start, len) = self.prompt();
        let (rows, own) = (self.rows(), self.own());
        let right = Mat::rows(right, d);
        let of_own = Mat::rows(&left[len..], width).t();
        let target = &mut out[(self.segment.start - base) * row + column..];
        gemm((own, d, rows), target, row, true, 1.0, of_own, right, Threads::One);
        if len == 0 {
            return;
        }
        let of_prompt = Mat::rows(left, width).t();
        let Copies::Some(copies) = copies else {
            let target = &mut out[(start - base) * row + column..];
            gemm((len, d, rows), target, row, true, 1.0, of_prompt, right, Threads::One);
            return;
        };
        let mut part = take(len * d);
        gemm((len, d, rows), &mut part, d, false, 1.0, of_prompt, right, Threads::One);
        for &(nth, factor) in copies {
            let first = start - base + nth * len;
            for (i, part) in part.chunks_exact(d).enumerate() {
                let at = (first + i) * row + column;
                add_scaled(factor, part, &mut out[at..at + d]);
            }
        }
    }
}

/// Copies of a prompt that a response's gradient is added to.
enum Copies {
    /// The prompt itself.
    One,
    /// The number of each copy, and the response's factor in its column.
    Some(Vec<(usize, f32)>),
}

/// Every tile of a group, in a fixed order.
fn tiles<'a>(heads: Heads, packed: &'a Packed, group: usize, qkv: &'a [f32]) -> impl Iterator<Item = Tile<'a>> {
    packed.segments_of(group).iter().flat_map(move |segment| {
        (0..heads.kv).flat_map(move |kv| {
            (0..segment.len).step_by(TILE).map(move |first| Tile {
                heads,
                qkv,
                segment,
                kv,
                first,
                count: TILE.min(segment.len - first),
            })
        })
    })
}

/// Rotated `qkv` [T, (H + 2K)·d] -> `out` `[T, H·d]`, and each row's log-sum-exp in `lse` `[T, H]`.
pub(crate) fn forward(heads: Heads, packed: &Packed, qkv: &[f32], out: &mut [f32], lse: &mut [f32]) {
    let work: Vec<_> = by_group(packed, out, heads.out())
        .into_iter()
        .zip(by_group(packed, lse, heads.query))
        .enumerate()
        .collect();
    work.into_par_iter().for_each(|(group, (out, lse))| {
        let base = packed.groups()[group].rows.start;
        let (mut q, mut s, mut o) = (Vec::new(), Vec::new(), Vec::new());
        for tile in tiles(heads, packed, group, qkv) {
            let (rows, width, d, repeat) = (tile.rows(), tile.width(), heads.dim, heads.repeat());
            tile.gather(qkv, heads.width(), 0, heads.scale(), &mut q);
            s.resize(rows * width, 0.0);
            o.resize(rows * d, 0.0);
            tile.against(&q, tile.key_at(), &mut s);
            let position = |row: usize| tile.segment.start + tile.first + row / repeat - base;
            let head = |row: usize| tile.kv * repeat + row % repeat;
            for (row, s) in s.chunks_exact_mut(width).enumerate() {
                let (seen, hidden) = s.split_at_mut(tile.valid(row));
                let (max, sum) = softmax_unscaled(seen, 1.0);
                hidden.fill(0.0);
                lse[position(row) * heads.query + head(row)] = max + sum.ln();
                // kept here until the row is scaled below
                q[row * d] = 1.0 / sum;
            }
            tile.mix(&s, tile.value_at(), 1.0, &mut o);
            for (row, o) in o.chunks_exact(d).enumerate() {
                let at = position(row) * heads.out() + head(row) * d;
                scale_into(q[row * d], o, &mut out[at..at + d]);
            }
        }
    });
}

/// Gradient of `qkv` from `dout` `[R, H·d]`, over the R rows of a pass; writes all of `dqkv` [R, (H + 2K)·d]. The
/// gradients of a prompt's keys and values are summed over its G responses, in their order.
pub(crate) fn backward(
    heads: Heads,
    pass: &BackwardPass<'_>,
    qkv: &[f32],
    (out, lse): (&[f32], &[f32]),
    dout: &[f32],
    dqkv: &mut [f32],
) {
    let packed = pass.packed();
    let work: Vec<_> = by_group(packed, dqkv, heads.width()).into_iter().enumerate().collect();
    work.into_par_iter().for_each(|(group, dqkv)| {
        dqkv.fill(0.0);
        let base = packed.groups()[group].rows.start;
        let (mut q, mut dout_tile, mut out_tile) = (Vec::new(), Vec::new(), Vec::new());
        let (mut p, mut ds) = (Vec::new(), Vec::new());
        for tile in tiles(heads, packed, group, qkv) {
            let (rows, width, d, repeat) = (tile.rows(), tile.width(), heads.dim, heads.repeat());
            let copies = match pass.prompt_copies(group, tile.segment.start) {
                None => Copies::One,
                Some(copies) => Copies::Some(copies.collect()),
            };
            tile.gather(qkv, heads.width(), 0, heads.scale(), &mut q);
            tile.gather(dout, heads.out(), 0, 1.0, &mut dout_tile);
            tile.gather(out, heads.out(), 0, 1.0, &mut out_tile);
            p.resize(rows * width, 0.0);
            ds.resize(rows * width, 0.0);
            tile.against(&q, tile.key_at(), &mut p);
            tile.against(&dout_tile, tile.value_at(), &mut ds);
            for (row, (p, ds)) in p.chunks_exact_mut(width).zip(ds.chunks_exact_mut(width)).enumerate() {
                let valid = tile.valid(row);
                let at = tile.segment.start + tile.first + row / repeat;
                let lse = lse[at * heads.query + tile.kv * repeat + row % repeat];
                let delta = dot(&dout_tile[row * d..(row + 1) * d], &out_tile[row * d..(row + 1) * d]);
                exp_shifted(&mut p[..valid], 1.0, lse);
                softmax_backward(&p[..valid], &mut ds[..valid], delta);
                p[valid..].fill(0.0);
                ds[valid..].fill(0.0);
            }
            tile.spread(&p, &dout_tile, tile.value_at(), base, &copies, dqkv);
            tile.spread(&ds, &q, tile.key_at(), base, &copies, dqkv);
            tile.mix(&ds, tile.key_at(), heads.scale(), &mut out_tile);
            let span = repeat * d;
            for (i, dq) in out_tile.chunks_exact(span).enumerate() {
                let at = (tile.segment.start + tile.first + i - base) * heads.width() + tile.kv * span;
                dqkv[at..at + span].copy_from_slice(dq);
            }
        }
    });
}
