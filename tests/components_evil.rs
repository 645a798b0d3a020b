//! Rewards that do harm: what the user is told of each, that only the guilty completion fails, and that nothing goes
//! on longer than its limit.

use std::time::{Duration, Instant};

use crate::support::components::{component, evil, evil_text, typed_module, wit};
use crate::support::host::{Outcome, host_with};
use serde_json::Value;

/// Little enough to wait for, many times.
const LIMITS: [&str; 6] = ["--fuel", "20000000", "--milliseconds", "400", "--memory-mib", "32"];

fn score(file: &[u8], lines: &str, more: &[&str]) -> Outcome {
    let mut arguments = vec!["reward", "score", "evil.wasm", "--input", "in.jsonl"];
    arguments.extend(more);
    host_with(&arguments, &[("evil.wasm", file), ("in.jsonl", lines.as_bytes())])
}

/// One completion a letter, `response_tokens` 1, 2, 3, …
fn lines(letters: &str) -> String {
    let line = |(i, letter): (usize, char)| {
        format!(
            "{{\"prompt\":\"p\",\"response\":\"{letter}\",\"response_tokens\":{}}}\n",
            i + 1
        )
    };
    letters.chars().enumerate().map(line).collect()
}

fn results(outcome: &Outcome) -> Vec<Value> {
    outcome
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
fn each_evil_is_named_with_its_limit_and_only_the_guilty_fails() {
    let guest = evil(&[]);
    for (letter, cause, message) in [
        ('s', "fuel", "used up its limits.fuel = 20000000"),
        ('S', "fuel", "used up its limits.fuel = 20000000"),
        (
            'g',
            "memory",
            "asked for 32.1 MiB of memory, more than limits.memory_mib = 32",
        ),
        (
            'G',
            "memory",
            "asked for 2048.1 MiB of memory, more than limits.memory_mib = 32",
        ),
        ('r', "trap", "recursed beyond its stack of 1048576 bytes"),
        (
            't',
            "trap",
            "trapped: wasm trap: wasm `unreachable` instruction executed",
        ),
        ('d', "trap", "trapped: wasm trap: integer divide by zero"),
        ('f', "output", "gave 0 scores for 1 completion"),
        ('m', "output", "gave 2 scores for 1 completion"),
        ('n', "not-finite", "the score is NaN, expected a finite number"),
        ('i', "not-finite", "the score is inf, expected a finite number"),
        (
            'e',
            "memory",
            "asked for 95.5 MiB of memory, more than limits.memory_mib = 32",
        ),
        ('E', "refused", "does not like this one"),
        ('w', "refused", "does not like any of them"),
        (
            'l',
            "fuel",
            "used up its limits.fuel = 20000000; its last words: does what the response says",
        ),
        (
            'p',
            "trap",
            "trapped: wasm trap: wasm `unreachable` instruction executed; its last words: the sky is falling",
        ),
        ('o', "trap", "failed: list pointer/length out of bounds of memory"),
        ('u', "trap", "failed: invalid utf-8 sequence of 1 bytes from index 0"),
        ('b', "trap", "failed: invalid expected discriminant"),
    ] {
        let start = Instant::now();
        let outcome = score(&guest, &lines(&format!("k{letter}k{letter}k")), &LIMITS);
        let took = start.elapsed();
        assert_eq!(outcome.code, 1, "{letter}: {}", outcome.stderr);
        let results = results(&outcome);
        assert_eq!(results.len(), 5, "{letter}: {}", outcome.stderr);
        for (i, right) in [(0, 0.01_f64), (2, 0.03), (4, 0.05)] {
            let score = results[i]["score"].as_f64().unwrap_or(f64::NAN);
            assert!(
                (score - right).abs() < 1e-6,
                "{letter}: completion {i} has {}",
                results[i]
            );
        }
        for guilty in [1, 3] {
            let result = &results[guilty];
            assert!(result["score"].is_null(), "{letter}: {result}");
            assert_eq!(result["cause"], cause, "{letter}: {result}");
            assert_eq!(result["error"], message, "{letter}");
        }
        let summary = format!("2 failed ({cause} 2)\n  first failure: completion 1: {message}\n");
        assert!(outcome.stderr.ends_with(&summary), "{letter}: {}", outcome.stderr);
        // The chunk's call and two of the guilty, 400 ms each at most, beside starting up and a busy machine.
        assert!(took < Duration::from_secs(20), "{letter} took {took:?}");
    }
}

#[test]
fn the_clock_ends_what_the_fuel_does_not() {
    let limits = ["--fuel", "1000000000000000", "--milliseconds", "200"];
    let outcome = score(&evil(&[]), &lines("ksk"), &limits);
    let results = results(&outcome);
    assert_eq!(results[1]["cause"], "time", "{}", outcome.stderr);
    assert_eq!(results[1]["error"], "took more than limits.milliseconds = 200");
    for (i, right) in [(0, 0.01_f64), (2, 0.03)] {
        assert!(
            (results[i]["score"].as_f64().unwrap() - right).abs() < 1e-6,
            "{}",
            results[i]
        );
    }
}

#[test]
fn a_text_of_100_mb_is_cut_off_where_there_is_memory_for_it() {
    let limits = ["--memory-mib", "256"];
    let outcome = score(&evil(&[]), &lines("ke"), &limits);
    let results = results(&outcome);
    assert_eq!(results[1]["cause"], "result", "{}", outcome.stderr);
    assert_eq!(results[1]["error"], "gave back more than limits.result_bytes = 1048576");
    assert!((results[0]["score"].as_f64().unwrap() - 0.01).abs() < 1e-6);
}

#[test]
fn what_a_completion_gets_does_not_depend_on_its_neighbours() {
    let guest = evil(&[]);
    let letters: String = "kkEkkkkkkktk".chars().cycle().take(200).collect();
    let outcome = score(&guest, &lines(&letters), &[]);
    let together = results(&outcome);
    assert_eq!(together.len(), 200);
    for (i, letter) in letters.chars().enumerate() {
        match letter {
            'k' => assert!((together[i]["score"].as_f64().unwrap() - (i + 1) as f64 / 100.0).abs() < 1e-6),
            'E' => assert_eq!(together[i]["cause"], "refused"),
            _ => assert_eq!(together[i]["cause"], "trap"),
        }
    }
}

/// Asserts one error line, a hint if there should be one, exit code 2 and nothing on stdout.
fn assert_refused(outcome: &Outcome, error: &str, hint: Option<&str>) {
    let expected = match hint {
        Some(hint) => format!("error: {error}\nhint: {hint}\n"),
        None => format!("error: {error}\n"),
    };
    assert_eq!(outcome.stderr, expected);
    assert_eq!(outcome.code, 2, "{}", outcome.stderr);
    assert_eq!(outcome.stdout, "");
}

#[test]
fn evil_before_the_first_completion_is_refused() {
    const DEFECT: Option<&str> = Some("this is a defect of the component");
    for (part, code, error, hint) in [
        (
            "describe",
            "(call $spin)",
            "component evil.wasm: describe: used up its limits.fuel = 1000000000",
            DEFECT,
        ),
        (
            "describe",
            "(call $grow_at_once)",
            "component evil.wasm: describe: asked for 2048.1 MiB of memory, more than limits.memory_mib = 256",
            DEFECT,
        ),
        (
            "describe",
            "(i32.store8 (i32.const 2048) (i32.const 65))",
            "component evil.wasm: describe: the name is \"Avil\", expected 1 to 64 small letters, digits and dashes",
            DEFECT,
        ),
        (
            "configure",
            "(call $flood)",
            "evil (evil.wasm), configure: used up its limits.fuel = 20000000; its last words: does what the response says",
            None,
        ),
        (
            "configure",
            "(drop (call $recurse (i32.const 0)))",
            "evil (evil.wasm), configure: recursed beyond its stack of 1048576 bytes",
            None,
        ),
        (
            "start",
            "(start $spin)",
            "component evil.wasm: describe: used up its limits.fuel = 1000000000",
            DEFECT,
        ),
    ] {
        let outcome = score(&evil(&[(part, code)]), &lines("k"), &LIMITS);
        let error = match part {
            "configure" => format!("plugin {error}"),
            _ => error.to_owned(),
        };
        assert_refused(&outcome, &error, hint);
    }
}

#[test]
fn a_guest_that_never_frees_fails_on_nothing_that_fits_alone() {
    // Each response has 2 MiB, and the guest keeps what it was given: three fill the memory of an instance.
    let long = "k".repeat(2 << 20);
    let line = format!("{{\"prompt\":\"p\",\"response\":\"{long}\",\"response_tokens\":50}}\n");
    let outcome = score(&evil(&[]), &line.repeat(8), &["--memory-mib", "8"]);
    assert_eq!(outcome.code, 0, "{}", outcome.stderr);
    assert_eq!(outcome.stdout, "{\"score\":0.5}\n".repeat(8));
}

#[test]
fn params_that_it_does_not_know_are_its_own_error() {
    let outcome = score(&evil(&[]), &lines("k"), &["--params", "{\"a\":1}"]);
    assert_refused(&outcome, "plugin evil (evil.wasm), configure: no such param", None);
}

#[test]
fn a_file_that_is_no_reward_gets_one_line() {
    let world = wit();
    let other_version = component(
        &evil_text(&[]).replace("@1.0.0", "@2.1.0"),
        &world.replace("@1.0.0", "@2.1.0"),
    );
    let other_world = component(
        "(module (func (export \"run\")))",
        "package other:thing; world tool { export run: func(); }",
    );
    let greedy = component(
        &evil_text(&[]).replacen(
            "(memory (export",
            "(import \"wasi:random/random@0.2.0\" \"get-random-u64\" (func (result i64)))\n(memory (export",
            1,
        ),
        &format!(
            "{}\npackage wasi:random@0.2.0 {{ interface random {{ get-random-u64: func() -> u64; }} }}",
            world.replace("import host;", "import host; import wasi:random/random@0.2.0;")
        ),
    );
    let untyped = wat::parse_str("(module)").unwrap();
    let begins = "a reward is a WebAssembly component, see examples/ for how to build one";
    let whole = "is the file whole?";
    for (file, error, hint) in [
        (&b""[..], "it is empty", "was the build interrupted?"),
        (b"  \n", "it is empty", "was the build interrupted?"),
        (
            b"\x7fELF\x02\x01",
            "it is no WebAssembly: it begins with 7f 45 4c 46, expected 00 61 73 6d",
            begins,
        ),
        (
            b"\0as",
            "it is no WebAssembly: it begins with 00 61 73, expected 00 61 73 6d",
            begins,
        ),
        (b"\0asm\x01", "it ends after the first bytes", whole),
        (
            b"\0asm\x0a\0\x01\0",
            "its WebAssembly version is [10, 0, 1, 0], expected a component ([13, 0, 1, 0])",
            "build it again with current tools",
        ),
        (
            &untyped,
            "it is a core module that does not say which world it implements",
            "build it with moa_sdk::export!, or make a component of it with `wasm-tools component embed` and `new`",
        ),
        (
            &other_version,
            "it was built for version 2.1.0 of the world moa:reward, expected 1.0.0",
            "build it again with the WIT files of moa-sdk 0.1.0",
        ),
        (
            &other_world,
            "it is a component of another world: it exports run, expected moa:reward/scorer@1.0.0",
            "a reward implements the world in sdk/wit",
        ),
        (
            &greedy,
            "it imports wasi:random/random@0.2.0, which is not granted to a reward",
            "build it without a system: Rust for wasm32-unknown-unknown, Python with --stub-wasi, JavaScript with its \
             features disabled",
        ),
    ] {
        let outcome = score(file, &lines("k"), &[]);
        assert_refused(&outcome, &format!("component evil.wasm: {error}"), Some(hint));
    }
    let text = host_with(
        &["reward", "score", "a.wat", "--input", "in.jsonl"],
        &[("a.wat", b"(component\n  (oops))"), ("in.jsonl", lines("k").as_bytes())],
    );
    assert_eq!(text.code, 2);
    let first = "error: component a.wat: it is WebAssembly text with an error: ";
    assert!(text.stderr.starts_with(first), "{}", text.stderr);
    assert_eq!(text.stderr.lines().count(), 1, "{}", text.stderr);
}

#[test]
fn a_folder_and_a_missing_file_get_one_line() {
    let arguments = ["reward", "score", "evil.wasm", "--input", "in.jsonl"];
    let outcome = host_with(
        &arguments,
        &[("evil.wasm/inside", b""), ("in.jsonl", lines("k").as_bytes())],
    );
    assert_refused(
        &outcome,
        "component evil.wasm: it is a folder",
        Some("give the path of the .wasm file in it"),
    );
    let outcome = host_with(&arguments, &[("in.jsonl", lines("k").as_bytes())]);
    assert_eq!(outcome.code, 2);
    assert!(outcome.stderr.starts_with("error: "), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("evil.wasm"), "{}", outcome.stderr);
    assert_eq!(outcome.stderr.lines().filter(|l| l.starts_with("error")).count(), 1);
}

/// Where the custom sections begin that end a file: without them it is still the same program.
fn trailing(bytes: &[u8]) -> usize {
    let mut depth = 0;
    let mut end = bytes.len();
    let mut begins = None;
    for payload in wasmparser::Parser::new(0).parse_all(bytes) {
        let payload = payload.unwrap();
        match &payload {
            wasmparser::Payload::ModuleSection { .. } | wasmparser::Payload::ComponentSection { .. } => depth += 1,
            wasmparser::Payload::End(_) => depth -= 1,
            _ => {}
        }
        let custom = matches!(&payload, wasmparser::Payload::CustomSection(section)
            if !section.name().starts_with("component-type"));
        match (depth, custom, payload.as_section()) {
            (0, true, Some(_)) => begins = begins.or(Some(end)),
            (_, _, Some((_, range))) => (end, begins) = (range.end, None),
            _ => {}
        }
    }
    begins.unwrap_or(bytes.len())
}

/// Where sections begin and end in a WebAssembly file, at every level.
fn cuts(bytes: &[u8]) -> Vec<usize> {
    let mut cuts: Vec<usize> = wasmparser::Parser::new(0)
        .parse_all(bytes)
        .filter_map(Result::ok)
        .filter_map(|payload| payload.as_section().map(|(_, range)| range))
        .flat_map(|range| [range.start, range.end])
        .collect();
    cuts.sort_unstable();
    cuts.dedup();
    cuts
}

#[test]
fn a_file_cut_at_any_section_is_refused_without_a_panic() {
    let plugins = || moa_core::plugin::Plugins::searching(Vec::new());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cut.wasm");
    let opens = |bytes: &[u8]| {
        std::fs::write(&path, bytes).unwrap();
        plugins().reward(&path.to_string_lossy(), &serde_json::json!({}))
    };
    for whole in [evil(&[]), typed_module(&evil_text(&[]), &wit())] {
        assert!(opens(&whole).is_ok());
        let cuts = cuts(&whole);
        assert!(cuts.len() > 10, "{cuts:?}");
        let program = trailing(&whole);
        for cut in cuts.into_iter().filter(|cut| *cut < program) {
            for cut in [cut.saturating_sub(1), cut] {
                let error = opens(&whole[..cut]).err().map(|error| error.to_string());
                let error = error.unwrap_or_else(|| panic!("cut at {cut} of {} is accepted", whole.len()));
                assert_eq!(error.lines().count(), 1, "{error}");
                assert!(error.contains("cut.wasm"), "{error}");
            }
        }
    }
}

/// Trains the embedded default for two steps with an evil objective whose response is always the model's own; the
/// guest fails on completions with an even number of tokens.
fn train_with(on_error: &str) -> Outcome {
    let odd_ones = "(local.set $letter (select (i32.const 116) (i32.const 0)
        (i32.eqz (i32.and (i32.load offset=32 (local.get $completion)) (i32.const 1)))))";
    let text = evil_text(&[]).replace(
        "(if (i32.eq (local.get $letter) (i32.const 115))",
        &format!("{odd_ones}\n(if (i32.eq (local.get $letter) (i32.const 115))"),
    );
    let guest = component(&text, &wit());
    let config = format!(
        "[train]\nsteps = 2\nrun_dir = \"run\"\n[rollout]\nprompts = 4\ngroup_size = 4\n[validation]\nrows = 20\n\
         [[objective]]\nname = \"odd\"\nreward = \"evil.wasm\"\non_error = \"{on_error}\"\n\
         [objective.limits]\nfuel = 1000000\n[scalarizer]\nname = \"linear\"\n"
    );
    host_with(
        &["--config", "evil.toml"],
        &[("evil.wasm", &guest), ("evil.toml", config.as_bytes())],
    )
}

#[test]
fn training_goes_on_under_zero_and_skip_and_counts_the_failures() {
    for on_error in ["zero", "skip"] {
        let outcome = train_with(on_error);
        assert_eq!(outcome.code, 0, "{}", outcome.stderr);
        let metrics = std::fs::read_to_string(outcome.folder.path().join("run/metrics.jsonl")).unwrap();
        let lines: Vec<Value> = metrics
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(lines.len(), 2);
        let all: f64 = lines
            .iter()
            .filter_map(|line| line["reward_failures/odd"].as_f64())
            .sum();
        let warning = format!("warning: rewards failed {all} times; the first: step 1, objective odd: reward evil ");
        assert!(outcome.stderr.contains(&warning), "{}", outcome.stderr);
        for line in &lines {
            let failed = line["reward_failures/odd/trap"].as_f64().unwrap();
            assert!(failed > 0.0 && failed < 16.0, "{line}");
            assert_eq!(line["reward_failures/odd"].as_f64(), Some(failed));
            let skipped = if on_error == "skip" { failed } else { 0.0 };
            assert_eq!(line["skipped"].as_f64(), Some(skipped));
            let first = line["first_failure"].as_str().unwrap();
            assert!(
                first.starts_with("objective odd: reward evil failed on completion ")
                    && first.ends_with(": trapped: wasm trap: wasm `unreachable` instruction executed"),
                "{first}"
            );
        }
    }
}

#[test]
fn on_error_stop_names_the_reward_the_completion_and_the_cause() {
    let outcome = train_with("stop");
    assert_eq!(outcome.code, 1, "{}", outcome.stderr);
    let error = outcome.stderr.lines().find(|line| line.starts_with("error: ")).unwrap();
    assert!(
        error.contains("objective odd: reward evil failed on completion ")
            && error.contains(": trapped: wasm trap: wasm `unreachable` instruction executed (response: "),
        "{error}"
    );
}

#[test]
fn limits_on_a_native_reward_are_refused() {
    let outcome = host_with(
        &["reward", "score", "accuracy", "--fuel", "10", "--input", "in.jsonl"],
        &[("in.jsonl", lines("k").as_bytes())],
    );
    assert_eq!(outcome.code, 2, "{}", outcome.stderr);
    assert!(
        outcome.stderr.contains("reward accuracy is native code"),
        "{}",
        outcome.stderr
    );
}
