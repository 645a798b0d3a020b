//! One event of a trace through a scalarizer, whether it stands behind a library or is a type of this program:
//! the same code for `plugin replay`, for the recorder of a run and for [`crate::testing`].

use serde_json::Value;

use crate::trace::{Event, Expect, Flat};
use crate::views::{Batch, BatchInput, Gradients, GradientsInput, Update, UpdateInput, Validation, check_len};
use crate::{Error, Hooks, Metrics, Params, Result, Scalarizer, Setup, Signal};

/// The hook calls of a trace.
pub trait HookCalls {
    /// What a call fails with.
    type Error: From<Error>;
    /// The hooks that the scalarizer implements.
    fn hooks(&self) -> Hooks;
    /// See [`Scalarizer::on_validation`].
    fn on_validation(&mut self, step: u64, values: &[f64]) -> Result<(), Self::Error>;
    /// See [`Scalarizer::observe_gradients`].
    fn observe_gradients(&mut self, input: &GradientsInput<'_>) -> Result<(), Self::Error>;
    /// See [`Scalarizer::scalarize`].
    fn scalarize(&mut self, input: &BatchInput<'_>) -> Result<Signal, Self::Error>;
    /// See [`Scalarizer::weigh_gradients`].
    fn weigh_gradients(&mut self, input: &GradientsInput<'_>) -> Result<Vec<f32>, Self::Error>;
    /// See [`Scalarizer::after_update`].
    fn after_update(&mut self, input: &UpdateInput<'_>) -> Result<(), Self::Error>;
    /// See [`Scalarizer::weights`].
    fn weights(&self) -> Result<Option<Vec<f32>>, Self::Error>;
    /// See [`Scalarizer::metrics`].
    fn metrics(&self) -> Result<Metrics, Self::Error>;
}

/// What a hook returned, before weights and metrics are asked for.
#[derive(Debug, Clone, PartialEq)]
pub enum Returned {
    /// Of a hook that only looks.
    Nothing,
    /// Of `weigh_gradients`: `[M]`.
    GradientWeights(Vec<f32>),
    /// Of `scalarize`.
    Signal {
        /// The signal itself.
        signal: Signal,
        /// The rewards `[B]` that it makes of the scores, where it does.
        rewards: Option<Vec<f32>>,
    },
}

impl Returned {
    /// Of `scalarize` for the scores `[B, M]`.
    pub fn signal(signal: Signal, scores: &[f32]) -> Self {
        let rewards = signal.rewards_of(scores);
        Self::Signal { signal, rewards }
    }

    fn into_expect(self) -> Expect {
        match self {
            Self::Nothing => Expect::default(),
            Self::GradientWeights(weights) => Expect {
                gradient_weights: Some(weights),
                ..Expect::default()
            },
            Self::Signal { signal, rewards } => Expect {
                mixing_weights: signal.mixing_weights().map(<[f32]>::to_vec),
                rewards,
                advantages: signal.own_advantages().map(<[f32]>::to_vec),
                advantage_scale: Some(signal.advantage_scale()),
                ..Expect::default()
            },
        }
    }
}

/// Everything that can be expected of an event, as it is now: what the hook returned, the scalarizer's current weights
/// and its metrics. A scalarizer without weights of its own has those that the hook returned.
///
/// # Errors
/// `weights` or `metrics` fails.
pub fn outcome<H: HookCalls>(calls: &H, returned: Returned) -> Result<Expect, H::Error> {
    let mut expect = returned.into_expect();
    let of_hook = expect.gradient_weights.as_ref().or(expect.mixing_weights.as_ref());
    expect.weights = calls.weights()?.or_else(|| of_hook.cloned());
    let metrics = calls.metrics()?;
    expect.metrics = (!metrics.is_empty()).then_some(metrics);
    Ok(expect)
}

/// Calls the hook of an event and returns its outcome. `m` is the number of objectives of the trace.
///
/// # Errors
/// The event does not fit the trace, its hook is not implemented, or the hook fails.
pub fn run_event<H: HookCalls>(calls: &mut H, m: usize, event: &Event) -> Result<Expect, H::Error> {
    let returned = call_event(calls, m, event)?;
    outcome(calls, returned)
}

fn call_event<H: HookCalls>(calls: &mut H, m: usize, event: &Event) -> Result<Returned, H::Error> {
    let hook = event.hook();
    let hooks = calls.hooks();
    // A run reports every validation; the other hooks are recorded only where they are implemented.
    if !matches!(event, Event::OnValidation(_)) && !hooks.has(Hooks::of_methods(&[hook])) {
        return Err(Error::new(format!("the scalarizer does not implement {hook}")).into());
    }
    match event {
        Event::OnValidation(event) => {
            check_len("values", event.values.len(), m)?;
            calls.on_validation(event.step, &event.values)?;
        }
        Event::ObserveGradients(event) | Event::WeighGradients(event) => {
            check_len("losses", event.losses.len(), m)?;
            let flat = Flat::gradients(event)?;
            let input = flat.gradients_input(event);
            if hook == "weigh_gradients" {
                return Ok(Returned::GradientWeights(calls.weigh_gradients(&input)?));
            }
            calls.observe_gradients(&input)?;
        }
        Event::Scalarize(event) => {
            let flat = Flat::batch(event)?;
            let input = flat.batch_input(event, m);
            return Ok(Returned::signal(calls.scalarize(&input)?, input.scores));
        }
        Event::AfterUpdate(event) => {
            let flat = Flat::update(event)?;
            calls.after_update(&flat.update_input(event, m))?;
        }
    }
    Ok(Returned::Nothing)
}

/// A scalarizer type of this program, without any library.
pub struct Direct<S> {
    /// The scalarizer itself.
    pub scalarizer: S,
    objectives: Vec<String>,
}

impl<S: Scalarizer> Direct<S> {
    /// A new scalarizer.
    ///
    /// # Errors
    /// The params or `new` refuse.
    pub fn new(setup: &Setup, params: &Value) -> Result<Self> {
        Ok(Self {
            scalarizer: S::new(setup, S::Params::for_run(params, setup)?)?,
            objectives: setup.names(),
        })
    }
}

impl<S: Scalarizer> HookCalls for Direct<S> {
    type Error = Error;

    fn hooks(&self) -> Hooks {
        S::HOOKS
    }

    fn on_validation(&mut self, step: u64, values: &[f64]) -> Result<()> {
        self.scalarizer.on_validation(&Validation::new(step, values))
    }

    fn observe_gradients(&mut self, input: &GradientsInput<'_>) -> Result<()> {
        self.scalarizer.observe_gradients(&Gradients::new(*input)?)
    }

    fn scalarize(&mut self, input: &BatchInput<'_>) -> Result<Signal> {
        let signal = self.scalarizer.scalarize(&Batch::new(*input, S::NEEDS)?)?;
        signal.check_hooks(S::HOOKS)?;
        Ok(signal)
    }

    fn weigh_gradients(&mut self, input: &GradientsInput<'_>) -> Result<Vec<f32>> {
        self.scalarizer.weigh_gradients(&Gradients::new(*input)?)
    }

    fn after_update(&mut self, input: &UpdateInput<'_>) -> Result<()> {
        self.scalarizer.after_update(&Update::new(*input)?)
    }

    fn weights(&self) -> Result<Option<Vec<f32>>> {
        Ok(self.scalarizer.weights())
    }

    fn metrics(&self) -> Result<Metrics> {
        Ok(self.scalarizer.metrics().of_objectives(&self.objectives))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::prelude::*;
    use crate::testing;

    /// Weighs all gradients by `first` and reports equal weights.
    #[derive(Serialize, Deserialize)]
    struct Weighs {
        first: f32,
    }

    #[derive(Params)]
    struct WeighsParams {
        first: f32,
    }

    #[scalarizer]
    impl Scalarizer for Weighs {
        const NAME: &str = "weighs";
        const PAPER: &str = "none";
        type Params = WeighsParams;
        fn new(_: &Setup, params: WeighsParams) -> Result<Self> {
            Ok(Self { first: params.first })
        }
        fn scalarize(&mut self, _: &Batch<'_>) -> Result<Signal> {
            Ok(Signal::gradient_weights())
        }
        fn weigh_gradients(&mut self, gradients: &Gradients<'_>) -> Result<Vec<f32>> {
            let mut weights = vec![0.0; gradients.m()];
            weights[0] = self.first;
            Ok(weights)
        }
        fn weights(&self) -> Option<Vec<f32>> {
            Some(vec![0.5, 0.5])
        }
    }

    fn trace(version: u32, first: f32, event: &str) -> String {
        let params = json!({ "first": first });
        format!(
            r#"{{"format":"moa-trace","version":{version},"scalarizer":"weighs","objectives":[{{"name":"a"}},{{"name":"b"}}],"params":{params}}}
{event}"#
        )
    }

    const WEIGH: &str = r#"{"hook":"weigh_gradients","step":1,"minibatch":0,"lr":1.0,"gram":[[1.0,0.0],[0.0,1.0]],"losses":[0.0,0.0],"expect":{"gradient_weights":[2.0,0.0],"weights":[0.5,0.5]}}"#;

    /// What trains is what is compared, whatever the method reports as its weights.
    #[test]
    fn a_replay_compares_what_the_hook_returned() {
        assert_eq!(testing::replay::<Weighs>(&trace(2, 2.0, WEIGH)), Ok(1));
        let error = testing::replay::<Weighs>(&trace(2, 5.0, WEIGH)).expect_err("another rule");
        assert!(
            error.message.contains("gradient_weights[0] is 5, expected 2"),
            "{error}"
        );
    }

    #[test]
    fn a_hook_that_is_not_there_is_not_replayed() {
        let per_batch = WEIGH.replace("\"minibatch\":0,", "");
        let error = testing::replay::<Weighs>(&trace(1, 2.0, &per_batch)).expect_err("it does not observe");
        assert!(
            error.message.contains("does not implement observe_gradients"),
            "{error}"
        );
    }
}
