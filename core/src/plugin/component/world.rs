//! The types of the world `moa:reward`, as they cross the boundary; see sdk/wit/reward.wit.

use moa_sdk::{Completion, MeanTokens, ParamSpec, RewardDescription};
use wasmtime::component::{ComponentType, Lift, Lower};

/// The package and version of the world.
pub(super) const PACKAGE: &str = "moa:reward";
/// What the host offers to a component.
pub(super) const VERSION: &str = "1.0.0";
/// The interface that a component exports.
pub(super) const SCORER: &str = "moa:reward/scorer@1.0.0";
/// The interface that a component may import.
pub(super) const HOST: &str = "moa:reward/host@1.0.0";

/// What a validation reports.
#[derive(ComponentType, Lift, Lower, Clone, Copy)]
#[component(enum)]
#[repr(u8)]
#[allow(dead_code, reason = "made by what `Lift` writes")]
pub(super) enum GuestPerformance {
    #[component(name = "score")]
    Score,
    #[component(name = "response-tokens")]
    ResponseTokens,
}

/// What `describe` gives.
#[derive(ComponentType, Lift)]
#[component(record)]
pub(super) struct GuestDescription {
    name: String,
    about: String,
    validation: GuestPerformance,
    #[component(name = "needs-means")]
    needs_means: bool,
    params: String,
}

#[derive(ComponentType, Lower, Clone, Copy)]
#[component(record)]
pub(super) struct GuestMeans {
    running: f32,
    batch: f32,
    group: f32,
}

/// A completion, borrowed.
#[derive(ComponentType, Lower)]
#[component(record)]
pub(super) struct GuestCompletion<'a> {
    prompt: &'a str,
    response: &'a str,
    #[component(name = "ground-truth")]
    ground_truth: &'a str,
    #[component(name = "data-source")]
    data_source: &'a str,
    #[component(name = "response-tokens")]
    response_tokens: u32,
    means: Option<GuestMeans>,
    truncated: bool,
    extra: &'a str,
}

impl<'a> From<&Completion<'a>> for GuestCompletion<'a> {
    fn from(completion: &Completion<'a>) -> Self {
        Self {
            prompt: completion.prompt,
            response: completion.response,
            ground_truth: completion.ground_truth,
            data_source: completion.data_source,
            response_tokens: completion.response_tokens,
            means: completion
                .means
                .map(|MeanTokens { running, batch, group }| GuestMeans { running, batch, group }),
            truncated: completion.truncated,
            extra: completion.extra,
        }
    }
}

/// Longest name and longest sentence about a reward, in characters.
const NAME: usize = 64;
const ABOUT: usize = 400;

impl GuestDescription {
    /// The description, if its texts can be shown and used. Params that are no list of specs are left to
    /// `configure`.
    pub(super) fn checked(self) -> Result<RewardDescription, String> {
        let kebab = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if self.name.is_empty() || self.name.len() > NAME || !self.name.chars().all(kebab) {
            let found: String = self.name.chars().take(NAME).collect();
            return Err(format!(
                "the name is {found:?}, expected 1 to {NAME} small letters, digits and dashes"
            ));
        }
        let plain = |c: char| if c.is_control() { ' ' } else { c };
        let params: Vec<ParamSpec> = serde_json::from_str(&self.params).unwrap_or_default();
        Ok(RewardDescription {
            name: self.name,
            about: self.about.chars().take(ABOUT).map(plain).collect(),
            validation: self.validation.into(),
            needs_means: self.needs_means,
            params,
        })
    }
}
