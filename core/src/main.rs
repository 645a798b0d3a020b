//! moa-host: parse, resolve, run. The only program that prints (`print`) or exits.

mod cli;
mod print;

use std::{
    io::{self, Read, Write},
    path::Path,
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use clap::Parser;
use cli::{
    Cli, Command, CompareArgs, ConfigCommand, DataCommand, LogprobsArgs, ModelCommand, PluginCommand, RewardCommand,
    SftArgs, TrainArgs,
};
use moa_core::{
    config::{self, Source},
    data::{
        self, Keys,
        convert::{self, Conversion, HubData},
        tiny_math,
    },
    error::{Error, Fault},
    metrics::{self, Progress},
    model::Model,
    plugin::{self, Plugins, check},
    report::{self, before_after},
    reward::score_file,
    run::RunFolder,
    train::{self, Resume, Run, logprobs, sft},
};
use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM},
    iterator::Signals,
};

fn main() -> ExitCode {
    let command = Cli::parse().into_command();
    match run(command).and_then(|code| print::finish().map(|()| code)) {
        Ok(code) => ExitCode::from(code),
        // Who reads our output has seen enough (`| head`).
        Err(error) if is_closed_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            let prefix = match error.fault() {
                Fault::Interrupted | Fault::Nothing => "",
                Fault::Usage | Fault::Run => "error: ",
            };
            print::error(&error, prefix);
            ExitCode::from(error.fault().exit_code())
        }
    }
}

/// Whether the reader of stdout has gone.
fn is_closed_pipe(error: &Error) -> bool {
    let error: Option<&io::Error> = error.downcast_ref();
    error.is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

fn run(command: Command) -> Result<u8, Error> {
    match command {
        Command::Train(arguments) => train_command(&arguments)?,
        Command::Sft(arguments) => sft_command(&arguments)?,
        Command::Logprobs(arguments) => logprobs_command(&arguments)?,
        Command::Model(ModelCommand::Merge(arguments)) => Model::merged(&arguments.adapter)?.save(&arguments.out)?,
        Command::Plugin(command) => return plugin_command(command),
        Command::Reward(command) => return reward_command(command),
        Command::Data(command) => data_command(command)?,
        Command::Config(command) => config_command(command)?,
        Command::Report { run } => print::text(&format!("{}\n", report::write_page(&run)?.display()))?,
        Command::Compare(arguments) => compare_command(&arguments)?,
        Command::Metrics => print::text(&metrics::definitions_text())?,
    }
    Ok(0)
}

fn train_command(arguments: &TrainArgs) -> Result<(), Error> {
    let say = |text: &str| {
        if !arguments.quiet {
            print::note(text);
        }
    };
    let (mut run, mut folder) = match &arguments.resume {
        None => new_run(arguments, &say)?,
        Some(path) => {
            let resume = Resume::find(path, arguments.from, arguments.request())?;
            resume.notes.iter().for_each(|note| say(note));
            use_threads(resume.config().train.threads);
            let (run, folder) = resume.open()?;
            say(&run.describe());
            if run.is_begun() {
                say(&format!("{} resumes after step {}", path.display(), run.steps_done()));
            }
            (run, folder)
        }
    };
    let config = run.setup.config.clone();
    let stop = stop_on_signals()?;
    run.setup.objectives.watch(&stop);
    plugin::name_exits(print::note, &folder.native_call());
    let mut progress = Progress::new(config.train.steps, !config.logging.progress);
    if !arguments.quiet {
        progress = progress.noting(print::note);
    }
    let outcome = train::train(&mut run, &mut folder, &progress, &stop);
    progress.finish();
    plugin::no_more_calls();
    let outcome = outcome?;
    let mut table = before_after(&outcome.before, &outcome.after).to_string();
    if let (count, Some(first)) = &outcome.failures {
        say(&format!("warning: rewards failed {count} times; the first: {first}"));
    }
    if let Some(test) = &outcome.test {
        table += &report::one_line(test).to_string();
    }
    let printed = print::text(&table);
    say(&format!(
        "{} steps in {:.1} s; model in {}",
        outcome.steps,
        outcome.seconds,
        outcome.model.display()
    ));
    match report::write_page(folder.path()) {
        Ok(page) => say(&format!("report in {}", page.display())),
        Err(error) => print::note(&format!("warning: no report: {error}")), // the run itself is whole
    }
    printed
}

/// Loads what the config names and makes the run's folder.
fn new_run(arguments: &TrainArgs, say: &dyn Fn(&str)) -> Result<(Run, RunFolder), Error> {
    let resolved = config::resolve(&arguments.request())?;
    use_threads(resolved.config.train.threads);
    let mut run = Run::open(resolved.config.clone(), resolved.is_default("scalarizer.name"))?;
    say(&run.describe());
    let config = run.setup.config.clone();
    if config.data.train != Source::Embedded && config.data.validation == Source::Embedded {
        say("warning: data.validation is the embedded set, not your data; set it to a file to measure on that");
    }
    let folder = RunFolder::create(
        config.train.run_dir.as_deref(),
        run.scalarizer.name(),
        &config.to_toml()?,
        config.checkpoint.keep,
    )?;
    say(&format!("run folder {}", folder.path().display()));
    if config.logging.trace {
        run.record_trace(&folder.trace())?;
    }
    Ok((run, folder))
}

/// What Ctrl-C or a polite kill does from here on: the first asks the run to stop after the step under way, the second
/// ends the process at once, as it did before.
fn stop_on_signals() -> Result<Arc<AtomicBool>, Error> {
    let stop = Arc::new(AtomicBool::new(false));
    let asked = Arc::clone(&stop);
    let mut which = vec![SIGINT, SIGTERM];
    // A terminal that closes is a polite kill, unless the user said that it does not matter (nohup).
    which.extend(Some(SIGHUP).filter(|_| !ignores_hangup()));
    let mut signals = Signals::new(which)?;
    std::thread::spawn(move || {
        for _ in signals.forever() {
            if asked.swap(true, Ordering::Relaxed) {
                plugin::no_more_calls();
                std::process::exit(130);
            }
            print::note("stopping after this step, with a checkpoint; a second signal quits immediately");
        }
    });
    Ok(stop)
}

fn compare_command(arguments: &CompareArgs) -> Result<(), Error> {
    let runs = arguments.runs.iter().map(|run| report::RunData::read(run));
    let on = arguments.on.as_deref().map(|on| match on {
        "validation" => report::On::Validation,
        _ => report::On::Test, // the parser takes no other name
    });
    let comparison = report::compare(runs.collect::<Result<_, _>>()?, on, arguments.all_pairs)?;
    let format = report::Format::named(&arguments.format).unwrap_or(report::Format::Markdown);
    print::text(&report::write_table(&comparison, format))?;
    Ok(())
}

/// Whether this process was started with the hang-up signal ignored, where the system says so.
fn ignores_hangup() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .unwrap_or(0);
    mask >> (SIGHUP - 1) & 1 == 1
}

fn sft_command(arguments: &SftArgs) -> Result<(), Error> {
    let config = config::resolve(&arguments.request())?.config;
    use_threads(config.train.threads);
    let Some(settings) = &config.sft else { return Ok(()) }; // resolving for sft always gives the table
    let progress = Progress::new(settings.steps, !config.logging.progress);
    let outcome = sft::fine_tune(&config, settings, &arguments.out, &progress);
    progress.finish();
    let outcome = outcome?;
    print::note(&format!(
        "{} rows, {} response tokens, loss {:.4} nat/token over the last tenth; model in {}",
        outcome.rows,
        outcome.tokens,
        outcome.loss,
        arguments.out.display()
    ));
    Ok(())
}

fn logprobs_command(arguments: &LogprobsArgs) -> Result<(), Error> {
    let keys = Keys {
        require_response: true,
        ..Keys::default()
    };
    let rows = rows(&arguments.input, &keys)?;
    let model = open_model(&arguments.model)?;
    logprobs::logprobs(model, &rows, &mut print::out())
}

/// The rows of a file, or of stdin for "-".
fn rows(input: &Path, keys: &Keys) -> Result<Vec<data::Row>, Error> {
    if input != Path::new("-") {
        return Ok(data::read_rows(input, keys)?);
    }
    let mut bytes = Vec::new();
    io::stdin().read_to_end(&mut bytes)?;
    Ok(data::read_jsonl_bytes(Path::new("stdin"), &bytes, keys)?)
}

fn reward_command(command: RewardCommand) -> Result<u8, Error> {
    let mut out = print::out();
    let mut plugins = Plugins::new();
    match command {
        RewardCommand::List => {
            for path in plugins.available_rewards() {
                match plugins.describe_rewards(&path) {
                    Ok(text) => print::text(&text)?,
                    Err(error) => print::note(&format!("warning: {error}")),
                }
            }
        }
        RewardCommand::Score {
            reward,
            plugins: libraries,
            params,
            input,
            fuel,
            milliseconds,
            memory_mib,
            result_bytes,
            quiet,
        } => {
            for library in &libraries {
                plugins.load(library)?;
            }
            let params = json_option("--params", &params)?.into();
            let limits = config::Limits {
                fuel,
                milliseconds,
                memory_mib,
                result_bytes,
            };
            let mut reward = plugins.reward_within(&reward, &params, &limits)?;
            reward.watch(&Arc::default());
            let keys = Keys {
                require_response: true,
                allow_empty_prompt: true,
                ..Keys::default()
            };
            let rows = rows(&input, &keys)?;
            let progress = Progress::new(rows.len() as u64, quiet);
            let summary = score_file::score(&reward, &rows, &progress, &mut io::BufWriter::new(&mut out));
            progress.finish();
            let summary = summary?;
            if !quiet {
                print::note(&summary.text(reward.name()));
            }
            return Ok(u8::from(!summary.failures.is_empty()));
        }
    }
    Ok(0)
}

/// An option whose value is a JSON object.
fn json_option(option: &'static str, text: &str) -> Result<serde_json::Map<String, serde_json::Value>, Error> {
    let value: Result<serde_json::Value, _> = serde_json::from_str(text);
    let found = match value {
        Ok(serde_json::Value::Object(object)) => return Ok(object),
        Ok(_) => "another JSON value".to_owned(),
        Err(error) => error.to_string(),
    };
    Err(config::ConfigError::Option {
        option: option.to_owned(),
        found,
        expected: "a JSON object such as '{\"key\": 1}'".to_owned(),
    }
    .into())
}

fn plugin_command(command: PluginCommand) -> Result<u8, Error> {
    let mut out = print::out();
    match command {
        PluginCommand::List => {
            let mut plugins = Plugins::new();
            for path in plugins.available() {
                match plugins.load(&path.to_string_lossy()) {
                    Ok(library) => print::text(&plugin::description_text(library))?,
                    Err(error) => print::note(&format!("warning: {error}")),
                }
            }
        }
        PluginCommand::New { name, reward, sdk } => {
            let kind = match reward {
                true => plugin::NewPlugin::Reward,
                false => plugin::NewPlugin::Scalarizer,
            };
            let folder = kind.write(std::path::Path::new(""), &name, sdk.as_deref())?;
            print::text(&format!("{}\n", folder.display()))?;
            print::note(&format!(
                "next: cd {name} && cargo test --release && cargo build --release"
            ));
        }
        PluginCommand::Inspect { lib, verbose } => {
            let mut plugins = Plugins::new().verbose(verbose);
            print::text(&plugins.describe(&lib)?)?;
        }
        PluginCommand::Check {
            lib, answer: Some(id), ..
        } => {
            write!(out, "{}", check::answer_case(&lib, &id).to_line())?;
        }
        PluginCommand::Check {
            lib,
            json,
            only,
            timeout,
            answer: None,
        } => {
            let program = std::env::current_exe()?;
            let child = |lib: &str, id: &str| {
                let mut command = std::process::Command::new(&program);
                command.args(["plugin", "check", "--answer", id, "--", lib]);
                command
            };
            let options = check::Options {
                limit: Duration::from_secs(timeout),
                only,
            };
            let mut written = Ok(());
            let report = check::check(&lib, &options, &child, &mut |case, widths| {
                if !json && written.is_ok() {
                    written = print::text(&format!("{}\n", case.line(widths)));
                }
            })?;
            written?;
            if report.cases.is_empty() {
                print::note(&format!("error: no case of {lib} begins with `{}`", options.only));
                print::note("hint: without --only all cases run and show their names");
                return Ok(2);
            }
            if json {
                writeln!(out, "{:#}", report.to_json())?;
            } else {
                print::text(&format!("{}\n", report.summary()))?;
            }
            return Ok(u8::from(!report.is_good()));
        }
        PluginCommand::Replay {
            lib,
            trace,
            params,
            check,
        } => {
            let mut plugins = Plugins::new();
            let params = json_option("--params", &params)?;
            plugins.load(&lib)?;
            let replayed = plugin::replay(&plugins, &trace, &params, check, &mut out)?;
            if check {
                print::note(&format!(
                    "{} events, {} compared, all agree",
                    replayed.events, replayed.compared
                ));
            }
        }
    }
    Ok(0)
}

fn data_command(command: DataCommand) -> Result<(), Error> {
    match command {
        DataCommand::Inspect {
            file,
            model,
            prompt_key,
        } => {
            let mut keys = Keys::default();
            keys.prompt_key = prompt_key.unwrap_or(keys.prompt_key);
            let model = model.map(|model| open_model(&model)).transpose()?;
            let inspection = match &model {
                None => data::inspect(Path::new(&file), &keys, None)?,
                Some(model) => data::inspect(
                    Path::new(&file),
                    &keys,
                    Some(&mut |prompts| train::encoded(&model.tokenizer, prompts)),
                )?,
            };
            print::text(&inspection.to_string())?;
        }
        DataCommand::Convert {
            name,
            file,
            test,
            out,
            subject,
            seed,
        } => {
            let Some(data) = HubData::named(&name) else {
                return Ok(());
            }; // the parser takes no other name
            let subject = match subject {
                Some(all) if all == "all" => None,
                None if data == HubData::MathLighteval => Some("Algebra".to_owned()),
                other => other,
            };
            let conversion = Conversion {
                data,
                file,
                test,
                subject,
                seed: seed.unwrap_or(convert::SPLIT_SEED),
            };
            for (path, rows) in convert::convert(&conversion, &out)? {
                print::note(&format!("wrote {}, {rows} rows", path.display()));
            }
        }
        DataCommand::Generate {
            out,
            seed,
            sft,
            tokenizer,
            ..
        } => {
            let options = tiny_math::Options {
                seed: seed.unwrap_or(tiny_math::SEED),
                supervised: sft,
                tokenizer,
            };
            for path in tiny_math::generate(&out, options)? {
                print::note(&format!("wrote {}", path.display()));
            }
        }
    }
    Ok(())
}

fn config_command(command: ConfigCommand) -> Result<(), Error> {
    let mut out = print::out();
    match command {
        ConfigCommand::Check(arguments) => print::text(&config::resolve(&arguments.train_request())?.report()?)?,
        ConfigCommand::Explain { key, config } => {
            for explanation in config::resolve(&config.train_request())?.explain(&key)? {
                print::text(&format!("{explanation}\n"))?;
            }
        }
        ConfigCommand::Schema => writeln!(out, "{:#}", config::schema()?)?,
    }
    Ok(())
}

/// A model by what the user typed: "embedded", a folder, a .gguf file, a hub id.
fn open_model(name: &str) -> Result<Model, Error> {
    Ok(Model::open(&config::Source::from(name.to_owned()))?)
}

/// Sets the size of the thread pool that every tensor operation shares; all cores unless the config says a number.
fn use_threads(threads: Option<usize>) {
    if let Some(threads) = threads {
        // Fails only if the pool is in use already, which it is not at this point.
        let _ = rayon::ThreadPoolBuilder::new().num_threads(threads).build_global();
    }
}
