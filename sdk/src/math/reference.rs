//! The reference point z `[M]` that scalarizations of distances measure from: Bowman, "On the relationship of the
//! Tchebycheff norm and the efficient frontier of multiple-criteria objectives", LNEMS 130, 1976.

use serde::{Deserialize, Serialize};

use super::weights::broadcast;
use crate::views::Matrix;
use crate::{Choice, Error, Params, Result};

/// What distances are measured from.
#[derive(Debug, Clone, Copy, PartialEq, Default, Choice, Serialize, Deserialize)]
pub enum Reference {
    /// The largest score of each objective so far.
    #[default]
    RunningMax,
    /// The largest score of each objective in the batch.
    BatchMax,
    /// `reference_point`.
    Fixed,
}

/// Params of a method that has a reference point; flatten them into its own.
#[derive(Debug, Clone, Params)]
pub struct ReferenceParams {
    /// the reference point: largest scores so far, largest scores of the batch, or `reference_point`.
    pub reference: Reference,
    /// score that each objective should reach, one for each or one for all; only with reference = "fixed".
    pub reference_point: Option<Vec<f64>>,
}

/// The point `[M]`, once there is one.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ReferencePoint {
    reference: Reference,
    point: Option<Vec<f64>>,
}

impl ReferencePoint {
    /// For `m` objectives.
    ///
    /// # Errors
    /// A point without "fixed", "fixed" without a point, or one of another length.
    pub fn new(params: ReferenceParams, m: usize) -> Result<Self> {
        let is_fixed = params.reference == Reference::Fixed;
        if is_fixed && params.reference_point.is_none() {
            return Err(Error::new("reference is \"fixed\", but reference_point is not given")
                .hint("reference_point = [1.0] for scores of at most 1"));
        }
        if !is_fixed && params.reference_point.is_some() {
            return Err(Error::new("reference_point is given, but reference is not \"fixed\"")
                .hint("set reference = \"fixed\" or leave reference_point out"));
        }
        let point = params
            .reference_point
            .map(|point| broadcast("reference_point", &point, m));
        Ok(Self {
            reference: params.reference,
            point: point.transpose()?,
        })
    }

    /// The point for a batch of scores `[B, M]`, B at least 1, which it takes into account.
    pub fn of(&mut self, scores: Matrix<'_>) -> &[f64] {
        let largest = |m: usize| scores.column(m).map(f64::from).fold(f64::NEG_INFINITY, f64::max);
        let of_batch: Vec<f64> = (0..scores.columns()).map(largest).collect();
        let point = match (self.reference, self.point.take()) {
            (Reference::Fixed, Some(point)) => point,
            (Reference::RunningMax, Some(so_far)) => so_far.iter().zip(&of_batch).map(|(a, b)| a.max(*b)).collect(),
            _ => of_batch,
        };
        self.point.insert(point)
    }

    /// The point of the last batch; empty before the first, but for "fixed".
    pub fn get(&self) -> &[f64] {
        self.point.as_deref().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::{Reference, ReferenceParams, ReferencePoint};
    use crate::views::Matrix;

    #[test]
    fn the_three_references() -> crate::Result<()> {
        for (reference, point, after) in [
            (Reference::RunningMax, None, [2.0, 5.0]),
            (Reference::BatchMax, None, [1.0, 5.0]),
            (Reference::Fixed, Some(vec![7.0]), [7.0, 7.0]),
        ] {
            let params = ReferenceParams {
                reference,
                reference_point: point,
            };
            let mut found = ReferencePoint::new(params, 2)?;
            found.of(Matrix::new("scores", &[2.0, 3.0, 0.0, 1.0], 2, 2)?);
            assert_eq!(found.of(Matrix::new("scores", &[1.0, 5.0], 1, 2)?), after);
            assert_eq!(found.get(), after);
        }
        Ok(())
    }

    #[test]
    fn a_point_and_its_use_go_together() {
        let refused = |reference, reference_point| {
            let params = ReferenceParams {
                reference,
                reference_point,
            };
            ReferencePoint::new(params, 2).expect_err("refused").message
        };
        assert!(refused(Reference::Fixed, None).contains("reference_point is not given"));
        assert!(refused(Reference::BatchMax, Some(vec![1.0])).contains("reference is not"));
        assert!(refused(Reference::Fixed, Some(vec![1.0; 3])).contains("has 3 values"));
    }
}
