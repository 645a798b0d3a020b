//! Configuration: what the user typed (raw) -> what runs (resolved).
//!
//! Layers, each above the one before it: the defaults (`configs/tiny/default.toml`, compiled in), the `--config`
//! file with what it includes, `MOA_…` environment variables, `--set` and dedicated options. Tables merge key by
//! key; a list, `[[objective]]` and `plugins` among them, is replaced as a whole.
//!
//! `MOA_TRAIN__STEPS=50` means `train.steps = 50` (two underscores for a dot). A relative path in a config file is
//! relative to the working directory; only the paths of `include` are relative to the file they stand in.
//!
//! [`Config`] is the resolved form: every key has its value, so a run folder's `config.toml` says all of it.
//! [`resolve`] gives a [`Resolved`], which also knows where each value came from.

mod changes;
mod check;
mod choices;
mod error;
mod explain;
mod keys;
mod layers;
mod read;
mod settings;
mod validate;

pub use changes::Change;
pub use choices::{
    Aggregation, Device, Direction, Dtype, Estimator, Family, KlEstimator, KlPlacement, OnError, Overlong, PolicyLoss,
    ScheduleKind, SftStart,
};
pub use error::ConfigError;
pub use explain::{Explanation, schema};
pub use keys::{Key, Kind, all_keys};
pub use layers::{Origin, Override, Purpose, Request, Resolved, resolve};
pub use settings::{
    Algorithm, Checkpoint, Config, Data, FreshModel, Kl, Limits, Logging, Model, Objective, Optimizer, Params, Rollout,
    Scalarizer, Sft, Source, Train, Validation,
};
