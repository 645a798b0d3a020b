//! The resolved configuration, one struct per table. A field's documentation is what `config explain` and
//! `config schema` show; its range and default stand beside it. 0 means "disabled" or "all" where a key says so, so
//! that every value can be written down and a higher layer can override a lower one.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::choices::{
    Aggregation, ChatTemplate, Device, Direction, Dtype, Estimator, Family, KlEstimator, KlPlacement, OnError,
    Overlong, PolicyLoss, ScheduleKind, SftStart,
};
use super::declare::settings;
use super::error::ConfigError;
use super::keys::{Key, Kind, Setting, join};
use super::range::Range;
use super::source::Source;

/// Parameters of a plugin or a reward as they were written; the plugin checks them.
pub type Params = serde_json::Map<String, serde_json::Value>;

/// Most completions of one step. Beyond it numbers of tokens no longer fit in 32 bits.
pub(crate) const MOST_COMPLETIONS: i32 = 1 << 20;
/// Largest rank of an adapter.
const MOST_RANK: i32 = 4096;
/// The matrices of a layer that an adapter can stand beside, in the order of a layer.
pub const LORA_TARGETS: [&str; 7] = [
    "q_proj",
    "k_proj",
    "v_proj",
    "o_proj",
    "gate_proj",
    "up_proj",
    "down_proj",
];
/// Longest prompt or completion.
const MOST_TOKENS: i32 = 1 << 20;
/// Most layers, heads, rows or columns of a fresh model.
const LARGEST_SIZE: i32 = 1 << 20;

settings! {
    /// The settings of a run, resolved.
    pub struct Config {
        /// Libraries to load: paths or bare names, searched in $MOA_PLUGIN_PATH, ./plugins and beside the binary.
        pub plugins: Vec<String> = Vec::new(),
        /// `[model]`
        pub model: Model,
        /// `[data]`
        pub data: Data,
        /// `[rollout]`
        pub rollout: Rollout,
        /// One block per objective, in order. A layer that has any replaces the whole list.
        pub objectives as "objective": Vec<Objective> = default_objectives(),
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
        /// `[sft]`; absent from a `train` run that does not mention it.
        pub sft: Option<Sft>,
    }

    /// `[model]`: what is trained.
    pub struct Model {
        /// "embedded" (the small model inside the binary), a Hugging Face folder, a .gguf file, or a hub id.
        pub path: Source = Source::Embedded,
        /// Number type of the parameters.
        pub dtype: Dtype = Dtype::F32,
        /// Device of the tensors.
        pub device: Device = Device::Cpu,
        /// Keep only each layer's input of a forward pass, and compute the rest again when the backward pass needs it. It
        /// saves memory, costs about a third more time in the update, and changes no number.
        pub recompute: bool = false,
        /// `[model.lora]`; absent from a run that does not mention it, which trains the whole model.
        pub lora: Option<Lora>,
    }

    /// `[model.lora]`: low-rank adapters are trained beside the model, which stays as it is (arXiv 2106.09685).
    pub struct Lora {
        /// Rank of the adapters; 0 trains the whole model.
        #[range(0..=MOST_RANK)]
        pub rank: usize = 16,
        /// Scale of the adapters, times the rank: their outputs are multiplied by alpha / rank.
        #[range(Range::above(0.0))]
        pub alpha: f64 = 32.0,
        /// Matrices of each layer that have one: "q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj".
        pub targets: Vec<String> = LORA_TARGETS.map(str::to_owned).to_vec(),
        /// Multiply by alpha / √rank and not by alpha / rank (rsLoRA, arXiv 2312.03732).
        pub rslora: bool = false,
    }

    /// `[data]`: prompts with their ground truth.
    pub struct Data {
        /// Training rows: "embedded", or a .parquet or .jsonl file.
        pub train: Source = Source::Embedded,
        /// Validation rows: "embedded" or a file.
        pub validation: Source = Source::Embedded,
        /// Test rows, measured once at the end: a file, or "embedded", which needs embedded training rows.
        pub test: Source = Source::Embedded,
        /// Column that holds the prompt, as text or as chat messages.
        pub prompt_key: String = "prompt".into(),
        /// Column that holds the ground truth, or the path to it, as in "extra_info.answer". Where it is not set: the first of
        /// `reward_model.ground_truth`, `ground_truth`, `answer` and `solution` that is there.
        pub ground_truth_key: Option<String>,
        /// Which prompts the model's chat template renders.
        pub chat_template: ChatTemplate = ChatTemplate::Auto,
        /// Variables of the chat template, such as `enable_thinking = false`.
        #[serde(default, skip_serializing_if = "TemplateArguments::is_empty")]
        pub chat_template_kwargs: TemplateArguments,
        /// The day that a chat template with `strftime_now` shows, as "2026-11-24". Where it is not set: the day on which the
        /// run begins, which is written into its config.
        pub chat_date: Option<String>,
        /// Longest prompt in tokens, chat template included.
        #[range(1..=MOST_TOKENS)]
        pub max_prompt_tokens: usize = 512,
        /// What happens to a longer prompt.
        pub overlong: Overlong = Overlong::Drop,
    }

    /// `[rollout]`: how completions are sampled.
    pub struct Rollout {
        /// Prompts per step, P.
        #[range(1..=MOST_COMPLETIONS)]
        pub prompts: usize = 16,
        /// Completions per prompt, G; a step has P·G completions.
        #[range(1..=MOST_COMPLETIONS)]
        pub group_size: usize = 8,
        /// Longest completion in tokens.
        #[range(1..=MOST_TOKENS)]
        pub max_new_tokens: usize = 96,
        /// Sampling temperature.
        #[range(Range::above(0.0))]
        pub temperature: f64 = 1.0,
        /// Sample from the smallest set of tokens with at least this probability; 1 disables it.
        #[range(Range::above(0.0).up_to(1.0))]
        pub top_p: f64 = 1.0,
        /// Sample from the k most probable tokens; 0 disables it.
        pub top_k: usize = 0,
    }

    /// `[[objective]]`: one objective.
    pub struct Objective {
        /// Unique name in metrics, tables and messages.
        pub name: String,
        /// Reward that scores it, from a loaded library or found by name on the search path.
        pub reward: String,
        /// Whether more is better. The reward decides unless this is set.
        pub direction: Option<Direction>,
        /// Parameters of the reward, which checks them.
        #[serde(default, skip_serializing_if = "Params::is_empty")]
        pub params: Params,
        /// What happens to a completion on which the reward fails; "stop" if not set.
        #[serde(default)]
        pub on_error: OnError,
        /// What the reward may use: a WebAssembly component, or the milliseconds of a native one.
        #[serde(default, skip_serializing_if = "Limits::is_empty")]
        pub limits: Limits,
    }

    /// `limits` of an `[[objective]]`: what a WebAssembly component may use. Of a native reward only the time is limited.
    pub struct Limits {
        /// Approximate number of instructions per completion; 1000000000 if not set.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[range(1..)]
        pub fuel: Option<u64>,
        /// Wall-clock milliseconds per call; 10000 if not set, 600000 for a native reward.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[range(1..=86_400_000)]
        pub milliseconds: Option<u64>,
        /// Memory of an instance in MiB; 256 if not set.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[range(1..=4096)]
        pub memory_mib: Option<u64>,
        /// Bytes that a call may return, error texts included; 1048576 if not set.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[range(1..=1 << 30)]
        pub result_bytes: Option<u64>,
    }

    /// `[algorithm]`: from rewards to the loss.
    pub struct Algorithm {
        /// How rewards become advantages.
        pub estimator: Estimator = Estimator::Grpo,
        /// The policy loss.
        pub loss: PolicyLoss = PolicyLoss::PpoClip,
        /// Lower clip range: the ratio is clipped below 1 − clip_low.
        #[range(Range::above(0.0))]
        pub clip_low: f64 = 0.2,
        /// Upper clip range: the ratio is clipped above 1 + clip_high.
        #[range(Range::above(0.0))]
        pub clip_high: f64 = 0.2,
        /// Dual clip: bounds the loss of tokens with a negative advantage to this multiple of it; 0 disables it.
        #[range(Range::above(1.0).or_zero())]
        pub dual_clip: f64 = 3.0,
        /// How token losses become one number.
        pub aggregation: Aggregation = Aggregation::TokenMean,
        /// Coefficient of the entropy bonus, aggregated like the loss; 0 disables it.
        #[range(0.0..)]
        pub entropy: f64 = 0.0,
        /// Prompts per mini-batch (one optimizer update), at most rollout.prompts; 0 takes all.
        pub minibatch: usize = 0,
        /// Passes over the completions of a step.
        #[range(1..=MOST_COMPLETIONS)]
        pub epochs: usize = 1,
        /// Most tokens, prompts included, in one forward and backward pass. It bounds memory and does not change the result.
        #[range(1..)]
        pub micro_batch_tokens: usize = 16384,
        /// `[algorithm.kl]`
        pub kl: Kl,
    }

    /// `[algorithm.kl]`: divergence from the reference policy, the model before training.
    pub struct Kl {
        /// Estimator of the divergence.
        pub estimator: KlEstimator = KlEstimator::K3,
        /// Coefficient of the KL term; 0 disables it and the reference policy.
        #[range(0.0..)]
        pub coefficient: f64 = 0.0,
        /// Where the KL term goes.
        pub placement: KlPlacement = KlPlacement::Loss,
        /// Target KL per completion in nats. The coefficient adapts towards it; 0 keeps the coefficient fixed.
        #[range(0.0..)]
        pub target: f64 = 0.0,
        /// Completions over which the coefficient adapts to the target.
        #[range(Range::above(0.0))]
        pub horizon: f64 = 10000.0,
    }

    /// `[optimizer]`: AdamW.
    pub struct Optimizer {
        /// Learning rate after the warm-up.
        #[range(0.0..)]
        pub lr: f64 = 3e-4,
        /// Decay rates of the first and the second moment.
        #[range(0.0..1.0)]
        pub betas: [f64; 2] = [0.9, 0.999],
        /// Added to the root of the second moment.
        #[range(Range::above(0.0))]
        pub eps: f64 = 1e-8,
        /// Decoupled weight decay, applied to matrices.
        #[range(0.0..)]
        pub weight_decay: f64 = 0.0,
        /// Largest norm of the whole gradient; 0 disables clipping.
        #[range(0.0..)]
        pub clip_norm: f64 = 1.0,
        /// How the learning rate changes after the warm-up, once per step.
        pub schedule: ScheduleKind = ScheduleKind::Linear,
        /// Steps of linear warm-up, at most the steps of the run; 0 disables it.
        pub warmup: u64 = 0,
        /// Final learning rate as a fraction of lr.
        #[range(0.0..=1.0)]
        pub min_lr_ratio: f64 = 0.0,
        /// Exponent of the polynomial schedule.
        #[formerly("power")]
        #[range(Range::above(0.0))]
        pub schedule_power: f64 = 1.0,
    }

    /// `[train]`: the run.
    pub struct Train {
        /// Training steps; 0 validates and saves the model without an update.
        pub steps: u64 = 60,
        /// Seed of all randomness.
        pub seed: u64 = 0,
        /// Folder that the run writes; `runs/<scalarizer>-<number>` if not set.
        pub run_dir: Option<PathBuf>,
        /// CPU threads; all cores if not set.
        #[range(1..=4096)]
        pub threads: Option<usize>,
    }

    /// `[validation]`: how performance is measured, always before the first step and after the last one.
    pub struct Validation {
        /// Steps between two validations; 0 validates at the start and the end only.
        pub every: u64 = 20,
        /// Number of validation rows, from the start of the file; 0 takes all.
        #[formerly("n")]
        pub rows: usize = 200,
        /// Sampling temperature; 0 decodes greedily.
        #[range(0.0..)]
        pub temperature: f64 = 0.0,
        /// Longest completion in tokens; rollout.max_new_tokens if not set.
        #[range(1..=MOST_TOKENS)]
        pub max_new_tokens: Option<usize>,
    }

    /// `[checkpoint]`: what `train --resume` starts from. A run that is interrupted or fails always writes one.
    pub struct Checkpoint {
        /// Steps between two checkpoints, and one after the last step; 0 writes one only when a run stops early.
        pub every: u64 = 20,
        /// Number of newest checkpoints to keep.
        #[range(1..)]
        pub keep: usize = 2,
        /// Copy parameters and moments before each update (12 bytes per parameter), so that a failed step is rolled
        /// back. Without it such a run resumes from its newest checkpoint.
        #[formerly("undo")]
        pub rollback: bool = true,
    }

    /// `[logging]`
    pub struct Logging {
        /// Show the progress bar.
        pub progress: bool = true,
        /// Completions per step written to samples.jsonl; 0 disables it.
        pub samples: usize = 8,
        /// Record the scalarizer's inputs and answers in trace.jsonl, for `plugin replay`.
        pub trace: bool = false,
    }

    /// `[sft]`: supervised fine-tuning, `moa-host sft`. It uses `[optimizer]` and `train.seed` too.
    pub struct Sft {
        /// Start from a fresh model or from model.path.
        pub start: SftStart = SftStart::Fresh,
        /// Rows: "tiny-math" (generated), or a file with prompt and response or completion, messages, text, or Alpaca's columns.
        #[formerly("train")]
        pub data: String = "tiny-math".into(),
        /// Rows to generate; 0 generates steps × batch, so that each is seen once.
        pub rows: usize = 0,
        /// Training steps.
        #[range(1..)]
        pub steps: u64 = 3000,
        /// Rows per step.
        #[range(1..=MOST_COMPLETIONS)]
        pub batch: usize = 32,
        /// Divisor of the summed token loss, times batch. As a constant it weighs all tokens of the run equally.
        #[range(Range::above(0.0))]
        pub tokens_per_row: f64 = 40.0,
        /// `[sft.fresh]`
        pub fresh: FreshModel,
    }

    /// `[sft.fresh]`: sizes of a fresh model.
    pub struct FreshModel {
        /// Architecture.
        pub family: Family = Family::Qwen2,
        /// Tokenizer: "embedded", or a folder or file with a tokenizer.json.
        pub tokenizer: Source = Source::Embedded,
        /// Rows of the embedding, at least the number of tokens.
        #[range(1..=LARGEST_SIZE)]
        pub vocab: usize = 544,
        /// Width of the residual stream, a multiple of twice heads.
        #[range(1..=LARGEST_SIZE)]
        pub width: usize = 96,
        /// Number of layers.
        #[range(1..=LARGEST_SIZE)]
        pub layers: usize = 3,
        /// Attention heads, a multiple of kv_heads.
        #[range(1..=LARGEST_SIZE)]
        pub heads: usize = 3,
        /// Key-value heads.
        #[range(1..=LARGEST_SIZE)]
        pub kv_heads: usize = 1,
        /// Width of the SwiGLU.
        #[range(1..=LARGEST_SIZE)]
        pub mlp: usize = 192,
        /// Base of the rotary embedding.
        #[range(Range::above(0.0))]
        pub rope_base: f64 = 1e4,
        /// Longest sequence in tokens.
        #[range(1..=MOST_TOKENS)]
        pub max_positions: usize = 1024,
        /// Whether the embedding is the output head too.
        pub tied: bool = true,
    }
}

/// `[data.chat_template_kwargs]`: variables of a chat template, each with any value.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TemplateArguments(pub Params);

impl TemplateArguments {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Setting for TemplateArguments {
    fn describe(key: String, doc: &str, keys: &mut Vec<Key>) {
        keys.push(Key::new(join(&key, "*"), Kind::Free, doc));
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
        let doc = "Name of the scalarizer. If it is not set, a loaded library's only scalarizer is taken. \
                   A layer that sets another name drops the parameters of lower layers.";
        keys.push(Key {
            default: Some(plugin_defaults().scalarizer.name.into()),
            ..Key::new(join(&key, "name"), Kind::Text, doc)
        });
        let doc = "Parameters of the scalarizer, which checks them; `moa-host plugin inspect` lists them.";
        keys.push(Key {
            optional: true,
            ..Key::new(join(&key, "*"), Kind::Free, doc)
        });
    }
}

impl Setting for Vec<Objective> {
    fn describe(key: String, doc: &str, keys: &mut Vec<Key>) {
        keys.push(Key::new(key.clone(), Kind::Tables, doc));
        Objective::describe(format!("{key}[]"), "", keys);
    }
}

/// The defaults that name plugins; the source of the host names none.
#[derive(Deserialize)]
struct PluginDefaults {
    objective: Vec<DefaultObjective>,
    scalarizer: Scalarizer,
}

#[derive(Deserialize)]
struct DefaultObjective {
    name: String,
    reward: String,
}

/// The defaults of configs/defaults.toml.
fn plugin_defaults() -> PluginDefaults {
    let text = include_str!("../../../configs/defaults.toml");
    toml::from_str(text).expect("a file of the repository that every test of the config reads")
}

fn default_objectives() -> Vec<Objective> {
    let objective = |default: DefaultObjective| Objective {
        name: default.name,
        reward: default.reward,
        direction: None,
        params: Params::new(),
        on_error: OnError::default(),
        limits: Limits::default(),
    };
    plugin_defaults().objective.into_iter().map(objective).collect()
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
    /// Whether no limit was set.
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

impl Config {
    /// The config as TOML, in the form of a run folder's config.toml. Reading it back returns the same config.
    ///
    /// # Errors
    /// [`ConfigError::Write`] if a parameter of a plugin has no form in TOML, such as null.
    pub fn to_toml(&self) -> Result<String, ConfigError> {
        toml::to_string(self).map_err(|error| ConfigError::Write {
            problem: error.to_string(),
        })
    }

    /// Completions per step, B = P·G. Cannot overflow in a config that was resolved.
    pub fn batch_size(&self) -> usize {
        self.rollout.prompts.saturating_mul(self.rollout.group_size)
    }
}
