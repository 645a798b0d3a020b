//! One event of a trace through a scalarizer, whether it stands behind a library or is a type of this program:
//! the same code for `plugin replay`, for the recorder of a run and for [`crate::testing`].

use crate::trace::{Event, Expect, Flat};
use crate::views::{Batch, BatchInput, Gradients, GradientsInput, Update, UpdateInput, Validation, check_len};
use crate::{Error, Metrics, Result, Scalarized, Scalarizer};

/// The hooks that a trace calls.
pub trait Hooks {
    /// What the hooks give when they fail.
    type Error: From<Error>;
    /// See [`Scalarizer::on_validation`].
    fn on_validation(&mut self, step: u64, values: &[f64]) -> Result<(), Self::Error>;
    /// See [`Scalarizer::weigh_gradients`].
    fn weigh_gradients(&mut self, input: &GradientsInput<'_>) -> Result<Vec<f32>, Self::Error>;
    /// See [`Scalarizer::scalarize`].
    fn scalarize(&mut self, input: &BatchInput<'_>) -> Result<Scalarized, Self::Error>;
    /// See [`Scalarizer::after_update`].
    fn after_update(&mut self, input: &UpdateInput<'_>) -> Result<(), Self::Error>;
    /// See [`Scalarizer::weights`].
    fn weights(&self) -> Result<Option<Vec<f32>>, Self::Error>;
    /// See [`Scalarizer::metrics`].
    fn metrics(&self) -> Result<Metrics, Self::Error>;
}

/// What a hook has given back, before weights and metrics are asked for.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Returned {
    /// Of `weigh_gradients`.
    pub weights: Option<Vec<f32>>,
    /// Of `scalarize`.
    pub scalarized: Option<Scalarized>,
    /// Of `scalarize`: the rewards that it makes of the scores.
    pub rewards: Option<Vec<f32>>,
}

impl Returned {
    /// The weights that the hook itself gave, which need not be those that [`Scalarizer::weights`] reports.
    pub fn own_weights(&self) -> Option<Vec<f32>> {
        let mixing = || self.scalarized.as_ref()?.mixing_weights().map(<[f32]>::to_vec);
        self.weights.clone().or_else(mixing)
    }
}

/// Everything that can be expected of an event, as it is now. The weights are the scalarizer's own; where it
/// names none, what the hook gave back.
pub fn outcome<H: Hooks>(hooks: &H, returned: Returned) -> Result<Expect, H::Error> {
    let metrics = hooks.metrics()?;
    let scalarized = returned.scalarized.as_ref();
    let mut expect = Expect {
        weights: hooks.weights()?.or(returned.weights),
        rewards: returned.rewards,
        metrics: (!metrics.is_empty()).then_some(metrics),
        ..Expect::default()
    };
    if let Some(scalarized) = scalarized {
        use crate::Signal;
        expect.advantage_scale = Some(scalarized.advantage_scale());
        if let Signal::Advantages(values) | Signal::TokenAdvantages(values) = scalarized.signal() {
            expect.advantages = Some(values.clone());
        }
        if expect.weights.is_none() {
            expect.weights = scalarized.mixing_weights().map(<[f32]>::to_vec);
        }
    }
    Ok(expect)
}

/// Calls the hook of an event and gives its outcome. `m` is the number of objectives of the trace.
pub fn run_event<H: Hooks>(hooks: &mut H, m: usize, event: &Event) -> Result<Expect, H::Error> {
    let returned = call_event(hooks, m, event)?;
    outcome(hooks, returned)
}

/// Calls the hook of an event and gives what it returned, before weights and metrics are asked for.
pub fn call_event<H: Hooks>(hooks: &mut H, m: usize, event: &Event) -> Result<Returned, H::Error> {
    let mut returned = Returned::default();
    match event {
        Event::OnValidation(event) => {
            check_len("values", event.values.len(), m)?;
            hooks.on_validation(event.step, &event.values)?;
        }
        Event::WeighGradients(event) => {
            check_len("losses", event.losses.len(), m)?;
            let flat = Flat::gradients(event)?;
            returned.weights = Some(hooks.weigh_gradients(&flat.gradients_input(event))?);
        }
        Event::Scalarize(event) => {
            let flat = Flat::batch(event)?;
            let input = flat.batch_input(event, m);
            let scalarized = hooks.scalarize(&input)?;
            returned.rewards = scalarized.rewards_of(input.scores);
            returned.scalarized = Some(scalarized);
        }
        Event::AfterUpdate(event) => {
            let flat = Flat::update(event)?;
            hooks.after_update(&flat.update_input(event, m))?;
        }
    }
    Ok(returned)
}

/// A scalarizer type of this program, without any library.
pub struct Direct<S>(pub S);

impl<S: Scalarizer> Hooks for Direct<S> {
    type Error = Error;

    fn on_validation(&mut self, step: u64, values: &[f64]) -> Result<()> {
        self.0.on_validation(&Validation::new(step, values))
    }

    fn weigh_gradients(&mut self, input: &GradientsInput<'_>) -> Result<Vec<f32>> {
        self.0.weigh_gradients(&Gradients::new(*input)?)
    }

    fn scalarize(&mut self, input: &BatchInput<'_>) -> Result<Scalarized> {
        self.0.scalarize(&Batch::new(*input, S::NEEDS)?)
    }

    fn after_update(&mut self, input: &UpdateInput<'_>) -> Result<()> {
        self.0.after_update(&Update::new(*input)?)
    }

    fn weights(&self) -> Result<Option<Vec<f32>>> {
        Ok(self.0.weights())
    }

    fn metrics(&self) -> Result<Metrics> {
        Ok(self.0.metrics())
    }
}
