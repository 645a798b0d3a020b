//! The training signal: what a scalarizer makes of the scores of a step.

use crate::{Error, Hooks, Result};

/// The training signal, in one of the forms that the host can take.
#[derive(Debug, Clone, PartialEq)]
pub struct Signal {
    kind: SignalKind,
    advantage_scale: f32,
}

/// The forms of a training signal.
#[derive(Debug, Clone, PartialEq)]
pub enum SignalKind {
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

/// A number of a training signal: f32 or f64, or a reference to one. It crosses the boundary as f32.
pub trait Number: sealed::Sealed {
    /// Rounded to f32.
    fn to_f32(self) -> f32;
}

mod sealed {
    pub trait Sealed {}
}

macro_rules! numbers {
    ($($type:ty: $number:ident => $rounded:expr),* $(,)?) => {$(
        impl sealed::Sealed for $type {}
        impl Number for $type {
            #[allow(clippy::cast_possible_truncation, reason = "rounding is meant")]
            fn to_f32(self) -> f32 {
                let $number = self;
                $rounded
            }
        }
    )*};
}
numbers! { f32: x => x, &f32: x => *x, f64: x => x as f32, &f64: x => *x as f32 }

/// Rounded to f32, the type of weights and rewards at the boundary.
pub fn to_f32(numbers: impl IntoIterator<Item = impl Number>) -> Vec<f32> {
    numbers.into_iter().map(Number::to_f32).collect()
}

impl Signal {
    /// Weights `[M]` on the scores.
    pub fn weights(weights: impl IntoIterator<Item = impl Number>) -> Self {
        Self::new(SignalKind::Weights(to_f32(weights)))
    }

    /// Rewards `[B]`.
    pub fn rewards(rewards: impl IntoIterator<Item = impl Number>) -> Self {
        Self::new(SignalKind::Rewards(to_f32(rewards)))
    }

    /// Weights `[M]` on the objectives' advantages.
    pub fn advantage_weights(weights: impl IntoIterator<Item = impl Number>) -> Self {
        Self::new(SignalKind::AdvantageWeights(to_f32(weights)))
    }

    /// The host asks [`crate::Scalarizer::weigh_gradients`] in every mini-batch.
    pub fn gradient_weights() -> Self {
        Self::new(SignalKind::GradientWeights)
    }

    /// Advantages `[B]`, one for each completion.
    pub fn advantages(advantages: impl IntoIterator<Item = impl Number>) -> Self {
        Self::new(SignalKind::Advantages(to_f32(advantages)))
    }

    /// Advantages `[N]`, one for each token.
    pub fn token_advantages(advantages: impl IntoIterator<Item = impl Number>) -> Self {
        Self::new(SignalKind::TokenAdvantages(to_f32(advantages)))
    }

    /// The form `kind`; its advantages are not scaled.
    pub fn new(kind: SignalKind) -> Self {
        Self {
            kind,
            advantage_scale: 1.0,
        }
    }

    /// The same signal with all advantages of the step multiplied by `scale`.
    #[must_use]
    pub fn with_advantage_scale(mut self, scale: f32) -> Self {
        self.advantage_scale = scale;
        self
    }

    /// The form and its numbers.
    pub fn kind(&self) -> &SignalKind {
        &self.kind
    }

    /// The factor on all advantages of the step; 1 by default.
    pub fn advantage_scale(&self) -> f32 {
        self.advantage_scale
    }

    /// The weights `[M]` on scores or on advantages; `None` for the other forms.
    pub fn mixing_weights(&self) -> Option<&[f32]> {
        match &self.kind {
            SignalKind::Weights(weights) | SignalKind::AdvantageWeights(weights) => Some(weights),
            _ => None,
        }
    }

    /// The advantages `[B]` or `[N]` that the scalarizer returned itself; `None` for the other forms.
    pub fn own_advantages(&self) -> Option<&[f32]> {
        match &self.kind {
            SignalKind::Advantages(advantages) | SignalKind::TokenAdvantages(advantages) => Some(advantages),
            _ => None,
        }
    }

    /// The rewards `[B]` that this makes of the scores `[B, M]`: r_b = Σ_m w_m s_bm for weights on scores, the
    /// rewards themselves where the signal has them, `None` for the other forms.
    pub fn rewards_of(&self, scores: &[f32]) -> Option<Vec<f32>> {
        match &self.kind {
            SignalKind::Weights(weights) => Some(weighted_sum(weights, scores)),
            SignalKind::Rewards(rewards) => Some(rewards.clone()),
            _ => None,
        }
    }

    /// Whether the signal goes with the hooks: weights on gradients need `weigh_gradients`, and a scalarizer with that
    /// hook must return them, as it would not be called otherwise.
    ///
    /// # Errors
    /// Either without the other; the hint says what to change.
    pub fn check_hooks(&self, hooks: Hooks) -> Result<()> {
        match (&self.kind, hooks.has(Hooks::WEIGH_GRADIENTS)) {
            (SignalKind::GradientWeights, false) => Err(Error::new(
                "the signal is gradient_weights, but weigh_gradients is not implemented",
            )
            .hint("implement weigh_gradients, or return another signal")),
            (SignalKind::GradientWeights, true) | (_, false) => Ok(()),
            (other, true) => Err(Error::new(format!(
                "the signal is {}, but weigh_gradients is implemented and would never be called",
                other.name()
            ))
            .hint("return gradient_weights() from scalarize; to look at gradients only, implement observe_gradients")),
        }
    }
}

impl SignalKind {
    /// The name of the form, as its constructor has it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Weights(_) => "weights",
            Self::Rewards(_) => "rewards",
            Self::AdvantageWeights(_) => "advantage_weights",
            Self::GradientWeights => "gradient_weights",
            Self::Advantages(_) => "advantages",
            Self::TokenAdvantages(_) => "token_advantages",
        }
    }
}

/// Σ_m w_m x_bm `[B]` for weights `[M]` and row-major rows `[B, M]`: added up in f64 in the order of the objectives,
/// rounded once. Without weights there are no rows.
pub fn weighted_sum(weights: &[f32], rows: &[f32]) -> Vec<f32> {
    let one = |row: &[f32]| {
        let terms = weights.iter().zip(row).map(|(w, x)| f64::from(*w) * f64::from(*x));
        Number::to_f32(terms.sum::<f64>())
    };
    match weights.len() {
        0 => Vec::new(),
        m => rows.chunks(m).map(one).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::{Signal, SignalKind};
    use crate::Hooks;

    #[test]
    fn weights_mix_scores_into_rewards() {
        let weights = Signal::weights([0.5, 0.25]);
        assert_eq!(weights.rewards_of(&[1.0, 2.0, 0.0, -4.0]), Some(vec![1.0, -1.0]));
        assert_eq!(Signal::gradient_weights().rewards_of(&[1.0]), None);
    }

    #[test]
    fn numbers_of_either_width_are_rounded_once() {
        let wide = [0.1_f64, 0.7];
        let narrow = [0.1_f32, 0.7];
        assert_eq!(Signal::weights(wide), Signal::weights(narrow.iter()));
        assert_eq!(Signal::rewards(wide.iter()), Signal::rewards(narrow.to_vec()));
        assert_eq!(*Signal::rewards(wide).kind(), SignalKind::Rewards(vec![0.1, 0.7]));
    }

    #[test]
    fn a_signal_goes_with_the_hooks_or_is_refused() {
        let weighs = Hooks::NONE.scalarize().weigh_gradients();
        let observes = Hooks::NONE.scalarize().observe_gradients();
        let scores = Signal::weights([1.0]);
        assert_eq!(Signal::gradient_weights().check_hooks(weighs), Ok(()));
        assert_eq!(scores.check_hooks(observes), Ok(()));
        let unasked = scores.check_hooks(weighs).expect_err("never called");
        assert!(unasked.message.contains("is weights, but weigh_gradients"), "{unasked}");
        let missing = Signal::gradient_weights().check_hooks(observes);
        assert!(missing.is_err_and(|error| error.message.contains("is not implemented")));
    }
}
