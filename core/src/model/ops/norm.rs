//! RMS norm with its weight: y = x / sqrt(mean(x²) + ε) ∘ w, over rows of D values (Zhang & Sennrich 2019, eq. 4).

use super::simd::{dot_body, madd, simd};

simd! {
    /// Rows `x` [R, D] -> `out` [R, D]; `rstd` [R] gets 1 / sqrt(mean(x²) + ε).
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
    /// The forward again from the saved `rstd` [R].
    pub(crate) fn again(x: &[f32], w: &[f32], rstd: &[f32], out: &mut [f32]) {
        let d = w.len();
        for ((x, out), r) in x.chunks_exact(d).zip(out.chunks_exact_mut(d)).zip(rstd) {
            for ((o, x), w) in out.iter_mut().zip(x).zip(w) {
                *o = *x * *r * *w;
            }
        }
    }
}

simd! {
    /// Adds to `dx` [R, D] and `dw` [D] what `dy` [R, D] gives:
    /// dx = r (dy ∘ w) − x r³ / D · Σ dy w x, dw = Σ_rows dy ∘ x r.
    pub(crate) fn backward(x: &[f32], w: &[f32], rstd: &[f32], dy: &[f32], dx: &mut [f32], dw: &mut [f32]) {
        let d = w.len();
        let rows = x.chunks_exact(d).zip(dy.chunks_exact(d)).zip(dx.chunks_exact_mut(d)).zip(rstd);
        for (((x, dy), dx), &r) in rows {
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
            for ((((x, dy), dx), w), dw) in x.iter().zip(dy).zip(dx.iter_mut()).zip(w).zip(dw.iter_mut()) {
                *dx += madd::<FMA>(*dy * *w, r, -c * *x);
                *dw = madd::<FMA>(*dy * *x, r, *dw);
            }
        }
    }
}
