//! SwiGLU: s = silu(g) ∘ u, on rows that hold g `[F]` and u `[F]` side by side (Shazeer 2020, eq. 5).

use super::simd::{exp, madd, simd};

simd! {
    /// `gu` `[R, 2F]` -> `out` `[R, F]`.
    pub(crate) fn forward(gu: &[f32], f: usize, out: &mut [f32]) {
        for (gu, out) in gu.chunks_exact(2 * f).zip(out.chunks_exact_mut(f)) {
            let (g, u) = gu.split_at(f);
            for ((o, g), u) in out.iter_mut().zip(g).zip(u) {
                *o = *g * *u / (1.0 + exp::<FMA>(-*g));
            }
        }
    }
}

simd! {
    /// Writes `dgu` `[R, 2F]` from `gu` `[R, 2F]` and `ds` `[R, F]`, and replaces `ds` by s itself, which the gradient of the
    /// down projection needs.
    pub(crate) fn backward(gu: &[f32], f: usize, ds: &mut [f32], dgu: &mut [f32]) {
        for ((gu, ds), dgu) in gu.chunks_exact(2 * f).zip(ds.chunks_exact_mut(f)).zip(dgu.chunks_exact_mut(2 * f)) {
            let (g, u) = gu.split_at(f);
            let (dg, du) = dgu.split_at_mut(f);
            for ((((g, u), ds), dg), du) in g.iter().zip(u).zip(ds.iter_mut()).zip(dg.iter_mut()).zip(du.iter_mut()) {
                let sigmoid = 1.0 / (1.0 + exp::<FMA>(-*g));
                let silu = *g * sigmoid;
                // d silu / dg = σ (1 + g (1 − σ))
                *dg = *ds * *u * sigmoid * madd::<FMA>(*g, 1.0 - sigmoid, 1.0);
                *du = *ds * silu;
                *ds = silu * *u;
            }
        }
    }
}
