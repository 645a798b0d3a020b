//! What `observe_gradients` and `weigh_gradients` get: the Gramian and the losses.

use super::Matrix64;
use crate::{Error, Result};

/// What `observe_gradients` and `weigh_gradients` get, as plain data.
#[derive(Debug, Clone, Copy, Default)]
pub struct GradientsInput<'a> {
    /// Training step, from 1.
    pub step: u64,
    /// Which mini-batch of the step; `None` for the whole batch.
    pub minibatch: Option<u32>,
    /// Learning rate of this update.
    pub lr: f64,
    /// `[M, M]` row-major.
    pub gram: &'a [f64],
    /// `[M]`.
    pub losses: &'a [f64],
}

/// The objectives' gradients, as far as a scalarizer sees them: their Gramian and their losses.
#[derive(Debug, Clone, Copy)]
pub struct Gradients<'a> {
    input: GradientsInput<'a>,
    gram: Matrix64<'a>,
}

impl<'a> Gradients<'a> {
    /// The view of `input`.
    ///
    /// # Errors
    /// `gram` is not `[M, M]` for losses `[M]`, or a number is not finite.
    pub fn new(input: GradientsInput<'a>) -> Result<Self> {
        let m = input.losses.len();
        for (what, numbers) in [("gram", input.gram), ("losses", input.losses)] {
            if let Some((at, bad)) = numbers.iter().enumerate().find(|(_, x)| !x.is_finite()) {
                return Err(Error::new(format!("{what}[{at}] is {bad}, expected a finite number")));
            }
        }
        Ok(Self {
            input,
            gram: Matrix64::new("gram", input.gram, m, m)?,
        })
    }

    /// Training step, from 1.
    pub fn step(&self) -> u64 {
        self.input.step
    }

    /// Which mini-batch of the step, from 0; `None` in `observe_gradients`, which sees the whole batch.
    pub fn minibatch(&self) -> Option<u32> {
        self.input.minibatch
    }

    /// Learning rate of this update.
    pub fn lr(&self) -> f64 {
        self.input.lr
    }

    /// Number of objectives M.
    pub fn m(&self) -> usize {
        self.input.losses.len()
    }

    /// `[M, M]`: inner products of the objectives' gradients, J Jᵀ.
    pub fn gram(&self) -> Matrix64<'a> {
        self.gram
    }

    /// `[M]`: the gradients' norms, √G_mm.
    pub fn norms(&self) -> Vec<f64> {
        (0..self.m()).map(|m| self.gram.get(m, m).max(0.0).sqrt()).collect()
    }

    /// `[M]` losses, to be minimised.
    pub fn losses(&self) -> &'a [f64] {
        self.input.losses
    }
}
