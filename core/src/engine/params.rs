//! The parameters of a model.

use std::sync::Arc;

use super::{Arena, EngineError, Layout};

/// The parameters of a model, and which of them are trained.
#[derive(Debug, Clone)]
pub struct Params {
    model: Arena,
}

impl Params {
    /// Parameters that are all trained, with names, shapes and order of `layout`.
    ///
    /// # Errors
    /// `values` do not fill the layout.
    pub fn new(layout: Layout, values: Vec<f32>) -> Result<Self, EngineError> {
        let model = Arena::new(Arc::new(layout), values)?;
        Ok(Self { model })
    }

    /// Every parameter of the model: what its files hold.
    #[must_use]
    pub fn all(&self) -> &Arena {
        &self.model
    }

    /// The parameters that are trained: those of optimizer, undo, checkpoints and Gramian.
    #[must_use]
    pub fn trainable(&self) -> &Arena {
        &self.model
    }

    /// The same, to be written.
    pub fn trainable_mut(&mut self) -> &mut Arena {
        &mut self.model
    }
}
