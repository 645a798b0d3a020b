//! A library's table: its plugins by name, and the three functions of the root module over it.

use abi_stable::sabi_trait::TD_Opaque;
use abi_stable::std_types::{RErr, ROk, RString};

use super::guard::{Stopped, catch};
use super::native::{NativeReward, NativeScalarizer};
use super::raw::{RawResult, RawReward_TO, RawRewardBox, RawScalarizer_TO, RawScalarizerBox};
use crate::{Description, Error, Params, Result, Reward, RewardDescription, Scalarizer, ScalarizerDescription, Setup};

/// One scalarizer of a library.
pub struct ScalarizerEntry {
    name: &'static str,
    describe: fn() -> Result<ScalarizerDescription>,
    new: fn(&str, &str) -> Result<RawScalarizerBox>,
}

impl ScalarizerEntry {
    /// The entry of a type.
    pub const fn of<S: Scalarizer>() -> Self {
        Self {
            name: S::NAME,
            describe: ScalarizerDescription::of::<S>,
            new: |setup, params| {
                let setup: Setup = read("setup", setup)?;
                let params = S::Params::for_run(&read("params", params)?, &setup)?;
                let scalarizer = NativeScalarizer::new(&setup, S::new(&setup, params)?);
                Ok(RawScalarizer_TO::from_value(scalarizer, TD_Opaque))
            },
        }
    }
}

/// One reward of a library.
pub struct RewardEntry {
    name: &'static str,
    describe: fn() -> RewardDescription,
    new: fn(&str) -> Result<RawRewardBox>,
}

impl RewardEntry {
    /// The entry of a type.
    pub const fn of<R: Reward>() -> Self {
        const {
            assert!(
                !R::Params::NEEDS_SETUP,
                "a reward's params have no state and nothing per objective"
            )
        };
        Self {
            name: R::NAME,
            describe: RewardDescription::of::<R>,
            new: |params| {
                let params = R::Params::from_json(&read("params", params)?)?;
                let reward = NativeReward::new(R::new(params)?);
                Ok(RawReward_TO::from_value(reward, TD_Opaque))
            },
        }
    }
}

/// JSON that the host wrote.
fn read<T: serde::de::DeserializeOwned>(what: &str, text: &str) -> Result<T> {
    serde_json::from_str(text).map_err(|e| Error::new(format!("the host's {what} cannot be read: {e}")))
}

fn raw<T>(result: Result<T, Stopped>) -> RawResult<T> {
    match result {
        Ok(value) => ROk(value),
        Err(stopped) => RErr(stopped.into_error().into()),
    }
}

/// The [`Description`] of a library as JSON.
pub fn describe(scalarizers: &[ScalarizerEntry], rewards: &[RewardEntry]) -> RawResult<RString> {
    raw(catch(|| {
        let description = Description {
            scalarizers: scalarizers
                .iter()
                .map(|entry| (entry.describe)())
                .collect::<Result<_>>()?,
            rewards: rewards.iter().map(|entry| (entry.describe)()).collect(),
        };
        serde_json::to_string(&description)
            .map(RString::from)
            .map_err(|e| Error::new(format!("the description cannot be written: {e}")))
    }))
}

/// A new scalarizer by name.
pub fn new_scalarizer(
    scalarizers: &[ScalarizerEntry],
    name: &str,
    setup: &str,
    params: &str,
) -> RawResult<RawScalarizerBox> {
    raw(catch(|| {
        let entry = scalarizers
            .iter()
            .find(|entry| entry.name == name)
            .ok_or_else(|| Error::new(format!("the library has no scalarizer `{name}`")))?;
        (entry.new)(setup, params)
    }))
}

/// A new reward by name.
pub fn new_reward(rewards: &[RewardEntry], name: &str, params: &str) -> RawResult<RawRewardBox> {
    raw(catch(|| {
        let entry = rewards
            .iter()
            .find(|entry| entry.name == name)
            .ok_or_else(|| Error::new(format!("the library has no reward `{name}`")))?;
        (entry.new)(params)
    }))
}
