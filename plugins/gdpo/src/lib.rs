//! Two methods that normalise each objective by itself, then mix: [`Gdpo`] (arXiv 2601.05242) and [`MoGrpo`]
//! (arXiv 2509.22047).

mod gdpo;
mod mo_grpo;

pub use gdpo::Gdpo;
pub use mo_grpo::MoGrpo;

moa_sdk::export!(scalarizers: [Gdpo, MoGrpo]);
