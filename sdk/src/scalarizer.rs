//! The scalarizer: how M objectives become one training signal. The struct is the state that is saved; each
//! hook but `new` and `scalarize` has a default.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::math::to_f32;
use crate::params::Params;
use crate::trace::Example;
use crate::views::{Batch, Gradients, Update, Validation};
use crate::{Error, Metrics, Result, Rng};

/// A scalarizer. The host calls the hooks from one thread, within a step in the order in which they stand
/// here; the struct itself is its state and goes through serde into every checkpoint.
pub trait Scalarizer: Serialize + DeserializeOwned + Send + Sized + 'static {
    /// Its name in configs, kebab-case.
    const NAME: &'static str;
    /// The paper that it implements: authors, title, year or arXiv number.
    const PAPER: &'static str;
    /// What it wants to be given beyond scores, groups and lengths.
    const NEEDS: Needs = Needs::NONE;
    /// Examples as JSON lines, see [`Example::parse_all`]; usually `include_str!("examples.jsonl")`.
    const EXAMPLES: &'static str = "";
    /// What it is configured with.
    type Params: Params;

    /// Called once, before anything else.
    fn new(setup: &Setup, params: Self::Params) -> Result<Self>;

    /// Before step 1 and after each validation.
    fn on_validation(&mut self, validation: &Validation<'_>) -> Result<()> {
        let _ = validation;
        Ok(())
    }

    /// Once per batch before `scalarize`, or in each mini-batch of the update, as `NEEDS` says. Gives the
    /// weights `[M]` of the objectives' gradients.
    fn weigh_gradients(&mut self, gradients: &Gradients<'_>) -> Result<Vec<f32>> {
        let _ = gradients;
        Err(Error::new("weigh_gradients is not implemented").hint(format!(
            "implement it in {}, or take gradients_per_… out of its NEEDS",
            Self::NAME
        )))
    }

    /// Once a step, after scoring.
    fn scalarize(&mut self, batch: &Batch<'_>) -> Result<Scalarized>;

    /// After the optimizer step, if `NEEDS` says so.
    fn after_update(&mut self, update: &Update<'_>) -> Result<()> {
        let _ = update;
        Ok(())
    }

    /// The current weights `[M]`, where the method has any.
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

/// What a scalarizer wants beyond scores, groups and lengths; also how often it weighs gradients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Needs {
    bits: u32,
}

macro_rules! needs {
    ($($(#[$doc:meta])* $bit:literal $flag:ident $name:ident),* $(,)?) => {
        impl Needs {
            $(
                #[doc = concat!("Flag of [`Needs::", stringify!($name), "`].")]
                pub const $flag: Needs = Needs { bits: 1 << $bit };
                $(#[$doc])*
                #[must_use]
                pub const fn $name(self) -> Self {
                    Self { bits: self.bits | Self::$flag.bits }
                }
            )*

            /// The names of all needs that are set, as `plugin inspect` shows them.
            pub fn names(self) -> Vec<String> {
                let mut names = Vec::new();
                $(if self.has(Self::$flag) { names.push(stringify!($name).to_owned()); })*
                names
            }

            /// The needs of a list of names. Error: a name that this version does not know.
            pub fn from_names(names: &[String]) -> Result<Self> {
                let mut needs = Self::NONE;
                for name in names {
                    needs = match name.as_str() {
                        $(stringify!($name) => needs.$name(),)*
                        other => return Err(Error::new(format!("unknown need `{other}`"))),
                    };
                }
                Ok(needs)
            }
        }
    };
}

needs! {
    /// A validation after each step, not only at the configured interval.
    0 VALIDATION_EACH_STEP validation_each_step,
    /// `weigh_gradients` once per batch, before `scalarize`.
    1 GRADIENTS_PER_BATCH gradients_per_batch,
    /// `weigh_gradients` in each mini-batch of the update.
    2 GRADIENTS_PER_MINIBATCH gradients_per_minibatch,
    /// `Batch::objective_advantages`.
    3 OBJECTIVE_ADVANTAGES objective_advantages,
    /// `Batch::old_logprobs`.
    4 OLD_LOGPROBS old_logprobs,
    /// `Batch::ref_logprobs`.
    5 REF_LOGPROBS ref_logprobs,
    /// The hook `after_update`.
    6 AFTER_UPDATE after_update,
}

impl Needs {
    /// Nothing more.
    pub const NONE: Needs = Needs { bits: 0 };

    /// Whether all of `flag` is set.
    pub const fn has(self, flag: Needs) -> bool {
        self.bits & flag.bits == flag.bits
    }
}

/// Which way is better, for the values of a validation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    /// Larger is better.
    #[default]
    Maximize,
    /// Smaller is better.
    Minimize,
}

/// One objective of the run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Objective {
    /// Its name in the config.
    pub name: String,
    /// Which way its validation values are better.
    #[serde(default)]
    pub direction: Direction,
}

impl Objective {
    /// An objective that is maximised.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            direction: Direction::Maximize,
        }
    }
}

/// What `new` is told about the run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Setup {
    /// The M objectives, in the order of the columns of the scores.
    pub objectives: Vec<Objective>,
    /// Seed of the run.
    pub seed: u64,
}

impl Setup {
    /// Number of objectives M.
    pub fn m(&self) -> usize {
        self.objectives.len()
    }

    /// The objectives' names `[M]`, for [`Metrics::per_objective`]. Keep them in the struct.
    pub fn names(&self) -> Vec<String> {
        self.objectives.iter().map(|objective| objective.name.clone()).collect()
    }

    /// A generator with the run's seed. Keep it in the struct, so that it is saved with the state.
    pub fn rng(&self) -> Rng {
        Rng::new(self.seed)
    }
}

/// The training signal, in one of the forms that the host can take.
#[derive(Debug, Clone, PartialEq)]
pub struct Scalarized {
    signal: Signal,
    advantage_scale: f32,
}

/// The forms of a training signal.
#[derive(Debug, Clone, PartialEq)]
pub enum Signal {
    /// `[M]`: the host mixes the scores into rewards, then estimates the advantage.
    Weights(Vec<f32>),
    /// `[B]`: the host estimates the advantage.
    Rewards(Vec<f32>),
    /// `[M]`: the host estimates each objective's advantage, then mixes.
    AdvantageWeights(Vec<f32>),
    /// The host asks `weigh_gradients` in every mini-batch.
    GradientWeights,
    /// `[B]`: the advantages themselves, one a response.
    Advantages(Vec<f32>),
    /// `[N]`: the advantages themselves, one a token.
    TokenAdvantages(Vec<f32>),
}

impl Scalarized {
    /// Weights `[M]` on the scores.
    pub fn weights(weights: &[impl Copy + Into<f64>]) -> Self {
        Self::new(Signal::Weights(to_f32(weights)))
    }

    /// Rewards `[B]`.
    pub fn rewards(rewards: Vec<f32>) -> Self {
        Self::new(Signal::Rewards(rewards))
    }

    /// Weights `[M]` on the objectives' advantages.
    pub fn advantage_weights(weights: &[impl Copy + Into<f64>]) -> Self {
        Self::new(Signal::AdvantageWeights(to_f32(weights)))
    }

    /// The host asks `weigh_gradients` in every mini-batch.
    pub fn gradient_weights() -> Self {
        Self::new(Signal::GradientWeights)
    }

    /// Advantages `[B]`.
    pub fn advantages(advantages: Vec<f32>) -> Self {
        Self::new(Signal::Advantages(advantages))
    }

    /// Advantages `[N]`, one a token.
    pub fn token_advantages(advantages: Vec<f32>) -> Self {
        Self::new(Signal::TokenAdvantages(advantages))
    }

    /// The form `signal`, advantages as they are.
    pub fn new(signal: Signal) -> Self {
        Self {
            signal,
            advantage_scale: 1.0,
        }
    }

    /// All advantages of the step are multiplied by `scale`.
    #[must_use]
    pub fn with_advantage_scale(mut self, scale: f32) -> Self {
        self.advantage_scale = scale;
        self
    }

    /// The form and its numbers.
    pub fn signal(&self) -> &Signal {
        &self.signal
    }

    /// What the advantages of the step are multiplied by; 1 by default.
    pub fn advantage_scale(&self) -> f32 {
        self.advantage_scale
    }

    /// The weights `[M]`, where the form has any.
    pub fn mixing_weights(&self) -> Option<&[f32]> {
        match &self.signal {
            Signal::Weights(weights) | Signal::AdvantageWeights(weights) => Some(weights),
            _ => None,
        }
    }

    /// The rewards `[B]` that this makes of the scores `[B, M]`: r_b = Σ_m w_m s_bm for weights on scores, the
    /// rewards themselves where they are given, `None` for the other forms.
    pub fn rewards_of(&self, scores: &[f32]) -> Option<Vec<f32>> {
        match &self.signal {
            Signal::Weights(weights) if !weights.is_empty() => {
                Some(scores.chunks(weights.len()).map(|row| mixed(weights, row)).collect())
            }
            Signal::Rewards(rewards) => Some(rewards.clone()),
            _ => None,
        }
    }
}

/// Σ_m w_m s_m, added up in f64 in the order of the objectives.
#[allow(clippy::cast_possible_truncation, reason = "rewards are f32")]
fn mixed(weights: &[f32], scores: &[f32]) -> f32 {
    let sum: f64 = weights
        .iter()
        .zip(scores)
        .map(|(w, s)| f64::from(*w) * f64::from(*s))
        .sum();
    sum as f32
}

#[cfg(test)]
mod tests {
    use super::{Needs, Scalarized};

    #[test]
    fn needs_go_through_their_names() -> crate::Result<()> {
        let needs = Needs::NONE.gradients_per_batch().after_update();
        assert_eq!(needs.names(), ["gradients_per_batch", "after_update"]);
        assert_eq!(Needs::from_names(&needs.names())?, needs);
        assert!(needs.has(Needs::AFTER_UPDATE) && !needs.has(Needs::OLD_LOGPROBS));
        assert!(Needs::from_names(&["more".to_owned()]).is_err());
        Ok(())
    }

    #[test]
    fn weights_mix_scores_into_rewards() {
        let weights = Scalarized::weights(&[0.5, 0.25]);
        assert_eq!(weights.rewards_of(&[1.0, 2.0, 0.0, -4.0]), Some(vec![1.0, -1.0]));
        assert_eq!(Scalarized::gradient_weights().rewards_of(&[1.0]), None);
    }
}
