//! A scalarizer under test, whether it is a type of this program or stands behind a library: the properties are written
//! once, over this.

use std::marker::PhantomData;

use serde_json::Value;

use crate::replay::{Direct, HookCalls};
use crate::trace::Event;
use crate::{Error, Hooks, Needs, Result, Scalarizer, Setup};

/// How a scalarizer is made, saved and loaded.
pub trait Subject: Sync {
    /// An instance.
    type Calls: HookCalls<Error = Self::Error> + Send;
    /// What a call fails with.
    type Error: From<Error> + Send;

    /// The hooks that it implements.
    fn hooks(&self) -> Hooks;
    /// The data that it wants.
    fn needs(&self) -> Needs;
    /// A new instance.
    ///
    /// # Errors
    /// Setup or params are refused.
    fn create(&self, setup: &Setup, params: &Value) -> Result<Self::Calls, Self::Error>;
    /// The instance's state as JSON.
    ///
    /// # Errors
    /// The state cannot be written.
    fn save(&self, calls: &Self::Calls) -> Result<String, Self::Error>;
    /// Puts a state in place of the instance's own.
    ///
    /// # Errors
    /// The state cannot be read.
    fn load(&self, calls: &mut Self::Calls, state: &str) -> Result<(), Self::Error>;
}

/// A scalarizer type of this program.
pub struct OfType<S>(PhantomData<fn() -> S>);

impl<S> Default for OfType<S> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<S: Scalarizer> Subject for OfType<S> {
    type Calls = Direct<S>;
    type Error = Error;

    fn hooks(&self) -> Hooks {
        S::HOOKS
    }

    fn needs(&self) -> Needs {
        S::NEEDS
    }

    fn create(&self, setup: &Setup, params: &Value) -> Result<Direct<S>> {
        Direct::new(setup, params)
    }

    fn save(&self, calls: &Direct<S>) -> Result<String> {
        crate::abi::finite::check(&calls.scalarizer)?;
        serde_json::to_string(&calls.scalarizer).map_err(|e| Error::new(format!("its state cannot be written: {e}")))
    }

    fn load(&self, calls: &mut Direct<S>, state: &str) -> Result<()> {
        calls.scalarizer =
            serde_json::from_str(state).map_err(|e| Error::new(format!("its state cannot be read back: {e}")))?;
        Ok(())
    }
}

/// What does not hold, and at which event.
#[derive(Debug)]
pub struct Failure<E> {
    /// The hook and the step, where it is a call that failed or returned something wrong.
    pub call: Option<(&'static str, u64)>,
    /// What the scalarizer said, or the property that does not hold.
    pub error: E,
}

impl<E: From<Error>> Failure<E> {
    pub(super) fn property(what: impl Into<String>) -> Self {
        Self {
            call: None,
            error: Error::new(what).into(),
        }
    }

    pub(super) fn at(mut self, event: &Event) -> Self {
        self.call = Some((event.hook(), event.step()));
        self
    }
}

impl<E> From<E> for Failure<E> {
    fn from(error: E) -> Self {
        Self { call: None, error }
    }
}

impl Failure<Error> {
    /// The error with the hook and the step in front.
    pub fn into_error(self) -> Error {
        match self.call {
            Some((hook, step)) => self.error.at(format!("{hook} at step {step}")),
            None => self.error,
        }
    }
}
