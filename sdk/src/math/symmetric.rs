//! A small symmetric matrix `[N, N]` in f64: a Gramian of gradients, or what a solver makes of one.

use crate::views::Matrix64;
use crate::{Error, Result};

/// What is left of a diagonal entry in the elimination, as a share of it, for the matrix to count as singular.
const SINGULAR: f64 = 1e-15;

/// A symmetric matrix `[N, N]`; entry `[i, j]` is entry `[j, i]` to the last bit.
#[derive(Debug, Clone, PartialEq)]
pub struct Symmetric {
    n: usize,
    entries: Vec<f64>,
}

impl Symmetric {
    /// (A + Aᵀ) / 2 of a square matrix A `[N, N]`.
    ///
    /// # Errors
    /// A is not square, has no row, or has an entry that is not finite; the error names it.
    pub fn new(matrix: Matrix64<'_>) -> Result<Self> {
        let n = matrix.rows();
        if n == 0 || matrix.columns() != n {
            return Err(Error::new(format!(
                "the Gramian is {n} by {}, expected a square one with at least one row",
                matrix.columns()
            )));
        }
        if let Some(at) = matrix.as_slice().iter().position(|x| !x.is_finite()) {
            return Err(Error::new(format!(
                "the Gramian's entry [{}, {}] is {}, expected a finite number",
                at / n,
                at % n,
                matrix.as_slice()[at]
            )));
        }
        Ok(Self::from_fn(n, |i, j| 0.5 * matrix.get(i, j) + 0.5 * matrix.get(j, i)))
    }

    /// The matrix with entries `entry(i, j)`, which must be the same for `(j, i)`.
    pub fn from_fn(n: usize, entry: impl Fn(usize, usize) -> f64) -> Self {
        let entries = (0..n * n).map(|at| entry(at / n, at % n)).collect();
        Self { n, entries }
    }

    /// N.
    pub fn n(&self) -> usize {
        self.n
    }

    /// Entry `[i, j]`.
    pub fn get(&self, i: usize, j: usize) -> f64 {
        self.row(i)[j]
    }

    /// Row i, `[N]`.
    pub fn row(&self, i: usize) -> &[f64] {
        &self.entries[i * self.n..(i + 1) * self.n]
    }

    /// The diagonal, `[N]`.
    pub fn diagonal(&self) -> Vec<f64> {
        (0..self.n).map(|i| self.get(i, i)).collect()
    }

    /// A x, `[N]`.
    pub fn times(&self, x: &[f64]) -> Vec<f64> {
        (0..self.n).map(|i| dot(self.row(i), x)).collect()
    }

    /// xᵀ A x, at least 0 where A is positive semidefinite but for rounding.
    pub fn form(&self, x: &[f64]) -> f64 {
        dot(&self.times(x), x)
    }

    /// S A S for the diagonal matrix S of `scale` `[N]`.
    #[must_use]
    pub fn scaled(&self, scale: &[f64]) -> Self {
        Self::from_fn(self.n, |i, j| self.get(i, j) * (scale[i] * scale[j]))
    }

    /// The rows and columns of `kept`, in that order.
    #[must_use]
    pub fn of(&self, kept: &[usize]) -> Self {
        Self::from_fn(kept.len(), |i, j| self.get(kept[i], kept[j]))
    }

    /// A + D for the diagonal matrix D of `diagonal` `[N]`.
    #[must_use]
    pub fn plus_diagonal(&self, diagonal: &[f64]) -> Self {
        Self::from_fn(self.n, |i, j| self.get(i, j) + if i == j { diagonal[i] } else { 0.0 })
    }

    /// A + `ridge` · I.
    #[must_use]
    pub fn plus_ridge(&self, ridge: f64) -> Self {
        self.plus_diagonal(&vec![ridge; self.n])
    }

    /// A⁻¹ b `[N]` by Cholesky decomposition; `None` where A is not positive definite, or singular but for rounding.
    pub fn solve(&self, b: &[f64]) -> Option<Vec<f64>> {
        let n = self.n;
        let mut lower = vec![0.0; n * n]; // row-major; A = L Lᵀ
        let mut x = b.to_vec();
        for i in 0..n {
            for j in 0..=i {
                let done = dot(&lower[i * n..i * n + j], &lower[j * n..j * n + j]);
                let rest = self.get(i, j) - done;
                lower[i * n + j] = if i > j {
                    rest / lower[j * n + j]
                } else if rest > SINGULAR * self.get(i, i) && rest > 0.0 {
                    rest.sqrt()
                } else {
                    return None;
                };
            }
            x[i] = (x[i] - dot(&lower[i * n..i * n + i], &x[..i])) / lower[i * n + i];
        }
        for i in (0..n).rev() {
            let above: f64 = (i + 1..n).map(|k| lower[k * n + i] * x[k]).sum();
            x[i] = (x[i] - above) / lower[i * n + i];
        }
        Some(x)
    }
}

/// Σ a_i b_i over the shorter of the two.
pub(super) fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[cfg(test)]
mod tests {
    use super::Symmetric;
    use crate::Rng;
    use crate::views::Matrix64;

    #[test]
    fn what_is_not_square_or_not_finite_is_refused() -> crate::Result<()> {
        let refused = |numbers: &[f64], rows, columns| {
            let matrix = Matrix64::new("gram", numbers, rows, columns).expect("the count fits");
            Symmetric::new(matrix).expect_err("refused").message
        };
        assert!(refused(&[1.0, 2.0], 1, 2).contains("is 1 by 2"));
        assert!(refused(&[1.0, f64::NAN, 0.0, 1.0], 2, 2).contains("[0, 1] is NaN"));
        let of_halves = Symmetric::new(Matrix64::new("gram", &[1.0, 2.0, 4.0, 9.0], 2, 2)?)?;
        assert_eq!((of_halves.get(0, 1), of_halves.get(1, 0)), (3.0, 3.0));
        Ok(())
    }

    #[test]
    fn a_solution_solves_and_a_singular_matrix_has_none() {
        let mut rng = Rng::new(2);
        for n in 1..9 {
            let rows: Vec<Vec<f64>> = (0..n).map(|_| (0..n + 2).map(|_| rng.normal()).collect()).collect();
            let a = Symmetric::from_fn(n, |i, j| super::dot(&rows[i], &rows[j]));
            let b: Vec<f64> = (0..n).map(|_| rng.normal()).collect();
            let x = a.solve(&b).expect("positive definite");
            for (found, expected) in a.times(&x).iter().zip(&b) {
                assert!((found - expected).abs() < 1e-9, "{found} {expected}");
            }
        }
        let twice = Symmetric::from_fn(2, |_, _| 3.0);
        assert_eq!(twice.solve(&[1.0, 1.0]), None);
        let half = twice.plus_ridge(1e-8).solve(&[3.0, 3.0]).expect("no longer singular");
        assert!((half[0] - 0.5).abs() < 1e-6 && (half[1] - 0.5).abs() < 1e-6);
        assert_eq!(Symmetric::from_fn(1, |_, _| -1.0).solve(&[1.0]), None);
    }
}
