//! What can be wrong with an update.

use crate::error::Report;

/// Why an update was not made. No parameter has changed if a step fails with anything but `Tensor`.
#[derive(Debug, thiserror::Error)]
pub enum OptimizerError {
    /// The learning rate is negative or not finite.
    #[error("optimizer: the learning rate is {found}, expected a finite number, 0 or more")]
    LearningRate {
        /// What it is.
        found: f64,
    },
    /// The number of gradients is not the number of parameters.
    #[error("optimizer: {found} gradients for {expected} parameters")]
    Count {
        /// Gradients given.
        found: usize,
        /// Parameters held.
        expected: usize,
    },
    /// A trainable parameter got no gradient.
    #[error("optimizer: parameter {name} has no gradient")]
    MissingGradient {
        /// The parameter.
        name: String,
    },
    /// A gradient holds NaN or an infinity.
    #[error("optimizer: the gradient of {name} is {value} at element {element}, expected a finite number")]
    NotFinite {
        /// The parameter.
        name: String,
        /// Flat index of the first such element.
        element: usize,
        /// What it is.
        value: f32,
    },
    /// A gradient or saved tensor does not have its parameter's shape.
    #[error("optimizer: {what} of {name} has shape {found:?}, expected {expected:?}")]
    Shape {
        /// "the gradient" or the kind of saved tensor.
        what: &'static str,
        /// The parameter.
        name: String,
        /// Its shape.
        found: Vec<usize>,
        /// The parameter's shape.
        expected: Vec<usize>,
    },
    /// Saved state lacks a tensor or has an unknown one.
    #[error("optimizer: saved state {problem} {name}")]
    State {
        /// "lacks" or "has an unknown tensor".
        problem: &'static str,
        /// The tensor.
        name: String,
    },
    /// A tensor operation failed.
    #[error("optimizer: {name}: {source}")]
    Tensor {
        /// The parameter.
        name: String,
        /// candle's error.
        source: candle_core::Error,
    },
}

impl Report for OptimizerError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::NotFinite { .. } => Some("try a smaller optimizer.lr or optimizer.clip_norm".into()),
            Self::State { .. } => {
                Some("the checkpoint belongs to another model or another set of trained parameters".into())
            }
            Self::LearningRate { .. }
            | Self::Count { .. }
            | Self::MissingGradient { .. }
            | Self::Shape { .. }
            | Self::Tensor { .. } => None,
        }
    }
}
