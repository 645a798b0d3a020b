//! The last RMS norm, over all rows at once.

use rayon::prelude::*;

use super::backward_pass::BackwardPass;
use super::norm;
use super::rows::ROWS;
use super::simd::add;

/// Normed rows of `x` `[T, D]`, and 1 / rms of each row `[T]`.
pub(crate) fn forward(x: &[f32], w: &[f32], eps: f32) -> (Vec<f32>, Vec<f32>) {
    let d = w.len();
    let mut out = vec![0f32; x.len()];
    let mut rstd = vec![0f32; x.len() / d];
    x.par_chunks(ROWS * d)
        .zip(out.par_chunks_mut(ROWS * d).zip(rstd.par_chunks_mut(ROWS)))
        .for_each(|(x, (out, rstd))| norm::forward(x, w, eps, rstd, out));
    (out, rstd)
}

/// Gradients of `x` `[R, D]` and of the weight `[M, D]`, from the gradient `dy` `[R, D]` of a pass's normed rows.
pub(crate) fn backward(
    x: &[f32],
    w: &[f32],
    rstd: &[f32],
    dy: &[f32],
    pass: &BackwardPass<'_>,
) -> (Vec<f32>, Vec<f32>) {
    let (d, m) = (w.len(), pass.columns().len());
    let mut dx = vec![0f32; x.len()];
    let parts: Vec<Vec<f32>> = x
        .par_chunks(ROWS * d)
        .zip(dy.par_chunks(ROWS * d).zip(pass.factors().par_chunks(ROWS * m)))
        .zip(dx.par_chunks_mut(ROWS * d).zip(rstd.par_chunks(ROWS)))
        .map(|((x, (dy, factors)), (dx, rstd))| {
            let mut dw = vec![0f32; m * d];
            norm::backward(x, w, rstd, dy, factors, dx, &mut dw);
            dw
        })
        .collect();
    let mut dw = vec![0f32; m * d];
    parts.iter().for_each(|part| add(part, &mut dw));
    (dx, dw)
}
