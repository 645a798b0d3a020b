//! Params: what a plugin is configured with. `#[derive(Params)]` writes the schema (for `plugin inspect`) and a
//! strict parser. An unknown key, a wrong type or a number out of range is an error that names the key, what was found
//! and what was expected.

mod fields;
mod nearest;
mod range;
mod spec;
mod value;

pub use fields::{ParamFields, PerObjective};
pub use nearest::nearest;
pub use range::ParamRange;
pub use spec::ParamSpec;
pub use value::{Choice, ParamValue, choice_kind};

use serde_json::Value;

use crate::{Result, Setup};

/// The params of a plugin, read from the JSON object that stands in the config. Derive it.
pub trait Params: Sized {
    /// Whether they can be read for a run only: they hold a number for each objective, or state.
    const NEEDS_SETUP: bool = false;

    /// One entry for each param, in the order of the fields.
    fn schema() -> Vec<ParamSpec>;

    /// Reads a JSON object; `null` is the empty object.
    ///
    /// # Errors
    /// Not an object, an unknown key, a wrong type, or a number out of its range.
    fn from_json(value: &Value) -> Result<Self> {
        Self::from_fields(&mut ParamFields::new(value, Self::schema())?)
    }

    /// The same for a run, which knows how many objectives there are.
    ///
    /// # Errors
    /// Also a list that has not one number for each objective.
    fn for_run(value: &Value, setup: &Setup) -> Result<Self> {
        if Self::NEEDS_SETUP {
            Self::from_fields(&mut ParamFields::new(value, Self::schema())?.of_run(setup))
        } else {
            Self::from_json(value)
        }
    }

    /// Takes its own keys from an object whose keys are known; other params may stand beside them.
    ///
    /// # Errors
    /// A wrong type, or a number out of its range.
    fn from_fields(fields: &mut ParamFields<'_>) -> Result<Self>;
}

/// For plugins without params: `type Params = ();`
impl Params for () {
    fn schema() -> Vec<ParamSpec> {
        Vec::new()
    }

    fn from_fields(_: &mut ParamFields<'_>) -> Result<Self> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
