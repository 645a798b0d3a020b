//! Sets of gradients, each one flat buffer: sums, weighted sums, and the Gramian `J Jᵀ` `[M, M]`.

use std::sync::Arc;

use rayon::prelude::*;

use super::{EngineError, Layout, Slot};

/// The gradient of one scalar with respect to every trainable parameter, in their order.
#[derive(Clone, Debug)]
pub struct GradientSet {
    layout: Arc<Layout>,
    values: Vec<f32>,
}

/// Products are summed in f64 over pieces of this many elements and the pieces in order, so the result is the same
/// whatever thread took which piece.
const PIECE: usize = 1 << 14;

/// Elements that one task of an elementwise sum takes.
const CHUNK: usize = 1 << 16;

impl GradientSet {
    /// A set of zeros.
    #[must_use]
    pub fn zeros(layout: Arc<Layout>) -> Self {
        let values = vec![0.0; layout.len()];
        Self { layout, values }
    }

    /// A set of `values`.
    ///
    /// # Errors
    /// They do not fill the layout.
    pub fn new(layout: Arc<Layout>, values: Vec<f32>) -> Result<Self, EngineError> {
        if values.len() != layout.len() {
            return Err(EngineError::Length {
                what: "gradients",
                found: values.len(),
                expected: layout.len(),
            });
        }
        Ok(Self { layout, values })
    }

    /// What stands where.
    #[must_use]
    pub fn layout(&self) -> &Arc<Layout> {
        &self.layout
    }

    /// All values.
    #[must_use]
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// All values, to be written.
    pub fn values_mut(&mut self) -> &mut [f32] {
        &mut self.values
    }

    /// The parameters with their gradients, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&Slot, &[f32])> {
        self.layout
            .slots()
            .iter()
            .map(|slot| (slot, &self.values[slot.range.clone()]))
    }

    /// The gradient of the parameter `name`.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&[f32]> {
        self.layout.find(name).map(|slot| &self.values[slot.range.clone()])
    }

    /// Adds another set to this one.
    ///
    /// # Errors
    /// The sets are of other parameters.
    pub fn add(&mut self, other: &Self) -> Result<(), EngineError> {
        self.same_layout(other)?;
        each(&mut self.values, &other.values, |mine, theirs| *mine += theirs);
        Ok(())
    }

    /// Inner product over the parameters that `keep` selects by their number.
    ///
    /// # Errors
    /// The sets are of other parameters.
    pub fn dot(&self, other: &Self, keep: &[bool]) -> Result<f64, EngineError> {
        self.same_layout(other)?;
        let slots = self.layout.slots().iter().zip(keep).filter(|(_, keep)| **keep);
        let products = slots.map(|(slot, _)| dot(&self.values[slot.range.clone()], &other.values[slot.range.clone()]));
        Ok(products.fold(0.0, |sum, product| sum + product))
    }

    /// `Σ_m weights[m] · sets[m]`, in the memory of the first set.
    ///
    /// # Errors
    /// No sets, another number of weights, or sets of other parameters.
    pub fn weighted_sum(sets: Vec<Self>, weights: &[f32]) -> Result<Self, EngineError> {
        if sets.len() != weights.len() {
            return Err(EngineError::Length {
                what: "weights of gradients",
                found: weights.len(),
                expected: sets.len(),
            });
        }
        let mut terms = sets.into_iter().zip(weights);
        let Some((mut sum, &first)) = terms.next() else {
            return Err(EngineError::Empty {
                what: "gradients to be summed",
            });
        };
        if (first - 1.0).abs() > 0.0 {
            sum.values
                .par_chunks_mut(CHUNK)
                .for_each(|values| values.iter_mut().for_each(|value| *value *= first));
        }
        for (set, &weight) in terms {
            sum.same_layout(&set)?;
            each(&mut sum.values, &set.values, |sum, value| *sum += value * weight);
        }
        Ok(sum)
    }

    fn same_layout(&self, other: &Self) -> Result<(), EngineError> {
        if Arc::ptr_eq(&self.layout, &other.layout) || self.layout == other.layout {
            return Ok(());
        }
        Err(EngineError::Layout { what: "gradients" })
    }
}

/// Runs `work` on each pair of values.
fn each(to: &mut [f32], from: &[f32], work: impl Fn(&mut f32, f32) + Sync) {
    let pieces = to.par_chunks_mut(CHUNK).zip(from.par_chunks(CHUNK));
    pieces.for_each(|(to, from)| to.iter_mut().zip(from).for_each(|(to, from)| work(to, *from)));
}

/// Gramian `[M, M]`, row-major, over the parameters that `keep` selects by their number.
///
/// # Errors
/// The sets are of other parameters.
pub fn gramian(sets: &[GradientSet], keep: &[bool]) -> Result<Vec<f64>, EngineError> {
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

    fn set(values: &[&[f32]]) -> GradientSet {
        let layout = Layout::new(values.iter().enumerate().map(|(i, v)| (i.to_string(), vec![v.len()])));
        GradientSet::new(Arc::new(layout), values.concat()).unwrap()
    }

    #[test]
    fn gramian_is_the_matrix_of_inner_products_over_the_kept_parameters() {
        let sets = [set(&[&[1.0, 2.0], &[3.0]]), set(&[&[-1.0, 0.5], &[2.0]])];
        assert_eq!(gramian(&sets, &[true, true]).unwrap(), [14.0, 6.0, 6.0, 5.25]);
        assert_eq!(gramian(&sets, &[true, false]).unwrap(), [5.0, 0.0, 0.0, 1.25]);
    }

    #[test]
    fn the_norm_of_a_weighted_sum_is_the_quadratic_form_of_the_gramian() {
        let long: Vec<f32> = (0..140_001).map(|i| ((i * 37 % 101) as f32 - 50.0) / 50.0).collect();
        let other: Vec<f32> = long.iter().rev().map(|x| x * 0.5 + 0.1).collect();
        let sets = [set(&[&long]), set(&[&other])];
        let gram = gramian(&sets, &[true]).unwrap();
        let (w0, w1) = (0.3, -1.7);
        let mixed = GradientSet::weighted_sum(sets.to_vec(), &[0.3, -1.7]).unwrap();
        let expected = w0 * w0 * gram[0] + 2.0 * w0 * w1 * gram[1] + w1 * w1 * gram[3];
        let found = mixed.dot(&mixed, &[true]).unwrap();
        assert!((found - expected).abs() < 1e-5 * expected, "{found} {expected}");
    }

    #[test]
    fn sets_of_other_parameters_do_not_mix() {
        let (one, two) = (set(&[&[1.0, 2.0]]), set(&[&[1.0], &[2.0]]));
        assert!(one.dot(&two, &[true]).is_err() && one.clone().add(&two).is_err());
        assert!(GradientSet::weighted_sum(vec![one.clone(), two], &[1.0, 1.0]).is_err());
        assert!(GradientSet::weighted_sum(vec![one.clone()], &[1.0, 1.0]).is_err());
        assert!(GradientSet::weighted_sum(Vec::new(), &[]).is_err());
        assert_eq!(
            GradientSet::weighted_sum(vec![one], &[1.0]).unwrap().values(),
            [1.0, 2.0]
        );
    }
}
