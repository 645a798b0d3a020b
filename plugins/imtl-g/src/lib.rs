//! Two steps that treat all objectives alike, both along C⁺1 for the cosines C of their gradients: [`ImtlG`] (Liu et al.,
//! "Towards Impartial Multi-task Learning", ICLR 2021) and [`Config`] (Liu et al., "ConFIG: Towards Conflict-free
//! Training of Physics Informed Neural Networks", arXiv 2408.11104). They differ in the step's length.
//!
//! The pseudo-inverse leaves directions out whose eigenvalue is below 1e-9 of the largest; zero gradients have weight 0.

use moa_sdk::prelude::*;

mod config;
mod imtl_g;

pub use config::Config;
pub use imtl_g::ImtlG;

/// x = C⁺1 `[K]`: the step Σ x_k g_k / ‖g_k‖ has the same part along each gradient.
fn impartial(directions: &math::Directions) -> Vec<f64> {
    math::pseudo_solve(directions.cosines(), &vec![1.0; directions.k()], 1e-9)
}

moa_sdk::export!(scalarizers: [ImtlG, Config]);
