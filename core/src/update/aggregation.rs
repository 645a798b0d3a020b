//! How per-token losses become one number.
//!
//! Every aggregation here is a weighted sum `Σ_t w_t l_t` whose weights depend only on the lengths of
//! responses and on totals of the whole mini-batch ([`Denominators`]). So a mini-batch may be handed
//! in in parts: values and derivatives of the parts sum to those of the whole.

pub use crate::config::Aggregation;

/// Totals of the whole mini-batch, of which a caller may hand in parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Denominators {
    /// Response tokens in the mini-batch.
    pub tokens: usize,
    /// Responses in the mini-batch.
    pub sequences: usize,
    /// What `seq-mean-token-sum-norm` divides by, in tokens: the largest response length allowed.
    pub norm_length: usize,
}

impl Denominators {
    /// Totals of a mini-batch from its response lengths in tokens.
    pub fn of(lengths: impl IntoIterator<Item = usize>, norm_length: usize) -> Self {
        let (mut tokens, mut sequences) = (0, 0);
        for length in lengths {
            tokens += length;
            sequences += 1;
        }
        Self {
            tokens,
            sequences,
            norm_length,
        }
    }
}

impl Aggregation {
    /// Weight of the loss of each token of a response that has `length` tokens.
    #[must_use]
    pub fn token_weight(self, length: usize, whole: &Denominators) -> f64 {
        // No tokens or no responses: nothing is ever weighted, and 1 keeps the number finite.
        let per = |count: usize| 1.0 / count.max(1) as f64;
        match self {
            Self::TokenMean => per(whole.tokens),
            Self::SeqMeanTokenSum => per(whole.sequences),
            Self::SeqMeanTokenMean => per(length) * per(whole.sequences),
            Self::SeqMeanTokenSumNorm => per(whole.norm_length) * per(whole.sequences),
        }
    }
}
