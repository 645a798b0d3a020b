//! What `after_update` gets: the completions with log-probabilities before and after the update.

use super::{Completions, Matrix, Ragged, check_len, completions_accessors};
use crate::Result;

/// What `after_update` gets, as plain data.
#[derive(Debug, Clone, Copy, Default)]
pub struct UpdateInput<'a> {
    /// Training step, from 1.
    pub step: u64,
    /// Number of objectives M.
    pub m: usize,
    /// `[B]`.
    pub groups: &'a [u32],
    /// `[B, M]` row-major.
    pub scores: &'a [f32],
    /// `[B]`.
    pub advantages: &'a [f32],
    /// `[N]` log-probabilities of the policy that sampled.
    pub old_logprobs: &'a [f32],
    /// `[N]` log-probabilities after the update.
    pub new_logprobs: &'a [f32],
    /// `[B+1]` where each response starts in `[N]`.
    pub offsets: &'a [usize],
    /// ε below 1 of the clipped ratio.
    pub clip_low: f64,
    /// ε above 1 of the clipped ratio.
    pub clip_high: f64,
}

/// A step after its optimizer update.
#[derive(Debug, Clone, Copy)]
pub struct Update<'a> {
    input: UpdateInput<'a>,
    completions: Completions<'a>,
    old_logprobs: Ragged<'a>,
    new_logprobs: Ragged<'a>,
}

impl<'a> Update<'a> {
    /// The view of `input`.
    ///
    /// # Errors
    /// An array has another length than the groups and M say; the error names it.
    pub fn new(input: UpdateInput<'a>) -> Result<Self> {
        let b = input.groups.len();
        check_len("advantages", input.advantages.len(), b)?;
        check_len("offsets", input.offsets.len(), b + 1)?;
        Ok(Self {
            input,
            completions: Completions::new(input.step, input.m, input.scores, input.groups)?,
            old_logprobs: Ragged::new("old_logprobs", input.old_logprobs, input.offsets)?,
            new_logprobs: Ragged::new("new_logprobs", input.new_logprobs, input.offsets)?,
        })
    }

    completions_accessors!();

    /// `[B]` advantages that the update used; means over the tokens where they were token-level.
    pub fn advantages(&self) -> &'a [f32] {
        self.input.advantages
    }

    /// `[N]` log-probabilities of the policy that sampled.
    pub fn old_logprobs(&self) -> Ragged<'a> {
        self.old_logprobs
    }

    /// `[N]` log-probabilities after the update.
    pub fn new_logprobs(&self) -> Ragged<'a> {
        self.new_logprobs
    }

    /// ε below 1 of the clipped ratio.
    pub fn clip_low(&self) -> f64 {
        self.input.clip_low
    }

    /// ε above 1 of the clipped ratio.
    pub fn clip_high(&self) -> f64 {
        self.input.clip_high
    }
}
