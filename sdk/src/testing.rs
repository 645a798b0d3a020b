//! Tests of plugins: traces to replay, families of inputs, and the properties that every scalarizer and every reward has
//! on them. `plugin check` runs the same properties on a library, each in a process of its own.
//!
//! [`suite!`] is one line for the whole suite of a scalarizer. Each check also stands alone; all return an error, with
//! its hint, instead of panicking:
//!
//! ```
//! # use moa_sdk::prelude::*;
//! # #[derive(Serialize, Deserialize)] struct Mine;
//! # #[scalarizer]
//! # impl Scalarizer for Mine {
//! #     const NAME: &str = "mine"; const PAPER: &str = "none"; type Params = ();
//! #     fn new(_: &Setup, (): ()) -> Result<Self> { Ok(Mine) }
//! #     fn scalarize(&mut self, batch: &Batch) -> Result<Signal> {
//! #         Ok(Signal::weights(vec![1.0; batch.m()]))
//! #     }
//! # }
//! # fn main() -> Result<()> {
//! moa_sdk::testing::check_properties::<Mine>(3, &serde_json::json!({}))?;
//! # Ok(())
//! # }
//! # use moa_sdk::serde_json;
//! ```

#[cfg(test)]
pub(crate) mod cases;
mod checks;
mod completions;
#[cfg(test)]
mod faulty;
pub mod inputs;
mod limits;
mod outcome;
mod properties;
mod rewards;
mod subject;
mod suite;
mod thread;

pub use checks::{
    check_example, check_examples, check_properties, check_scales, expects_something, gradients, replay, scalarizer,
};
pub use completions::{CompletionFamily, Text, ordinary};
pub use limits::{check_permutation, check_single_objective};
pub use properties::Property;
pub use rewards::{check_reward, score};
pub use subject::{Failure, OfType, Subject};
pub use suite::{Suite, suite};
pub use thread::{THREAD_PANICKED, on_thread};
