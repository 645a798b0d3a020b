//! A scalarizer behind the boundary: each hook with its inputs checked before and its outputs after the call.

use std::path::{Path, PathBuf};

use moa_sdk::abi::raw::{RawBatch, RawColumn, RawResult, RawScalarizerBox};
use moa_sdk::replay::{HookCalls, Returned, outcome};
use moa_sdk::trace::Expect;
use moa_sdk::views::{Batch, BatchInput, Gradients, GradientsInput, Update, UpdateInput};
use moa_sdk::{Hooks, Metrics, Needs, Signal, SignalKind};

use super::calls;
use super::error::PluginError;
use super::record::Recorder;

/// One scalarizer of a run. Its hooks are called from one thread, in the order of a step.
pub struct ScalarizerPlugin {
    name: String,
    library: PathBuf,
    hooks: Hooks,
    needs: Needs,
    m: usize,
    gradient_layers: Vec<String>,
    object: RawScalarizerBox,
    recorder: Option<Recorder>,
    // For the errors of calls that have no step of their own.
    step: Option<u64>,
}

impl ScalarizerPlugin {
    pub(super) fn new(
        name: &str,
        library: &Path,
        hooks: Hooks,
        needs: Needs,
        m: usize,
        object: RawScalarizerBox,
    ) -> Result<Self, PluginError> {
        let mut plugin = Self {
            name: name.to_owned(),
            library: library.to_owned(),
            hooks,
            needs,
            m,
            gradient_layers: Vec::new(),
            object,
            recorder: None,
            step: None,
        };
        let layers = plugin.call("gradient_layers", plugin.object.gradient_layers())?;
        plugin.gradient_layers = layers.into_iter().map(Into::into).collect();
        Ok(plugin)
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The library that it came from.
    pub fn library(&self) -> &Path {
        &self.library
    }

    /// The file that it came from, as short as it is typed.
    pub fn file(&self) -> String {
        super::shown(&self.library)
    }

    /// The hooks that it implements. A run calls these and no others.
    pub fn hooks(&self) -> Hooks {
        self.hooks
    }

    /// The data that it wants beyond scores, groups and lengths.
    pub fn needs(&self) -> Needs {
        self.needs
    }

    /// Number of objectives M.
    pub fn m(&self) -> usize {
        self.m
    }

    /// Parts of the names of the parameters whose gradients make the Gramian; empty: all.
    pub fn gradient_layers(&self) -> &[String] {
        &self.gradient_layers
    }

    /// Writes every hook call from here on to `recorder`.
    pub fn record_to(&mut self, recorder: Recorder) {
        self.recorder = Some(recorder);
    }

    /// The recorder, if there is one.
    pub fn recorder(&self) -> Option<&Recorder> {
        self.recorder.as_ref()
    }

    /// Reports a validation: `values [M]`, each in its objective's own unit.
    ///
    /// # Errors
    /// The plugin fails, or `values` is not `[M]`.
    pub fn on_validation(&mut self, step: u64, values: &[f64]) -> Result<(), PluginError> {
        const HOOK: &str = "on_validation";
        self.step = Some(step);
        self.check_m(HOOK, "values", values.len())?;
        let entered = calls::enter(&self.library, HOOK);
        let called = self.object.on_validation(step, values.into());
        drop(entered);
        self.call(HOOK, called)?;
        self.record(
            || Returned::Nothing,
            |recorder, expect| recorder.on_validation(step, values, expect),
        )
    }

    /// Shows the Gramian `[M, M]` and the losses `[M]` of the whole batch, before `scalarize`.
    ///
    /// # Errors
    /// The plugin fails, or an input has another shape.
    pub fn observe_gradients(&mut self, step: u64, lr: f64, gram: &[f64], losses: &[f64]) -> Result<(), PluginError> {
        const HOOK: &str = "observe_gradients";
        let input = GradientsInput {
            step,
            minibatch: None,
            lr,
            gram,
            losses,
        };
        self.check_gradients(HOOK, &input)?;
        let entered = calls::enter(&self.library, HOOK);
        let called = self.object.observe_gradients(input.into());
        drop(entered);
        self.call(HOOK, called)?;
        self.record(
            || Returned::Nothing,
            |recorder, expect| recorder.observe_gradients(&input, expect),
        )
    }

    /// The training signal of a step.
    ///
    /// # Errors
    /// The plugin fails, an input has another shape, or the signal has another length, a number that is not finite, or
    /// a form that does not go with the plugin's hooks.
    pub fn scalarize(&mut self, input: &BatchInput<'_>) -> Result<Signal, PluginError> {
        const HOOK: &str = "scalarize";
        self.step = Some(input.step);
        self.check_m(HOOK, "the batch", input.m)?;
        Batch::new(*input, self.needs).map_err(|e| self.input_error(HOOK, e.message))?;
        let columns = RawColumn::all_of(input);
        let entered = calls::enter(&self.library, HOOK);
        let called = self.object.scalarize(RawBatch::new(input, &columns));
        drop(entered);
        let raw = self.call(HOOK, called)?;
        let signal = Signal::try_from(raw)
            .map_err(|error| self.output_error(HOOK, error.message, "a form that this host knows".to_owned()))?;
        self.check_signal(HOOK, &signal, input)?;
        self.record(
            || Returned::signal(signal.clone(), input.scores),
            |recorder, expect| recorder.scalarize(input, expect),
        )?;
        Ok(signal)
    }

    /// Weights `[M]` of the objectives' gradients in a mini-batch, from its Gramian `[M, M]` and losses `[M]`.
    ///
    /// # Errors
    /// The plugin fails, an input has another shape, or the answer is not M finite numbers.
    pub fn weigh_gradients(
        &mut self,
        step: u64,
        minibatch: u32,
        lr: f64,
        gram: &[f64],
        losses: &[f64],
    ) -> Result<Vec<f32>, PluginError> {
        const HOOK: &str = "weigh_gradients";
        let input = GradientsInput {
            step,
            minibatch: Some(minibatch),
            lr,
            gram,
            losses,
        };
        self.check_gradients(HOOK, &input)?;
        let entered = calls::enter(&self.library, HOOK);
        let called = self.object.weigh_gradients(input.into());
        drop(entered);
        let weights = self.call(HOOK, called)?.into_vec();
        self.check(HOOK, "weights", &weights, (self.m, "objective"))?;
        self.record(
            || Returned::GradientWeights(weights.clone()),
            |recorder, expect| recorder.weigh_gradients(&input, expect),
        )?;
        Ok(weights)
    }

    /// Shows what the update did to log-probabilities.
    ///
    /// # Errors
    /// The plugin fails, or an input has another shape.
    pub fn after_update(&mut self, input: &UpdateInput<'_>) -> Result<(), PluginError> {
        const HOOK: &str = "after_update";
        self.step = Some(input.step);
        self.check_m(HOOK, "the batch", input.m)?;
        Update::new(*input).map_err(|error| self.input_error(HOOK, error.message))?;
        let entered = calls::enter(&self.library, HOOK);
        let called = self.object.after_update((*input).into());
        drop(entered);
        self.call(HOOK, called)?;
        self.record(
            || Returned::Nothing,
            |recorder, expect| recorder.after_update(input, expect),
        )
    }

    /// The scalarizer's own current weights `[M]`; `None` where it leaves them to the host, which takes those that the last
    /// signal or the last `weigh_gradients` carried.
    ///
    /// # Errors
    /// The plugin fails, or the answer is not M finite numbers.
    pub fn weights(&self) -> Result<Option<Vec<f32>>, PluginError> {
        const HOOK: &str = "weights";
        let weights = self.enter(HOOK, || self.object.weights())?.into_option();
        weights
            .map(|weights| {
                let weights = weights.into_vec();
                self.check(HOOK, "weights", &weights, (self.m, "objective"))?;
                Ok(weights)
            })
            .transpose()
    }

    /// Its named numbers, in its order.
    ///
    /// # Errors
    /// The plugin fails, or a number is not finite.
    pub fn metrics(&self) -> Result<Vec<(String, f64)>, PluginError> {
        const HOOK: &str = "metrics";
        let metrics: Vec<(String, f64)> = self
            .enter(HOOK, || self.object.metrics())?
            .into_iter()
            .map(|pair| (pair.0.into_string(), pair.1))
            .collect();
        match metrics.iter().find(|(_, value)| !value.is_finite()) {
            Some((name, value)) => {
                Err(self.output_error(HOOK, format!("metric {name} is {value}"), "a finite number".to_owned()))
            }
            None => Ok(metrics),
        }
    }

    /// Its state as JSON, for a checkpoint.
    pub fn save(&self) -> Result<String, PluginError> {
        Ok(self.enter("save", || self.object.save())?.into_string())
    }

    /// The state of a checkpoint in place of its own.
    pub fn load(&mut self, state: &str) -> Result<(), PluginError> {
        let entered = calls::enter(&self.library, "load");
        let called = self.object.load(state.into());
        drop(entered);
        self.call("load", called)
    }

    fn enter<T>(&self, hook: &'static str, call: impl FnOnce() -> RawResult<T>) -> Result<T, PluginError> {
        let entered = calls::enter(&self.library, hook);
        let called = call();
        drop(entered);
        self.call(hook, called)
    }

    fn call<T>(&self, hook: &'static str, result: RawResult<T>) -> Result<T, PluginError> {
        result.into_result().map_err(|error| {
            let error = moa_sdk::Error::from(error);
            PluginError::Hook {
                plugin: self.name.clone(),
                hook,
                step: self.step,
                message: error.message,
                hint: error.hint,
            }
        })
    }

    fn record(
        &mut self,
        returned: impl FnOnce() -> Returned,
        write: impl FnOnce(&mut Recorder, Expect) -> Result<(), PluginError>,
    ) -> Result<(), PluginError> {
        let Some(mut recorder) = self.recorder.take() else {
            return Ok(());
        };
        let written = outcome(self, returned()).and_then(|expect| write(&mut recorder, expect));
        self.recorder = Some(recorder);
        written
    }

    fn input_error(&self, hook: &'static str, message: String) -> PluginError {
        PluginError::Input {
            plugin: self.name.clone(),
            hook,
            step: self.step,
            message,
        }
    }

    fn output_error(&self, hook: &'static str, found: String, expected: String) -> PluginError {
        PluginError::Output {
            plugin: self.name.clone(),
            hook,
            step: self.step,
            found,
            expected,
            hint: None,
        }
    }

    fn check_gradients(&mut self, hook: &'static str, input: &GradientsInput<'_>) -> Result<(), PluginError> {
        self.step = Some(input.step);
        self.check_m(hook, "losses", input.losses.len())?;
        Gradients::new(*input).map_err(|error| self.input_error(hook, error.message))?;
        Ok(())
    }

    fn check_m(&self, hook: &'static str, what: &str, found: usize) -> Result<(), PluginError> {
        if found == self.m {
            return Ok(());
        }
        let m = self.m;
        Err(self.input_error(hook, format!("{what} has {found} objectives, expected {m}")))
    }

    /// Length and finite numbers of an output.
    fn check(
        &self,
        hook: &'static str,
        what: &str,
        values: &[f32],
        (expected, of): (usize, &str),
    ) -> Result<(), PluginError> {
        if values.len() != expected {
            return Err(self.output_error(
                hook,
                format!("{what} has {} values", values.len()),
                format!("{expected}, one for each {of}"),
            ));
        }
        match values.iter().position(|value| !value.is_finite()) {
            Some(index) => Err(self.output_error(
                hook,
                format!("{what}[{index}] is {}", values[index]),
                "a finite number".to_owned(),
            )),
            None => Ok(()),
        }
    }

    fn check_signal(&self, hook: &'static str, signal: &Signal, input: &BatchInput<'_>) -> Result<(), PluginError> {
        let (b, n) = (
            input.groups.len(),
            input.lengths.iter().map(|length| *length as usize).sum(),
        );
        match signal.kind() {
            SignalKind::Weights(values) | SignalKind::AdvantageWeights(values) => {
                self.check(hook, "weights", values, (self.m, "objective"))?;
            }
            SignalKind::Rewards(values) => self.check(hook, "rewards", values, (b, "completion"))?,
            SignalKind::Advantages(values) => self.check(hook, "advantages", values, (b, "completion"))?,
            SignalKind::TokenAdvantages(values) => self.check(hook, "token advantages", values, (n, "token"))?,
            SignalKind::GradientWeights => {}
        }
        self.check(hook, "advantage_scale", &[signal.advantage_scale()], (1, "step"))?;
        signal.check_hooks(self.hooks).map_err(|error| PluginError::Output {
            plugin: self.name.clone(),
            hook,
            step: self.step,
            found: error.message,
            expected: match self.hooks.has(Hooks::WEIGH_GRADIENTS) {
                true => "gradient_weights".to_owned(),
                false => "another signal".to_owned(),
            },
            hint: error.hint,
        })
    }
}

impl HookCalls for ScalarizerPlugin {
    type Error = PluginError;

    fn hooks(&self) -> Hooks {
        self.hooks
    }

    fn on_validation(&mut self, step: u64, values: &[f64]) -> Result<(), PluginError> {
        self.on_validation(step, values)
    }

    fn observe_gradients(&mut self, input: &GradientsInput<'_>) -> Result<(), PluginError> {
        self.observe_gradients(input.step, input.lr, input.gram, input.losses)
    }

    fn scalarize(&mut self, input: &BatchInput<'_>) -> Result<Signal, PluginError> {
        self.scalarize(input)
    }

    fn weigh_gradients(&mut self, input: &GradientsInput<'_>) -> Result<Vec<f32>, PluginError> {
        let minibatch = input.minibatch.unwrap_or_default();
        self.weigh_gradients(input.step, minibatch, input.lr, input.gram, input.losses)
    }

    fn after_update(&mut self, input: &UpdateInput<'_>) -> Result<(), PluginError> {
        self.after_update(input)
    }

    fn weights(&self) -> Result<Option<Vec<f32>>, PluginError> {
        self.weights()
    }

    fn metrics(&self) -> Result<Metrics, PluginError> {
        self.metrics().map(Metrics::from)
    }
}
