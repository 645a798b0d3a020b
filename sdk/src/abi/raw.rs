//! The types that cross the boundary, in abi_stable's terms. Plain data; the traits have one implementation for
//! all plugins, in `super::native`.
// The attribute `sabi_trait` writes impls inside function bodies.
#![allow(non_local_definitions, reason = "code of #[sabi_trait]")]
#![allow(missing_docs, reason = "derives write items without docs")]
#![allow(non_camel_case_types, reason = "abi_stable names its reference types so")]

use abi_stable::StableAbi;
use abi_stable::library::RootModule;
use abi_stable::sabi_trait;
use abi_stable::sabi_types::VersionStrings;
use abi_stable::std_types::{RBox, ROk, ROption, RResult, RSlice, RStr, RString, RVec, Tuple2};

use crate::views::{BatchInput, GradientsInput, UpdateInput};
use crate::{Completion, Error, MeanTokens, Signal, SignalKind};

/// What a library exports. Its fields may grow at the end, each with a default.
#[repr(C)]
#[derive(StableAbi)]
#[sabi(kind(Prefix(prefix_ref = PluginRoot_Ref)))]
pub struct PluginRoot {
    /// [`crate::Description`] as JSON.
    pub describe: extern "C" fn() -> RResult<RString, RawError>,
    /// (name, [`crate::Setup`] as JSON, params as JSON) to a scalarizer.
    pub new_scalarizer: extern "C" fn(RStr<'_>, RStr<'_>, RStr<'_>) -> RResult<RawScalarizerBox, RawError>,
    /// (name, params as JSON) to a reward.
    #[sabi(last_prefix_field)]
    pub new_reward: extern "C" fn(RStr<'_>, RStr<'_>) -> RResult<RawRewardBox, RawError>,
}

impl RootModule for PluginRoot_Ref {
    abi_stable::declare_root_module_statics! {PluginRoot_Ref}
    const BASE_NAME: &'static str = "moa_plugin";
    const NAME: &'static str = "moa plugin";
    // Not the SDK's version: the handshake's ABI number says what goes together.
    const VERSION_STRINGS: VersionStrings = VersionStrings::new("1.0.0");
}

/// A scalarizer behind the boundary.
pub type RawScalarizerBox = RawScalarizer_TO<'static, RBox<()>>;
/// A reward behind the boundary.
pub type RawRewardBox = RawReward_TO<'static, RBox<()>>;
/// What every call gives.
pub type RawResult<T> = RResult<T, RawError>;

// The trait stands in a macro so that a build can leave its newest method out; see Cargo.toml.
macro_rules! raw_scalarizer {
    ($($newest:tt)*) => {
        /// The hooks of a scalarizer. Called from one thread at a time; after a panic every call is an error.
        #[sabi_trait]
        pub trait RawScalarizer: Send {
            fn on_validation(&mut self, step: u64, values: RSlice<'_, f64>) -> RawResult<()>;
            fn observe_gradients(&mut self, gradients: RawGradients<'_>) -> RawResult<()>;
            fn scalarize(&mut self, batch: RawBatch<'_>) -> RawResult<RawSignal>;
            fn weigh_gradients(&mut self, gradients: RawGradients<'_>) -> RawResult<RVec<f32>>;
            fn after_update(&mut self, update: RawUpdate<'_>) -> RawResult<()>;
            fn weights(&self) -> RawResult<ROption<RVec<f32>>>;
            fn metrics(&self) -> RawResult<RVec<Tuple2<RString, f64>>>;
            /// The state as JSON.
            fn save(&self) -> RawResult<RString>;
            /// The state of `save`, in place of the current one.
            #[sabi(last_prefix_field)]
            fn load(&mut self, state: RStr<'_>) -> RawResult<()>;
            $($newest)*
        }
    };
}

#[cfg(not(feature = "__without-newest-method"))]
raw_scalarizer! {
    /// Since the first release that had gradients by layer; older plugins: all layers.
    fn gradient_layers(&self) -> RawResult<RVec<RString>> {
        ROk(RVec::new())
    }
}
#[cfg(feature = "__without-newest-method")]
raw_scalarizer! {}

/// A reward. Called from any number of threads; after a panic every call is an error.
#[sabi_trait]
pub trait RawReward: Send + Sync {
    /// One result for each completion, in order.
    #[sabi(last_prefix_field)]
    fn score_all(&self, completions: RSlice<'_, RawCompletion<'_>>) -> RawResult<RVec<RResult<f32, RString>>>;
}

/// [`crate::Error`].
#[repr(C)]
#[derive(Debug, Clone, StableAbi)]
pub struct RawError {
    pub message: RString,
    pub hint: ROption<RString>,
}

impl From<Error> for RawError {
    fn from(error: Error) -> Self {
        Self {
            message: error.message.into(),
            hint: error.hint.map(RString::from).into(),
        }
    }
}

impl From<RawError> for Error {
    fn from(error: RawError) -> Self {
        Self {
            message: error.message.into_string(),
            hint: error.hint.into_option().map(RString::into_string),
        }
    }
}

/// [`BatchInput`], its optional arrays by name.
#[repr(C)]
#[derive(Debug, Clone, Copy, StableAbi)]
pub struct RawBatch<'a> {
    pub step: u64,
    pub m: usize,
    pub scores: RSlice<'a, f32>,
    pub groups: RSlice<'a, u32>,
    pub lengths: RSlice<'a, u32>,
    pub columns: RSlice<'a, RawColumn<'a>>,
    pub offsets: RSlice<'a, usize>,
}

/// One optional array of a batch.
#[repr(C)]
#[derive(Debug, Clone, Copy, StableAbi)]
pub struct RawColumn<'a> {
    pub name: RStr<'a>,
    pub values: RSlice<'a, f32>,
}

impl<'a> RawColumn<'a> {
    /// The optional arrays of `input`, for [`RawBatch::new`].
    pub fn all_of(input: &BatchInput<'a>) -> Vec<Self> {
        let raw = |(name, values): (&'static str, &'a [f32])| Self {
            name: name.into(),
            values: values.into(),
        };
        input.columns().into_iter().map(raw).collect()
    }
}

impl<'a> RawBatch<'a> {
    /// `input` with its optional arrays, which [`RawColumn::all_of`] made.
    pub fn new(input: &BatchInput<'a>, columns: &'a [RawColumn<'a>]) -> Self {
        Self {
            step: input.step,
            m: input.m,
            scores: input.scores.into(),
            groups: input.groups.into(),
            lengths: input.lengths.into(),
            columns: columns.into(),
            offsets: input.offsets.into(),
        }
    }
}

impl<'a> From<RawBatch<'a>> for BatchInput<'a> {
    fn from(raw: RawBatch<'a>) -> Self {
        let mut input = Self {
            step: raw.step,
            m: raw.m,
            scores: raw.scores.as_slice(),
            groups: raw.groups.as_slice(),
            lengths: raw.lengths.as_slice(),
            offsets: raw.offsets.as_slice(),
            ..Self::default()
        };
        for column in raw.columns.as_slice() {
            input.set_column(column.name.as_str(), column.values.as_slice());
        }
        input
    }
}

/// [`GradientsInput`].
#[repr(C)]
#[derive(Debug, Clone, Copy, StableAbi)]
pub struct RawGradients<'a> {
    pub step: u64,
    pub minibatch: ROption<u32>,
    pub lr: f64,
    pub gram: RSlice<'a, f64>,
    pub losses: RSlice<'a, f64>,
}

impl<'a> From<GradientsInput<'a>> for RawGradients<'a> {
    fn from(input: GradientsInput<'a>) -> Self {
        Self {
            step: input.step,
            minibatch: input.minibatch.into(),
            lr: input.lr,
            gram: input.gram.into(),
            losses: input.losses.into(),
        }
    }
}

impl<'a> From<RawGradients<'a>> for GradientsInput<'a> {
    fn from(raw: RawGradients<'a>) -> Self {
        Self {
            step: raw.step,
            minibatch: raw.minibatch.into_option(),
            lr: raw.lr,
            gram: raw.gram.as_slice(),
            losses: raw.losses.as_slice(),
        }
    }
}

/// [`UpdateInput`].
#[repr(C)]
#[derive(Debug, Clone, Copy, StableAbi)]
pub struct RawUpdate<'a> {
    pub step: u64,
    pub m: usize,
    pub groups: RSlice<'a, u32>,
    pub scores: RSlice<'a, f32>,
    pub advantages: RSlice<'a, f32>,
    pub old_logprobs: RSlice<'a, f32>,
    pub new_logprobs: RSlice<'a, f32>,
    pub offsets: RSlice<'a, usize>,
    pub clip_low: f64,
    pub clip_high: f64,
}

impl<'a> From<UpdateInput<'a>> for RawUpdate<'a> {
    fn from(input: UpdateInput<'a>) -> Self {
        Self {
            step: input.step,
            m: input.m,
            groups: input.groups.into(),
            scores: input.scores.into(),
            advantages: input.advantages.into(),
            old_logprobs: input.old_logprobs.into(),
            new_logprobs: input.new_logprobs.into(),
            offsets: input.offsets.into(),
            clip_low: input.clip_low,
            clip_high: input.clip_high,
        }
    }
}

impl<'a> From<RawUpdate<'a>> for UpdateInput<'a> {
    fn from(raw: RawUpdate<'a>) -> Self {
        Self {
            step: raw.step,
            m: raw.m,
            groups: raw.groups.as_slice(),
            scores: raw.scores.as_slice(),
            advantages: raw.advantages.as_slice(),
            old_logprobs: raw.old_logprobs.as_slice(),
            new_logprobs: raw.new_logprobs.as_slice(),
            offsets: raw.offsets.as_slice(),
            clip_low: raw.clip_low,
            clip_high: raw.clip_high,
        }
    }
}

/// [`Signal`]: `kind` is the place of the form in [`SignalKind`], counted from 0.
#[repr(C)]
#[derive(Debug, Clone, StableAbi)]
pub struct RawSignal {
    pub kind: u32,
    pub values: RVec<f32>,
    pub advantage_scale: f32,
}

impl From<Signal> for RawSignal {
    fn from(signal: Signal) -> Self {
        let advantage_scale = signal.advantage_scale();
        let (kind, values) = match signal.kind().clone() {
            SignalKind::Weights(values) => (0, values),
            SignalKind::Rewards(values) => (1, values),
            SignalKind::AdvantageWeights(values) => (2, values),
            SignalKind::GradientWeights => (3, Vec::new()),
            SignalKind::Advantages(values) => (4, values),
            SignalKind::TokenAdvantages(values) => (5, values),
        };
        Self {
            kind,
            values: values.into(),
            advantage_scale,
        }
    }
}

impl TryFrom<RawSignal> for Signal {
    type Error = Error;

    fn try_from(raw: RawSignal) -> Result<Self, Error> {
        let values = raw.values.into_vec();
        let kind = match raw.kind {
            0 => SignalKind::Weights(values),
            1 => SignalKind::Rewards(values),
            2 => SignalKind::AdvantageWeights(values),
            3 => SignalKind::GradientWeights,
            4 => SignalKind::Advantages(values),
            5 => SignalKind::TokenAdvantages(values),
            other => {
                return Err(Error::new(format!(
                    "the training signal is of kind {other}, expected 0 to 5"
                )));
            }
        };
        Ok(Self::new(kind).with_advantage_scale(raw.advantage_scale))
    }
}

/// [`MeanTokens`].
#[repr(C)]
#[derive(Debug, Clone, Copy, StableAbi)]
pub struct RawMeanTokens {
    pub running: f32,
    pub batch: f32,
    pub group: f32,
}

impl From<MeanTokens> for RawMeanTokens {
    fn from(means: MeanTokens) -> Self {
        let MeanTokens { running, batch, group } = means;
        Self { running, batch, group }
    }
}

impl From<RawMeanTokens> for MeanTokens {
    fn from(raw: RawMeanTokens) -> Self {
        let RawMeanTokens { running, batch, group } = raw;
        Self { running, batch, group }
    }
}

/// [`Completion`].
#[repr(C)]
#[derive(Debug, Clone, Copy, StableAbi)]
pub struct RawCompletion<'a> {
    pub prompt: RStr<'a>,
    pub response: RStr<'a>,
    pub ground_truth: RStr<'a>,
    pub data_source: RStr<'a>,
    pub response_tokens: u32,
    pub means: ROption<RawMeanTokens>,
    pub truncated: bool,
    pub extra: RStr<'a>,
}

impl<'a> From<Completion<'a>> for RawCompletion<'a> {
    fn from(completion: Completion<'a>) -> Self {
        Self {
            prompt: completion.prompt.into(),
            response: completion.response.into(),
            ground_truth: completion.ground_truth.into(),
            data_source: completion.data_source.into(),
            response_tokens: completion.response_tokens,
            means: completion.means.map(RawMeanTokens::from).into(),
            truncated: completion.truncated,
            extra: completion.extra.into(),
        }
    }
}

impl<'a> From<RawCompletion<'a>> for Completion<'a> {
    fn from(raw: RawCompletion<'a>) -> Self {
        Self {
            prompt: raw.prompt.as_str(),
            response: raw.response.as_str(),
            ground_truth: raw.ground_truth.as_str(),
            data_source: raw.data_source.as_str(),
            response_tokens: raw.response_tokens,
            means: raw.means.into_option().map(MeanTokens::from),
            truncated: raw.truncated,
            extra: raw.extra.as_str(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{RawBatch, RawColumn};
    use crate::views::BatchInput;

    #[test]
    fn optional_arrays_cross_by_name_and_an_unknown_one_is_passed_over() {
        let input = BatchInput {
            step: 3,
            m: 1,
            scores: &[0.5],
            groups: &[0],
            lengths: &[2],
            objective_advantages: Some(&[1.0]),
            old_logprobs: None,
            ref_logprobs: Some(&[-1.0, -2.0]),
            offsets: &[0, 2],
        };
        let mut columns = RawColumn::all_of(&input);
        assert_eq!(columns.len(), 2, "what is not there does not cross");
        columns.push(RawColumn {
            name: "of a later version".into(),
            values: [9.0].as_slice().into(),
        });
        let back = BatchInput::from(RawBatch::new(&input, &columns));
        assert_eq!(back.columns(), input.columns());
        assert_eq!((back.step, back.m, back.scores), (3, 1, input.scores));
        assert_eq!(
            (back.groups, back.lengths, back.offsets),
            (input.groups, input.lengths, input.offsets)
        );
    }
}
