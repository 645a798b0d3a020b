//! The parameters of a model.

use std::sync::Arc;

use super::{Arena, EngineError, Layout};

/// The parameters of a model, and which of them are trained: all of them, or adapters beside the model, which then stays
/// as it is.
#[derive(Debug, Clone)]
pub struct Params {
    model: Arena,
    adapters: Option<Arena>,
}

impl From<Arena> for Params {
    /// Parameters that are all trained.
    fn from(model: Arena) -> Self {
        Self { model, adapters: None }
    }
}

impl Params {
    /// Parameters that are all trained, with names, shapes and order of `layout`.
    ///
    /// # Errors
    /// `values` do not fill the layout.
    pub fn new(layout: Layout, values: Vec<f32>) -> Result<Self, EngineError> {
        let model = Arena::new(Arc::new(layout), values)?;
        Ok(Self { model, adapters: None })
    }

    /// Every parameter of the model: what its files hold. Adapters are not among them.
    #[must_use]
    pub fn all(&self) -> &Arena {
        &self.model
    }

    /// The parameters that are trained: those of optimizer, undo, checkpoints and Gramian.
    #[must_use]
    pub fn trainable(&self) -> &Arena {
        self.adapters.as_ref().unwrap_or(&self.model)
    }

    /// The same, to be written.
    pub fn trainable_mut(&mut self) -> &mut Arena {
        self.adapters.as_mut().unwrap_or(&mut self.model)
    }

    /// The adapters, where they are what is trained.
    #[must_use]
    pub fn adapters(&self) -> Option<&Arena> {
        self.adapters.as_ref()
    }

    /// From here on `adapters` are trained, and the model stays as it is.
    pub fn set_adapters(&mut self, adapters: Arena) {
        self.adapters = Some(adapters);
    }
}
