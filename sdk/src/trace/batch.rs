//! The event of `scalarize`, from and to the arrays that the hook gets.

use serde::{Deserialize, Serialize};

use super::compare::Expect;
use super::flat::{Flat, flat_matrix, flat_ragged, ragged_rows_of, rows_of};
use crate::Result;
use crate::views::BatchInput;

/// Inputs of `scalarize`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BatchEvent {
    /// Training step.
    pub step: u64,
    /// `[B]`.
    pub groups: Vec<u32>,
    /// `[B]`.
    pub lengths: Vec<u32>,
    /// `[B, M]`.
    pub scores: Vec<Vec<f32>>,
    /// `[B, M]`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub objective_advantages: Option<Vec<Vec<f32>>>,
    /// `[N]` as B rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub old_logprobs: Option<Vec<Vec<f32>>>,
    /// `[N]` as B rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ref_logprobs: Option<Vec<Vec<f32>>>,
    /// What is expected, if anything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expect: Option<Expect>,
}

impl BatchEvent {
    /// The event of a call.
    pub fn of(input: &BatchInput<'_>, expect: Option<Expect>) -> Self {
        let matrix = |values: Option<&[f32]>| values.map(|values| rows_of(values, input.m));
        let ragged = |values: Option<&[f32]>| values.map(|values| ragged_rows_of(values, input.offsets));
        Self {
            step: input.step,
            groups: input.groups.to_vec(),
            lengths: input.lengths.to_vec(),
            scores: rows_of(input.scores, input.m),
            objective_advantages: matrix(input.objective_advantages),
            old_logprobs: ragged(input.old_logprobs),
            ref_logprobs: ragged(input.ref_logprobs),
            expect,
        }
    }
}

impl Flat {
    /// Of `scalarize`.
    ///
    /// # Errors
    /// Rows of different lengths.
    pub fn batch(event: &BatchEvent) -> Result<Self> {
        let mut flat = Self::default();
        flat.scores = flat_matrix("scores", &event.scores)?;
        if let Some(rows) = &event.objective_advantages {
            let name = "objective_advantages";
            flat.columns.push((name, flat_matrix(name, rows)?));
        }
        for (name, rows) in [
            ("old_logprobs", &event.old_logprobs),
            ("ref_logprobs", &event.ref_logprobs),
        ] {
            if let Some(rows) = rows {
                flat.columns.push((name, flat_ragged(name, rows, &mut flat.offsets)?));
            }
        }
        Ok(flat)
    }

    /// The input of `scalarize`.
    pub fn batch_input<'a>(&'a self, event: &'a BatchEvent, m: usize) -> BatchInput<'a> {
        let mut input = BatchInput {
            step: event.step,
            m,
            scores: &self.scores,
            groups: &event.groups,
            lengths: &event.lengths,
            offsets: &self.offsets,
            ..BatchInput::default()
        };
        for (name, values) in &self.columns {
            input.set_column(name, values);
        }
        input
    }
}
