//! Configuration: what the user typed (raw) -> what runs (resolved).
//!
//! Layers, lowest first: the defaults (`settings`), the built-in file of the run (`configs/tiny/default.toml` for the
//! embedded model), the `--config` file with what it includes, `MOA_…` environment variables, `--set` and dedicated
//! options. Tables merge key by key; a list such as `[[objective]]` or `plugins` is replaced as a whole.
//!
//! `MOA_TRAIN__STEPS=50` means `train.steps = 50` (two underscores for a dot). A relative path in a config file is
//! relative to the working directory; only the paths of `include` are relative to the file that includes them.
//!
//! [`Config`] is the resolved form: every key has its value, so a run folder's `config.toml` is complete.
//! [`resolve`] returns a [`Resolved`], which also knows where each value came from.
//!
//! The files use each other in this order only: `origin`, `range`, `date` → `keys` → `error`, `choices`, `source` → `settings`
//! → `table` → `check` → `layer` → `read` → `layers` → `validate` → `resolve` → `explain`, `changes`.

mod changes;
mod check;
mod choices;
mod date;
mod declare;
mod error;
mod explain;
mod keys;
mod layer;
mod layers;
mod origin;
mod range;
mod read;
mod request;
mod resolve;
mod settings;
mod source;
mod table;
mod validate;

pub use changes::Change;
pub use choices::{
    Aggregation, ChatTemplate, Device, Direction, Dtype, Estimator, Family, KlEstimator, KlPlacement, OnError,
    Overlong, PolicyLoss, ScheduleKind, SftStart,
};
pub use date::Date;
pub use error::ConfigError;
pub use explain::{Explanation, schema};
pub use keys::{Key, Kind};
pub use origin::Origin;
pub use range::Range;
pub use request::{Override, Purpose, Request};
pub use resolve::{Resolved, resolve};
pub use settings::{
    Algorithm, Checkpoint, Config, Data, FreshModel, Kl, LORA_TARGETS, Limits, Logging, Lora, Model, Objective,
    Optimizer, Params, Rollout, Scalarizer, Sft, TemplateArguments, Train, Validation,
};
pub use source::Source;
pub use table::all_keys;
