//! Sets of gradients, one tensor per parameter: sums, weighted sums, and the Gramian `J Jᵀ` `[M, M]`.

use candle_core::{CpuStorage, Result, Storage, Tensor};
use rayon::prelude::*;

/// The gradient of one scalar with respect to every trainable tensor, in the model's order.
#[derive(Clone, Debug)]
pub struct GradientSet {
    tensors: Vec<Tensor>,
}

/// Products are summed in f64 over pieces of this many elements and the pieces in order, so the result is the same
/// whatever thread took which piece.
const PIECE: usize = 1 << 14;

impl GradientSet {
    /// A set from contiguous f32 tensors in the model's order.
    ///
    /// # Errors
    /// A tensor cannot be made contiguous.
    pub fn new(tensors: Vec<Tensor>) -> Result<Self> {
        Ok(Self {
            tensors: tensors.into_iter().map(|t| t.contiguous()).collect::<Result<_>>()?,
        })
    }

    /// The tensors, in the model's order.
    #[must_use]
    pub fn tensors(&self) -> &[Tensor] {
        &self.tensors
    }

    /// The tensors as the optimizer takes them.
    #[must_use]
    pub fn into_optional(self) -> Vec<Option<Tensor>> {
        self.tensors.into_iter().map(Some).collect()
    }

    /// Adds another set to this one.
    ///
    /// # Errors
    /// The sets have different shapes.
    pub fn add(&mut self, other: &Self) -> Result<()> {
        for (mine, theirs) in self.tensors.iter_mut().zip(&other.tensors) {
            *mine = (&*mine + theirs)?;
        }
        Ok(())
    }

    /// Inner product over the tensors that `keep` selects by index.
    ///
    /// # Errors
    /// A tensor is not f32 on the CPU.
    pub fn dot(&self, other: &Self, keep: &[bool]) -> Result<f64> {
        let mut total = 0.0;
        for ((a, b), _) in self
            .tensors
            .iter()
            .zip(&other.tensors)
            .zip(keep)
            .filter(|(_, keep)| **keep)
        {
            total += with_slice(a, |a| with_slice(b, |b| Ok(dot(a, b))))?;
        }
        Ok(total)
    }

    /// `Σ_m weights[m] · sets[m]`.
    ///
    /// # Errors
    /// No sets, or sets of different shapes.
    pub fn weighted_sum(sets: &[Self], weights: &[f32]) -> Result<Self> {
        let Some(first) = sets.first() else {
            candle_core::bail!("a weighted sum of no gradients");
        };
        let tensors = (0..first.tensors.len())
            .map(|i| {
                let mut sum = (&sets[0].tensors[i] * f64::from(weights[0]))?;
                for (set, &weight) in sets.iter().zip(weights).skip(1) {
                    sum = (sum + (&set.tensors[i] * f64::from(weight))?)?;
                }
                Ok(sum)
            })
            .collect::<Result<_>>()?;
        Ok(Self { tensors })
    }
}

/// Gramian `[M, M]`, row-major, over the tensors that `keep` selects.
///
/// # Errors
/// As [`GradientSet::dot`].
pub fn gramian(sets: &[GradientSet], keep: &[bool]) -> Result<Vec<f64>> {
    let m = sets.len();
    let mut gram = vec![0.0; m * m];
    for i in 0..m {
        for j in i..m {
            let product = sets[i].dot(&sets[j], keep)?;
            gram[i * m + j] = product;
            gram[j * m + i] = product;
        }
    }
    Ok(gram)
}

fn with_slice<T>(tensor: &Tensor, read: impl FnOnce(&[f32]) -> Result<T>) -> Result<T> {
    let (storage, layout) = tensor.storage_and_layout();
    match (&*storage, layout.contiguous_offsets()) {
        (Storage::Cpu(CpuStorage::F32(values)), Some((start, end))) => read(&values[start..end]),
        _ => candle_core::bail!("a gradient must be a contiguous f32 tensor on the CPU, found {layout:?}"),
    }
}

fn dot(a: &[f32], b: &[f32]) -> f64 {
    let pieces: Vec<f64> = a
        .par_chunks(PIECE)
        .zip(b.par_chunks(PIECE))
        .map(|(a, b)| {
            // Eight running sums let the compiler use vector lanes; f64 keeps the error below that of the inputs.
            let mut lanes = [0.0f64; 8];
            let (a8, b8) = (a.chunks_exact(8), b.chunks_exact(8));
            let rest: f64 = a8
                .remainder()
                .iter()
                .zip(b8.remainder())
                .map(|(&x, &y)| f64::from(x) * f64::from(y))
                .sum();
            for (x, y) in a8.zip(b8) {
                for lane in 0..8 {
                    lanes[lane] += f64::from(x[lane]) * f64::from(y[lane]);
                }
            }
            lanes.iter().sum::<f64>() + rest
        })
        .collect();
    pieces.iter().sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    fn set(values: &[&[f32]]) -> GradientSet {
        let tensor = |v: &&[f32]| Tensor::new(*v, &Device::Cpu).unwrap();
        GradientSet::new(values.iter().map(tensor).collect()).unwrap()
    }

    #[test]
    fn gramian_is_the_matrix_of_inner_products_over_the_kept_tensors() {
        let sets = [set(&[&[1.0, 2.0], &[3.0]]), set(&[&[-1.0, 0.5], &[2.0]])];
        assert_eq!(gramian(&sets, &[true, true]).unwrap(), [14.0, 6.0, 6.0, 5.25]);
        assert_eq!(gramian(&sets, &[true, false]).unwrap(), [5.0, 0.0, 0.0, 1.25]);
    }

    #[test]
    fn the_norm_of_a_weighted_sum_is_the_quadratic_form_of_the_gramian() {
        let long: Vec<f32> = (0..40_001).map(|i| ((i * 37 % 101) as f32 - 50.0) / 50.0).collect();
        let other: Vec<f32> = long.iter().rev().map(|x| x * 0.5 + 0.1).collect();
        let sets = [set(&[&long]), set(&[&other])];
        let gram = gramian(&sets, &[true]).unwrap();
        let (w0, w1) = (0.3, -1.7);
        let mixed = GradientSet::weighted_sum(&sets, &[0.3, -1.7]).unwrap();
        let expected = w0 * w0 * gram[0] + 2.0 * w0 * w1 * gram[1] + w1 * w1 * gram[3];
        let found = mixed.dot(&mixed, &[true]).unwrap();
        assert!((found - expected).abs() < 1e-5 * expected, "{found} {expected}");
    }
}
