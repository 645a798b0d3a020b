//! The parse table of the command line: what each way of typing becomes.

#[path = "../core/src/cli.rs"]
#[allow(dead_code, reason = "the binary reads the fields that these tests do not")]
mod cli;

use clap::Parser;
use cli::{Cli, Command};
use moa_core::config::{Override, Purpose};

fn parse(line: &str) -> Result<Command, clap::Error> {
    Cli::try_parse_from(line.split_whitespace()).map(Cli::into_command)
}

/// The command as one short string, or the kind of the refusal.
fn shape(line: &str) -> String {
    use cli::{ConfigCommand as C, DataCommand as D, PluginCommand as P, RewardCommand as R};
    match parse(line) {
        Err(error) => format!("{:?}", error.kind()),
        Ok(Command::Train(args)) => {
            let set: Vec<String> = args
                .request()
                .overrides
                .iter()
                .map(|item| match item {
                    Override::Set(text) => text.clone(),
                    Override::Option { option, key, value } => format!("{option}:{key}={value}"),
                })
                .collect();
            let file = args
                .config
                .config
                .map(|file| format!(" file {}", file.display()))
                .unwrap_or_default();
            format!("train{file} plugins {:?} {}", args.plugins, set.join(" "))
                .trim_end()
                .to_owned()
        }
        Ok(Command::Metrics) => "metrics".to_owned(),
        Ok(Command::Model(cli::ModelCommand::Merge(args))) => {
            format!("merge {} {}", args.adapter.display(), args.out.display())
        }
        Ok(Command::Sft(args)) => format!("sft {} {:?} {:?}", args.out.display(), args.steps, args.seed),
        Ok(Command::Logprobs(args)) => format!("logprobs {} {}", args.model, args.input.display()),
        Ok(Command::Reward(R::List)) => "reward list".into(),
        Ok(Command::Reward(R::Score {
            reward,
            params,
            input,
            fuel,
            ..
        })) => format!("score {reward} {params} {} {fuel:?}", input.display()),
        Ok(Command::Plugin(P::List)) => "plugin list".into(),
        Ok(Command::Plugin(P::New { name, reward, .. })) => format!("new {name} {reward}"),
        Ok(Command::Plugin(P::Inspect { lib, verbose })) => {
            format!("inspect {lib}{}", if verbose { " verbose" } else { "" })
        }
        Ok(Command::Plugin(P::Replay {
            lib,
            trace,
            params,
            check,
        })) => {
            format!("replay {lib} {} {params} {check}", trace.display())
        }
        Ok(Command::Plugin(P::Check {
            lib,
            json,
            only,
            timeout,
            answer,
        })) => {
            format!("check {lib} {json} {only:?} {timeout} {answer:?}")
        }
        Ok(Command::Data(D::Convert {
            name,
            file,
            test,
            out,
            subject,
            seed,
        })) => {
            format!(
                "convert {name} {} {test:?} {} {subject:?} {seed:?}",
                file.display(),
                out.display()
            )
        }
        Ok(Command::Data(D::Inspect {
            file,
            model,
            prompt_key,
        })) => format!("inspect {file} {model:?} {prompt_key:?}"),
        Ok(Command::Data(D::Generate {
            name,
            out,
            seed,
            sft,
            tokenizer,
        })) => {
            let tokenizer = if tokenizer { " tokenizer" } else { "" };
            format!("generate {name} {} {seed:?} {sft:?}{tokenizer}", out.display())
        }
        Ok(Command::Config(C::Check(args))) => format!("check {:?} {:?}", args.config.config, args.config.sets),
        Ok(Command::Config(C::Explain { key, config })) => {
            format!("explain {key} {:?}", config.config.sets)
        }
        Ok(Command::Config(C::Schema)) => "schema".into(),
        Ok(Command::Report { run }) => format!("report {}", run.display()),
        Ok(Command::Compare(args)) => {
            let (runs, all) = (args.runs.len(), args.all_pairs);
            format!("compare {runs} {} {:?} {all}", args.format, args.on)
        }
    }
}

#[test]
fn each_way_of_typing_means_one_thing() {
    let table = [
        ("moa-host", "train plugins []"),
        (
            "moa-host --plugin plugins/libp.so",
            r#"train plugins ["plugins/libp.so"]"#,
        ),
        ("moa-host train --plugin p --plugin q", r#"train plugins ["p", "q"]"#),
        (
            "moa-host --steps 3 --seed 7",
            "train plugins [] --steps:train.steps=3 --seed:train.seed=7",
        ),
        (
            "moa-host train --set a=1 --steps 2 --set b=2",
            "train plugins [] a=1 b=2 --steps:train.steps=2",
        ),
        (
            "moa-host train --config a.toml --model m",
            r#"train file a.toml plugins [] --model:model.path="m""#,
        ),
        (
            "moa-host train --run-dir runs/a",
            r#"train plugins [] --run-dir:train.run_dir="runs/a""#,
        ),
        (
            "moa-host --scalarizer s -q",
            r#"train plugins [] --scalarizer:scalarizer.name="s" --quiet:logging.progress=false"#,
        ),
        ("moa-host -v", "UnknownArgument"),
        ("moa-host --steps 3 train", "ArgumentConflict"),
        ("moa-host --steps -3", "UnknownArgument"),
        ("moa-host --steps x", "ValueValidation"),
        ("moa-host --steps 1 --steps 2", "ArgumentConflict"),
        ("moa-host tarin", "InvalidSubcommand"),
        ("moa-host --plugni p", "UnknownArgument"),
        ("moa-host sft --out m", "sft m None None"),
        ("moa-host sft --out m --steps 5 --seed 1", "sft m Some(5) Some(1)"),
        ("moa-host sft", "MissingRequiredArgument"),
        ("moa-host logprobs --model embedded --input -", "logprobs embedded -"),
        ("moa-host logprobs --input a.jsonl", "MissingRequiredArgument"),
        ("moa-host report runs/a", "report runs/a"),
        ("moa-host report", "MissingRequiredArgument"),
        ("moa-host compare a b", "compare 2 markdown None false"),
        (
            "moa-host compare a b c --format latex --on test --all-pairs",
            r#"compare 3 latex Some("test") true"#,
        ),
        ("moa-host compare a --format pdf", "InvalidValue"),
        ("moa-host compare", "MissingRequiredArgument"),
        ("moa-host plugin list", "plugin list"),
        ("moa-host reward list", "reward list"),
        ("moa-host reward score r --input -", "score r {} - None"),
        (
            "moa-host reward score r.wasm --params {} --fuel 5 --input a",
            "score r.wasm {} a Some(5)",
        ),
        ("moa-host reward score r --fuel 0 --input a", "ValueValidation"),
        ("moa-host reward score r", "MissingRequiredArgument"),
        ("moa-host plugin", "DisplayHelpOnMissingArgumentOrSubcommand"),
        ("moa-host plugin new my-method", "new my-method false"),
        ("moa-host plugin new my-reward --reward", "new my-reward true"),
        ("moa-host plugin new", "MissingRequiredArgument"),
        ("moa-host plugin inspect p", "inspect p"),
        ("moa-host plugin inspect p --verbose", "inspect p verbose"),
        ("moa-host plugin replay p --trace t.jsonl", "replay p t.jsonl {} false"),
        (
            "moa-host plugin replay p --trace t.jsonl --check",
            "replay p t.jsonl {} true",
        ),
        ("moa-host plugin replay p", "MissingRequiredArgument"),
        ("moa-host data inspect a.parquet", "inspect a.parquet None None"),
        (
            "moa-host data inspect a --model m --prompt-key q",
            r#"inspect a Some("m") Some("q")"#,
        ),
        (
            "moa-host data generate tiny-math --out d --seed 3 --sft 9",
            "generate tiny-math d Some(3) Some(9)",
        ),
        (
            "moa-host data generate tiny-math --out d --tokenizer",
            "generate tiny-math d None None tokenizer",
        ),
        ("moa-host data generate other --out d", "InvalidValue"),
        (
            "moa-host data convert math500 a.jsonl --out d --seed 7",
            "convert math500 a.jsonl None d None Some(7)",
        ),
        (
            "moa-host data convert math500 a.jsonl --test b.jsonl --out d --seed 7",
            "ArgumentConflict",
        ),
        (
            "moa-host plugin check p --only finite",
            r#"check p false "finite" 10 None"#,
        ),
        ("moa-host plugin check p --timeout 0", "ValueValidation"),
        ("moa-host config check --config a.toml", r#"check Some("a.toml") []"#),
        (
            "moa-host config explain train.steps --set a=1",
            r#"explain train.steps ["a=1"]"#,
        ),
        ("moa-host config schema", "schema"),
        ("moa-host --version", "DisplayVersion"),
        ("moa-host train --help", "DisplayHelp"),
    ];
    for (line, expected) in table {
        assert_eq!(shape(line), expected, "{line}");
    }
}

#[test]
fn sft_resolves_with_its_own_defaults() {
    let Ok(Command::Sft(args)) = parse("moa-host sft --out m --steps 60") else {
        panic!("not sft")
    };
    let mut request = args.request();
    request.environment.clear();
    assert_eq!(request.purpose, Purpose::Sft);
    let config = moa_core::config::resolve(&request)
        .expect("the built-in files resolve")
        .config;
    assert_eq!(config.sft.expect("sft has its table").steps, 60);
    assert_eq!(config.optimizer.lr, 3e-3);
}
