//! The resolved configuration, one struct a table. The first line of a field's documentation is also what
//! `config explain` and `config schema` show. 0 means "off" or "all" where a key says so, so that every value can
//! be written down and a higher layer can undo a lower one.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::choices::{
    Aggregation, Device, Direction, Dtype, Estimator, Family, KlEstimator, KlPlacement, OnError, Overlong, PolicyLoss,
    ScheduleKind, SftStart,
};
use super::error::ConfigError;
use super::keys::{Key, Kind, Setting};

/// Parameters of a plugin or a reward as they were written; the plugin checks them.
pub type Params = serde_json::Map<String, serde_json::Value>;

/// Defines structs that are tables of the config, and the list of their keys with it.
macro_rules! settings {
    ($(
        $(#[doc = $about:literal])*
        pub struct $name:ident {
            $( $(#[doc = $doc:literal])* $(#[serde($($serde:tt)*)])? pub $field:ident $(as $key:literal)? : $type:ty, )+
        }
    )+) => {$(
        $(#[doc = $about])*
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        #[serde(deny_unknown_fields)]
        pub struct $name {
            $( $(#[doc = $doc])* $(#[serde($($serde)*)])? $(#[serde(rename = $key)])? pub $field: $type, )+
        }

        impl Setting for $name {
            fn describe(key: String, _doc: &str, keys: &mut Vec<Key>) {$(
                let own = [stringify!($field) $(, $key)?];
                let own = own[own.len() - 1];
                let path = if key.is_empty() { own.to_owned() } else { format!("{key}.{own}") };
                let first = keys.len();
                <$type as Setting>::describe(path, concat!($($doc),*), keys);
                let has_default = [$(stringify!($($serde)*))?].iter().any(|attribute: &&str| attribute.contains("default"));
                keys[first..].iter_mut().for_each(|key| key.optional |= has_default);
            )+}
        }
    )+};
}

settings! {
    /// Everything that a run is told, resolved.
    pub struct Config {
        /// Libraries to load: paths or bare names, searched in $MOA_PLUGIN_PATH, ./plugins and beside the binary.
        pub plugins: Vec<String>,
        /// `[model]`
        pub model: Model,
        /// `[data]`
        pub data: Data,
        /// `[rollout]`
        pub rollout: Rollout,
        /// One block for each objective, in order; a layer that has any replaces the whole list.
        pub objectives as "objective": Vec<Objective>,
        /// `[algorithm]`
        pub algorithm: Algorithm,
        /// `[scalarizer]`
        pub scalarizer: Scalarizer,
        /// `[optimizer]`
        pub optimizer: Optimizer,
        /// `[train]`
        pub train: Train,
        /// `[validation]`
        pub validation: Validation,
        /// `[checkpoint]`
        pub checkpoint: Checkpoint,
        /// `[logging]`
        pub logging: Logging,
        /// `[sft]`; none in a run of `train` that does not mention it.
        pub sft: Option<Sft>,
    }

    /// `[model]`: what is trained.
    pub struct Model {
        /// "embedded" (the small model inside the binary), a Hugging Face folder, a .gguf file, or a hub id.
        pub path: Source,
        /// Number type of the parameters.
        pub dtype: Dtype,
        /// Where tensors live.
        pub device: Device,
    }

    /// `[data]`: prompts with their ground truth.
    pub struct Data {
        /// Training rows: "embedded" or a .parquet or .jsonl file.
        pub train: Source,
        /// Validation rows: "embedded" or a file.
        pub validation: Source,
        /// Test rows, measured once at the end: "embedded" (with embedded training rows only) or a file.
        pub test: Source,
        /// Column that holds the prompt, as text or as chat messages.
        pub prompt_key: String,
        /// Longest prompt in tokens, chat template included.
        pub max_prompt_tokens: usize,
        /// What happens to a longer prompt.
        pub overlong: Overlong,
    }

    /// `[rollout]`: how completions are sampled.
    pub struct Rollout {
        /// Prompts of a step, P.
        pub prompts: usize,
        /// Completions for each prompt, G; a step has P·G completions.
        pub group_size: usize,
        /// Longest completion in tokens.
        pub max_new_tokens: usize,
        /// Sampling temperature, above 0.
        pub temperature: f64,
        /// Sample from the smallest set of tokens with at least this much probability; 1 is off.
        pub top_p: f64,
        /// Sample from so many most probable tokens; 0 is off.
        pub top_k: usize,
    }

    /// `[[objective]]`: one objective.
    pub struct Objective {
        /// Name in metrics, tables and messages; each objective has its own.
        pub name: String,
        /// Reward that scores it, from a loaded library or one of that name on the search path.
        pub reward: String,
        /// Whether more is better; the reward says, unless given here.
        pub direction: Option<Direction>,
        /// Parameters of the reward, which checks them.
        #[serde(default, skip_serializing_if = "Params::is_empty")]
        pub params: Params,
        /// What happens to a completion on which the reward fails: stop unless given.
        #[serde(default)]
        pub on_error: OnError,
        /// What the reward may use if it is a WebAssembly component.
        #[serde(default, skip_serializing_if = "Limits::is_empty")]
        pub limits: Limits,
    }

    /// `limits` of an `[[objective]]`: what a WebAssembly component may use; a native reward has none.
    pub struct Limits {
        /// Instructions, roughly, for each completion: 1000000000 unless given.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub fuel: Option<u64>,
        /// Wall-clock milliseconds of a call, a backstop beside the fuel: 10000 unless given.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub milliseconds: Option<u64>,
        /// Memory of an instance in MiB: 256 unless given.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub memory_mib: Option<u64>,
        /// Bytes that a call may give back, error texts included: 1048576 unless given.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub result_bytes: Option<u64>,
    }

    /// `[algorithm]`: from rewards to the loss.
    pub struct Algorithm {
        /// How rewards become advantages.
        pub estimator: Estimator,
        /// The policy loss.
        pub loss: PolicyLoss,
        /// The ratio may fall to 1 − this.
        pub clip_low: f64,
        /// The ratio may rise to 1 + this.
        pub clip_high: f64,
        /// Bound on the loss of tokens with a negative advantage, as a multiple of it, above 1; 0 is off.
        pub dual_clip: f64,
        /// How the loss of tokens becomes one number.
        pub aggregation: Aggregation,
        /// Weight of the entropy bonus: the loss is lowered by this times the entropy, aggregated alike; 0 is off.
        pub entropy: f64,
        /// Prompts of a mini-batch (one optimizer step), at most rollout.prompts; 0 is all.
        pub minibatch: usize,
        /// Passes over a step's completions.
        pub epochs: usize,
        /// Most tokens, prompts included, that one forward and backward pass holds; memory only, not the result.
        pub micro_batch_tokens: usize,
        /// `[algorithm.kl]`
        pub kl: Kl,
    }

    /// `[algorithm.kl]`: distance to the model that training began with.
    pub struct Kl {
        /// Estimator of the divergence.
        pub estimator: KlEstimator,
        /// Weight of the KL term; 0 is off, and then no reference model is kept.
        pub coefficient: f64,
        /// Where the KL term goes.
        pub placement: KlPlacement,
        /// KL of a completion in nats that the weight is steered towards, starting at coefficient; 0: the weight is fixed.
        pub target: f64,
        /// Completions over which the weight follows where there is a target.
        pub horizon: f64,
    }

    /// `[optimizer]`: AdamW.
    pub struct Optimizer {
        /// Learning rate after the warm-up.
        pub lr: f64,
        /// Decay of the running mean and of the running square.
        pub betas: [f64; 2],
        /// Added to the root of the running square.
        pub eps: f64,
        /// Decoupled weight decay, applied to matrices.
        pub weight_decay: f64,
        /// Largest norm of all gradients together; 0 is off.
        pub clip_norm: f64,
        /// How the learning rate changes after the warm-up.
        pub schedule: ScheduleKind,
        /// Steps over which the learning rate rises from 0.
        pub warmup: u64,
        /// Last learning rate as a share of lr.
        pub min_lr_ratio: f64,
        /// Exponent of the polynomial schedule.
        pub power: f64,
    }

    /// `[train]`: the run.
    pub struct Train {
        /// Steps of training.
        pub steps: u64,
        /// Seed of everything random.
        pub seed: u64,
        /// Folder for what the run writes; runs/<scalarizer>-<number> unless given.
        pub run_dir: Option<PathBuf>,
        /// Processor threads; all cores unless given.
        pub threads: Option<usize>,
    }

    /// `[validation]`: how performance is measured. There is always one before step 1 and one at the end.
    pub struct Validation {
        /// Steps between two validations; 0: only at the start and the end.
        pub every: u64,
        /// Rows to validate on, the first of the file; 0 is all.
        pub n: usize,
        /// Sampling temperature; 0 is greedy.
        pub temperature: f64,
        /// Longest completion in tokens; rollout.max_new_tokens unless given.
        pub max_new_tokens: Option<usize>,
    }

    /// `[checkpoint]`: what a run that was stopped goes on from with `train --resume`. One is always written when a run
    /// is interrupted or a step fails.
    pub struct Checkpoint {
        /// Steps between two checkpoints, and one after the last step; 0: only when a run is stopped.
        pub every: u64,
        /// Checkpoints that stay, the newest ones; 1 or more.
        pub keep: usize,
        /// Keep parameters and moments from before the update in memory (12 bytes a parameter), so that a step that
        /// fails after it is undone; without, such a run goes back to its newest checkpoint.
        pub undo: bool,
    }

    /// `[logging]`
    pub struct Logging {
        /// Show the progress bar.
        pub progress: bool,
        /// Completions of a step that go to samples.jsonl; 0 is none.
        pub samples: usize,
        /// Record what the scalarizer is told and answers in trace.jsonl, for `plugin replay`.
        pub trace: bool,
    }

    /// `[sft]`: supervised fine-tuning, `moa-host sft`; it uses `[optimizer]` and `train.seed` too.
    pub struct Sft {
        /// A fresh model or the one that model.path names.
        pub start: SftStart,
        /// Rows with prompt and response: "tiny-math" (generated) or a .parquet or .jsonl file.
        pub train: String,
        /// Rows to generate; 0: steps times batch, so that each is seen once.
        pub rows: usize,
        /// Steps of training.
        pub steps: u64,
        /// Rows of a step.
        pub batch: usize,
        /// The loss is the sum over a step's tokens divided by batch times this, so that each token counts alike.
        pub tokens_per_row: f64,
        /// `[sft.fresh]`
        pub fresh: FreshModel,
    }

    /// `[sft.fresh]`: sizes of a fresh model.
    pub struct FreshModel {
        /// Architecture.
        pub family: Family,
        /// Tokenizer: "embedded" or a folder or file with a tokenizer.json.
        pub tokenizer: Source,
        /// Rows of the embedding, at least as many as the tokenizer has tokens.
        pub vocab: usize,
        /// Width of the residual stream, a multiple of heads.
        pub width: usize,
        /// Layers.
        pub layers: usize,
        /// Attention heads, a multiple of kv_heads.
        pub heads: usize,
        /// Key-value heads.
        pub kv_heads: usize,
        /// Width inside the SwiGLU.
        pub mlp: usize,
        /// Base of the rotary embedding.
        pub rope_base: f64,
        /// Longest sequence in tokens.
        pub max_positions: usize,
        /// Use the embedding as the head too.
        pub tied: bool,
    }
}

/// `[scalarizer]`: how M objectives become one training signal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Scalarizer {
    /// Name of the scalarizer.
    pub name: String,
    /// Every other key of the table; the plugin checks them.
    #[serde(flatten)]
    pub params: Params,
}

impl Setting for Scalarizer {
    fn describe(key: String, _doc: &str, keys: &mut Vec<Key>) {
        let doc = "Name of the scalarizer; the only one that a loaded library has, unless given. \
                   A layer that names another one drops the parameters below it.";
        keys.push(Key::new(format!("{key}.name"), Kind::Text, doc));
        let doc = "Parameters of the scalarizer, which checks them; `moa-host plugin inspect` lists them.";
        keys.push(Key {
            optional: true,
            ..Key::new(format!("{key}.*"), Kind::Free, doc)
        });
    }
}

impl Setting for Vec<Objective> {
    fn describe(key: String, doc: &str, keys: &mut Vec<Key>) {
        keys.push(Key::new(key.clone(), Kind::Tables, doc));
        Objective::describe(format!("{key}[]"), "", keys);
    }
}

#[allow(clippy::derivable_impls, reason = "the macro that defines the struct derives none")]
impl Default for Limits {
    fn default() -> Limits {
        Limits {
            fuel: None,
            milliseconds: None,
            memory_mib: None,
            result_bytes: None,
        }
    }
}

impl Limits {
    /// Whether no limit was given.
    pub fn is_empty(&self) -> bool {
        *self == Limits::default()
    }
}

#[allow(clippy::derivable_impls, reason = "the macro that defines the enum marks no default")]
impl Default for OnError {
    fn default() -> OnError {
        OnError::Stop
    }
}

/// Data or a model: compiled into the binary, or a path (or hub id) as it was typed. A relative path is relative
/// to the working directory, also when it stands in a config file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum Source {
    /// Written "embedded".
    Embedded,
    /// Anything else.
    Path(String),
}

impl From<String> for Source {
    fn from(text: String) -> Source {
        if text == "embedded" {
            Source::Embedded
        } else {
            Source::Path(text)
        }
    }
}

impl From<Source> for String {
    fn from(source: Source) -> String {
        match source {
            Source::Embedded => "embedded".to_owned(),
            Source::Path(path) => path,
        }
    }
}

impl Config {
    /// The config as TOML, in the form of a run folder's config.toml. Reading it back gives the same config.
    pub fn to_toml(&self) -> Result<String, ConfigError> {
        toml::to_string(self).map_err(|error| ConfigError::Write {
            problem: error.to_string(),
        })
    }

    /// Reads a resolved config, such as a run folder's config.toml, without any other layer.
    pub fn read(path: &Path) -> Result<Config, ConfigError> {
        let resolved = super::layers::resolve_alone(path)?;
        Ok(resolved.config)
    }

    /// Completions of a step, B = P·G. Cannot overflow in a config that was resolved.
    pub fn batch_size(&self) -> usize {
        self.rollout.prompts.saturating_mul(self.rollout.group_size)
    }
}
