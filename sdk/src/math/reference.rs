//! The reference point z `[M]` that scalarizations of distances measure from: Bowman, "On the relationship of the
//! Tchebycheff norm and the efficient frontier of multiple-criteria objectives", LNEMS 130, 1976.

use serde::{Deserialize, Serialize};

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

/// Params of a method that measures distances, and the point `[M]` once there is one; flatten it into the method.
#[derive(Debug, Clone, Params, Serialize, Deserialize)]
pub struct ReferencePoint {
    /// the reference point: largest scores so far, largest scores of the batch, or `reference_point`.
    reference: Reference,
    /// score that each objective should reach, one for each or one for all; only with reference = "fixed".
    #[param(per_objective)]
    reference_point: Option<Vec<f64>>, // otherwise none before the first batch
}

impl ReferencePoint {
    /// Whether the params go together; for the method's `new`.
    ///
    /// # Errors
    /// A point without "fixed", or "fixed" without a point.
    pub fn check(&self) -> Result<()> {
        match (self.reference == Reference::Fixed, self.reference_point.is_some()) {
            (true, false) => Err(Error::new("reference is \"fixed\", but reference_point is not given")
                .hint("reference_point = [1.0] for scores of at most 1")),
            (false, true) => Err(Error::new("reference_point is given, but reference is not \"fixed\"")
                .hint("set reference = \"fixed\" or leave reference_point out")),
            _ => Ok(()),
        }
    }

    /// The point for a batch of scores `[B, M]`, B at least 1, which it takes into account.
    pub fn of(&mut self, scores: Matrix<'_>) -> &[f64] {
        let largest = |m: usize| scores.column(m).map(f64::from).fold(f64::NEG_INFINITY, f64::max);
        let of_batch: Vec<f64> = (0..scores.columns()).map(largest).collect();
        let point = match (self.reference, self.reference_point.take()) {
            (Reference::Fixed, Some(point)) => point,
            (Reference::RunningMax, Some(so_far)) => so_far.iter().zip(&of_batch).map(|(a, b)| a.max(*b)).collect(),
            _ => of_batch,
        };
        self.reference_point.insert(point)
    }

    /// The point of the last batch; empty before the first, but for "fixed".
    pub fn get(&self) -> &[f64] {
        self.reference_point.as_deref().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::ReferencePoint;
    use crate::views::Matrix;
    use crate::{Objective, Params, Result, Setup};

    fn made(params: &Value) -> Result<ReferencePoint> {
        let objectives = ["a", "b"].map(Objective::new).to_vec();
        let made = ReferencePoint::for_run(params, &Setup { objectives, seed: 0 })?;
        made.check()?;
        Ok(made)
    }

    #[test]
    fn the_three_references() -> Result<()> {
        for (params, after) in [
            (json!({}), [2.0, 5.0]),
            (json!({"reference": "batch-max"}), [1.0, 5.0]),
            (json!({"reference": "fixed", "reference_point": [7.0]}), [7.0, 7.0]),
        ] {
            let mut found = made(&params)?;
            found.of(Matrix::new("scores", &[2.0, 3.0, 0.0, 1.0], 2, 2)?);
            assert_eq!(found.of(Matrix::new("scores", &[1.0, 5.0], 1, 2)?), after);
            assert_eq!(found.get(), after);
        }
        Ok(())
    }

    #[test]
    fn a_point_and_its_use_go_together() {
        let refused = |params: Value| made(&params).expect_err("refused").message;
        assert!(refused(json!({"reference": "fixed"})).contains("reference_point is not given"));
        assert!(refused(json!({"reference_point": [1.0]})).contains("reference is not"));
        let long = json!({"reference": "fixed", "reference_point": [1.0, 2.0, 3.0]});
        assert!(refused(long).contains("has 3 values"));
    }
}
