//! All tests that every scalarizer should have, as one line of its source.

use serde_json::Value;

use super::{check_examples, check_permutation, check_properties, check_scales, check_single_objective, replay};
use crate::trace::{Event, Trace};
use crate::{Error, Result, Scalarizer};

/// The whole suite of a scalarizer, one test for each kind of check, in a module `suite`:
///
/// ```
/// # use moa_sdk::prelude::*;
/// # #[derive(Params)] struct Params { weights: Vec<f32> }
/// # #[derive(Serialize, Deserialize)] struct Linear { weights: Vec<f32> }
/// # #[scalarizer]
/// # impl Scalarizer for Linear {
/// #     const NAME: &str = "linear"; const PAPER: &str = "none"; type Params = Params;
/// #     fn new(setup: &Setup, params: Params) -> Result<Self> {
/// #         Ok(Linear { weights: math::simplex_weights(&params.weights, setup.m())? })
/// #     }
/// #     fn scalarize(&mut self, _: &Batch) -> Result<Signal> { Ok(Signal::weights(&self.weights)) }
/// # }
/// moa_sdk::testing::suite!(Linear,
///     golden = ["../../../tests/golden/linear.jsonl"],                  // traces, relative to this file
///     params = [{}],                                                    // for every M; may end in `without permutation`
///     permutation = [[2, 0, 1]: {"weights": [0.5, 0.3, 0.2]} => {"weights": [0.2, 0.5, 0.3]}],
/// );
/// # fn main() {}
/// ```
///
/// - `golden_traces`: every trace expects something, and [`replay`] agrees.
/// - `examples`: there are examples, and [`check_examples`] agrees.
/// - `properties`, `scales`, `permutation`, `single_objective`: [`check_properties`] for M = 1 to 8, [`check_scales`],
///   [`check_permutation`] and [`check_single_objective`] for each of `params`. `without permutation` or
///   `without single_objective` leaves one out where the method is not meant to have it.
/// - Each entry of `permutation` is a further [`check_permutation`]: the order, the params, and the params in that order.
#[doc(hidden)]
#[macro_export]
macro_rules! __testing_suite {
    (
        $scalarizer:ident,
        $(golden = [$($golden:literal),* $(,)?],)?
        params = [$($params:tt $(without $($without:ident)and+)?),* $(,)?]
        $(, permutation = [$([$($order:literal),*]: $one:tt => $other:tt),* $(,)?])?
        $(,)?
    ) => {
        #[cfg(test)]
        mod suite {
            use super::$scalarizer;

            fn suite() -> $crate::testing::Suite {
                #[allow(unused_mut, reason = "a suite may have no traces and no further permutations")]
                let mut suite = $crate::testing::Suite::default();
                $($(suite.trace($golden, include_str!($golden));)*)?
                $(suite.params($crate::serde_json::json!($params), &[$($(stringify!($without)),+)?]);)*
                $($(suite.permutation(
                    &[$($order),*],
                    $crate::serde_json::json!($one),
                    $crate::serde_json::json!($other),
                );)*)?
                suite
            }

            $(
                #[test]
                fn golden_traces() -> $crate::Result<()> {
                    let _: &[&str] = &[$($golden),*];
                    suite().check_golden_traces::<$scalarizer>()
                }
            )?

            #[test]
            fn examples() -> $crate::Result<()> {
                suite().check_examples::<$scalarizer>()
            }

            #[test]
            fn properties() -> $crate::Result<()> {
                suite().check_properties::<$scalarizer>()
            }

            #[test]
            fn scales() -> $crate::Result<()> {
                suite().check_scales::<$scalarizer>()
            }

            #[test]
            fn permutation() -> $crate::Result<()> {
                suite().check_permutation::<$scalarizer>()
            }

            #[test]
            fn single_objective() -> $crate::Result<()> {
                suite().check_single_objective::<$scalarizer>()
            }
        }
    };
}
pub use __testing_suite as suite;

/// What [`suite!`] runs: traces, params and orders of objectives.
#[derive(Default)]
pub struct Suite {
    traces: Vec<(&'static str, &'static str)>,
    params: Vec<(Value, &'static [&'static str])>,
    permutations: Vec<(Vec<usize>, Value, Value)>,
}

/// The checks that an entry of `params` may leave out.
const OPTIONAL: [&str; 2] = ["permutation", "single_objective"];

impl Suite {
    /// Adds a trace: its name and its text.
    pub fn trace(&mut self, name: &'static str, text: &'static str) {
        self.traces.push((name, text));
    }

    /// Adds params, and the checks that they leave out.
    pub fn params(&mut self, params: Value, without: &'static [&'static str]) {
        self.params.push((params, without));
    }

    /// Adds an order of the objectives, with params for the given and for the new order.
    pub fn permutation(&mut self, order: &[usize], params: Value, in_order: Value) {
        self.permutations.push((order.to_vec(), params, in_order));
    }

    /// Every trace expects something, and the scalarizer does what it expects.
    ///
    /// # Errors
    /// Names the trace.
    pub fn check_golden_traces<S: Scalarizer>(&self) -> Result<()> {
        for (name, text) in &self.traces {
            let trace = Trace::parse(text).map_err(|error| error.at(name))?;
            if !trace.events.iter().any(|event: &Event| event.expect().is_some()) {
                return Err(
                    Error::new(format!("{name} expects nothing")).hint("record it with a run, or fill `expect` in")
                );
            }
            replay::<S>(text).map_err(|error| error.at(name))?;
        }
        Ok(())
    }

    /// There are examples, each expects something, and the scalarizer does what it expects.
    ///
    /// # Errors
    /// There are none, or names the example.
    pub fn check_examples<S: Scalarizer>(&self) -> Result<()> {
        if check_examples::<S>()? == 0 {
            return Err(Error::new(format!("{} has no examples", S::NAME))
                .hint("write src/examples.jsonl and set EXAMPLES to include_str!(\"examples.jsonl\")"));
        }
        Ok(())
    }

    /// [`check_properties`] for M = 1 to 8.
    ///
    /// # Errors
    /// Names the params and what does not hold.
    pub fn check_properties<S: Scalarizer>(&self) -> Result<()> {
        self.each("properties", |params| {
            (1..=8).try_for_each(|m| check_properties::<S>(m, params))
        })
    }

    /// [`check_scales`] for three objectives.
    ///
    /// # Errors
    /// Names the params and what does not hold.
    pub fn check_scales<S: Scalarizer>(&self) -> Result<()> {
        self.each("scales", |params| check_scales::<S>(3, params))
    }

    /// [`check_permutation`] for three objectives in another order, and for the orders that were added.
    ///
    /// # Errors
    /// Names the params and what does not hold.
    pub fn check_permutation<S: Scalarizer>(&self) -> Result<()> {
        self.each("permutation", |params| {
            check_permutation::<S>(&[2, 0, 1], params, params)
        })?;
        for (order, params, in_order) in &self.permutations {
            check_permutation::<S>(order, params, in_order).map_err(|error| error.at(format!("params {params}")))?;
        }
        Ok(())
    }

    /// [`check_single_objective`].
    ///
    /// # Errors
    /// Names the params and what does not hold.
    pub fn check_single_objective<S: Scalarizer>(&self) -> Result<()> {
        self.each("single_objective", check_single_objective::<S>)
    }

    fn each(&self, check: &str, run: impl Fn(&Value) -> Result<()>) -> Result<()> {
        for (params, without) in &self.params {
            if let Some(unknown) = without.iter().find(|name| !OPTIONAL.contains(name)) {
                return Err(Error::new(format!(
                    "without {unknown}, expected one of {}",
                    OPTIONAL.join(", ")
                )));
            }
            if !without.contains(&check) {
                run(params).map_err(|error| error.at(format!("params {params}")))?;
            }
        }
        Ok(())
    }
}
