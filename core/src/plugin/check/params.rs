//! Cases about params that scalarizers and rewards share: what a description promises, a config may write, and what
//! it does not know is refused by name.

use moa_sdk::ParamSpec;
use serde_json::{Value, json};

use super::finding::{Finding, is_panic};
use crate::plugin::PluginError;

/// Makes a plugin with params and drops it.
pub(super) type Build<'a> = &'a dyn Fn(&Value) -> Result<(), PluginError>;

/// A key that no plugin has.
const NO_PARAM: &str = "no-such-param";

/// An unknown key is refused, and the error names it.
pub(super) fn unknown_key(build: Build<'_>, base: &Value) -> Result<(), Finding> {
    refused(build, base, NO_PARAM, &json!(1), "the unknown param")
}

/// A value of a wrong type is refused, and the error names its key: a table (or a list) for every param, a word for
/// those that are no text.
pub(super) fn wrong_type(build: Build<'_>, base: &Value, params: &[ParamSpec]) -> Result<(), Finding> {
    if params.is_empty() {
        return Err(Finding::skipped("it takes no params"));
    }
    for param in params {
        let kind = format!("for a param that is {}", param.kind);
        // For a param that is a table any keys may do, so that it gets a list.
        let mut values = match param.kind.starts_with("table") {
            true => vec![json!([1])],
            false => vec![json!({ "no": "value" })],
        };
        if !param.kind.starts_with("text") {
            values.push(json!("no such value"));
        }
        for value in values {
            refused(build, base, &param.name, &value, &format!("{value} {kind}, in"))?;
        }
    }
    Ok(())
}

fn refused(build: Build<'_>, base: &Value, key: &str, value: &Value, what: &str) -> Result<(), Finding> {
    let mut params = if base.is_object() { base.clone() } else { json!({}) };
    params[key] = value.clone();
    match build(&params) {
        Ok(()) => Err(Finding::failed(format!("takes {what} `{key}`"))),
        Err(PluginError::Hook { ref message, .. }) if !is_panic(message) && message.contains(key) => Ok(()),
        Err(error) => {
            let panicked = matches!(&error, PluginError::Hook { message, .. } if is_panic(message));
            if panicked {
                return Err(error.into());
            }
            Err(Finding::failed(format!(
                "refuses {what} `{key}` without naming it: {error}"
            )))
        }
    }
}
