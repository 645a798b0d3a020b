//! The command line: commands and their options, as clap types. Options are `Option`s without defaults, so that a
//! value of a config file is replaced only by what was really typed. Nothing here runs or prints.
//! It belongs to the binary (`mod cli;` in main.rs).

use std::path::PathBuf;

use clap::{ArgAction, Args, Parser, Subcommand};
use moa_core::config::{Override, Purpose, Request};

/// Trains language models on several objectives at once.
///
/// Options before a command mean `train`: `moa-host --plugin LIB` trains the embedded default with that library.
/// Values come from, later wins: defaults, --config FILE, environment (MOA_TRAIN__STEPS=50), --set, other options.
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
    /// Supervised fine-tuning on prompt and response rows.
    Sft(SftArgs),
    /// Log-probabilities of given responses, one JSON line each.
    Logprobs(LogprobsArgs),
    /// Look at plugins, or feed one a recorded trace.
    #[command(subcommand)]
    Plugin(PluginCommand),
    /// List rewards, or score given completions with one.
    #[command(subcommand)]
    Reward(RewardCommand),
    /// Look at data, convert or generate it.
    #[command(subcommand)]
    Data(DataCommand),
    /// Check and explain configuration.
    #[command(subcommand)]
    Config(ConfigCommand),
}

/// Where values come from, shared by the commands that resolve a config.
#[derive(Debug, Default, Args)]
pub(crate) struct ConfigArgs {
    /// TOML file; only the keys that differ from the defaults need to be in it.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// One value, e.g. train.steps=50; may be repeated, the last one wins.
    #[arg(long = "set", value_name = "KEY=VALUE", action = ArgAction::Append)]
    pub(crate) sets: Vec<String>,
}

impl ConfigArgs {
    fn request(&self, purpose: Purpose) -> Request {
        Request {
            purpose,
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
    /// Library to load, a path or a bare name; may be repeated.
    #[arg(long = "plugin", value_name = "LIB", action = ArgAction::Append)]
    pub(crate) plugins: Vec<String>,
    /// scalarizer.name: needed where the libraries have several.
    #[arg(long, value_name = "NAME")]
    pub(crate) scalarizer: Option<String>,
    /// model.path: a folder, a .gguf file, a hub id or "embedded".
    #[arg(long, value_name = "MODEL")]
    pub(crate) model: Option<String>,
    /// train.steps
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i64).range(0..))]
    pub(crate) steps: Option<i64>,
    /// train.seed
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i64).range(0..))]
    pub(crate) seed: Option<i64>,
    /// train.run_dir: folder for what the run writes.
    #[arg(long, value_name = "FOLDER")]
    pub(crate) run_dir: Option<PathBuf>,
    /// Go on with the run in this folder, from its newest whole checkpoint; its config.toml is the config.
    #[arg(long, value_name = "RUN", conflicts_with_all = ["config", "run_dir"])]
    pub(crate) resume: Option<PathBuf>,
    /// No progress bar (logging.progress = false), errors only.
    #[arg(long, short, conflicts_with = "verbose")]
    pub(crate) quiet: bool,
    /// Say more about what is loaded and resolved.
    #[arg(long, short)]
    pub(crate) verbose: bool,
}

impl TrainArgs {
    /// What was typed about the config, with this process's environment. A run that is resumed has its own config in
    /// place of both, so that it goes on in another terminal as it would have here.
    pub(crate) fn request(&self) -> Request {
        let mut request = self.config.request(Purpose::Train);
        if let Some(run) = &self.resume {
            request.file = Some(run.join("config.toml"));
            request.environment.clear();
        }
        request.plugins = self.plugins.clone();
        let run_dir = self
            .run_dir
            .as_ref()
            .map(|folder| folder.to_string_lossy().into_owned());
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
    /// A folder, a .gguf file, a hub id or "embedded".
    #[arg(long, value_name = "MODEL")]
    pub(crate) model: String,
    /// JSON lines {"prompt", "response"}, the prompt as text or as messages; - is stdin.
    #[arg(long, value_name = "FILE")]
    pub(crate) input: PathBuf,
}

/// `moa-host plugin …`
#[derive(Debug, Subcommand)]
pub(crate) enum PluginCommand {
    /// List the libraries on the search path with what they hold.
    List,
    /// Show a library's scalarizers and rewards with their parameters.
    Inspect {
        /// Library, a path or a bare name.
        lib: String,
    },
    /// Run the cases that every plugin should pass, each in a process of its own; exit with 1 if one fails or crashes.
    Check {
        /// Library, a path or a bare name.
        lib: String,
        /// Print the report as JSON.
        #[arg(long)]
        json: bool,
        /// Run only the cases whose names begin so.
        #[arg(long, value_name = "CASE", default_value = "", hide_default_value = true)]
        only: String,
        /// How long a case may take, in seconds.
        #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..))]
        timeout: u64,
        /// Answer one case: how a check runs itself for each.
        #[arg(long, value_name = "ID", hide = true)]
        answer: Option<String>,
    },
    /// Feed a trace to a scalarizer without any model and print what it answers.
    Replay {
        /// Library, a path or a bare name.
        lib: String,
        /// Trace, JSON lines.
        #[arg(long, value_name = "FILE")]
        trace: PathBuf,
        /// Compare with the answers in the trace and exit with 1 at the first that differs.
        #[arg(long)]
        check: bool,
    },
}

/// `moa-host reward …`
#[derive(Debug, Subcommand)]
pub(crate) enum RewardCommand {
    /// List the rewards on the search path, native and components, with their parameters.
    List,
    /// Score completions: a JSON line {"score"} for each; exit with 1 if the reward failed on one.
    Score {
        /// Name of a reward, or the path of a WebAssembly component (.wasm, or .wat as text).
        reward: String,
        /// Library to load first, a path or a bare name; may be repeated.
        #[arg(long = "plugin", value_name = "LIB", action = ArgAction::Append)]
        plugins: Vec<String>,
        /// Parameters of the reward, a JSON object.
        #[arg(long, value_name = "JSON", default_value = "{}", hide_default_value = true)]
        params: String,
        /// JSON lines {"prompt", "response", "ground_truth", …}, or a Parquet file with these columns; - is stdin.
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
        /// Model whose tokenizer and chat template are used: a folder, a .gguf file, a hub id or "embedded".
        #[arg(long, value_name = "MODEL")]
        model: Option<String>,
        /// Column that holds the prompt.
        #[arg(long, value_name = "COLUMN")]
        prompt_key: Option<String>,
    },
    /// Make train, val and test files in the papers' layout from a data set's own files.
    Convert {
        /// Which one.
        #[arg(value_parser = ["math500", "math-lighteval", "gsm8k"])]
        name: String,
        /// Its file, .parquet or .jsonl: split 60/20/20 as in the papers, or all of it for training with --test.
        file: PathBuf,
        /// Its test file: the first half becomes val, the rest test.
        #[arg(long, value_name = "FILE")]
        test: Option<PathBuf>,
        /// Folder for the three files.
        #[arg(long, value_name = "FOLDER")]
        out: PathBuf,
        /// Keep the problems of this subject; Algebra for math-lighteval as in the papers, else all unless given.
        #[arg(long, value_name = "SUBJECT")]
        subject: Option<String>,
        /// Seed of the split of one file; that of the papers, 42, unless given.
        #[arg(long, value_name = "N", conflicts_with = "test")]
        seed: Option<u64>,
    },
    /// Generate a data set.
    Generate {
        /// Which one.
        #[arg(value_parser = ["tiny-math"])]
        name: String,
        /// Folder for its files.
        #[arg(long, value_name = "FOLDER")]
        out: PathBuf,
        /// Seed; 0 unless given.
        #[arg(long, value_name = "N")]
        seed: Option<u64>,
        /// Write so many supervised rows too, with prompt and response.
        #[arg(long, value_name = "ROWS")]
        sft: Option<usize>,
        /// Train and write the tokenizer too.
        #[arg(long)]
        tokenizer: bool,
    },
}

/// `moa-host config …`
#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Resolve a config and print every value with where it came from.
    Check(ConfigArgs),
    /// Say what a key, or each key of a table, means, what it is and where that came from.
    Explain {
        /// Dotted key, such as rollout.group_size, or a table, such as rollout.
        key: String,
        /// Where values come from.
        #[command(flatten)]
        config: ConfigArgs,
    },
    /// Print every key with type, default and meaning as JSON.
    Schema,
}

impl ConfigArgs {
    /// What was typed about the config of a run of `train`, with this process's environment.
    pub(crate) fn train_request(&self) -> Request {
        self.request(Purpose::Train)
    }
}
