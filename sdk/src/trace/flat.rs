//! From the rows of an event, as a trace has them, to the flat arrays that the hooks get, and back.

use super::{BatchEvent, GradientsEvent, UpdateEvent};
use crate::views::{BatchInput, GradientsInput, UpdateInput};
use crate::{Error, Result};

/// Flat copies of the rows of an event, from which the hooks' inputs borrow.
#[derive(Debug, Clone, Default)]
pub struct Flat {
    scores: Vec<f32>,
    objective_advantages: Option<Vec<f32>>,
    old_logprobs: Option<Vec<f32>>,
    other_logprobs: Option<Vec<f32>>,
    offsets: Vec<usize>,
    gram: Vec<f64>,
}

impl Flat {
    /// Of `scalarize`. Error: rows of different lengths.
    pub fn batch(event: &BatchEvent) -> Result<Self> {
        let matrix = |what: &str, rows: &[Vec<f32>]| flat_matrix(what, rows);
        let mut flat = Self {
            scores: matrix("scores", &event.scores)?,
            objective_advantages: event
                .objective_advantages
                .as_ref()
                .map(|rows| matrix("objective_advantages", rows))
                .transpose()?,
            ..Self::default()
        };
        for (what, rows, place) in [
            ("old_logprobs", &event.old_logprobs, &mut flat.old_logprobs),
            ("ref_logprobs", &event.ref_logprobs, &mut flat.other_logprobs),
        ] {
            if let Some(rows) = rows {
                *place = Some(flat_ragged(what, rows, &mut flat.offsets)?);
            }
        }
        Ok(flat)
    }

    /// Of `after_update`. Error: rows of different lengths.
    pub fn update(event: &UpdateEvent) -> Result<Self> {
        let mut flat = Self {
            scores: flat_matrix("scores", &event.scores)?,
            ..Self::default()
        };
        flat.old_logprobs = Some(flat_ragged("old_logprobs", &event.old_logprobs, &mut flat.offsets)?);
        flat.other_logprobs = Some(flat_ragged("new_logprobs", &event.new_logprobs, &mut flat.offsets)?);
        Ok(flat)
    }

    /// Of `observe_gradients` and `weigh_gradients`. Error: rows of different lengths.
    pub fn gradients(event: &GradientsEvent) -> Result<Self> {
        Ok(Self {
            gram: flat_matrix("gram", &event.gram)?,
            ..Self::default()
        })
    }

    /// The input of `scalarize`.
    pub fn batch_input<'a>(&'a self, event: &'a BatchEvent, m: usize) -> BatchInput<'a> {
        BatchInput {
            step: event.step,
            m,
            scores: &self.scores,
            groups: &event.groups,
            lengths: &event.lengths,
            objective_advantages: self.objective_advantages.as_deref(),
            old_logprobs: self.old_logprobs.as_deref(),
            ref_logprobs: self.other_logprobs.as_deref(),
            offsets: &self.offsets,
        }
    }

    /// The input of `after_update`.
    pub fn update_input<'a>(&'a self, event: &'a UpdateEvent, m: usize) -> UpdateInput<'a> {
        UpdateInput {
            step: event.step,
            m,
            groups: &event.groups,
            scores: &self.scores,
            advantages: &event.advantages,
            old_logprobs: self.old_logprobs.as_deref().unwrap_or_default(),
            new_logprobs: self.other_logprobs.as_deref().unwrap_or_default(),
            offsets: &self.offsets,
            clip_low: event.clip_low,
            clip_high: event.clip_high,
        }
    }

    /// The input of `observe_gradients` and `weigh_gradients`.
    pub fn gradients_input<'a>(&'a self, event: &'a GradientsEvent) -> GradientsInput<'a> {
        GradientsInput {
            step: event.step,
            minibatch: event.minibatch,
            lr: event.lr,
            gram: &self.gram,
            losses: &event.losses,
        }
    }
}

/// Rows of equal length one after the other.
fn flat_matrix<T: Copy>(what: &str, rows: &[Vec<T>]) -> Result<Vec<T>> {
    if let Some(first) = rows.first() {
        for (index, row) in rows.iter().enumerate() {
            if row.len() != first.len() {
                return Err(Error::new(format!(
                    "row {index} of {what} has {} values, expected {}",
                    row.len(),
                    first.len()
                )));
            }
        }
    }
    Ok(rows.concat())
}

/// Rows of any length one after the other; sets `offsets`, or checks that they are the same.
fn flat_ragged(what: &str, rows: &[Vec<f32>], offsets: &mut Vec<usize>) -> Result<Vec<f32>> {
    let mut own = vec![0];
    let mut end = 0;
    for row in rows {
        end += row.len();
        own.push(end);
    }
    if offsets.is_empty() {
        *offsets = own;
    } else if *offsets != own {
        return Err(Error::new(format!(
            "{what} has rows of other lengths than old_logprobs"
        )));
    }
    Ok(rows.concat())
}

/// B rows of a flat `[B, M]`, for writing.
pub fn rows_of<T: Copy>(flat: &[T], columns: usize) -> Vec<Vec<T>> {
    flat.chunks(columns.max(1)).map(<[T]>::to_vec).collect()
}

/// B rows of a packed `[N]`, for writing.
pub fn ragged_rows_of(values: &[f32], offsets: &[usize]) -> Vec<Vec<f32>> {
    offsets
        .windows(2)
        .map(|pair| values.get(pair[0]..pair[1]).unwrap_or_default().to_vec())
        .collect()
}
