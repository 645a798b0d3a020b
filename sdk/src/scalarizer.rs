//! The scalarizer: how M objectives become one training signal. The struct is the state that is saved; each
//! hook has a default.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::hooks::ImplementedHooks;
use crate::params::Params;
use crate::setup::Setup;
use crate::trace::Example;
use crate::views::{Batch, Gradients, Update, Validation};
use crate::{Error, Metrics, Needs, Result, Signal};

/// A scalarizer. The struct is its state and goes through serde into every checkpoint. The host calls the hooks from one
/// thread, within a step in the order in which they stand here; a hook that is implemented is called.
///
/// The impl carries the attribute `#[scalarizer]`, which finds the hooks in it. Where the impl has no `type Params`, the
/// struct holds the params and the state, and the attribute writes `new`:
///
/// ```
/// use moa_sdk::prelude::*;
/// /// Mean scores `[M]` over all batches so far, as weights.
/// #[derive(Params, Serialize, Deserialize)]
/// struct Means {
///     /// weight of the newest batch.
///     #[param(default = 0.1, above = 0.0, range = ..=1.0)]
///     rate: f64,
///     #[state(init = vec![1.0; setup.m()])]
///     means: Vec<f64>,
/// }
/// #[scalarizer]
/// impl Scalarizer for Means {
///     const NAME: &str = "means";
///     const PAPER: &str = "none";
///     fn scalarize(&mut self, batch: &Batch) -> Result<Signal> {
///         for (m, mean) in self.means.iter_mut().enumerate() {
///             *mean += self.rate * (batch.scores().column_mean(m) - *mean);
///         }
///         Ok(Signal::weights(&self.means))
///     }
/// }
/// # fn main() -> Result<()> { moa_sdk::testing::check_properties::<Means>(3, &moa_sdk::serde_json::json!({})) }
/// ```
///
/// Without the attribute, it does not compile:
///
/// ```compile_fail,E0277
/// use moa_sdk::prelude::*;
/// #[derive(Serialize, Deserialize)]
/// struct Mine;
/// impl Scalarizer for Mine {
///     const NAME: &str = "mine";
///     const PAPER: &str = "none";
///     type Params = ();
///     fn new(_: &Setup, (): ()) -> Result<Self> {
///         Ok(Mine)
///     }
///     fn scalarize(&mut self, batch: &Batch) -> Result<Signal> {
///         Ok(Signal::weights(vec![1.0; batch.m()]))
///     }
/// }
/// ```
pub trait Scalarizer: ImplementedHooks + Serialize + DeserializeOwned + Send + Sized + 'static {
    /// Its name in configs, kebab-case.
    const NAME: &'static str;
    /// The paper that it implements: authors, title, year or arXiv number.
    const PAPER: &'static str;
    /// The data that it wants beyond scores, groups and lengths.
    const NEEDS: Needs = Needs::NONE;
    /// Examples as JSON lines, see [`Example::parse_all`]; usually `include_str!("examples.jsonl")`.
    const EXAMPLES: &'static str = "";
    /// What it is configured with: the struct itself where the impl does not say.
    type Params: Params;

    /// Called once, before anything else. Where `Params` is the struct itself, it may be left out.
    ///
    /// # Errors
    /// Params or objectives that the method cannot work with.
    fn new(setup: &Setup, params: Self::Params) -> Result<Self>;

    /// Before step 1 and after each validation: the performance `[M]`, each in its objective's own unit.
    ///
    /// # Errors
    /// As for every hook, an error stops the run and is shown with plugin, hook and step.
    fn on_validation(&mut self, validation: &Validation<'_>) -> Result<()> {
        let _ = validation;
        Ok(())
    }

    /// Once a step, before `scalarize`: the Gramian `[M, M]` of the objectives' gradients over the whole batch. Costs a
    /// backward pass over the batch.
    ///
    /// # Errors
    /// As for `on_validation`.
    fn observe_gradients(&mut self, gradients: &Gradients<'_>) -> Result<()> {
        let _ = gradients;
        Ok(())
    }

    /// Once a step, after scoring: the training signal. A method that weighs gradients may leave it out: the signal is
    /// then [`Signal::gradient_weights`].
    ///
    /// # Errors
    /// As for `on_validation`.
    fn scalarize(&mut self, batch: &Batch<'_>) -> Result<Signal> {
        let _ = batch;
        Ok(Signal::gradient_weights())
    }

    /// In each mini-batch of the update, from its Gramian `[M, M]`: the weights `[M]` that the objectives' gradients are
    /// mixed with, Σ_m w_m ∇L_m. They may have any sign and any sum; they are applied, recorded and shown as they are.
    /// A scalarizer with this hook returns [`Signal::gradient_weights`] from `scalarize`. Costs a gradient for each
    /// objective.
    ///
    /// # Errors
    /// As for `on_validation`.
    fn weigh_gradients(&mut self, gradients: &Gradients<'_>) -> Result<Vec<f32>> {
        let _ = gradients;
        Err(Error::new("weigh_gradients is not implemented").hint(format!("implement it in {}", Self::NAME)))
    }

    /// After the optimizer's last step: log-probabilities `[N]` before and after it. Costs a forward pass.
    ///
    /// # Errors
    /// As for `on_validation`.
    fn after_update(&mut self, update: &Update<'_>) -> Result<()> {
        let _ = update;
        Ok(())
    }

    /// The current weights `[M]`, for metrics and traces. Without it they are those that the last signal or the last
    /// `weigh_gradients` carried; a method whose weights are state, and move in another hook, returns them here.
    fn weights(&self) -> Option<Vec<f32>> {
        None
    }

    /// Named numbers for the run's metrics, each step.
    fn metrics(&self) -> Metrics {
        Metrics::new()
    }

    /// Parts of parameter names: the Gramian is made of gradients of the parameters that contain one of them.
    /// Empty: of all.
    fn gradient_layers(&self) -> Vec<String> {
        Vec::new()
    }

    /// Events with expected outcomes, executed by tests and `plugin check`: the examples of [`Self::EXAMPLES`].
    ///
    /// # Errors
    /// Names the line that is no example.
    fn examples() -> Result<Vec<Example>> {
        Example::parse_all(Self::EXAMPLES)
    }
}
