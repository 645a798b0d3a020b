//! What `scalarize` gets: the scored completions of a step.

use super::{Completions, Matrix, Ragged, check_len, completions_accessors};
use crate::{Error, Needs, Result};

/// What `scalarize` gets, as plain data.
#[derive(Debug, Clone, Copy, Default)]
pub struct BatchInput<'a> {
    /// Training step, from 1.
    pub step: u64,
    /// Number of objectives M.
    pub m: usize,
    /// `[B, M]` row-major.
    pub scores: &'a [f32],
    /// `[B]`: completions of one prompt share a number.
    pub groups: &'a [u32],
    /// `[B]` response lengths in tokens.
    pub lengths: &'a [u32],
    /// `[B, M]`: the estimator's advantage of each objective by itself.
    pub objective_advantages: Option<&'a [f32]>,
    /// `[N]` log-probabilities of the policy that sampled.
    pub old_logprobs: Option<&'a [f32]>,
    /// `[N]` log-probabilities of the reference policy.
    pub ref_logprobs: Option<&'a [f32]>,
    /// `[B+1]` where each response starts in `[N]`; may be empty where no `[N]` is given.
    pub offsets: &'a [usize],
}

impl<'a> BatchInput<'a> {
    /// The optional arrays that are there, by name: how they cross the boundary, so that one more of them is no other
    /// interface.
    pub fn columns(&self) -> Vec<(&'static str, &'a [f32])> {
        let all = [
            ("objective_advantages", self.objective_advantages),
            ("old_logprobs", self.old_logprobs),
            ("ref_logprobs", self.ref_logprobs),
        ];
        let there = all.into_iter().filter_map(|(name, values)| Some((name, values?)));
        there.collect()
    }

    /// Sets an optional array by name. A name that this version does not know is passed over: its plugins cannot ask
    /// for it.
    pub fn set_column(&mut self, name: &str, values: &'a [f32]) {
        match name {
            "objective_advantages" => self.objective_advantages = Some(values),
            "old_logprobs" => self.old_logprobs = Some(values),
            "ref_logprobs" => self.ref_logprobs = Some(values),
            _ => {}
        }
    }
}

/// The scored completions of a step.
#[derive(Debug, Clone, Copy)]
pub struct Batch<'a> {
    completions: Completions<'a>,
    lengths: &'a [u32],
    objective_advantages: Option<Matrix<'a>>,
    old_logprobs: Option<Ragged<'a>>,
    ref_logprobs: Option<Ragged<'a>>,
    needs: Needs,
}

impl<'a> Batch<'a> {
    /// The view of `input`; its accessors return the optional arrays that `needs` names.
    ///
    /// # Errors
    /// An array has another length than the groups and M say; the error names it.
    pub fn new(input: BatchInput<'a>, needs: Needs) -> Result<Self> {
        let b = input.groups.len();
        check_len("lengths", input.lengths.len(), b)?;
        let ragged = |what: &str, values: Option<&'a [f32]>| {
            values
                .map(|values| {
                    check_len("offsets", input.offsets.len(), b + 1)?;
                    Ragged::new(what, values, input.offsets)
                })
                .transpose()
        };
        Ok(Self {
            completions: Completions::new(input.step, input.m, input.scores, input.groups)?,
            lengths: input.lengths,
            objective_advantages: input
                .objective_advantages
                .map(|values| Matrix::new("objective_advantages", values, b, input.m))
                .transpose()?,
            old_logprobs: ragged("old_logprobs", input.old_logprobs)?,
            ref_logprobs: ragged("ref_logprobs", input.ref_logprobs)?,
            needs,
        })
    }

    completions_accessors!();

    /// `[B]` response lengths in tokens.
    pub fn lengths(&self) -> &'a [u32] {
        self.lengths
    }

    /// `[B, M]`: the estimator's advantage of each objective by itself.
    ///
    /// # Errors
    /// `NEEDS` does not ask for it, or the trace does not have it.
    pub fn objective_advantages(&self) -> Result<Matrix<'a>> {
        given(
            self.objective_advantages,
            self.needs.has(Needs::OBJECTIVE_ADVANTAGES),
            "objective_advantages",
        )
    }

    /// `[N]` log-probabilities of the policy that sampled.
    ///
    /// # Errors
    /// `NEEDS` does not ask for it, or the trace does not have it.
    pub fn old_logprobs(&self) -> Result<Ragged<'a>> {
        given(self.old_logprobs, self.needs.has(Needs::OLD_LOGPROBS), "old_logprobs")
    }

    /// `[N]` log-probabilities of the reference policy.
    ///
    /// # Errors
    /// `NEEDS` does not ask for it, or the trace does not have it.
    pub fn ref_logprobs(&self) -> Result<Ragged<'a>> {
        given(self.ref_logprobs, self.needs.has(Needs::REF_LOGPROBS), "ref_logprobs")
    }
}

/// An optional array: an error where the plugin did not ask for it, or the host did not give it.
fn given<T>(value: Option<T>, asked: bool, what: &str) -> Result<T> {
    if !asked {
        return Err(
            Error::new(format!("`{what}` was not asked for")).hint(format!("add .{what}() to the plugin's NEEDS"))
        );
    }
    value.ok_or_else(|| Error::new(format!("`{what}` is missing: the host or the trace does not give it")))
}
