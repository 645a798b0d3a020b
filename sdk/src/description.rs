//! What a library says about itself: data for `plugin inspect`, for checks before a run, and for docs. It
//! crosses the boundary as JSON; keys that a version does not know are passed over.

use serde::{Deserialize, Serialize};

use crate::params::{ParamSpec, Params};
use crate::trace::Example;
use crate::{Error, Performance, Result, Reward, Scalarizer};

/// All scalarizers and rewards of a library.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Description {
    /// In the order in which the library exports them.
    pub scalarizers: Vec<ScalarizerDescription>,
    /// In the order in which the library exports them.
    pub rewards: Vec<RewardDescription>,
}

/// One scalarizer of a library.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ScalarizerDescription {
    /// Its name in configs.
    pub name: String,
    /// The paper that it implements.
    pub paper: String,
    /// Names of the hooks that it implements, see [`crate::Hooks::names`].
    pub hooks: Vec<String>,
    /// Names of the data that it needs, see [`crate::Needs::names`].
    pub needs: Vec<String>,
    /// Its params.
    pub params: Vec<ParamSpec>,
    /// Its examples, executed by `plugin check`.
    pub examples: Vec<Example>,
}

/// One reward of a library.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct RewardDescription {
    /// Its name in configs.
    pub name: String,
    /// What it measures.
    pub about: String,
    /// What a validation reports for it.
    pub validation: Performance,
    /// Whether its scores depend on mean lengths, see [`Reward::NEEDS_MEANS`].
    pub needs_means: bool,
    /// Its params.
    pub params: Vec<ParamSpec>,
}

impl ScalarizerDescription {
    /// The description of a type.
    ///
    /// # Errors
    /// Its examples cannot be read.
    pub fn of<S: Scalarizer>() -> Result<Self> {
        let examples = S::examples().map_err(|error| Error::new(format!("the examples of {}: {error}", S::NAME)))?;
        Ok(Self {
            name: S::NAME.to_owned(),
            paper: S::PAPER.to_owned(),
            hooks: S::HOOKS.names(),
            needs: S::NEEDS.names(),
            params: S::Params::schema(),
            examples,
        })
    }
}

impl RewardDescription {
    /// The description of a type.
    pub fn of<R: Reward>() -> Self {
        Self {
            name: R::NAME.to_owned(),
            about: R::ABOUT.to_owned(),
            validation: R::VALIDATION,
            needs_means: R::NEEDS_MEANS,
            params: R::Params::schema(),
        }
    }
}
