//! What a forward pass returns for each response token, and the derivatives of a loss with respect to it.

/// Statistics of N response tokens.
#[derive(Debug, Clone, Default)]
pub struct TokenStats {
    /// log p of each token at the given temperature `[N]`.
    pub logprobs: Vec<f32>,
    /// Entropy of the distribution that each token was drawn from, in nats `[N]`.
    pub entropy: Vec<f32>,
    /// Log-sum-exp of logits / temperature `[N]`.
    pub(crate) lse: Vec<f32>,
}

/// Derivatives of one scalar with respect to the token statistics: one column of a backward pass.
#[derive(Debug, Clone, Copy)]
pub struct Cotangent<'a> {
    /// With respect to each log-probability `[N]`.
    pub logprobs: &'a [f32],
    /// With respect to each entropy `[N]`; none if the scalar does not depend on it.
    pub entropy: Option<&'a [f32]>,
}

impl<'a> Cotangent<'a> {
    /// The cotangent of a scalar that depends on the log-probabilities alone.
    #[must_use]
    pub fn of(logprobs: &'a [f32]) -> Self {
        Cotangent {
            logprobs,
            entropy: None,
        }
    }

    /// Whether the scalar depends on token `i`.
    pub(crate) fn is_nonzero_at(&self, i: usize) -> bool {
        self.logprobs[i] != 0.0 || self.entropy.is_some_and(|entropy| entropy[i] != 0.0)
    }

    /// Whether the scalar depends on log-probabilities alone, with one value for all tokens of a response, as an
    /// objective's advantages are on policy. `offsets` `[B + 1]` tells where each response begins.
    pub(crate) fn is_constant_over_responses(&self, offsets: &[usize]) -> bool {
        let is_constant = |tokens: &[usize]| {
            let own = &self.logprobs[tokens[0]..tokens[1]];
            own.iter().all(|g| *g == own[0])
        };
        self.entropy.is_none() && offsets.windows(2).all(is_constant)
    }
}
