//! AdamW with decoupled weight decay (arXiv 1711.05101), moments in f32, over named parameters.
//!
//! ```text
//! g ← g · min(1, clip_norm / (‖g‖ + 1e-6))                        ‖g‖ over all parameters
//! p ← p (1 − lr λ)                                                tensors of two or more dimensions only
//! m ← m + (1 − β1)(g − m);   v ← β2 v + (1 − β2) g²
//! p ← p − lr / (1 − β1^u) · m / (√v / √(1 − β2^u) + ε)            u counts updates from 1
//! ```
//! The arithmetic is PyTorch's. f32 parameters on the CPU are updated in place, in parallel over
//! chunks of fixed size: the result does not depend on the number of threads. Parameters of any other
//! type or device keep an f32 master copy here, are updated there and copied back.

mod arithmetic;
mod error;

use std::cell::RefCell;

use candle_core::{DType, Device, Tensor, Var};
use serde::{Deserialize, Serialize};

use crate::advantage::to_f32;
use crate::config::Optimizer;
use arithmetic::{InPlace, Update, cpu_slice, on_cpu, sum_of_squares, to_f32_vec};
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

/// What a checkpoint keeps of an optimizer. Tensors are f32 on the CPU, named
/// `moment1.<parameter>`, `moment2.<parameter>` and, where a master copy exists,
/// `master.<parameter>`.
#[derive(Debug, Clone)]
pub struct OptimizerState {
    /// Updates made.
    pub step: u64,
    /// Named tensors, in the order of the parameters.
    pub tensors: Vec<(String, Tensor)>,
}

/// One parameter with its moments.
struct Slot {
    name: String,
    param: Var,
    moment1: Vec<f32>,
    moment2: Vec<f32>,
    /// f32 copy of a parameter that is not f32 on the CPU.
    master: Option<Vec<f32>>,
}

/// The optimizer. It holds the parameters' handles (a [`Var`] shares its storage with the model's).
pub struct AdamW {
    settings: AdamWSettings,
    slots: Vec<Slot>,
    step: u64,
}

impl AdamW {
    /// An optimizer with zero moments over `params`, in the order that gradients will have.
    ///
    /// # Errors
    /// [`OptimizerError::Tensor`] if a parameter cannot be read.
    pub fn new(settings: AdamWSettings, params: Vec<(String, Var)>) -> Result<Self, OptimizerError> {
        let slots = params
            .into_iter()
            .map(|(name, param)| Slot::new(name, param))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            settings,
            slots,
            step: 0,
        })
    }

    /// Updates made so far.
    #[must_use]
    pub fn steps(&self) -> u64 {
        self.step
    }

    /// Names of the parameters, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.slots.iter().map(|slot| slot.name.as_str())
    }

    /// One update with learning rate `lr`; one gradient for each parameter, in order, any float type.
    ///
    /// # Errors
    /// [`OptimizerError`] naming the parameter if a gradient is missing, has another shape or is not
    /// finite; nothing has changed then.
    pub fn step(&mut self, gradients: &[Option<Tensor>], lr: f64) -> Result<StepReport, OptimizerError> {
        if !(lr >= 0.0 && lr.is_finite()) {
            return Err(OptimizerError::LearningRate { found: lr });
        }
        if gradients.len() != self.slots.len() {
            return Err(OptimizerError::Count {
                found: gradients.len(),
                expected: self.slots.len(),
            });
        }
        let gradients: Vec<Tensor> = self
            .slots
            .iter()
            .zip(gradients)
            .map(|(slot, gradient)| slot.readable(gradient.as_ref()))
            .collect::<Result<_, _>>()?;
        let mut squares = 0.0;
        for (slot, gradient) in self.slots.iter().zip(&gradients) {
            squares += slot.sum_of_squares(gradient)?;
        }
        let gradient_norm = squares.sqrt();
        let scale = self
            .settings
            .clip_norm
            .map_or(1.0, |clip| (clip / (gradient_norm + CLIP_EPSILON)).min(1.0));
        self.step += 1;
        let update = self.update(lr, scale);
        for (slot, gradient) in self.slots.iter_mut().zip(&gradients) {
            slot.apply(&update, gradient)?;
        }
        Ok(StepReport {
            gradient_norm,
            clipped: scale < 1.0,
        })
    }

    /// The numbers of update `self.step`.
    fn update(&self, lr: f64, scale: f64) -> Update {
        let (beta1, beta2) = self.settings.betas;
        let correction = |beta: f64| 1.0 - beta.powf(self.step as f64);
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

    /// What a checkpoint keeps.
    ///
    /// # Errors
    /// [`OptimizerError::Tensor`] if memory for the copies cannot be had.
    pub fn state(&self) -> Result<OptimizerState, OptimizerError> {
        let mut tensors = Vec::with_capacity(2 * self.slots.len());
        for slot in &self.slots {
            let mut keep = |kind: &str, values: &[f32]| {
                let tensor =
                    Tensor::from_slice(values, slot.param.shape(), &Device::Cpu).map_err(slot.tensor_error())?;
                tensors.push((format!("{kind}.{}", slot.name), tensor));
                Ok(())
            };
            keep("moment1", &slot.moment1)?;
            keep("moment2", &slot.moment2)?;
            if let Some(master) = &slot.master {
                keep("master", master)?;
            }
        }
        Ok(OptimizerState {
            step: self.step,
            tensors,
        })
    }

    /// Takes back what [`AdamW::state`] gave; tensors in any order. Parameters themselves are the
    /// model's to load, before this.
    ///
    /// # Errors
    /// [`OptimizerError`] if a tensor is missing, unknown or of another shape; nothing has changed then.
    pub fn load_state(&mut self, state: OptimizerState) -> Result<(), OptimizerError> {
        let mut tensors: std::collections::BTreeMap<String, Tensor> = state.tensors.into_iter().collect();
        let mut loaded = Vec::with_capacity(self.slots.len());
        for slot in &self.slots {
            let mut take = |kind: &'static str| {
                let name = format!("{kind}.{}", slot.name);
                let Some(tensor) = tensors.remove(&name) else {
                    return Err(OptimizerError::State { problem: "lacks", name });
                };
                slot.check_shape(kind, &tensor)?;
                to_f32_vec(&tensor).map_err(slot.tensor_error())
            };
            let moments = (take("moment1")?, take("moment2")?);
            let master = if slot.master.is_some() {
                Some(take("master")?)
            } else {
                None
            };
            loaded.push((moments, master));
        }
        if let Some(name) = tensors.into_keys().next() {
            return Err(OptimizerError::State {
                problem: "has an unknown tensor",
                name,
            });
        }
        for (slot, ((moment1, moment2), master)) in self.slots.iter_mut().zip(loaded) {
            (slot.moment1, slot.moment2, slot.master) = (moment1, moment2, master);
        }
        self.step = state.step;
        Ok(())
    }
}

impl Slot {
    fn new(name: String, param: Var) -> Result<Self, OptimizerError> {
        let in_place = param.dtype() == DType::F32 && param.device().is_cpu() && param.is_contiguous();
        let mut slot = Self {
            name,
            param,
            moment1: Vec::new(),
            moment2: Vec::new(),
            master: None,
        };
        let elements = slot.param.elem_count();
        (slot.moment1, slot.moment2) = (vec![0.0; elements], vec![0.0; elements]);
        if !in_place {
            slot.master = Some(to_f32_vec(slot.param.as_tensor()).map_err(slot.tensor_error())?);
        }
        Ok(slot)
    }

    fn tensor_error(&self) -> impl Fn(candle_core::Error) -> OptimizerError + use<> {
        let name = self.name.clone();
        move |source| OptimizerError::Tensor {
            name: name.clone(),
            source,
        }
    }

    fn check_shape(&self, what: &'static str, tensor: &Tensor) -> Result<(), OptimizerError> {
        if tensor.dims() == self.param.dims() {
            return Ok(());
        }
        let (name, found, expected) = (self.name.clone(), tensor.dims().to_vec(), self.param.dims().to_vec());
        Err(OptimizerError::Shape {
            what,
            name,
            found,
            expected,
        })
    }

    /// The gradient as a contiguous f32 tensor on the CPU; no copy if it is one.
    fn readable(&self, gradient: Option<&Tensor>) -> Result<Tensor, OptimizerError> {
        let gradient = gradient.ok_or_else(|| OptimizerError::MissingGradient {
            name: self.name.clone(),
        })?;
        self.check_shape("the gradient", gradient)?;
        on_cpu(gradient).map_err(self.tensor_error())
    }

    /// Σ g², in f64, chunk by chunk in a fixed order.
    fn sum_of_squares(&self, gradient: &Tensor) -> Result<f64, OptimizerError> {
        let (storage, layout) = gradient.storage_and_layout();
        let values = cpu_slice(&storage, layout).map_err(self.tensor_error())?;
        let sum = sum_of_squares(values);
        // The square of the largest f32 is far from the largest f64: only NaN and infinities get here.
        if sum.is_finite() {
            return Ok(sum);
        }
        let element = values.iter().position(|g| !g.is_finite()).unwrap_or(0);
        Err(OptimizerError::NotFinite {
            name: self.name.clone(),
            element,
            value: values[element],
        })
    }

    fn apply(&mut self, update: &Update, gradient: &Tensor) -> Result<(), OptimizerError> {
        let update = Update {
            decay: if self.param.rank() >= 2 { update.decay } else { 1.0 },
            ..*update
        };
        let error = self.tensor_error();
        match &mut self.master {
            None => {
                let moments = RefCell::new((&mut self.moment1[..], &mut self.moment2[..]));
                self.param.inplace_op2(gradient, &InPlace { update, moments })
            }
            Some(master) => {
                let (storage, layout) = gradient.storage_and_layout();
                cpu_slice(&storage, layout).and_then(|gradient| {
                    update.run(master, gradient, &mut self.moment1, &mut self.moment2);
                    let updated = Tensor::from_slice(master, self.param.shape(), &Device::Cpu)?;
                    self.param
                        .set(&updated.to_dtype(self.param.dtype())?.to_device(self.param.device())?)
                })
            }
        }
        .map_err(error)
    }
}

#[cfg(test)]
mod tests;
