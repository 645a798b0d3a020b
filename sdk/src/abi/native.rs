//! The one implementation of the raw traits: a typed plugin behind views, JSON and the panic guard.

use std::sync::OnceLock;

use abi_stable::std_types::{RErr, ROk, ROption, RResult, RSlice, RStr, RString, RVec, Tuple2};

use super::finite;
use super::guard::{Stopped, catch};
use super::raw::{RawBatch, RawCompletion, RawGradients, RawResult, RawReward, RawScalarizer, RawSignal, RawUpdate};
use crate::views::{Batch, Gradients, Update, Validation};
use crate::{Completion, Error, Result, Reward, Scalarizer, Setup};

/// A plugin's object, and whether it has panicked: what it holds may then be half changed, so it is not asked
/// again.
struct Guarded<T> {
    value: Option<T>,
    panicked: OnceLock<String>,
}

impl<T> Guarded<T> {
    fn new(value: T) -> Self {
        Self {
            value: Some(value),
            panicked: OnceLock::new(),
        }
    }

    /// Refuses after a panic, else runs `f` under the guard and remembers a panic.
    fn run<R>(panicked: &OnceLock<String>, f: impl FnOnce() -> Result<R>) -> RawResult<R> {
        if let Some(message) = panicked.get() {
            return RErr(Error::new(format!("refuses every call since it {message}")).into());
        }
        match catch(f) {
            Ok(value) => ROk(value),
            Err(stopped) => {
                if let Stopped::Panic(error) = &stopped {
                    // Of two threads that panic at once either may stand here.
                    let _ = panicked.set(error.message.clone());
                }
                RErr(stopped.into_error().into())
            }
        }
    }

    fn with<R>(&self, f: impl FnOnce(&T) -> Result<R>) -> RawResult<R> {
        Self::run(&self.panicked, || match &self.value {
            Some(value) => f(value),
            None => Err(Error::new("was dropped")),
        })
    }

    fn with_mut<R>(&mut self, f: impl FnOnce(&mut T) -> Result<R>) -> RawResult<R> {
        let value = &mut self.value;
        Self::run(&self.panicked, || match value {
            Some(value) => f(value),
            None => Err(Error::new("was dropped")),
        })
    }
}

impl<T> Drop for Guarded<T> {
    fn drop(&mut self) {
        let value = self.value.take();
        // Nobody is left to tell: a panic in the plugin's own drop ends here.
        let _ = catch(|| {
            drop(value);
            Ok(())
        });
    }
}

/// A scalarizer behind [`RawScalarizer`], and the names of its objectives.
pub struct NativeScalarizer<S>(Guarded<S>, Vec<String>);

impl<S: Scalarizer> NativeScalarizer<S> {
    /// Wraps a scalarizer that was made for `setup`.
    pub fn new(setup: &Setup, scalarizer: S) -> Self {
        Self(Guarded::new(scalarizer), setup.names())
    }
}

/// The state as JSON. What would not come back as it was is found when the checkpoint is written, not when it is
/// needed: numbers that JSON cannot hold by a look at each, the rest by reading the text back once.
fn save<S: Scalarizer>(scalarizer: &S) -> Result<String> {
    finite::check(scalarizer)?;
    let text = to_json(scalarizer)?;
    let back: S = from_json(&text).map_err(|error| {
        Error::new(format!("the state cannot be read back: {error}"))
            .hint("what Serialize writes must be what Deserialize reads")
    })?;
    if to_json(&back)? != text {
        return Err(Error::new("the state changes when it is read back")
            .hint("unordered maps and skipped fields do that: use BTreeMap"));
    }
    Ok(text)
}

fn to_json<S: Scalarizer>(scalarizer: &S) -> Result<String> {
    serde_json::to_string(scalarizer).map_err(|e| Error::new(format!("the state cannot be written: {e}")))
}

fn from_json<S: Scalarizer>(text: &str) -> Result<S> {
    serde_json::from_str(text).map_err(|e| Error::new(format!("the state does not fit: {e}")))
}

impl<S: Scalarizer> RawScalarizer for NativeScalarizer<S> {
    fn on_validation(&mut self, step: u64, values: RSlice<'_, f64>) -> RawResult<()> {
        self.0
            .with_mut(|s| s.on_validation(&Validation::new(step, values.as_slice())))
    }

    fn observe_gradients(&mut self, gradients: RawGradients<'_>) -> RawResult<()> {
        self.0
            .with_mut(|s| s.observe_gradients(&Gradients::new(gradients.into())?))
    }

    fn scalarize(&mut self, batch: RawBatch<'_>) -> RawResult<RawSignal> {
        self.0.with_mut(|s| {
            let signal = s.scalarize(&Batch::new(batch.into(), S::NEEDS)?)?;
            Ok(signal.into())
        })
    }

    fn weigh_gradients(&mut self, gradients: RawGradients<'_>) -> RawResult<RVec<f32>> {
        self.0.with_mut(|s| {
            let weights = s.weigh_gradients(&Gradients::new(gradients.into())?)?;
            Ok(weights.into())
        })
    }

    fn after_update(&mut self, update: RawUpdate<'_>) -> RawResult<()> {
        self.0.with_mut(|s| s.after_update(&Update::new(update.into())?))
    }

    fn weights(&self) -> RawResult<ROption<RVec<f32>>> {
        self.0.with(|s| Ok(s.weights().map(RVec::from).into()))
    }

    fn metrics(&self) -> RawResult<RVec<Tuple2<RString, f64>>> {
        self.0.with(|s| {
            let pairs = s.metrics().of_objectives(&self.1).into_vec();
            Ok(pairs
                .into_iter()
                .map(|(name, value)| Tuple2(name.into(), value))
                .collect())
        })
    }

    fn save(&self) -> RawResult<RString> {
        self.0.with(|s| save(s).map(RString::from))
    }

    fn load(&mut self, state: RStr<'_>) -> RawResult<()> {
        self.0.with_mut(|s| {
            *s = from_json(state.as_str())?;
            Ok(())
        })
    }

    #[cfg(not(feature = "__without-newest-method"))]
    fn gradient_layers(&self) -> RawResult<RVec<RString>> {
        self.0.with(|s| {
            let layers = s.gradient_layers();
            Ok(layers.into_iter().map(RString::from).collect())
        })
    }
}

/// A reward behind [`RawReward`].
pub struct NativeReward<R>(Guarded<R>);

impl<R: Reward> NativeReward<R> {
    /// Wraps a reward.
    pub fn new(reward: R) -> Self {
        Self(Guarded::new(reward))
    }
}

impl<R: Reward> RawReward for NativeReward<R> {
    fn score_all(&self, completions: RSlice<'_, RawCompletion<'_>>) -> RawResult<RVec<RResult<f32, RString>>> {
        self.0.with(|reward| {
            let completions: Vec<Completion<'_>> = completions
                .iter()
                .map(|completion| Completion::from(*completion))
                .collect();
            let scores = reward.score_all(&completions)?;
            Ok(scores
                .into_iter()
                .map(|score| match score {
                    Ok(score) => ROk(score),
                    Err(error) => RErr(RString::from(error.message)),
                })
                .collect())
        })
    }
}

#[cfg(test)]
mod tests {
    use abi_stable::std_types::RSlice;

    use super::super::raw::{RawBatch, RawScalarizer as _};
    use super::NativeScalarizer;
    use crate::prelude::*;
    use crate::views::BatchInput;

    #[derive(Serialize, Deserialize)]
    struct Fragile {
        small: f32,
        large: f64,
    }

    #[scalarizer]
    impl Scalarizer for Fragile {
        const NAME: &str = "fragile";
        const PAPER: &str = "none";
        type Params = ();
        fn new(_: &Setup, (): ()) -> Result<Self> {
            Ok(Self {
                small: 0.1,
                large: 1.0 / 3.0,
            })
        }
        fn on_validation(&mut self, validation: &Validation<'_>) -> Result<()> {
            self.large = validation.values()[0];
            Ok(())
        }
        fn scalarize(&mut self, batch: &Batch<'_>) -> Result<Signal> {
            assert!(batch.step() < 2, "step {} is too much", batch.step());
            Ok(Signal::weights([self.small]))
        }
    }

    impl Drop for Fragile {
        fn drop(&mut self) {
            if self.small < 0.0 {
                panic!("in drop");
            }
        }
    }

    fn fragile() -> NativeScalarizer<Fragile> {
        NativeScalarizer::new(
            &Setup::default(),
            Fragile {
                small: f32::MIN_POSITIVE,
                large: 0.1 + 0.2,
            },
        )
    }

    #[test]
    fn state_survives_to_the_last_bit() {
        let from = fragile();
        let state = from.save().into_result().expect("finite");
        let mut to = NativeScalarizer::new(&Setup::default(), Fragile { small: 0.0, large: 0.0 });
        to.load(state.as_str().into()).into_result().expect("its own state");
        let (a, b) = (from.0.value.as_ref(), to.0.value.as_ref());
        let bits = |f: Option<&Fragile>| f.map(|f| (f.small.to_bits(), f.large.to_bits()));
        assert_eq!(bits(a), bits(b));
    }

    #[test]
    fn a_state_that_json_cannot_hold_is_refused_when_it_is_saved() {
        let mut fragile = fragile();
        fragile
            .on_validation(1, RSlice::from_slice(&[f64::NAN]))
            .into_result()
            .expect("it takes any number");
        let error = fragile.save().into_result().expect_err("JSON has no NaN");
        assert!(error.message.contains("large is NaN"), "{}", error.message);
    }

    #[test]
    fn after_a_panic_every_call_is_refused() {
        let mut fragile = fragile();
        let call = |fragile: &mut NativeScalarizer<Fragile>, step| {
            let input = BatchInput {
                step,
                m: 1,
                scores: &[1.0],
                groups: &[0],
                lengths: &[1],
                ..BatchInput::default()
            };
            fragile.scalarize(RawBatch::new(&input, &[])).into_result()
        };
        assert!(call(&mut fragile, 1).is_ok());
        let error = call(&mut fragile, 2).expect_err("it panics");
        assert!(error.message.starts_with("panicked: step 2 is too much at "));
        let error = call(&mut fragile, 1).expect_err("it has panicked");
        assert!(
            error
                .message
                .starts_with("refuses every call since it panicked: step 2")
        );
        assert!(fragile.save().is_err());
    }

    #[test]
    fn a_panic_in_drop_ends_in_the_plugin() {
        drop(NativeScalarizer::new(
            &Setup::default(),
            Fragile {
                small: -1.0,
                large: 0.0,
            },
        ));
    }
}
