//! The command line: commands and their options, as clap types. Options are `Option`s without defaults, so that only
//! what was typed replaces a value of a config file. Nothing here runs or prints. It belongs to the binary.

use std::path::PathBuf;

use clap::{ArgAction, Args, Parser, Subcommand};
use moa_core::config::{Override, Purpose, Request};

/// Trains language models on several objectives at once.
///
/// Without a command, options mean `train`: `moa-host --plugin LIB` trains the embedded model with that library.
/// Settings come in layers, later wins: defaults, --config FILE, environment (MOA_TRAIN__STEPS=50), --set, options.
#[derive(Debug, Parser)]
#[command(name = "moa-host", version, args_conflicts_with_subcommands = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    train: TrainArgs,
}

impl Cli {
    /// The command that was typed; `train` if only its options were.
    pub(crate) fn into_command(self) -> Command {
        self.command.unwrap_or(Command::Train(self.train))
    }
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Train with reinforcement learning on the configured objectives.
    Train(TrainArgs),
    /// Fine-tune on rows with prompt and response.
    Sft(SftArgs),
    /// Print the log-probabilities of given responses, one JSON line each.
    Logprobs(LogprobsArgs),
    /// Merge adapters into their model.
    #[command(subcommand)]
    Model(ModelCommand),
    /// Inspect and check plugins, or replay a recorded trace.
    #[command(subcommand)]
    Plugin(PluginCommand),
    /// List rewards, or score given completions.
    #[command(subcommand)]
    Reward(RewardCommand),
    /// Inspect, convert or generate data.
    #[command(subcommand)]
    Data(DataCommand),
    /// Check and explain configuration.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Write RUN/report.html: figures, tables and samples of a run on one page, with each as a file in RUN/report.
    Report {
        /// Run folder.
        run: PathBuf,
    },
    /// Compare runs: those that differ in the seed alone are one group, with intervals and tests over seeds and prompts.
    Compare(CompareArgs),
    /// Explain every number of metrics.jsonl: unit, direction, formula.
    Metrics,
}

/// Where values come from, shared by the commands that resolve a config.
#[derive(Debug, Default, Args)]
pub(crate) struct ConfigArgs {
    /// TOML file with the keys that differ from the defaults.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Set one key, such as train.steps=50. May be repeated; the last one wins.
    #[arg(long = "set", value_name = "KEY=VALUE", action = ArgAction::Append)]
    pub(crate) sets: Vec<String>,
}

impl ConfigArgs {
    fn request(&self, purpose: Purpose) -> Request {
        Request {
            purpose,
            base: None,
            file: self.config.clone(),
            environment: Request::process_environment(),
            overrides: self.sets.iter().cloned().map(Override::Set).collect(),
            plugins: Vec::new(),
        }
    }
}

/// Options of `train`, and those before any command.
#[derive(Debug, Default, Args)]
pub(crate) struct TrainArgs {
    /// Where values come from.
    #[command(flatten)]
    pub(crate) config: ConfigArgs,
    /// Library to load, a path or a bare name. May be repeated.
    #[arg(long = "plugin", value_name = "LIB", action = ArgAction::Append)]
    pub(crate) plugins: Vec<String>,
    /// scalarizer.name; needed if the libraries have several.
    #[arg(long, value_name = "NAME")]
    pub(crate) scalarizer: Option<String>,
    /// model.path: a folder, a .gguf file, a hub id, or "embedded".
    #[arg(long, value_name = "MODEL")]
    pub(crate) model: Option<String>,
    /// train.steps; 0 validates and saves without an update.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i64).range(0..))]
    pub(crate) steps: Option<i64>,
    /// train.seed
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i64).range(0..))]
    pub(crate) seed: Option<i64>,
    /// train.run_dir: folder that the run writes.
    #[arg(long, value_name = "FOLDER")]
    pub(crate) run_dir: Option<String>,
    /// Resume the run in this folder from its newest checkpoint, with its own settings.
    #[arg(long, value_name = "RUN", conflicts_with_all = ["config", "run_dir"])]
    pub(crate) resume: Option<PathBuf>,
    /// Resume from the checkpoint of this step; later ones are removed when the next is written.
    #[arg(long, value_name = "STEP", requires = "resume")]
    pub(crate) from: Option<u64>,
    /// Show errors only, no progress bar (logging.progress = false).
    #[arg(long, short)]
    pub(crate) quiet: bool,
}

impl TrainArgs {
    /// What was typed about the config, with this process's environment.
    pub(crate) fn request(&self) -> Request {
        let mut request = self.config.request(Purpose::Train);
        request.plugins = self.plugins.clone();
        let run_dir = self.run_dir.clone();
        let options: [(&'static str, &'static str, Option<toml::Value>); 6] = [
            (
                "--scalarizer",
                "scalarizer.name",
                self.scalarizer.clone().map(Into::into),
            ),
            ("--model", "model.path", self.model.clone().map(Into::into)),
            ("--steps", "train.steps", self.steps.map(Into::into)),
            ("--seed", "train.seed", self.seed.map(Into::into)),
            ("--run-dir", "train.run_dir", run_dir.map(Into::into)),
            ("--quiet", "logging.progress", self.quiet.then_some(false.into())),
        ];
        push_options(&mut request, options);
        request
    }
}

/// Options of `sft`.
#[derive(Debug, Args)]
pub(crate) struct SftArgs {
    /// Where values come from.
    #[command(flatten)]
    pub(crate) config: ConfigArgs,
    /// Folder for the trained model, in the Hugging Face layout.
    #[arg(long, value_name = "FOLDER")]
    pub(crate) out: PathBuf,
    /// sft.steps
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i64).range(0..))]
    pub(crate) steps: Option<i64>,
    /// train.seed
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i64).range(0..))]
    pub(crate) seed: Option<i64>,
}

impl SftArgs {
    /// What was typed about the config, with this process's environment.
    pub(crate) fn request(&self) -> Request {
        let mut request = self.config.request(Purpose::Sft);
        let options = [
            ("--steps", "sft.steps", self.steps.map(Into::into)),
            ("--seed", "train.seed", self.seed.map(Into::into)),
        ];
        push_options(&mut request, options);
        request
    }
}

fn push_options(
    request: &mut Request,
    options: impl IntoIterator<Item = (&'static str, &'static str, Option<toml::Value>)>,
) {
    for (option, key, value) in options {
        request
            .overrides
            .extend(value.map(|value| Override::Option { option, key, value }));
    }
}

/// Options of `logprobs`.
#[derive(Debug, Args)]
pub(crate) struct LogprobsArgs {
    /// A folder, a .gguf file, a hub id, or "embedded".
    #[arg(long, value_name = "MODEL")]
    pub(crate) model: String,
    /// JSON lines {"prompt", "response"}, the prompt as text or as messages; - reads stdin.
    #[arg(long, value_name = "FILE")]
    pub(crate) input: PathBuf,
}

/// Options of `compare`.
#[derive(Debug, Args)]
pub(crate) struct CompareArgs {
    /// Run folders. The group of the first is the baseline.
    #[arg(required = true, value_name = "RUN")]
    pub(crate) runs: Vec<PathBuf>,
    /// Form of the tables.
    #[arg(long, value_name = "FORMAT", default_value = "markdown", value_parser = ["markdown", "csv", "latex", "json"])]
    pub(crate) format: String,
    /// What to measure on; the test where every run has one.
    #[arg(long, value_name = "SET", value_parser = ["test", "validation"])]
    pub(crate) on: Option<String>,
    /// Test every pair of groups, not only those with the baseline.
    #[arg(long)]
    pub(crate) all_pairs: bool,
}

/// `moa-host model …`
#[derive(Debug, Subcommand)]
pub(crate) enum ModelCommand {
    /// Write the whole model that adapters and their base make together.
    Merge(MergeArgs),
}

/// `moa-host model merge`
#[derive(Debug, Args)]
pub(crate) struct MergeArgs {
    /// Folder with adapter_model.safetensors and adapter_config.json, which names the base.
    pub(crate) adapter: PathBuf,
    /// Folder to write.
    #[arg(long, value_name = "DIR")]
    pub(crate) out: PathBuf,
}

/// `moa-host plugin …`
#[derive(Debug, Subcommand)]
pub(crate) enum PluginCommand {
    /// Write the crate of a new scalarizer, or of a new reward, into a folder of its name. It builds as it is.
    New {
        /// Name of the plugin and of the folder, kebab-case.
        name: String,
        /// A reward instead of a scalarizer.
        #[arg(long)]
        reward: bool,
        /// Folder of moa-sdk's source. Without it: where this host was built from, or the published version.
        #[arg(long, value_name = "FOLDER")]
        sdk: Option<PathBuf>,
    },
    /// List the libraries on the search path and their contents.
    List,
    /// Show the scalarizers and rewards of a library or component with their parameters.
    Inspect {
        /// Library, a path or a bare name; or the path of a WebAssembly component.
        lib: String,
        /// If the library was built with another SDK, show every difference.
        #[arg(long, short)]
        verbose: bool,
    },
    /// Run the cases that every plugin should pass, each in its own process. Exits with 1 if one fails or crashes.
    Check {
        /// Library, a path or a bare name.
        lib: String,
        /// Print the report as JSON.
        #[arg(long)]
        json: bool,
        /// Run only the cases whose names start with this.
        #[arg(long, value_name = "CASE", default_value = "", hide_default_value = true)]
        only: String,
        /// Time limit of a case in seconds.
        #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..))]
        timeout: u64,
        /// Answer one case; the check starts itself with this for each.
        #[arg(long, value_name = "ID", hide = true)]
        answer: Option<String>,
    },
    /// Feed a trace to a scalarizer, without a model, and print its answers.
    Replay {
        /// Library, a path or a bare name.
        lib: String,
        /// Trace, JSON lines.
        #[arg(long, value_name = "FILE")]
        trace: PathBuf,
        /// Params in place of the trace's, as JSON.
        #[arg(long, value_name = "JSON", default_value = "{}", hide_default_value = true)]
        params: String,
        /// Compare with the answers in the trace. Exits with 1 at the first that differs.
        #[arg(long)]
        check: bool,
    },
}

/// `moa-host reward …`
#[derive(Debug, Subcommand)]
pub(crate) enum RewardCommand {
    /// List the rewards on the search path, native and components, with their parameters.
    List,
    /// Score completions, one JSON line {"score"} each. Exits with 1 if the reward failed on one.
    Score {
        /// Name of a reward, or the path of a WebAssembly component (.wasm, or .wat as text).
        reward: String,
        /// Library to load first, a path or a bare name. May be repeated.
        #[arg(long = "plugin", value_name = "LIB", action = ArgAction::Append)]
        plugins: Vec<String>,
        /// Parameters of the reward, a JSON object.
        #[arg(long, value_name = "JSON", default_value = "{}", hide_default_value = true)]
        params: String,
        /// JSON lines {"prompt", "response", "ground_truth", …}, or a Parquet file with these columns; - reads stdin.
        #[arg(long, value_name = "FILE")]
        input: PathBuf,
        /// objective.limits.fuel of a component.
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
        fuel: Option<u64>,
        /// objective.limits.milliseconds of a component.
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
        milliseconds: Option<u64>,
        /// objective.limits.memory_mib of a component.
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
        memory_mib: Option<u64>,
        /// objective.limits.result_bytes of a component.
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
        result_bytes: Option<u64>,
        /// No progress bar and no summary.
        #[arg(long, short)]
        quiet: bool,
    },
}

/// `moa-host data …`
#[derive(Debug, Subcommand)]
pub(crate) enum DataCommand {
    /// Show rows, columns, lengths and one rendered prompt.
    Inspect {
        /// A .parquet or .jsonl file, or "embedded".
        file: String,
        /// Model whose tokenizer and chat template to use: a folder, a .gguf file, a hub id, or "embedded".
        #[arg(long, value_name = "MODEL")]
        model: Option<String>,
        /// Column that holds the prompt.
        #[arg(long, value_name = "COLUMN")]
        prompt_key: Option<String>,
    },
    /// Convert a data set's own files into the papers' train, val and test files.
    Convert {
        /// Which data set.
        #[arg(value_parser = ["math500", "math-lighteval", "gsm8k"])]
        name: String,
        /// Its file, .parquet or .jsonl, split 60/20/20 as in the papers. With --test all rows are for training.
        file: PathBuf,
        /// Its test file; the first half becomes val, the rest test.
        #[arg(long, value_name = "FILE")]
        test: Option<PathBuf>,
        /// Folder for the three files.
        #[arg(long, value_name = "FOLDER")]
        out: PathBuf,
        /// Keep only the problems of this subject. If not set, Algebra for math-lighteval as in the papers, else all.
        #[arg(long, value_name = "SUBJECT")]
        subject: Option<String>,
        /// Seed of the split; 42 if not set, as in the papers.
        #[arg(long, value_name = "N", conflicts_with = "test")]
        seed: Option<u64>,
    },
    /// Generate a data set.
    Generate {
        /// Which data set.
        #[arg(value_parser = ["tiny-math"])]
        name: String,
        /// Folder for its files.
        #[arg(long, value_name = "FOLDER")]
        out: PathBuf,
        /// Seed; 0 if not set.
        #[arg(long, value_name = "N")]
        seed: Option<u64>,
        /// Also write this many supervised rows, with prompt and response.
        #[arg(long, value_name = "ROWS")]
        sft: Option<usize>,
        /// Also train and write the tokenizer.
        #[arg(long)]
        tokenizer: bool,
    },
}

/// `moa-host config …`
#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Resolve a config and print every value with where it came from.
    Check(ModelConfigArgs),
    /// Explain a key, or each key of a table: meaning, value and where it came from.
    Explain {
        /// Dotted key, such as rollout.group_size, or a table, such as rollout.
        key: String,
        /// Where values come from.
        #[command(flatten)]
        config: ModelConfigArgs,
    },
    /// Print every key with type, range, default and meaning as JSON.
    Schema,
}

/// Options of `config check` and `config explain`.
#[derive(Debug, Args)]
pub(crate) struct ModelConfigArgs {
    /// Where values come from.
    #[command(flatten)]
    pub(crate) config: ConfigArgs,
    /// model.path: a folder, a .gguf file, a hub id, or "embedded". It need not be there.
    #[arg(long, value_name = "MODEL")]
    pub(crate) model: Option<String>,
}

impl ModelConfigArgs {
    /// What was typed about the config of a run of `train`, with this process's environment.
    pub(crate) fn train_request(&self) -> Request {
        let mut request = self.config.request(Purpose::Train);
        push_options(
            &mut request,
            [("--model", "model.path", self.model.clone().map(Into::into))],
        );
        request
    }
}
