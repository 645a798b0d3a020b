//! From the rows of an event, as a trace has them, to the flat arrays that the hooks get, and back.

use super::compare::Expect;
use super::events::{GradientsEvent, UpdateEvent};
use crate::views::{GradientsInput, UpdateInput};
use crate::{Error, Result};

/// Flat copies of the rows of an event, from which the hooks' inputs borrow.
#[derive(Debug, Clone, Default)]
pub struct Flat {
    pub(super) scores: Vec<f32>,
    /// The optional arrays of a batch, by name.
    pub(super) columns: Vec<(&'static str, Vec<f32>)>,
    old_logprobs: Vec<f32>,
    new_logprobs: Vec<f32>,
    pub(super) offsets: Vec<usize>,
    gram: Vec<f64>,
}

impl Flat {
    /// Of `after_update`. Error: rows of different lengths.
    pub fn update(event: &UpdateEvent) -> Result<Self> {
        let mut flat = Self {
            scores: flat_matrix("scores", &event.scores)?,
            ..Self::default()
        };
        flat.old_logprobs = flat_ragged("old_logprobs", &event.old_logprobs, &mut flat.offsets)?;
        flat.new_logprobs = flat_ragged("new_logprobs", &event.new_logprobs, &mut flat.offsets)?;
        Ok(flat)
    }

    /// Of `observe_gradients` and `weigh_gradients`. Error: rows of different lengths.
    pub fn gradients(event: &GradientsEvent) -> Result<Self> {
        Ok(Self {
            gram: flat_matrix("gram", &event.gram)?,
            ..Self::default()
        })
    }

    /// The input of `after_update`.
    pub fn update_input<'a>(&'a self, event: &'a UpdateEvent, m: usize) -> UpdateInput<'a> {
        UpdateInput {
            step: event.step,
            m,
            groups: &event.groups,
            scores: &self.scores,
            advantages: &event.advantages,
            old_logprobs: &self.old_logprobs,
            new_logprobs: &self.new_logprobs,
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

impl GradientsEvent {
    /// The event of a call.
    pub fn of(input: &GradientsInput<'_>, expect: Option<Expect>) -> Self {
        Self {
            step: input.step,
            minibatch: input.minibatch,
            lr: input.lr,
            gram: rows_of(input.gram, input.losses.len()),
            losses: input.losses.to_vec(),
            expect,
        }
    }
}

impl UpdateEvent {
    /// The event of a call.
    pub fn of(input: &UpdateInput<'_>, expect: Option<Expect>) -> Self {
        Self {
            step: input.step,
            groups: input.groups.to_vec(),
            scores: rows_of(input.scores, input.m),
            advantages: input.advantages.to_vec(),
            old_logprobs: ragged_rows_of(input.old_logprobs, input.offsets),
            new_logprobs: ragged_rows_of(input.new_logprobs, input.offsets),
            clip_low: input.clip_low,
            clip_high: input.clip_high,
            expect,
        }
    }
}

/// Rows of equal length one after the other.
pub(super) fn flat_matrix<T: Copy>(what: &str, rows: &[Vec<T>]) -> Result<Vec<T>> {
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
pub(super) fn flat_ragged(what: &str, rows: &[Vec<f32>], offsets: &mut Vec<usize>) -> Result<Vec<f32>> {
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
pub(super) fn rows_of<T: Copy>(flat: &[T], columns: usize) -> Vec<Vec<T>> {
    flat.chunks(columns.max(1)).map(<[T]>::to_vec).collect()
}

/// B rows of a packed `[N]`, for writing.
pub(super) fn ragged_rows_of(values: &[f32], offsets: &[usize]) -> Vec<Vec<f32>> {
    offsets
        .windows(2)
        .map(|pair| values.get(pair[0]..pair[1]).unwrap_or_default().to_vec())
        .collect()
}
