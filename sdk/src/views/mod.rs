//! What the host hands to a hook: borrowed views with named accessors over flat arrays.
//!
//! Letters: B completions of a step, M objectives, N response tokens of the batch, packed with offsets `[B+1]`.
//! The plain `…Input` structs are the same data as the host has it; the constructors of the views check their
//! shapes once, so that no accessor can read past an end.

mod batch;
mod gradients;
mod update;

pub use batch::{Batch, BatchInput};
pub use gradients::{Gradients, GradientsInput};
pub use update::{Update, UpdateInput};

use crate::{Error, Result};

/// A row-major matrix.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MatrixOf<'a, T> {
    values: &'a [T],
    rows: usize,
    columns: usize,
}

/// `[rows, columns]` of f32: scores and advantages `[B, M]`.
pub type Matrix<'a> = MatrixOf<'a, f32>;
/// `[rows, columns]` of f64: a Gramian `[M, M]`.
pub type Matrix64<'a> = MatrixOf<'a, f64>;

impl<'a, T: Copy + Into<f64>> MatrixOf<'a, T> {
    /// A view of `values`; the error names `what` where they are not `rows × columns`.
    pub fn new(what: &str, values: &'a [T], rows: usize, columns: usize) -> Result<Self> {
        check_len(what, values.len(), rows * columns)?;
        Ok(Self { values, rows, columns })
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Number of columns.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// One row, `[columns]`. Panics where there is no such row.
    pub fn row(&self, row: usize) -> &'a [T] {
        &self.values[row * self.columns..(row + 1) * self.columns]
    }

    /// All rows in order.
    pub fn iter_rows(&self) -> impl Iterator<Item = &'a [T]> + use<'a, T> {
        let (values, columns) = (self.values, self.columns);
        (0..self.rows).map(move |row| &values[row * columns..(row + 1) * columns])
    }

    /// One column, from the first row to the last. Panics where there is no such column.
    pub fn column(&self, column: usize) -> impl Iterator<Item = T> + use<'a, T> {
        assert!(column < self.columns, "no column {column}");
        self.iter_rows().map(move |row| row[column])
    }

    /// One entry. Panics where there is none.
    pub fn get(&self, row: usize, column: usize) -> T {
        self.row(row)[column]
    }

    /// Mean of one column, in f64; 0 without rows.
    pub fn column_mean(&self, column: usize) -> f64 {
        if self.rows == 0 {
            return 0.0;
        }
        #[allow(clippy::cast_precision_loss, reason = "counts are small")]
        let rows = self.rows as f64;
        self.column(column).map(Into::into).sum::<f64>() / rows
    }

    /// Mean of each column, in f64; 0 without rows.
    pub fn column_means(&self) -> Vec<f64> {
        (0..self.columns).map(|column| self.column_mean(column)).collect()
    }

    /// The product with a vector `[columns]`: `[rows]`, in f64. Panics at another length.
    pub fn times(&self, vector: &[f64]) -> Vec<f64> {
        assert_eq!(vector.len(), self.columns, "a vector as long as a row");
        let product = |row: &[T]| row.iter().zip(vector).map(|(x, y)| (*x).into() * y).sum();
        self.iter_rows().map(product).collect()
    }

    /// All entries, row after row.
    pub fn as_slice(&self) -> &'a [T] {
        self.values
    }
}

/// Rows of different lengths: per-token numbers `[N]` of the B responses.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ragged<'a> {
    values: &'a [f32],
    offsets: &'a [usize],
}

impl<'a> Ragged<'a> {
    /// A view of `values` whose row b is `offsets[b]..offsets[b+1]`; the error names `what`.
    pub fn new(what: &str, values: &'a [f32], offsets: &'a [usize]) -> Result<Self> {
        let rising = offsets.windows(2).all(|pair| pair[0] <= pair[1]);
        if offsets.first() != Some(&0) || !rising {
            return Err(Error::new(format!("offsets of {what} do not rise from 0: {offsets:?}")));
        }
        check_len(what, values.len(), offsets[offsets.len() - 1])?;
        Ok(Self { values, offsets })
    }

    /// Number of rows, B.
    pub fn len(&self) -> usize {
        self.offsets.len() - 1
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The tokens of response `b`. Panics where there is no such response.
    pub fn row(&self, b: usize) -> &'a [f32] {
        &self.values[self.offsets[b]..self.offsets[b + 1]]
    }

    /// All rows in order.
    pub fn iter(&self) -> impl Iterator<Item = &'a [f32]> + use<'a> {
        let (values, offsets) = (self.values, self.offsets);
        offsets.windows(2).map(move |pair| &values[pair[0]..pair[1]])
    }

    /// All tokens, `[N]`.
    pub fn as_slice(&self) -> &'a [f32] {
        self.values
    }
}

/// Performance after a validation.
#[derive(Debug, Clone, Copy)]
pub struct Validation<'a> {
    step: u64,
    values: &'a [f64],
}

impl<'a> Validation<'a> {
    /// The view of one validation.
    pub fn new(step: u64, values: &'a [f64]) -> Self {
        Self { step, values }
    }

    /// Steps trained so far; 0 before training.
    pub fn step(&self) -> u64 {
        self.step
    }

    /// `[M]`, each in its objective's own unit and direction.
    pub fn values(&self) -> &'a [f64] {
        self.values
    }
}

/// The completions of a step, which `scalarize` and `after_update` both see.
#[derive(Debug, Clone, Copy)]
struct Completions<'a> {
    step: u64,
    scores: Matrix<'a>,
    groups: &'a [u32],
}

impl<'a> Completions<'a> {
    fn new(step: u64, m: usize, scores: &'a [f32], groups: &'a [u32]) -> Result<Self> {
        Ok(Self {
            step,
            scores: Matrix::new("scores", scores, groups.len(), m)?,
            groups,
        })
    }
}

/// The accessors of a view that has `completions`.
macro_rules! completions_accessors {
    () => {
        /// Training step, from 1.
        pub fn step(&self) -> u64 {
            self.completions.step
        }

        /// Number of objectives M.
        pub fn m(&self) -> usize {
            self.completions.scores.columns()
        }

        /// Number of completions B.
        pub fn len(&self) -> usize {
            self.completions.groups.len()
        }

        /// Whether there are no completions.
        pub fn is_empty(&self) -> bool {
            self.completions.groups.is_empty()
        }

        /// `[B, M]`; larger is better, whatever the objective's direction in validation.
        pub fn scores(&self) -> Matrix<'a> {
            self.completions.scores
        }

        /// `[B]`: completions of one prompt share a number.
        pub fn groups(&self) -> &'a [u32] {
            self.completions.groups
        }
    };
}
use completions_accessors;

/// An error that names `what` where a length is not the expected one.
pub(crate) fn check_len(what: &str, found: usize, expected: usize) -> Result<()> {
    if found == expected {
        Ok(())
    } else {
        Err(Error::new(format!("{what} has {found} values, expected {expected}")))
    }
}

#[cfg(test)]
mod tests {
    use super::{Batch, BatchInput, Matrix, Ragged, Update, UpdateInput};
    use crate::{Needs, Result};

    fn input() -> BatchInput<'static> {
        BatchInput {
            step: 3,
            m: 2,
            scores: &[1.0, 2.0, 3.0, 4.0],
            groups: &[0, 0],
            lengths: &[1, 2],
            old_logprobs: Some(&[-1.0, -2.0, -3.0]),
            offsets: &[0, 1, 3],
            ..BatchInput::default()
        }
    }

    #[test]
    fn accessors_give_rows_columns_and_means() -> Result<()> {
        let batch = Batch::new(input(), Needs::NONE.old_logprobs())?;
        assert_eq!((batch.step(), batch.m(), batch.len()), (3, 2, 2));
        assert_eq!(batch.scores().row(1), [3.0, 4.0]);
        assert_eq!(batch.scores().column(1).collect::<Vec<_>>(), [2.0, 4.0]);
        assert_eq!(batch.scores().column_mean(0), 2.0);
        assert_eq!(batch.old_logprobs()?.row(1), [-2.0, -3.0]);
        Ok(())
    }

    #[test]
    fn what_was_not_asked_for_is_an_error_with_a_hint() -> Result<()> {
        let batch = Batch::new(input(), Needs::NONE)?;
        let error = batch.old_logprobs().expect_err("not in NEEDS");
        assert_eq!(error.hint.as_deref(), Some("add .old_logprobs() to the plugin's NEEDS"));
        let asked = Batch::new(input(), Needs::NONE.ref_logprobs())?;
        assert!(asked.ref_logprobs().is_err(), "asked for but not given");
        Ok(())
    }

    #[test]
    fn wrong_shapes_are_refused_with_their_name() {
        let refused = |change: fn(&mut BatchInput<'static>)| {
            let mut changed = input();
            change(&mut changed);
            Batch::new(changed, Needs::NONE).expect_err("must be refused").message
        };
        assert_eq!(refused(|i| i.scores = &[1.0]), "scores has 1 values, expected 4");
        assert!(refused(|i| i.lengths = &[1]).starts_with("lengths"));
        assert!(refused(|i| i.offsets = &[0, 3, 1]).contains("old_logprobs"));
        assert!(refused(|i| i.offsets = &[0, 3]).starts_with("offsets"));
        assert!(refused(|i| i.offsets = &[0, 1, 2]).starts_with("old_logprobs"));
        assert!(Ragged::new("x", &[], &[]).is_err());
        assert!(Matrix::new("x", &[0.0; 5], 2, 3).is_err());
        assert!(
            Update::new(UpdateInput {
                groups: &[0],
                advantages: &[],
                ..UpdateInput::default()
            })
            .is_err()
        );
    }
}
