//! What lies on the disk: nothing of a user's is removed or overwritten, and a run survives files that were lost or cut.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::Stdio,
    sync::OnceLock,
};

use tempfile::TempDir;

use crate::support::host::{command, host_in};
use crate::support::run::{assert_same, copy, cut_back, late, late_library, words};

const SFT: [&str; 9] = [
    "sft",
    "--out",
    "out",
    "--steps",
    "2",
    "--set",
    "sft.batch=2",
    "--set",
    "optimizer.warmup=0",
];

/// Four steps of `late`, with a checkpoint of each.
fn finished() -> &'static Path {
    static RUN: OnceLock<TempDir> = OnceLock::new();
    let folder = RUN.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let more = [
            "--steps",
            "4",
            "--set",
            "checkpoint.every=1",
            "--set",
            "checkpoint.keep=3",
        ];
        let ran = host_in(folder.path(), &words(&late(&late_library(), &more)));
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        folder
    });
    folder.path()
}

/// A copy of the finished run.
fn a_copy() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    copy(&finished().join("run"), &folder.path().join("run"));
    folder
}

const RESUME: [&str; 3] = ["train", "--resume", "run"];

#[test]
fn sft_removes_nothing_that_it_did_not_write() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    fs::create_dir(&out).unwrap();
    fs::write(out.join("thesis.txt"), "mine").unwrap();
    let ran = host_in(folder.path(), &SFT);
    assert_eq!(ran.code, 2, "{}", ran.stderr);
    assert!(
        ran.stderr.contains("files that moa did not write") && ran.stderr.contains("hint: "),
        "{}",
        ran.stderr
    );
    assert_eq!(fs::read(out.join("thesis.txt")).unwrap(), b"mine");
    assert!(
        !folder.path().join("out.metrics.jsonl").exists(),
        "refused before the work"
    );

    // A file, and a folder that is a model of somebody else's.
    fs::remove_dir_all(&out).unwrap();
    fs::write(&out, "mine").unwrap();
    let ran = host_in(folder.path(), &SFT);
    assert!(ran.code == 2 && fs::read(&out).unwrap() == b"mine", "{}", ran.stderr);

    // Its own is replaced, unless somebody changed it.
    fs::remove_file(&out).unwrap();
    for _ in 0..2 {
        let ran = host_in(folder.path(), &SFT);
        assert_eq!(ran.code, 0, "{}", ran.stderr);
    }
    fs::write(out.join("config.json"), "{}").unwrap();
    let ran = host_in(folder.path(), &SFT);
    assert!(
        ran.code == 2 && ran.stderr.contains("changed since moa wrote it"),
        "{}",
        ran.stderr
    );
    assert_eq!(fs::read(out.join("config.json")).unwrap(), b"{}");
}

#[test]
fn two_models_whose_names_differ_after_a_dot_have_lines_of_their_own() {
    let folder = tempfile::tempdir().unwrap();
    for out in ["model-0.1", "model-0.2"] {
        let mut arguments = SFT;
        arguments[2] = out;
        assert_eq!(host_in(folder.path(), &arguments).code, 0);
        let lines = fs::read_to_string(folder.path().join(format!("{out}.metrics.jsonl"))).unwrap();
        assert_eq!(lines.lines().count(), 2, "{out}");
    }
}

#[test]
fn data_generate_overwrites_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let generate = ["data", "generate", "tiny-math", "--out", "."];
    assert_eq!(host_in(folder.path(), &generate).code, 0);
    assert_eq!(host_in(folder.path(), &generate).code, 0, "the same bytes again");
    fs::write(folder.path().join("validation.parquet"), "mine").unwrap();
    let ran = host_in(folder.path(), &generate);
    assert!(
        ran.code != 0 && ran.stderr.contains("validation.parquet: is there already"),
        "{}",
        ran.stderr
    );
    assert_eq!(fs::read(folder.path().join("validation.parquet")).unwrap(), b"mine");
}

/// What a loss of power leaves: an empty config.toml, which used to mean other settings.
#[test]
fn a_run_goes_on_with_the_settings_of_its_checkpoint() {
    for lost in ["", "\0\0\0\0", "missing"] {
        let folder = a_copy();
        let run = folder.path().join("run");
        cut_back(&run, 2);
        let config = run.join("config.toml");
        let before = fs::read_to_string(&config).unwrap();
        match lost {
            "missing" => fs::remove_file(&config).unwrap(),
            text => fs::write(&config, text).unwrap(),
        }
        let ran = host_in(folder.path(), &RESUME);
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        assert!(ran.stderr.contains("warning: config.toml is"), "{}", ran.stderr);
        assert_same(&run, &finished().join("run"), "config.toml was lost");
        assert_eq!(fs::read_to_string(&config).unwrap(), before, "it is given back");
    }
    // Half a file means what it says and no more.
    let folder = a_copy();
    let run = folder.path().join("run");
    cut_back(&run, 2);
    fs::write(run.join("config.toml"), "[train]\nsteps = 4\n").unwrap();
    let ran = host_in(folder.path(), &RESUME);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert_same(&run, &finished().join("run"), "half of config.toml");
    // Another run's is refused.
    fs::write(run.join("config.toml"), "[rollout]\ngroup_size = 8\n").unwrap();
    let ran = host_in(folder.path(), &RESUME);
    assert!(
        ran.code == 2 && ran.stderr.contains("rollout.group_size"),
        "{}",
        ran.stderr
    );
}

#[test]
fn an_end_that_was_lost_is_noticed_and_mended() {
    for file in ["model/model.safetensors", "model/config.json", "test.json"] {
        let folder = a_copy();
        let run = folder.path().join("run");
        fs::write(run.join(file), "").unwrap();
        let ran = host_in(folder.path(), &RESUME);
        assert_eq!(ran.code, 0, "{file}: {}", ran.stderr);
        assert!(!ran.stderr.contains("is finished"), "{file}: {}", ran.stderr);
        assert_same(&run, &finished().join("run"), file);
        let again = host_in(folder.path(), &RESUME);
        assert!(
            again.code == 0 && again.stderr.contains("is finished"),
            "{file}: {}",
            again.stderr
        );
    }
}

#[test]
fn a_run_that_was_killed_before_its_first_checkpoint_begins_anew() {
    let folder = a_copy();
    let run = folder.path().join("run");
    fs::remove_dir_all(run.join("model")).unwrap();
    fs::remove_dir_all(run.join("checkpoints")).unwrap();
    let metrics = fs::read_to_string(run.join("metrics.jsonl")).unwrap();
    // The lines say that there was a checkpoint: they are not thrown away.
    let ran = host_in(folder.path(), &RESUME);
    assert!(
        ran.code == 2 && ran.stderr.contains("has no checkpoint"),
        "{}",
        ran.stderr
    );
    assert_eq!(fs::read_to_string(run.join("metrics.jsonl")).unwrap(), metrics);
    // Half a line of the first step.
    fs::write(run.join("metrics.jsonl"), &metrics[..20]).unwrap();
    let ran = host_in(folder.path(), &RESUME);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(ran.stderr.contains("begins anew"), "{}", ran.stderr);
    assert_same(&run, &finished().join("run"), "begun anew");

    // Without settings there is nothing to begin with.
    fs::remove_dir_all(run.join("model")).unwrap();
    fs::remove_dir_all(run.join("checkpoints")).unwrap();
    fs::write(run.join("config.toml"), "").unwrap();
    let ran = host_in(folder.path(), &RESUME);
    assert!(
        ran.code == 2 && ran.stderr.contains("config.toml is empty"),
        "{}",
        ran.stderr
    );
}

#[test]
fn what_kills_left_is_tidied_and_a_file_in_the_place_of_checkpoints_is_named() {
    let folder = a_copy();
    let checkpoints = folder.path().join("run/checkpoints");
    copy(&checkpoints.join("step-000003"), &checkpoints.join("step-000001"));
    fs::create_dir(checkpoints.join(".step-000004.new")).unwrap();
    let ran = host_in(folder.path(), &RESUME);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let mut names: Vec<_> = fs::read_dir(&checkpoints)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, ["step-000002", "step-000003", "step-000004"]);

    fs::remove_dir_all(&checkpoints).unwrap();
    fs::write(&checkpoints, "a file").unwrap();
    let ran = host_in(folder.path(), &RESUME);
    assert!(
        ran.code == 2 && ran.stderr.contains("run/checkpoints: Not a directory"),
        "{}",
        ran.stderr
    );
}

#[test]
fn a_run_goes_on_from_the_checkpoint_of_a_step() {
    let folder = a_copy();
    fs::remove_dir_all(folder.path().join("run/model")).unwrap();
    let ran = host_in(folder.path(), &["train", "--resume", "run", "--from", "9"]);
    assert!(ran.code == 2 && ran.stderr.contains("only 2, 3, 4"), "{}", ran.stderr);
    let ran = host_in(folder.path(), &["train", "--resume", "run", "--from", "2"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(ran.stderr.contains("resumes after step 2"), "{}", ran.stderr);
    assert_same(&folder.path().join("run"), &finished().join("run"), "from step 2");
}

/// The hook waits for a line: meanwhile the run is resumed by another process, and its lines are taken away.
#[test]
fn a_run_in_use_says_by_whom_and_notices_that_its_lines_are_gone() {
    let folder = tempfile::tempdir().unwrap();
    let wait = [
        "--set",
        "scalarizer.fault=wait",
        "--set",
        "scalarizer.at=2",
        "--steps",
        "3",
    ];
    let mut child = command(folder.path(), &words(&late(&late_library(), &wait)))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    BufReader::new(child.stdout.take().unwrap())
        .read_line(&mut String::new())
        .unwrap();

    let ran = host_in(folder.path(), &RESUME);
    let named = format!("in use by process {}", child.id());
    assert!(ran.code == 2 && ran.stderr.contains(&named), "{}", ran.stderr);

    fs::remove_file(folder.path().join("run/metrics.jsonl")).unwrap();
    stdin.write_all(b"\n").unwrap();
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(
        stderr.contains("run/metrics.jsonl: removed, renamed or replaced"),
        "{stderr}"
    );
}
