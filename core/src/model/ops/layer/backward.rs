//! A layer's backward pass.

use std::ops::Range;

use rayon::prelude::*;

use super::forward::{Saved, rows_per_task};
use super::shape::{Layer, LayerShape, Which};
use crate::model::ops::backward_pass::BackwardPass;
use crate::model::ops::gemm::{Threads, linear_input, linear_weight};
use crate::model::ops::pool::take;
use crate::model::ops::rows::{Cut, part, tasks};
use crate::model::ops::simd::{add, add_scaled};
use crate::model::ops::{attention, norm, swiglu};

/// Rows of one task on the way back from z to attention's output.
struct MlpRows<'a> {
    dz: &'a [f32],           // [R, D]
    y: &'a [f32],            // [R, D]
    rstd: &'a [f32],         // [R]
    gate_up: &'a [f32],      // [R, 2F]
    factors: &'a [f32],      // [R, M]
    s: &'a mut [f32],        // [R, F] written: the MLP's activations again
    h: &'a mut [f32],        // [R, D] written: the second norm's output again
    dgate_up: &'a mut [f32], // [R, 2F] written
    dy: &'a mut [f32],       // [R, D] written
    dmixed: &'a mut [f32],   // [R, H d] written
    du_down: &'a mut [f32],  // [R, n r] written, each of a product's adapters, or empty
    du_gate_up: &'a mut [f32],
    du_out: &'a mut [f32],
}

/// Rows of one task on the way back from queries, keys and values to x.
struct InputRows<'a> {
    dqkv: &'a mut [f32], // [R, (H + 2K) d] of rotated values; becomes that of the projections' outputs
    positions: &'a [u32],
    x: &'a [f32],       // [R, D]
    rstd: &'a [f32],    // [R]
    qk_raw: &'a [f32],  // [R, (H + K) d], or empty
    qk_rstd: &'a [f32], // [R, H + K], or empty
    factors: &'a [f32], // [R, M]
    h: &'a mut [f32],   // [R, D] written: the first norm's output again
    dx: &'a mut [f32],  // [R, D] holds dy; becomes dx
    du: &'a mut [f32],  // [R, n r] written, of the adapters, or empty
}

/// Gradients of a layer's vectors from some rows, for M columns each.
struct VectorGrads {
    norm1: Vec<f32>,  // [M, D]
    q_norm: Vec<f32>, // [M, d] or empty
    k_norm: Vec<f32>, // [M, d] or empty
    bias: Vec<f32>,   // [M, (H + 2K) d] or empty
}

impl VectorGrads {
    fn zeros(shape: &LayerShape, m: usize) -> Self {
        let zeros = |range: &Range<usize>| vec![0f32; m * range.len()];
        VectorGrads {
            norm1: zeros(&shape.norm1),
            q_norm: zeros(&shape.q_norm),
            k_norm: zeros(&shape.k_norm),
            bias: zeros(&shape.bias),
        }
    }
}

impl Layer<'_> {
    /// Returns the gradients of `x` `[R, D]` over the rows of a pass, and writes those of what is trained, the weights or the
    /// adapters, to `dw`, zeros for each of its M columns, from `dz` `[R, D]`. `x` and `saved` hold the pass's rows.
    pub(crate) fn backward(
        &self,
        pass: &BackwardPass<'_>,
        x: &[f32],
        saved: &Saved,
        dz: &[f32],
        dw: &mut [&mut [f32]],
    ) -> Vec<f32> {
        let shape = self.shape;
        let (d, f, heads) = (shape.hidden, shape.intermediate, shape.heads);
        let r = x.len() / d;
        let rows = rows_per_task(r, d);
        let (width, out, qk) = (heads.width(), heads.out(), heads.query + heads.kv);
        // Where the weights stay as they are, the norms' gradients are of nobody, and one column of them is enough.
        let ones;
        let (factors, m): (&[f32], usize) = match self.lora {
            None => (pass.factors(), pass.columns().len()),
            Some(_) => {
                ones = vec![1.0; r];
                (&ones, 1)
            }
        };
        let du_wide = [Which::Down, Which::GateUp, Which::Out, Which::Qkv].map(|which| self.du(which));
        let [mut du_down, mut du_gate_up, mut du_out, mut du_qkv] = du_wide.map(|wide| take(r * wide));

        // MLP and output projection, by rows
        let mut s = take(r * f);
        let mut h = take(r * d);
        let mut dgate_up = take(r * 2 * f);
        let mut dy = vec![0f32; r * d];
        let mut dmixed = take(r * out);
        let (mut to_s, mut to_h) = (Cut::new(&mut s, f), Cut::new(&mut h, d));
        let (mut to_dgate_up, mut to_dy) = (Cut::new(&mut dgate_up, 2 * f), Cut::new(&mut dy, d));
        let mut to_dmixed = Cut::new(&mut dmixed, out);
        let mut to_du_down = Cut::new(&mut du_down, du_wide[0]);
        let mut to_du_gate_up = Cut::new(&mut du_gate_up, du_wide[1]);
        let mut to_du_out = Cut::new(&mut du_out, du_wide[2]);
        let work: Vec<_> = tasks(r, rows)
            .map(|rows| MlpRows {
                dz: part(dz, &rows, d),
                y: part(&saved.y, &rows, d),
                rstd: part(&saved.rstd2, &rows, 1),
                gate_up: part(&saved.gate_up, &rows, 2 * f),
                factors: part(factors, &rows, m),
                s: to_s.next(rows.len()),
                h: to_h.next(rows.len()),
                dgate_up: to_dgate_up.next(rows.len()),
                dy: to_dy.next(rows.len()),
                dmixed: to_dmixed.next(rows.len()),
                du_down: to_du_down.next(rows.len()),
                du_gate_up: to_du_gate_up.next(rows.len()),
                du_out: to_du_out.next(rows.len()),
            })
            .collect();
        let dnorm2: Vec<Vec<f32>> = work
            .into_par_iter()
            .map_init(Vec::new, |dh, rows| self.mlp_backward(rows, m, dh))
            .collect();
        if self.lora.is_none() {
            dnorm2.iter().for_each(|part| add_columns(part, dw, &shape.norm2));
            weight_grads(pass, dz, &s, (f, d), dw, &shape.down);
            weight_grads(pass, &dgate_up, &h, (d, 2 * f), dw, &shape.gate_up);
            weight_grads(pass, &dy, &saved.mixed, (out, d), dw, &shape.out);
        }
        if let Some((lora, product)) = self.adapters(Which::Down) {
            lora.weight_grads(product, pass, (dz, &s, &du_down), dw);
        }
        if let Some((lora, product)) = self.adapters(Which::GateUp) {
            lora.weight_grads(product, pass, (&dgate_up, &h, &du_gate_up), dw);
        }
        if let Some((lora, product)) = self.adapters(Which::Out) {
            lora.weight_grads(product, pass, (&dy, &saved.mixed, &du_out), dw);
        }
        drop((s, dgate_up));

        let mut dqkv = take(r * width);
        attention::backward(heads, pass, &saved.qkv, (&saved.mixed, &saved.lse), &dmixed, &mut dqkv);
        drop(dmixed);

        // rotation, norms and projections, by rows; `dy` becomes `dx`
        let qk = if self.has_qk_norm() { qk } else { 0 };
        let (mut to_dqkv, mut to_h) = (Cut::new(&mut dqkv, width), Cut::new(&mut h, d));
        let mut to_dx = Cut::new(&mut dy, d);
        let mut to_du = Cut::new(&mut du_qkv, du_wide[3]);
        let work: Vec<_> = tasks(r, rows)
            .map(|rows| InputRows {
                dqkv: to_dqkv.next(rows.len()),
                positions: &pass.packed().positions()[rows.clone()],
                x: part(x, &rows, d),
                rstd: part(&saved.rstd1, &rows, 1),
                qk_raw: part(&saved.qk_raw, &rows, qk * heads.dim),
                qk_rstd: part(&saved.qk_rstd, &rows, qk),
                factors: part(factors, &rows, m),
                h: to_h.next(rows.len()),
                dx: to_dx.next(rows.len()),
                du: to_du.next(rows.len()),
            })
            .collect();
        let parts: Vec<VectorGrads> = work
            .into_par_iter()
            .map_init(Vec::new, |dh, rows| self.inputs_backward(rows, m, dh))
            .collect();
        if let Some((lora, product)) = self.adapters(Which::Qkv) {
            lora.weight_grads(product, pass, (&dqkv, &h, &du_qkv), dw);
        }
        if self.lora.is_some() {
            return dy;
        }
        for vectors in &parts {
            add_columns(&vectors.norm1, dw, &shape.norm1);
            add_columns(&vectors.q_norm, dw, &shape.q_norm);
            add_columns(&vectors.k_norm, dw, &shape.k_norm);
            add_columns(&vectors.bias, dw, &shape.bias);
        }
        weight_grads(pass, &dqkv, &h, (d, width), dw, &shape.qkv);
        dy
    }

    /// From `dz` to `dy` and `dmixed`. Returns the gradient of the second norm's weight `[M, D]`.
    fn mlp_backward(&self, rows: MlpRows<'_>, m: usize, dh: &mut Vec<f32>) -> Vec<f32> {
        let shape = self.shape;
        let (d, f, out) = (shape.hidden, shape.intermediate, shape.heads.out());
        let norm2 = self.weight(&shape.norm2);
        linear_input(rows.dz, self.weight(&shape.down), f, d, rows.s, Threads::One);
        if let Some((lora, product)) = self.adapters(Which::Down) {
            lora.backward_rows(product, rows.dz, rows.du_down, rows.s);
        }
        swiglu::backward(rows.gate_up, f, rows.s, rows.dgate_up);
        dh.resize(rows.y.len(), 0.0);
        linear_input(rows.dgate_up, self.weight(&shape.gate_up), d, 2 * f, dh, Threads::One);
        if let Some((lora, product)) = self.adapters(Which::GateUp) {
            lora.backward_rows(product, rows.dgate_up, rows.du_gate_up, dh);
        }
        rows.dy.copy_from_slice(rows.dz);
        let mut dnorm = vec![0f32; m * d];
        norm::backward(rows.y, norm2, rows.rstd, dh, rows.factors, rows.dy, &mut dnorm);
        norm::recompute(rows.y, norm2, rows.rstd, rows.h);
        linear_input(rows.dy, self.weight(&shape.out), out, d, rows.dmixed, Threads::One);
        if let Some((lora, product)) = self.adapters(Which::Out) {
            lora.backward_rows(product, rows.dy, rows.du_out, rows.dmixed);
        }
        dnorm
    }

    /// From `dqkv` and `dy` to `dx`. Returns the gradients of the vectors.
    fn inputs_backward(&self, rows: InputRows<'_>, m: usize, dh: &mut Vec<f32>) -> VectorGrads {
        let (shape, heads) = (self.shape, self.shape.heads);
        let (d, width) = (shape.hidden, heads.width());
        let norm1 = self.weight(&shape.norm1);
        let qk = heads.query + heads.kv;
        self.rope.rotate(rows.dqkv, width, qk, rows.positions, true);
        let mut vectors = VectorGrads::zeros(shape, m);
        if self.has_qk_norm() {
            self.norm_heads_backward(rows.qk_raw, rows.qk_rstd, rows.factors, rows.dqkv, &mut vectors);
        }
        if !shape.bias.is_empty() && self.lora.is_none() {
            for (row, factors) in rows.dqkv.chunks_exact(width).zip(rows.factors.chunks_exact(m)) {
                let columns = vectors.bias.chunks_exact_mut(width).zip(factors);
                columns.for_each(|(bias, factor)| add_scaled(*factor, row, bias));
            }
        }
        dh.resize(rows.x.len(), 0.0);
        linear_input(rows.dqkv, self.weight(&shape.qkv), d, width, dh, Threads::One);
        if let Some((lora, product)) = self.adapters(Which::Qkv) {
            lora.backward_rows(product, rows.dqkv, rows.du, dh);
        }
        norm::backward(rows.x, norm1, rows.rstd, dh, rows.factors, rows.dx, &mut vectors.norm1);
        norm::recompute(rows.x, norm1, rows.rstd, rows.h);
        vectors
    }

    /// Backward of the norm of queries and keys, in place in `dqkv` [R, (H + 2K) d]; adds to the gradients of their
    /// weights. `raw` [R, (H + K) d], `rstd` `[R, H + K]`, `factors` `[R, M]`.
    fn norm_heads_backward(
        &self,
        raw: &[f32],
        rstd: &[f32],
        factors: &[f32],
        dqkv: &mut [f32],
        vectors: &mut VectorGrads,
    ) {
        let (shape, heads) = (self.shape, self.shape.heads);
        let (dim, n) = (heads.dim, heads.query + heads.kv);
        let m = vectors.q_norm.len() / dim;
        let mut dhead = vec![0f32; dim];
        let rows = dqkv.chunks_exact_mut(heads.width()).zip(factors.chunks_exact(m));
        for (t, (row, factors)) in rows.enumerate() {
            for (h, head) in row.chunks_exact_mut(dim).take(n).enumerate() {
                let at = t * n + h;
                let (weight, dweight) = if h < heads.query {
                    (&shape.q_norm, &mut vectors.q_norm)
                } else {
                    (&shape.k_norm, &mut vectors.k_norm)
                };
                dhead.fill(0.0);
                let raw = &raw[at * dim..(at + 1) * dim];
                let weight = self.weight(weight);
                norm::backward(raw, weight, &rstd[at..=at], head, factors, &mut dhead, dweight);
                head.copy_from_slice(&dhead);
            }
        }
    }
}

/// Adds `part` `[M, width]` to `range` of each column's weights.
fn add_columns(part: &[f32], dw: &mut [&mut [f32]], range: &Range<usize>) {
    if !range.is_empty() {
        let columns = part.chunks_exact(range.len()).zip(dw);
        columns.for_each(|(part, dw)| add(part, &mut dw[range.clone()]));
    }
}

/// Gradient of one matrix [out, inp] for each column k: Σ_rows f_k · dyᵀ x, from `dy` `[R, out]` and `x` `[R, inp]` into
/// `range` of the column's weights.
fn weight_grads(
    pass: &BackwardPass<'_>,
    dy: &[f32],
    x: &[f32],
    (inp, out): (usize, usize),
    dw: &mut [&mut [f32]],
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
            let dy = pass.scaled_rows_of(k, dy, out);
            linear_weight(&dy, &pass.active_rows_of(k, x, inp), inp, out, dw, false);
        } else {
            let x = pass.scaled_rows_of(k, x, inp);
            linear_weight(&pass.active_rows_of(k, dy, out), &x, inp, out, dw, false);
        }
    }
}
