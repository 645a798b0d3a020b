//! AdamW with decoupled weight decay (arXiv 1711.05101), moments in f32, over named parameters.
//!
//! ```text
//! g ← g · min(1, clip_norm / (‖g‖ + 1e-6))                        ‖g‖ over all parameters
//! p ← p (1 − lr λ)                                                tensors of two or more dimensions only
//! m ← m + (1 − β1)(g − m);   v ← β2 v + (1 − β2) g²
//! p ← p − lr / (1 − β1^u) · m / (√v / √(1 − β2^u) + ε)            u counts updates from 1
//! ```
//! The arithmetic is PyTorch's. Parameters are updated in place, in parallel over chunks of fixed size: the result does
//! not depend on the number of threads.

mod arithmetic;
mod error;

use serde::{Deserialize, Serialize};

use crate::config::Optimizer;
use crate::engine::{Arena, GradientSet};
use crate::num::to_f32;
use arithmetic::{Update, sum_of_squares};
pub use error::OptimizerError;

/// Added to the norm in the clip factor, as PyTorch's `clip_grad_norm_` does.
const CLIP_EPSILON: f64 = 1e-6;

/// Hyper-parameters. The learning rate comes with each update, and the config checks the ranges.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct AdamWSettings {
    /// β1 and β2, each at least 0 and below 1.
    pub betas: (f64, f64),
    /// ε, above 0.
    pub epsilon: f64,
    /// λ, at least 0.
    pub weight_decay: f64,
    /// Largest norm of the whole gradient, above 0; none disables clipping.
    pub clip_norm: Option<f64>,
}

impl Default for AdamWSettings {
    /// PyTorch's defaults, and the clip norm of the papers.
    fn default() -> Self {
        Self {
            betas: (0.9, 0.999),
            epsilon: 1e-8,
            weight_decay: 0.01,
            clip_norm: Some(1.0),
        }
    }
}

impl From<&Optimizer> for AdamWSettings {
    fn from(optimizer: &Optimizer) -> Self {
        Self {
            betas: (optimizer.betas[0], optimizer.betas[1]),
            epsilon: optimizer.eps,
            weight_decay: optimizer.weight_decay,
            clip_norm: (optimizer.clip_norm > 0.0).then_some(optimizer.clip_norm),
        }
    }
}

/// What a step did.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StepReport {
    /// Norm of the gradient over all parameters, before clipping.
    pub gradient_norm: f64,
    /// Whether it was clipped.
    pub clipped: bool,
}

/// What a checkpoint or an undo keeps of an optimizer. Buffers have the layout of the trained parameters.
#[derive(Debug, Clone)]
pub struct OptimizerState {
    /// Updates made.
    pub step: u64,
    /// First moments.
    pub moment1: Arena,
    /// Second moments.
    pub moment2: Arena,
}

/// The optimizer: settings, and the moments of the parameters that it trains.
pub struct AdamW {
    settings: AdamWSettings,
    state: OptimizerState,
}

impl AdamW {
    /// An optimizer with zero moments for parameters with the layout of `params`.
    #[must_use]
    pub fn new(settings: AdamWSettings, params: &Arena) -> Self {
        let zeros = || Arena::zeros(params.layout().clone());
        let state = OptimizerState {
            step: 0,
            moment1: zeros(),
            moment2: zeros(),
        };
        Self { settings, state }
    }

    /// Updates made so far.
    #[must_use]
    pub fn steps(&self) -> u64 {
        self.state.step
    }

    /// One update of `params` with learning rate `lr`.
    ///
    /// # Errors
    /// [`OptimizerError`]: the gradients are not of these parameters, or one is not finite, by the parameter's name;
    /// nothing has changed then.
    pub fn step(&mut self, params: &mut Arena, gradient: &GradientSet, lr: f64) -> Result<StepReport, OptimizerError> {
        if !(lr >= 0.0 && lr.is_finite()) {
            return Err(OptimizerError::LearningRate { found: lr });
        }
        let layout = self.state.moment1.layout().clone();
        for (what, other) in [("parameters", params.layout()), ("gradients", gradient.layout())] {
            if *other != layout {
                return Err(OptimizerError::Layout { what });
            }
        }
        let mut squares = 0.0;
        for (slot, values) in gradient.iter() {
            let sum = sum_of_squares(values);
            // The square of the largest f32 is far from the largest f64: only NaN and infinities are refused.
            if !sum.is_finite() {
                let element = values.iter().position(|g| !g.is_finite()).unwrap_or(0);
                return Err(OptimizerError::NotFinite {
                    name: slot.name.clone(),
                    element,
                    value: values[element],
                });
            }
            squares += sum;
        }
        let gradient_norm = squares.sqrt();
        let scale = self
            .settings
            .clip_norm
            .map_or(1.0, |clip| (clip / (gradient_norm + CLIP_EPSILON)).min(1.0));
        self.state.step += 1;
        let update = self.update(lr, scale);
        let (params, OptimizerState { moment1, moment2, .. }) = (params.values_mut(), &mut self.state);
        let (moment1, moment2) = (moment1.values_mut(), moment2.values_mut());
        for (slot, gradient) in gradient.iter() {
            let update = Update {
                decay: if slot.shape.len() >= 2 { update.decay } else { 1.0 },
                ..update
            };
            let at = || slot.range.clone();
            update.run(&mut params[at()], gradient, &mut moment1[at()], &mut moment2[at()]);
        }
        Ok(StepReport {
            gradient_norm,
            clipped: scale < 1.0,
        })
    }

    /// The numbers of the update that is being made.
    fn update(&self, lr: f64, scale: f64) -> Update {
        let (beta1, beta2) = self.settings.betas;
        let correction = |beta: f64| 1.0 - beta.powf(self.state.step as f64);
        Update {
            scale: to_f32(scale),
            decay: to_f32(1.0 - lr * self.settings.weight_decay),
            one_minus_beta1: to_f32(1.0 - beta1),
            beta2: to_f32(beta2),
            one_minus_beta2: to_f32(1.0 - beta2),
            step_size: to_f32(lr / correction(beta1)),
            root_correction2: to_f32(correction(beta2).sqrt()),
            epsilon: to_f32(self.settings.epsilon),
        }
    }

    /// Updates and moments as they are now.
    #[must_use]
    pub fn state(&self) -> &OptimizerState {
        &self.state
    }

    /// Takes back what [`AdamW::state`] gave. Parameters themselves are the model's to load.
    ///
    /// # Errors
    /// [`OptimizerError::Layout`]: the moments are of other parameters; nothing has changed then.
    pub fn load_state(&mut self, state: OptimizerState) -> Result<(), OptimizerError> {
        let layout = self.state.moment1.layout();
        if state.moment1.layout() != layout || state.moment2.layout() != layout {
            return Err(OptimizerError::Layout { what: "moments" });
        }
        self.state = state;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
