//! GDPO: each objective is normalized by itself before objectives are mixed, so that none drowns
//! (arXiv 2601.05242; numbers as TRL's `normalize_then_sum`).

use super::error::{AdvantageError, finite, same_length};
use super::groups::{Group, centred, rows_by_group, sample_std};
use crate::num::to_f32;

/// Added to both standard deviations against division by 0.
const EPSILON: f64 = 1e-4;

/// Advantages `[B]` from scores `[B, M]` (row-major), weights `[M]` and group numbers `[B]`:
/// z-score of each objective within its group, weighted sum over objectives, z-score over the batch.
///
/// # Errors
/// [`AdvantageError`] if the arrays do not fit together or a number is not finite.
pub fn estimate_gdpo(scores: &[f32], weights: &[f32], groups: &[u32]) -> Result<Vec<f32>, AdvantageError> {
    let (rows, objectives) = (groups.len(), weights.len());
    same_length("scores", scores.len(), rows * objectives)?;
    finite("scores", scores)?;
    finite("weights", weights)?;
    let by_group = rows_by_group(groups);
    let mut mixed = vec![0.0; rows]; // [B]
    for (m, &weight) in weights.iter().enumerate() {
        let column: Vec<f64> = scores
            .iter()
            .skip(m)
            .step_by(objectives)
            .map(|&s| f64::from(s))
            .collect();
        for group in &by_group {
            for (&row, z) in group.rows.iter().zip(z_score(&column, group)) {
                mixed[row] += f64::from(weight) * z;
            }
        }
    }
    let batch = Group {
        id: 0,
        rows: (0..rows).collect(),
    };
    Ok(z_score(&mixed, &batch).into_iter().map(to_f32).collect())
}

/// `(v − mean) / (std + ε)` over the group's rows; 0 for a group of one.
fn z_score(values: &[f64], group: &Group) -> Vec<f64> {
    let std = sample_std(values, &group.rows);
    centred(values, &group.rows)
        .into_iter()
        .map(|v| v / (std + EPSILON))
        .collect()
}
