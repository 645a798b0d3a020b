//! Low-rank adapters of a layer's products (Hu et al. 2021): y = x Wᵀ + s (x Aᵀ) Bᵀ, with A [r, in] and B [out, r].
//!
//! Products that read the same x (queries, keys and values; gate and up) stack their A: u = x Aᵀ is one product [R, n r].
//! Backward, W stays as it is:
//!
//! ```text
//! du = s dy B       dx += du A       dB = s Σ_rows f_k · dyᵀ u       dA = Σ_rows f_k · duᵀ x
//! ```
//! The factors f_k of M columns stand on the r-wide sides u and du, so that a column costs little more than nothing.

use std::ops::Range;

use super::backward_pass::BackwardPass;
use super::gemm::{Mat, Threads, gemm, linear};
use super::pool::{Buffer, take};

/// One adapted matrix of a site.
#[derive(Debug, Clone)]
pub(crate) struct Adapter {
    /// Its columns of the product's output.
    pub(crate) columns: Range<usize>,
    /// B [columns, r] in the layer's row of adapters.
    pub(crate) b: Range<usize>,
}

/// The adapters of one product.
#[derive(Debug, Clone, Default)]
pub(crate) struct Site {
    /// The A of all its adapters, stacked [n r, in], in the layer's row of adapters.
    pub(crate) a: Range<usize>,
    /// Its adapters; empty: the product is as it is.
    pub(crate) adapters: Vec<Adapter>,
}

/// The adapters of a layer, and where each stands in the layer's row of them.
#[derive(Debug, Clone)]
pub(crate) struct LoraShape {
    /// r.
    pub(crate) rank: usize,
    /// s.
    pub(crate) scale: f32,
    /// Queries, keys and values.
    pub(crate) qkv: Site,
    /// Attention's output.
    pub(crate) out: Site,
    /// Gate and up.
    pub(crate) gate_up: Site,
    /// Down.
    pub(crate) down: Site,
    /// Values of a layer.
    pub(crate) len: usize,
}

/// A layer's adapters, ready to run.
#[derive(Clone, Copy)]
pub(crate) struct LayerLora<'a> {
    pub(crate) shape: &'a LoraShape,
    /// All of them in a row, [`LoraShape::len`] values.
    pub(crate) weights: &'a [f32],
}

/// Where one product stands: which adapters, and its sizes.
#[derive(Clone, Copy)]
pub(crate) struct Product<'a> {
    pub(crate) site: &'a Site,
    pub(crate) inp: usize,
    pub(crate) out: usize,
}

impl LayerLora<'_> {
    fn rank(&self) -> usize {
        self.shape.rank
    }

    /// Values of a row of u.
    fn wide(&self, site: &Site) -> usize {
        site.adapters.len() * self.rank()
    }

    /// y [R, out] += s (x Aᵀ) Bᵀ.
    pub(crate) fn forward(&self, product: Product<'_>, x: &[f32], y: &mut [f32], threads: Threads) {
        let Product { site, inp, out } = product;
        let (rows, r, wide) = (x.len() / inp, self.rank(), self.wide(site));
        if wide == 0 || rows == 0 {
            return;
        }
        let mut u = take(rows * wide);
        linear(x, &self.weights[site.a.clone()], inp, wide, &mut u, false, threads);
        for (nth, adapter) in site.adapters.iter().enumerate() {
            let b = Mat::rows(&self.weights[adapter.b.clone()], r).t();
            let (columns, u) = (&adapter.columns, Mat::rows(&u[nth * r..], wide));
            let y = &mut y[columns.start..];
            gemm((rows, columns.len(), r), y, out, true, self.shape.scale, u, b, threads);
        }
    }

    /// du [R, n r] = s dy B, and dx [R, in] += du A, by the calling thread. `du` is of [`LayerLora::du`]'s length.
    pub(crate) fn backward_rows(&self, product: Product<'_>, dy: &[f32], du: &mut [f32], dx: &mut [f32]) {
        let Product { site, inp, out } = product;
        let (rows, r, wide) = (dy.len() / out, self.rank(), self.wide(site));
        if wide == 0 || rows == 0 {
            return;
        }
        for (nth, adapter) in site.adapters.iter().enumerate() {
            let (columns, to) = (&adapter.columns, &mut du[nth * r..]);
            let dy = Mat::rows(&dy[columns.start..], out);
            let b = Mat::rows(&self.weights[adapter.b.clone()], r);
            gemm(
                (rows, r, columns.len()),
                to,
                wide,
                false,
                self.shape.scale,
                dy,
                b,
                Threads::One,
            );
        }
        let a = Mat::rows(&self.weights[site.a.clone()], inp);
        gemm(
            (rows, inp, wide),
            dx,
            inp,
            true,
            1.0,
            Mat::rows(du, wide),
            a,
            Threads::One,
        );
    }

    /// Values of a row of du.
    pub(crate) fn du(lora: Option<&Self>, site: impl Fn(&LoraShape) -> &Site) -> usize {
        lora.map_or(0, |lora| lora.wide(site(lora.shape)))
    }

    /// Writes the gradients of A and B to the layer's row `dw` of each column, from `dy` `[R, out]`, `x` `[R, in]` and
    /// `du` of [`LayerLora::backward_rows`].
    pub(crate) fn weight_grads(
        &self,
        product: Product<'_>,
        pass: &BackwardPass<'_>,
        (dy, x, du): (&[f32], &[f32], &[f32]),
        dw: &mut [&mut [f32]],
    ) {
        let Product { site, inp, out } = product;
        let (rows, r, wide, m) = (x.len() / inp, self.rank(), self.wide(site), dw.len());
        if wide == 0 || rows == 0 {
            return;
        }
        let mut u = take(rows * wide);
        linear(x, &self.weights[site.a.clone()], inp, wide, &mut u, false, Threads::All);
        // the r-wide sides of all columns beside each other: of u by adapter [R, n, M, r], of du by column [R, M, n r]
        let (all_u, all_du);
        let (u, du): (&[f32], &[f32]) = if pass.is_shared() {
            all_u = spread(&u, pass.factors(), m, r);
            all_du = spread(du, pass.factors(), m, wide);
            (&all_u, &all_du)
        } else {
            (&u, du)
        };
        let mut several = take(
            m * site
                .adapters
                .iter()
                .map(|a| a.b.len())
                .max()
                .unwrap_or(0)
                .max(site.a.len()),
        );
        for (nth, adapter) in site.adapters.iter().enumerate() {
            let columns = &adapter.columns;
            let (dy, u) = (
                Mat::rows(&dy[columns.start..], out).t(),
                Mat::rows(&u[nth * m * r..], m * wide),
            );
            let to = &mut several[..columns.len() * m * r];
            gemm(
                (columns.len(), m * r, rows),
                to,
                m * r,
                false,
                self.shape.scale,
                dy,
                u,
                Threads::All,
            );
            for (row, of_columns) in to.chunks_exact(m * r).enumerate() {
                for (dw, from) in dw.iter_mut().zip(of_columns.chunks_exact(r)) {
                    dw[adapter.b.clone()][row * r..(row + 1) * r].copy_from_slice(from);
                }
            }
        }
        let to = &mut several[..m * site.a.len()];
        let (du, x) = (Mat::rows(du, m * wide).t(), Mat::rows(x, inp));
        gemm((m * wide, inp, rows), to, inp, false, 1.0, du, x, Threads::All);
        for (dw, from) in dw.iter_mut().zip(to.chunks_exact(site.a.len())) {
            dw[site.a.clone()].copy_from_slice(from);
        }
    }
}

/// Each `width` values of `rows` `[R, n, width]` once for each of M columns, times the row's factor `[R, M]`:
/// `[R, n, M, width]`.
fn spread(rows: &[f32], factors: &[f32], m: usize, width: usize) -> Buffer {
    let per_row = rows.len() * m / factors.len();
    let mut to = take(rows.len() * m);
    let rows = rows.chunks_exact(per_row).zip(factors.chunks_exact(m));
    for ((row, factors), to) in rows.zip(to.chunks_exact_mut(per_row * m)) {
        for (from, to) in row.chunks_exact(width).zip(to.chunks_exact_mut(m * width)) {
            for (factor, to) in factors.iter().zip(to.chunks_exact_mut(width)) {
                to.iter_mut().zip(from).for_each(|(to, from)| *to = factor * from);
            }
        }
    }
    to
}
