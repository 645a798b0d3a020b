//! What can be wrong with an update.

use crate::error::Report;

/// Why an update was not made. No parameter has changed then.
#[derive(Debug, thiserror::Error)]
pub enum OptimizerError {
    /// The learning rate is negative or not finite.
    #[error("optimizer: the learning rate is {found}, expected a finite number, 0 or more")]
    LearningRate {
        /// What it is.
        found: f64,
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
    /// Buffers of other parameters.
    #[error("optimizer: names and shapes of the {what} are not those of the trained parameters")]
    Layout {
        /// "gradients", "parameters" or "moments".
        what: &'static str,
    },
}

impl Report for OptimizerError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::NotFinite { .. } => Some("try a smaller optimizer.lr or optimizer.clip_norm".into()),
            Self::Layout { .. } => {
                Some("the checkpoint belongs to another model or another set of trained parameters".into())
            }
            Self::LearningRate { .. } => None,
        }
    }
}
