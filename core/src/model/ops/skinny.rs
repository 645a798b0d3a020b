//! x [m, k] · Wᵀ with few rows m (tall-and-skinny products): W is read from memory once and never repacked. For one
//! decoding step of a large model this takes half of the gemm crate's time.

use rayon::prelude::*;

use super::simd::{LANES, fold_sum, madd, simd};

/// Most rows of x for which this is the faster way.
pub(crate) const MAX_ROWS: usize = 32;

/// Rows of W and of x whose products form at a time: 16 sums of 16 lanes, half the registers of AVX-512.
const BLOCK: usize = 4;

/// Rows of W that one task takes.
const TASK: usize = 64;

/// y [m, out] = x [m, inp] · Wᵀ with W [out, inp], or += when `accumulate`.
pub(crate) fn linear(x: &[f32], w: &[f32], inp: usize, out: usize, y: &mut [f32], accumulate: bool) {
    let m = x.len() / inp;
    let mut transposed = vec![0f32; out * m]; // [out, m]
    w[..out * inp]
        .par_chunks(TASK * inp)
        .zip(transposed.par_chunks_mut(TASK * m))
        .for_each(|(w, to)| products(x, w, inp, m, to));
    for (row, y) in y.chunks_exact_mut(out).take(m).enumerate() {
        for (y, from) in y.iter_mut().zip(transposed.chunks_exact(m)) {
            *y = if accumulate { *y + from[row] } else { from[row] };
        }
    }
}

simd! {
    /// `to` [rows of w, m] = w · xᵀ.
    fn products(x: &[f32], w: &[f32], k: usize, m: usize, to: &mut [f32]) {
        let n = w.len() / k;
        let blocks = k / LANES;
        for j in (0..n).step_by(BLOCK) {
            // past the last row the last one is computed again and not stored
            let wr: [&[f32]; BLOCK] = std::array::from_fn(|b| &w[(j + b).min(n - 1) * k..][..k]);
            let wc: [&[[f32; LANES]]; BLOCK] = std::array::from_fn(|b| &wr[b].as_chunks().0[..blocks]);
            for i in (0..m).step_by(BLOCK) {
                // one row of the next four while these are at work: rows are too short for the hardware's own guess
                let next = j + BLOCK + i / BLOCK;
                if i / BLOCK < BLOCK && next < n {
                    prefetch(&w[next * k..][..k]);
                }
                let xr: [&[f32]; BLOCK] = std::array::from_fn(|a| &x[(i + a).min(m - 1) * k..][..k]);
                let xc: [&[[f32; LANES]]; BLOCK] = std::array::from_fn(|a| &xr[a].as_chunks().0[..blocks]);
                let mut acc = [[[0f32; LANES]; BLOCK]; BLOCK];
                for at in 0..blocks {
                    let wv: [[f32; LANES]; BLOCK] = std::array::from_fn(|b| wc[b][at]);
                    for a in 0..BLOCK {
                        let xv = xc[a][at];
                        for b in 0..BLOCK {
                            for l in 0..LANES {
                                acc[a][b][l] = madd::<FMA>(xv[l], wv[b][l], acc[a][b][l]);
                            }
                        }
                    }
                }
                // Opaque to the compiler: were the sums indexed below what the loop adds to, they would live in memory
                // and not in registers.
                let acc = std::hint::black_box(acc);
                for a in 0..BLOCK.min(m - i) {
                    for b in 0..BLOCK.min(n - j) {
                        let mut sum = fold_sum(acc[a][b]);
                        for l in blocks * LANES..k {
                            sum = madd::<FMA>(xr[a][l], wr[b][l], sum);
                        }
                        to[(j + b) * m + i + a] = sum;
                    }
                }
            }
        }
    }
}

/// Asks for a row ahead of its use.
#[inline(always)]
fn prefetch(row: &[f32]) {
    #[cfg(target_arch = "x86_64")]
    for line in row.chunks(LANES) {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a hint that reads nothing, at an address inside the slice; SSE is part of x86-64.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(line.as_ptr().cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = row;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equals_the_plain_product() {
        for (m, k, n) in [(1, 16, 4), (3, 35, 7), (5, 64, 130), (4, 7, 1)] {
            let x: Vec<f32> = (0..m * k).map(|i| (i as f32 * 0.37).sin()).collect();
            let w: Vec<f32> = (0..n * k).map(|i| (i as f32 * 0.11).cos()).collect();
            let mut y = vec![1f32; m * n];
            linear(&x, &w, k, n, &mut y, true);
            for i in 0..m {
                for j in 0..n {
                    let want: f32 = 1.0 + (0..k).map(|l| x[i * k + l] * w[j * k + l]).sum::<f32>();
                    assert!((y[i * n + j] - want).abs() < 1e-4, "{m} {k} {n}: ({i}, {j})");
                }
            }
        }
    }
}
