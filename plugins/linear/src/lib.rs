//! Linear scalarization: r_b = Σ_m w_m s_bm, for scores s `[B, M]` and fixed weights w `[M]`.
//!
//! The baseline that every other method is compared with; the host mixes the scores, then estimates the
//! advantage. Both papers whose methods are here start from it: arXiv 2509.11452, arXiv 2602.06869.

use moa_sdk::prelude::*;

/// What the weights are.
#[derive(Params)]
pub struct Params {
    /// weight of each objective, in order; default: equal. They are >= 0 and sum to 1.
    weights: Vec<f32>,
}

/// The weights `[M]`.
#[derive(Serialize, Deserialize)]
pub struct Linear {
    weights: Vec<f32>,
}

impl Scalarizer for Linear {
    const NAME: &str = "linear";
    const PAPER: &str = "weighted sum; Gass and Saaty, The computational algorithm for the parametric objective function, 1955";
    const NEEDS: Needs = Needs::NONE;
    type Params = Params;

    fn new(setup: &Setup, params: Params) -> Result<Self> {
        let weights = math::weights_or_equal(&params.weights, setup.m())?;
        Ok(Self { weights })
    }

    fn scalarize(&mut self, _batch: &Batch) -> Result<Scalarized> {
        Ok(Scalarized::weights(&self.weights))
    }
}

moa_sdk::export!(scalarizers: [Linear]);
