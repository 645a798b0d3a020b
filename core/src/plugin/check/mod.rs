//! `plugin check`: named cases that every plugin should pass, each run in a child process of its own, so that a
//! plugin that crashes or hangs costs one case and not the report.
//!
//! Two sides, both of this program. The parent ([`check`]) opens the library only after a child has opened it,
//! plans the cases, starts a child for each and waits for it at most [`Options::limit`]. The child
//! ([`answer_case`]) loads the library again, runs one case and answers with a [`Verdict`]. How a child is
//! started is the caller's: core knows neither its own program nor its command line. Inputs and properties are those of
//! [`moa_sdk::testing`], which a plugin's own tests run; all come from fixed seeds, so that a library gets the same
//! report every time.

mod finding;
mod params;
mod report;
mod reward;
mod runner;
mod scalarizer;

use moa_sdk::ParamSpec;
use serde_json::Value;

pub use finding::{Status, Verdict};
pub use report::{CaseReport, Report, Widths};
pub use runner::{Options, check};

use super::library::Library;
use super::search::bare_name;
use super::{PluginError, Plugins};
use finding::Finding;

/// The case that opens the library and looks at what it says of itself; it has no plugin of its own.
const HANDSHAKE: &str = "library/handshake";

/// What a case does with its subject.
type Run<S> = Box<dyn Fn(&S) -> Result<(), Finding>>;

/// One case for subjects of type `S`.
struct Case<S> {
    name: String,
    about: &'static str,
    run: Run<S>,
}

impl<S> Case<S> {
    fn new(name: impl Into<String>, about: &'static str, run: impl Fn(&S) -> Result<(), Finding> + 'static) -> Self {
        Self {
            name: name.into(),
            about,
            run: Box::new(run),
        }
    }
}

/// A case that is to be run.
struct Planned {
    /// What a child is told: `kind/case/plugin`.
    id: String,
    /// What is reported of it, the verdict still open.
    case: CaseReport,
}

fn plan(library: &Library) -> Vec<Planned> {
    let file = bare_name(library.path());
    let planned = |kind: &str, name: &str, case: &str, about: &str| Planned {
        id: format!("{kind}/{case}/{name}"),
        case: CaseReport::open(format!("{file}/{name}"), kind, case, about),
    };
    let description = library.description();
    let mut all = vec![Planned {
        id: HANDSHAKE.to_owned(),
        case: CaseReport::open(
            file.clone(),
            "library",
            "handshake",
            "opens, its interface is this host's, and it describes itself",
        ),
    }];
    let cases = scalarizer::cases();
    for scalarizer in &description.scalarizers {
        let one = |case: &Case<_>| planned("scalarizer", &scalarizer.name, &case.name, case.about);
        all.extend(cases.iter().map(one));
    }
    let cases = reward::cases();
    for reward in &description.rewards {
        let one = |case: &Case<_>| planned("reward", &reward.name, &case.name, case.about);
        all.extend(cases.iter().map(one));
    }
    all
}

/// The child's side: opens the library and runs the case `id`. Everything that goes wrong is in the verdict.
pub fn answer_case(lib: &str, id: &str) -> Verdict {
    let mut plugins = Plugins::new();
    let outcome = match plugins.load(lib) {
        Ok(library) => run(library, id),
        Err(error) => Err(Finding::failed(error.to_string())),
    };
    outcome.into()
}

fn run(library: &Library, id: &str) -> Result<(), Finding> {
    let unknown = || Finding::failed(format!("there is no case `{id}`"));
    if id == HANDSHAKE {
        return handshake(library);
    }
    let mut parts = id.splitn(3, '/');
    let (Some(kind), Some(case), Some(name)) = (parts.next(), parts.next(), parts.next()) else {
        return Err(unknown());
    };
    let description = library.description();
    match kind {
        "scalarizer" => {
            let described = description.scalarizers.iter().find(|s| s.name == name);
            let subject = scalarizer::Subject::new(library, described.ok_or_else(unknown)?);
            let cases = scalarizer::cases();
            let case = cases.iter().find(|c| c.name == case).ok_or_else(unknown)?;
            (case.run)(&subject)
        }
        "reward" => {
            let described = description.rewards.iter().find(|r| r.name == name);
            let subject = reward::Subject::new(library, described.ok_or_else(unknown)?);
            let cases = reward::cases();
            let case = cases.iter().find(|c| c.name == case).ok_or_else(unknown)?;
            (case.run)(&subject)
        }
        _ => Err(unknown()),
    }
}

/// The library is open; what it says of itself must be of use.
fn handshake(library: &Library) -> Result<(), Finding> {
    let description = library.description();
    let scalarizers = description.scalarizers.iter().map(|s| &s.name);
    let mut names: Vec<&String> = scalarizers.chain(description.rewards.iter().map(|r| &r.name)).collect();
    if names.is_empty() {
        return Err(Finding::failed("exports no scalarizer and no reward"));
    }
    names.sort();
    if let Some(twice) = names.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(Finding::failed(format!("exports `{}` twice", twice[0])));
    }
    Ok(())
}

/// What a name, a sentence about the plugin and its params should say: an error for what breaks configs, a
/// warning for what only leaves a reader without words.
fn described(name: &str, what: &str, sentence: &str, params: &[ParamSpec]) -> Result<(), Finding> {
    let kebab = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if name.is_empty() || !name.chars().all(kebab) {
        return Err(Finding::failed(format!(
            "its name is {name:?}, expected kebab-case: small letters, digits and hyphens"
        )));
    }
    if sentence.trim().is_empty() {
        return Err(Finding::warning(format!("its {what} is empty")));
    }
    match params.iter().find(|param| param.doc.trim().is_empty()) {
        Some(param) => Err(Finding::warning(format!("param `{}` has no doc comment", param.name))),
        None => Ok(()),
    }
}

/// The defaults of a description, written out as a config would have them.
fn written_out(params: &[ParamSpec]) -> Value {
    let pairs = params.iter().map(|param| (param.name.clone(), param.default.clone()));
    Value::Object(pairs.collect())
}

/// Runs `f` on a new thread. A thread that ends without a result has panicked in the host.
fn on_thread<T: Send>(stack_bytes: Option<usize>, f: impl FnOnce() -> Result<T, Finding> + Send) -> Result<T, Finding> {
    std::thread::scope(|scope| {
        let mut builder = std::thread::Builder::new();
        if let Some(bytes) = stack_bytes {
            builder = builder.stack_size(bytes);
        }
        let thread = builder
            .spawn_scoped(scope, f)
            .map_err(|error| Finding::failed(format!("a thread cannot be started: {error}")))?;
        thread
            .join()
            .unwrap_or_else(|_| Err(Finding::crashed("its thread panicked")))
    })
}
