//! The parent's side: a child for each case, with a time limit, and what its end says.

use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use super::finding::{Finding, Status, Verdict};
use super::plan::{HANDSHAKE, plan};
use super::report::{CaseReport, Report, Widths};
use crate::plugin::{PluginError, Plugins, bare_name};

/// How a check runs.
#[derive(Debug, Clone)]
pub struct Options {
    /// How long a case may take.
    pub limit: Duration,
    /// Only the cases whose names begin so; all where it is empty.
    pub only: String,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            limit: Duration::from_secs(10),
            only: String::new(),
        }
    }
}

/// After so many cases without an answer the rest would only cost time.
const HANGS: usize = 3;

/// Runs all cases of the library `lib`. `child` gives the command that answers a case of a library, see
/// [`super::answer_case`]; its standard streams are set here. `on_case` gets each case as soon as it has ended,
/// with the widths of the columns of all. Errors: what `lib` cannot be loaded for.
pub fn check(
    lib: &str,
    options: &Options,
    child: &dyn Fn(&str, &str) -> Command,
    on_case: &mut dyn FnMut(&CaseReport, Widths),
) -> Result<Report, PluginError> {
    // A library may end the process that opens it, so a child does it first.
    let opened = run(child(lib, HANDSHAKE), options.limit);
    if opened.status == Status::Crashed {
        let about = "opens, and describes itself";
        let name = bare_name(Path::new(lib));
        let case = CaseReport::open(name, "library", "handshake", about).with(opened);
        on_case(&case, Widths::of(std::iter::once(&case)));
        return Ok(Report {
            library: lib.to_owned(),
            sdk: None,
            cases: vec![case],
        });
    }
    let mut plugins = Plugins::new();
    let library = plugins.load(lib)?;
    let path = library.path().to_string_lossy().into_owned();
    let mut planned = plan(library);
    planned.retain(|planned| planned.case.case.starts_with(&options.only));
    let widths = Widths::of(planned.iter().map(|planned| &planned.case));
    let mut report = Report {
        library: path.clone(),
        sdk: Some(library.sdk_version().to_owned()),
        cases: Vec::new(),
    };
    let mut hangs = 0;
    for planned in planned {
        let verdict = if planned.id == HANDSHAKE {
            opened.clone()
        } else if hangs >= HANGS {
            let why = format!("{hangs} cases before it gave no answer");
            Err(Finding::skipped(why)).into()
        } else {
            run(child(&path, &planned.id), options.limit)
        };
        hangs += usize::from(verdict == no_answer(options.limit));
        let case = planned.case.with(verdict).after(&report.cases);
        // One fault that shows in every family would fill the screen: the summary names the others.
        if case.same_as.is_none() {
            on_case(&case, widths);
        }
        report.cases.push(case);
    }
    Ok(report)
}

fn no_answer(limit: Duration) -> Verdict {
    Err(Finding::crashed(format!("no answer in {} s", limit.as_secs_f64()))).into()
}

fn crashed(reason: impl Into<String>) -> Verdict {
    Err(Finding::crashed(reason)).into()
}

/// One child from its start to its verdict.
fn run(mut command: Command, limit: Duration) -> Verdict {
    let started = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = match started {
        Ok(child) => child,
        Err(error) => return crashed(format!("its process cannot be started: {error}")),
    };
    let stdout = reader(child.stdout.take());
    let stderr = reader(child.stderr.take());
    let Some(status) = end_of(&mut child, limit) else {
        // It may have ended by itself since: then there is nothing to kill, and the answer came too late.
        let _ = child.kill();
        let _ = child.wait();
        return no_answer(limit);
    };
    // The streams end with the child, unless it left a process of its own that holds them.
    let text = |stream: Receiver<String>| stream.recv_timeout(limit).unwrap_or_default();
    let output = text(stdout);
    let (verdict, other) = Verdict::find(&output);
    match verdict {
        Some(verdict) if status.success() => match other {
            Some(line) if verdict.status == Status::Passed => Err(Finding::warning(format!(
                "writes on stdout, which is for the data of the host: {line:?}"
            )))
            .into(),
            _ => verdict,
        },
        Some(_) => crashed(format!("{} after it had answered", end_in_words(status))),
        None => {
            let errors = text(stderr);
            let last = errors.lines().rev().find(|line| !line.trim().is_empty());
            let last = last.map(|line| format!(": {line}")).unwrap_or_default();
            crashed(format!("{} before it answered{last}", end_in_words(status)))
        }
    }
}

/// All of a stream, once it has ended. A full pipe would stop the child.
fn reader(stream: Option<impl Read + Send + 'static>) -> Receiver<String> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut stream) = stream {
            // What was read before an error is still of use.
            let _ = stream.read_to_end(&mut bytes);
        }
        // Nobody listens any more where the child was killed.
        let _ = sender.send(String::from_utf8_lossy(&bytes).into_owned());
    });
    receiver
}

/// How the child ended; `None` if it has not within `limit`.
fn end_of(child: &mut Child, limit: Duration) -> Option<ExitStatus> {
    let start = Instant::now();
    loop {
        if let Ok(Some(status)) = child.try_wait() {
            return Some(status);
        }
        if start.elapsed() >= limit {
            return None;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn end_in_words(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt;
    match (status.signal(), status.code()) {
        (Some(signal), _) => {
            let name = match signal {
                4 => " (illegal instruction)",
                6 => " (abort)",
                7 => " (bus error)",
                8 => " (arithmetic)",
                9 => " (killed)",
                11 => " (segmentation fault)",
                _ => "",
            };
            format!("its process was ended by signal {signal}{name}")
        }
        (None, Some(code)) => format!("its process ended with code {code}"),
        (None, None) => "its process ended".to_owned(),
    }
}
