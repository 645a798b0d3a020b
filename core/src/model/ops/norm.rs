//! RMS norm with its weight: y = x / sqrt(mean(x²) + ε) ∘ w, over rows of D values (Zhang & Sennrich 2019, eq. 4).

use super::simd::{dot_body, madd, simd};

simd! {
    /// Rows `x` `[R, D]` -> `out` `[R, D]`, and 1 / sqrt(mean(x²) + ε) in `rstd` `[R]`.
    pub(crate) fn forward(x: &[f32], w: &[f32], eps: f32, rstd: &mut [f32], out: &mut [f32]) {
        let d = w.len();
        for ((x, out), rstd) in x.chunks_exact(d).zip(out.chunks_exact_mut(d)).zip(rstd) {
            let r = 1.0 / (dot_body::<FMA>(x, x) / d as f32 + eps).sqrt();
            *rstd = r;
            for ((o, x), w) in out.iter_mut().zip(x).zip(w) {
                *o = *x * r * *w;
            }
        }
    }
}

simd! {
    /// The normed rows again, from `x` `[R, D]` and the saved `rstd` `[R]` -> `out` `[R, D]`.
    pub(crate) fn recompute(x: &[f32], w: &[f32], rstd: &[f32], out: &mut [f32]) {
        let d = w.len();
        for ((x, out), r) in x.chunks_exact(d).zip(out.chunks_exact_mut(d)).zip(rstd) {
            for ((o, x), w) in out.iter_mut().zip(x).zip(w) {
                *o = *x * *r * *w;
            }
        }
    }
}

simd! {
    /// Adds the gradients to `dx` `[R, D]` and `dw` `[M, D]`, from `dy` `[R, D]` and the rows' `factors` `[R, M]`:
    /// dx = r (dy ∘ w) − x r³ / D · Σ dy w x, dw_k = Σ_rows f_k dy ∘ x r.
    pub(crate) fn backward(x: &[f32], w: &[f32], rstd: &[f32], dy: &[f32], factors: &[f32], dx: &mut [f32], dw: &mut [f32]) {
        let d = w.len();
        let m = dw.len() / d;
        let rows = x.chunks_exact(d).zip(dy.chunks_exact(d)).zip(dx.chunks_exact_mut(d)).zip(rstd);
        for ((((x, dy), dx), &r), factors) in rows.zip(factors.chunks_exact(m)) {
            let mut acc = [0f32; 16];
            let split = d / 16 * 16;
            for ((x, dy), w) in
                x[..split].chunks_exact(16).zip(dy[..split].chunks_exact(16)).zip(w[..split].chunks_exact(16))
            {
                for i in 0..16 {
                    acc[i] = madd::<FMA>(x[i] * w[i], dy[i], acc[i]);
                }
            }
            let mut sum: f32 = acc.iter().sum();
            for i in split..d {
                sum += x[i] * w[i] * dy[i];
            }
            let c = sum * r * r * r / d as f32;
            for (((x, dy), dx), w) in x.iter().zip(dy).zip(dx.iter_mut()).zip(w) {
                *dx += madd::<FMA>(*dy * *w, r, -c * *x);
            }
            for (dw, factor) in dw.chunks_exact_mut(d).zip(factors) {
                let r = factor * r;
                for ((x, dy), dw) in x.iter().zip(dy).zip(dw) {
                    *dw = madd::<FMA>(*dy * *x, r, *dw);
                }
            }
        }
    }
}
