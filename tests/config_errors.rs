//! What bad configuration gets: one error that names key, place, found and expected, with a hint.

use crate::support::config::typed;
use moa_core::config::{Config, ConfigError};
use moa_core::error::Report;

#[test]
fn a_config_that_should_be_complete_and_is_not_is_refused() {
    let typed = typed().file("plugins = []\n");
    let path = typed.request.file.clone().expect("the file was written");
    let error = Config::read(&path).expect_err("most keys are missing");
    assert_eq!(error.to_string(), format!("{}: `model` is missing", path.display()));
    let typed = typed.file("[model]\npath = \"a\"\ndtype = \"f32\"\n");
    let error = Config::read(&path).expect_err("a key is missing");
    assert!(error.to_string().ends_with(" is missing"), "{error}");
    assert!(typed.good().config.model.path == moa_core::config::Source::Path("a".to_owned()));
}

#[test]
fn mistakes_are_named_with_key_place_found_and_expected() {
    let table: &[(&str, &str, &str)] = &[
        (
            "[rollout]\ngroup_sise = 4\n",
            "unknown key `rollout.group_sise` in my.toml:2",
            "did you mean `rollout.group_size`?",
        ),
        (
            "[rolout]\nprompts = 4\n",
            "unknown key `rolout` in my.toml:1",
            "did you mean `rollout`?",
        ),
        (
            "[train]\nlr = 1.0\n",
            "unknown key `train.lr` in my.toml:2",
            "did you mean `optimizer.lr`?",
        ),
        (
            "[train]\neps = 1.0\n",
            "unknown key `train.eps` in my.toml:2",
            "did you mean `optimizer.eps`?",
        ),
        (
            "inclde = []\n",
            "unknown key `inclde` in my.toml:1",
            "did you mean `include`?",
        ),
        (
            "[algorithm.kl]\ncoeficient = 1\n",
            "unknown key `algorithm.kl.coeficient` in my.toml:2",
            "did you mean `algorithm.kl.coefficient`?",
        ),
        (
            "[[objective]]\nname = \"a\"\nreword = \"b\"\n",
            "unknown key `objective[0].reword` in my.toml:3",
            "did you mean `objective.reward`?",
        ),
        (
            "qqqqqqqqqq = 1\n",
            "unknown key `qqqqqqqqqq` in my.toml:1",
            "`moa-host config schema` lists every key",
        ),
        (
            "[train]\nsteps = \"many\"\n",
            "`train.steps` in my.toml:2: found the string \"many\", expected a whole number, 0 or more",
            "`moa-host config explain train.steps` says what it means",
        ),
        (
            "[train]\nsteps = -1\n",
            "`train.steps` in my.toml:2: found -1, expected a whole number, 0 or more",
            "`moa-host config explain train.steps` says what it means",
        ),
        (
            "[optimizer]\nlr = nan\n",
            "`optimizer.lr` in my.toml:2: found nan, expected a number, 0 or more",
            "`moa-host config explain optimizer.lr` says what it means",
        ),
        (
            "[optimizer]\nbetas = [0.9]\n",
            "`optimizer.betas` in my.toml:2: found a list of 1, [0.9], expected a list of 2 numbers, each from 0 to below 1",
            "`moa-host config explain optimizer.betas` says what it means",
        ),
        (
            "\n\nrollout = 3\n",
            "`rollout` in my.toml:3: found 3, expected a table, [rollout]",
            "`moa-host config explain rollout` says what it means",
        ),
        (
            "[data]\noverlong = \"cut\"\n",
            "`data.overlong` in my.toml:2: found the string \"cut\", expected one of \"drop\", \"truncate\", \"error\"",
            "`moa-host config explain data.overlong` says what it means",
        ),
        (
            "[[objective]]\nname = \"a\"\n",
            "`objective[0].reward` is missing in my.toml:1: expected a string",
            "`moa-host config explain objective.reward` says what it means",
        ),
        (
            "[scalarizer]\nday = 2024-01-01\n",
            "`scalarizer.day` in my.toml:2: found 2024-01-01, expected a string, a number, true, false, a list or a table",
            "`moa-host config explain scalarizer.day` says what it means",
        ),
        (
            "[train]\nthreads = 0\n",
            "`train.threads` in my.toml:2: found 0, expected a whole number from 1 to 4096",
            "`moa-host config explain train.threads` says what it means",
        ),
        (
            "[rollout]\ntemperature = 0\n",
            "`rollout.temperature` in my.toml:2: found 0, expected a number above 0",
            "`moa-host config explain rollout.temperature` says what it means",
        ),
        (
            "[model]\ndevice = \"cuda\"\n",
            "`model.device` in my.toml:2: found the string \"cuda\", expected \"cpu\", the only choice so far",
            "`moa-host config explain model.device` says what it means",
        ),
        (
            "[checkpoint]\nundo = true\n",
            "unknown key `checkpoint.undo` in my.toml:2",
            "it is called `checkpoint.rollback` now",
        ),
        (
            "[validation]\nn = 4\n",
            "unknown key `validation.n` in my.toml:2",
            "it is called `validation.rows` now",
        ),
        (
            "[sft]\ntrain = \"a.jsonl\"\n",
            "unknown key `sft.train` in my.toml:2",
            "it is called `sft.data` now",
        ),
        (
            "[optimizer]\npower = 2\n",
            "unknown key `optimizer.power` in my.toml:2",
            "it is called `optimizer.schedule_power` now",
        ),
        (
            "[[objective]]\nname = \"a\"\nreward = \"b\"\nweight = 1\n",
            "unknown key `objective[0].weight` in my.toml:4",
            "weights belong to the scalarizer, one per objective: scalarizer.weights = [0.5, 0.3, 0.2]",
        ),
        (
            "[optimizer]\nwarmup = 61\n[algorithm]\nminibatch = 8\nepochs = 3\n",
            "`optimizer.warmup` in my.toml:2: found 61, expected at most train.steps, 60",
            "`moa-host config explain optimizer.warmup` says what it means",
        ),
    ];
    for (text, message, hint) in table {
        let found = typed().file(text).message();
        assert_eq!((found.0.as_str(), found.1.as_str()), (*message, *hint), "{text}");
    }
}

#[test]
fn values_out_of_range_are_refused() {
    let table = [
        (
            "rollout.prompts=1048576",
            "at most 1048576 completions per step, rollout.prompts times this",
        ),
        ("data.train=", "a string that is not blank"),
        ("train.run_dir= ", "a string that is not blank"),
        ("scalarizer.name=", "a string that is not blank"),
        ("objective=[]", "at least one [[objective]] block"),
        (
            "objective=[{name=\"a\", reward=\"r\"}, {name=\"a\", reward=\"s\"}]",
            "a unique name (objective[0] has this one)",
        ),
        (
            "objective=[{name=\"a\", reward=\"r\", limits={fuel=0}}]",
            "a whole number, 1 or more",
        ),
        ("algorithm.minibatch=17", "at most rollout.prompts, 16"),
        ("algorithm.dual_clip=1", "a number, 0 or above 1"),
        ("algorithm.clip_low=0", "a number above 0"),
        (
            "optimizer.betas=[0.9, 1]",
            "a list of 2 numbers, each from 0 to below 1",
        ),
        ("optimizer.warmup=61", "at most train.steps, 60"),
        ("sft.fresh.width=97", "a multiple of twice sft.fresh.heads, 6"),
        ("sft.fresh.kv_heads=2", "a divisor of sft.fresh.heads, 3"),
        (
            "plugins=[\"../plugins\"]",
            "a library, such as target/release/libmine.so",
        ),
    ];
    for (set, wanted) in table {
        match typed().set(set).error() {
            ConfigError::Value {
                key, expected, origin, ..
            } => {
                assert_eq!(expected, wanted, "{set}");
                let named = set.starts_with(key.split(['[', '.']).next().unwrap_or_default());
                let origin = origin.to_string();
                assert!(
                    named && (origin == format!("--set {set}") || key == "rollout.group_size"),
                    "{set}: {origin}"
                );
            }
            other => panic!("{set}: {other}"),
        }
    }
}

#[test]
fn a_list_without_brackets_is_told_about_them() {
    for (set, text) in [
        ("scalarizer.weights=0.5,0.3,0.2", "0.5,0.3,0.2"),
        ("optimizer.betas=0.9, 0.99", "0.9, 0.99"),
    ] {
        let (key, _) = set.split_once('=').unwrap();
        let (message, hint) = typed().set(set).message();
        assert_eq!(
            message,
            format!("`{key}` in --set {set}: found {text}, expected a list in brackets")
        );
        assert!(hint.contains(&format!("'{key}=[{text}]'")), "{hint}");
    }
    // A parameter may be such a string, in quotes.
    let scalarizer = typed().set("scalarizer.mode=\"1,2\"").config().scalarizer;
    assert_eq!(scalarizer.params["mode"], "1,2");
    let scalarizer = typed().set("scalarizer.mode=a,b").config().scalarizer;
    assert_eq!(scalarizer.params["mode"], "a,b");
}

#[test]
fn a_bare_name_suggests_the_first_table_that_has_it() {
    for (set, suggested) in [
        ("steps=5", "train.steps"),
        ("temperature=1", "rollout.temperature"),
        ("lr=1", "optimizer.lr"),
    ] {
        let (_, hint) = typed().set(set).message();
        assert_eq!(hint, format!("did you mean `{suggested}`?"));
    }
}

/// The warm-up of a fine-tuning is compared with its own steps, that of a run with the run's.
#[test]
fn a_warm_up_is_as_long_as_its_run_at_most() {
    let mut sft = typed().set("sft.steps=40");
    assert_eq!(sft.config().optimizer.warmup, 0);
    sft.request.purpose = moa_core::config::Purpose::Sft;
    let (message, _) = sft.message();
    assert!(
        message.ends_with("found 50, expected at most sft.steps, 40"),
        "{message}"
    );
    assert_eq!(typed().set("optimizer.warmup=60").config().optimizer.warmup, 60);
}

#[test]
fn kl_settings_that_cannot_work_together_are_refused() {
    let (message, _) = typed().file("[algorithm.kl]\ntarget = 6.0\n").message();
    assert!(
        message.contains("algorithm.kl.coefficient") && message.contains("a start value above 0"),
        "{message}"
    );
    let gdpo = "[algorithm]\nestimator = \"gdpo\"\n[algorithm.kl]\ncoefficient = 0.1\nplacement = \"reward\"\n";
    let (message, _) = typed().file(gdpo).message();
    assert!(
        message.contains("algorithm.kl.placement") && message.contains("no scalar reward"),
        "{message}"
    );
}

#[test]
fn bad_toml_is_shown_with_line_column_and_caret() {
    let (message, _) = typed().file("[train]\nsteps = = 3\n").message();
    assert!(
        message.starts_with("my.toml:2: TOML parse error at line 2, column"),
        "{message}"
    );
    assert!(message.contains("steps = = 3") && message.contains('^'), "{message}");
    let (message, _) = typed().set("optimizer.betas=[1, ").message();
    assert!(
        message.starts_with("--set optimizer.betas=[1, : TOML parse error"),
        "{message}"
    );
    let (message, _) = typed().file("[train]\nsteps = 1\nsteps = 2\n").message();
    assert!(
        message.starts_with("my.toml:3: TOML parse error") && message.contains("duplicate key"),
        "{message}"
    );
}

#[test]
fn files_that_cannot_be_read_are_errors() {
    let mut missing = typed();
    missing.request.file = Some(missing.folder.path().join("none.toml"));
    assert!(
        missing
            .message()
            .0
            .starts_with("cannot read config file none.toml: No such file"),
        "{:?}",
        missing.message()
    );
    let (message, hint) = typed().file("include = [\"gone.toml\"]\n").message();
    assert!(
        message.starts_with("cannot read config file gone.toml (included by my.toml): No such file"),
        "{message}"
    );
    assert_eq!(hint, "an included path is relative to the file that includes it");
    let (message, _) = typed()
        .file("include = [\"a.toml\"]\n")
        .write("a.toml", "include = [\"my.toml\"]\n")
        .message();
    assert!(
        message.contains("includes itself:") && message.ends_with("a.toml -> my.toml"),
        "{message}"
    );
    let mut bytes = typed();
    bytes.request.file = Some(bytes.folder.path().join("b.toml"));
    std::fs::write(bytes.folder.path().join("b.toml"), b"a\xff").expect("the folder takes files");
    assert_eq!(
        bytes.message().0,
        "config file b.toml: found a byte that is not UTF-8 at 1, expected text"
    );
    let mut folder = typed();
    folder.request.file = Some(folder.folder.path().to_owned());
    assert!(matches!(folder.error(), ConfigError::Read { .. }));
}

#[test]
fn includes_that_double_at_each_level_are_stopped() {
    let mut typed = typed().file("include = [\"0.toml\", \"0.toml\"]\n");
    for level in 0..40 {
        let next = level + 1;
        typed = typed.write(
            &format!("{level}.toml"),
            &format!("include = [\"{next}.toml\", \"{next}.toml\"]\n"),
        );
    }
    let typed = typed.write("40.toml", "");
    assert!(matches!(typed.error(), ConfigError::TooManyFiles { .. }));
}

#[test]
fn odd_set_options_are_refused_without_a_panic() {
    let deep = format!("scalarizer{}=1", ".a".repeat(5000));
    for set in [
        "train.steps",
        "=3",
        "a..b=1",
        ".=",
        "",
        "[]=1",
        "objective[0].name=\"a\"",
        "]x[=1",
        "é[.ü]=ß",
        &deep,
        "sft=1",
    ] {
        let error = typed().set(set).error();
        assert!(error.hint().is_some(), "{set}: {error}");
    }
    let (_, hint) = typed().set("objective.0.name=a").message();
    assert!(hint.starts_with("[[objective]] is a list"), "{hint}");
    assert!(matches!(
        typed().set("include=[\"a\"]").error(),
        ConfigError::IncludeOutsideFile { .. }
    ));
    let nested = format!("scalarizer.x={}{}", "[".repeat(100_000), "]".repeat(100_000));
    assert!(matches!(typed().set(&nested).error(), ConfigError::Syntax { .. }));
}
