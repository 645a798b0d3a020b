//! Which cases a library has, and the child's side that runs one.

use super::case::Case;
use super::finding::{Finding, Verdict};
use super::report::CaseReport;
use super::{reward, scalarizer};
use crate::plugin::Plugins;
use crate::plugin::bare_name;
use crate::plugin::library::Library;

/// The case that opens the library and looks at what it says of itself; it has no plugin of its own.
pub(super) const HANDSHAKE: &str = "library/handshake";

/// A case that is to be run.
pub(super) struct Planned {
    /// What a child is told: `kind/case/plugin`.
    pub(super) id: String,
    /// What is reported of it, the verdict still open.
    pub(super) case: CaseReport,
}

/// The cases of a library.
pub(super) fn plan(library: &Library) -> Vec<Planned> {
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
