//! How a run ends when its numbers or its terminal go: an update that ruins the policy is no step, and a failed run goes on
//! with the remedy.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    process::{Command, Stdio},
};

use crate::support::host::{command, host_in};
use crate::support::run::{late, late_library, words};

#[test]
fn an_update_that_ruins_the_policy_is_undone_and_a_smaller_rate_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let wild = [
        "--steps",
        "4",
        "--set",
        "checkpoint.every=1",
        "--set",
        "checkpoint.keep=1",
        "--set",
        "optimizer.warmup=2",
        "--set",
        "optimizer.lr=1e20",
        "--set",
        "algorithm.minibatch=0",
        "--set",
        "algorithm.epochs=1",
    ];
    let ran = host_in(folder.path(), &words(&late(&late_library(), &wild)));
    assert_eq!(ran.code, 1, "{}", ran.stderr);
    assert!(
        ran.stderr.contains("step 1 failed: ") && ran.stderr.contains("ruined the policy"),
        "{}",
        ran.stderr
    );
    assert!(
        ran.stderr.contains("step-000000") && ran.stderr.contains("optimizer.lr"),
        "{}",
        ran.stderr
    );
    let again = host_in(folder.path(), &["train", "--resume", "run"]);
    assert!(
        again.code == 1 && again.stderr.contains("ruined the policy"),
        "{}",
        again.stderr
    );
    // The numbers stay finite for some steps, and the good checkpoints are not pruned for them.
    let bad = tempfile::tempdir().unwrap();
    let wild: Vec<&str> = wild
        .iter()
        .map(|word| {
            if *word == "optimizer.lr=1e20" {
                "optimizer.lr=30"
            } else {
                word
            }
        })
        .collect();
    let ran = host_in(bad.path(), &words(&late(&late_library(), &wild)));
    assert!(
        ran.code == 1 && ran.stderr.contains("ruined the policy"),
        "{}",
        ran.stderr
    );
    let mended = host_in(
        folder.path(),
        &["train", "--resume", "run", "--set", "optimizer.lr=1e-4"],
    );
    assert_eq!(mended.code, 0, "the hint can be followed: {}", mended.stderr);
    assert!(
        mended.stderr.contains("optimizer.lr: 1e+20 -> 0.0001"),
        "{}",
        mended.stderr
    );
    let changes = fs::read_to_string(folder.path().join("run/changes.jsonl")).unwrap();
    assert!(
        changes.contains("\"after_step\":0") && changes.contains("optimizer.lr"),
        "{changes}"
    );
}

#[test]
fn a_terminal_that_closes_stops_the_run_politely_unless_nohup_said_otherwise() {
    for nohup in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let wait = [
            "--set",
            "scalarizer.fault=wait",
            "--set",
            "scalarizer.at=2",
            "--steps",
            "3",
        ];
        let arguments = late(&late_library(), &wait);
        // Whoever runs the tests may ignore the signal too, and a process inherits that.
        let signals = if nohup {
            "--ignore-signal=HUP"
        } else {
            "--default-signal=HUP"
        };
        let program = command(folder.path(), &[]).get_program().to_owned();
        let mut host = Command::new("env");
        host.arg(signals)
            .arg(program)
            .args(&arguments)
            .current_dir(folder.path())
            .env_remove("MOA_PLUGIN_PATH");
        let mut child = host
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        stdout.read_line(&mut String::new()).unwrap();
        let kill = Command::new("kill").args(["-HUP", &child.id().to_string()]).status();
        assert!(kill.unwrap().success());
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let mut text = String::new();
        while !nohup && !text.contains("stopping after this step") {
            assert!(stderr.read_line(&mut text).unwrap() > 0, "{text}");
        }
        stdin.write_all(b"\n\n\n\n").unwrap();
        drop(stdin);
        stdout.read_to_string(&mut String::new()).unwrap();
        stderr.read_to_string(&mut text).unwrap();
        let wanted = if nohup { Some(0) } else { Some(130) };
        assert_eq!(child.wait().unwrap().code(), wanted, "{text}");
        let checkpoint = folder.path().join("run/checkpoints/step-000002");
        assert!(nohup || checkpoint.is_dir(), "{text}");
    }
}
