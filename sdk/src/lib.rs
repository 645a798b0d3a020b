//! moa-sdk: everything that a plugin of moa is written against. Letters in shapes: B completions of a step,
//! M objectives, N response tokens of the batch.
#![doc = include_str!("../README.md")]

// The derive macros name the crate; inside it (its own tests and docs) the name must resolve as well.
extern crate self as moa_sdk;

mod description;
mod error;
mod hooks;
mod metrics;
mod params;
mod reward;
mod rng;
mod scalarizer;
mod scoring;
mod setup;
mod signal;

pub mod abi;
#[cfg(feature = "answer")]
pub mod answer;
pub mod math;
pub mod replay;
pub mod testing;
pub mod trace;
pub mod views;

pub use description::{Description, RewardDescription, ScalarizerDescription};
pub use error::{Error, Result};
pub use hooks::{Hooks, ImplementedHooks, Needs};
pub use metrics::Metrics;
pub use moa_sdk_derive::{Choice, Params, scalarizer};
pub use params::{Choice, ParamFields, ParamRange, ParamSpec, ParamValue, Params, PerObjective, choice_kind, nearest};
pub use reward::{Completion, MeanTokens, Performance, Reward};
pub use rng::Rng;
pub use scalarizer::Scalarizer;
pub use setup::{Direction, Objective, Setup};
pub use signal::{Number, Signal, SignalKind, weighted_sum};

// A plugin depends on moa-sdk only; this one is there with the feature of its name.
#[cfg(feature = "regex")]
pub use regex;
// For the code that the derive macros write.
pub use serde;
pub use serde_json;

/// The version of this SDK, as the handshake gives it.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Everything that a plugin names: `use moa_sdk::prelude::*;`
pub mod prelude {
    #[cfg(feature = "answer")]
    pub use crate::answer;
    pub use crate::math;
    pub use crate::trace::{Event, Example, Expect};
    pub use crate::views::{Batch, Gradients, Matrix, Matrix64, Ragged, Update, Validation};
    pub use crate::{
        Choice, Completion, Direction, Error, MeanTokens, Metrics, Needs, Objective, ParamValue as _, Params,
        Performance, Result, Reward, Rng, Scalarizer, Setup, Signal, scalarizer,
    };
    // The derive macros of the SDK with the traits of serde: a plugin depends on moa-sdk only.
    pub use moa_sdk_derive::{Deserialize, Serialize};
    pub use serde::de::Deserialize;
    pub use serde::ser::Serialize;
}
