//! The cases of a scalarizer: the properties of the SDK's tests on a scalarizer behind a library, and what only a library
//! has, its description and its params.

use moa_sdk::testing::inputs::{FAMILIES, Family, OBJECTIVES, ORDINARY, SCALES, setup};
use moa_sdk::testing::{self, Failure, Property};
use moa_sdk::trace::Example;
use moa_sdk::{Hooks, Needs, ScalarizerDescription, Setup};
use serde_json::{Value, json};

use super::case::{Case, described, written_out};
use super::finding::{Finding, Status};
use super::params;
use crate::plugin::library::Library;
use crate::plugin::{PluginError, ScalarizerPlugin};

/// A scalarizer of an open library.
pub(super) struct Subject<'a> {
    library: &'a Library,
    described: &'a ScalarizerDescription,
}

/// What `new` is given.
struct SetUp {
    setup: Setup,
    params: Value,
}

impl SetUp {
    fn place(&self) -> String {
        format!("M = {}", self.setup.m())
    }
}

impl testing::Subject for Subject<'_> {
    type Calls = ScalarizerPlugin;
    type Error = PluginError;

    // The names were checked when an instance was made.
    fn hooks(&self) -> Hooks {
        Hooks::from_names(&self.described.hooks).unwrap_or_default()
    }

    fn needs(&self) -> Needs {
        Needs::from_names(&self.described.needs).unwrap_or_default()
    }

    fn create(&self, setup: &Setup, params: &Value) -> Result<ScalarizerPlugin, PluginError> {
        self.library.scalarizer(&self.described.name, setup, params)
    }

    fn save(&self, plugin: &ScalarizerPlugin) -> Result<String, PluginError> {
        plugin.save()
    }

    fn load(&self, plugin: &mut ScalarizerPlugin, state: &str) -> Result<(), PluginError> {
        plugin.load(state)
    }
}

/// All cases, in the order of a report.
pub(super) fn cases<'a>() -> Vec<Case<Subject<'a>>> {
    let mut cases = vec![
        Case::new(
            "description",
            "its name is kebab-case, its paper and its params have words",
            |subject: &Subject<'_>| {
                let ScalarizerDescription { name, paper, .. } = subject.described;
                described(name, "paper", paper, &subject.described.params)
            },
        ),
        Case::new("defaults", "its default params build for M = 1 to 8", Subject::defaults),
        Case::new(
            "written-defaults",
            "the defaults that it describes can be written in a config",
            Subject::written_defaults,
        ),
        Case::new(
            "unknown-param",
            "an unknown param is refused by name",
            |subject: &Subject<'_>| {
                let base = subject.first()?;
                params::unknown_key(&|params| subject.build(&base.setup, params), &base.params)
            },
        ),
        Case::new(
            "wrong-type",
            "a param of a wrong type is refused by name",
            |subject: &Subject<'_>| {
                let base = subject.first()?;
                let build = |params: &Value| subject.build(&base.setup, params);
                params::wrong_type(&build, &base.params, &subject.described.params)
            },
        ),
    ];
    cases.extend(FAMILIES.iter().chain(SCALES).map(|family| {
        Case::new(
            format!("finite-{}", family.name),
            family.about,
            move |subject: &Subject<'_>| subject.property(Property::Finite, family),
        )
    }));
    let ordinary = [
        (
            "determinism",
            "two instances return the same numbers, bit for bit",
            Property::Determinism,
        ),
        (
            "state-bytes",
            "its state is the same bytes when it is saved, loaded and saved again",
            Property::StateBytes,
        ),
        (
            "state-mid-run",
            "a new instance goes on from a saved state with the same numbers",
            Property::StateMidRun,
        ),
        (
            "small-stack",
            "the same numbers on a plain thread with a stack of 256 KiB",
            Property::SmallStack,
        ),
        (
            "moved-between-threads",
            "the same numbers where each hook is called from another thread",
            Property::MovedBetweenThreads,
        ),
    ];
    cases.extend(ordinary.map(|(name, about, property)| {
        Case::new(name, about, move |subject: &Subject<'_>| {
            subject.property(property, &ORDINARY)
        })
    }));
    cases.push(Case::new(
        "examples",
        "its own examples give what they expect",
        Subject::examples,
    ));
    cases
}

impl<'a> Subject<'a> {
    pub(super) fn new(library: &'a Library, described: &'a ScalarizerDescription) -> Self {
        Self { library, described }
    }

    fn make(&self, setup: &Setup, params: &Value) -> Result<ScalarizerPlugin, PluginError> {
        testing::Subject::create(self, setup, params)
    }

    fn new_at(&self, at: &SetUp) -> Result<ScalarizerPlugin, Finding> {
        Ok(self.make(&at.setup, &at.params)?)
    }

    fn build(&self, setup: &Setup, params: &Value) -> Result<(), PluginError> {
        self.make(setup, params).map(|_| ())
    }

    /// Every set-up that `new` takes with default params; where it takes none, those of its examples. Finding:
    /// a panic, or the first refusal where there is no set-up at all.
    fn set_ups(&self) -> Result<Vec<SetUp>, Finding> {
        let mut taken = Vec::new();
        let mut refusal = None;
        let defaults = OBJECTIVES.map(|m| SetUp {
            setup: setup(m),
            params: json!({}),
        });
        for at in defaults {
            match self.new_at(&at) {
                Ok(_) => taken.push(at),
                Err(finding) if finding.status != Status::Skipped => {
                    return Err(finding.at(at.place()));
                }
                Err(finding) => refusal = refusal.or(Some(finding.at(at.place()))),
            }
        }
        if taken.is_empty() {
            let of_example = |example: &Example| SetUp {
                setup: setup_of(example),
                params: example.params.clone(),
            };
            let examples = self.described.examples.iter().map(of_example);
            taken.extend(examples.filter(|at| self.new_at(at).is_ok()));
        }
        match refusal {
            Some(refusal) if taken.is_empty() => Err(refusal),
            _ => Ok(taken),
        }
    }

    /// The first set-up.
    fn first(&self) -> Result<SetUp, Finding> {
        let first = self.set_ups()?.into_iter().next();
        first.ok_or_else(|| Finding::skipped("`new` takes no set-up"))
    }

    fn defaults(&self) -> Result<(), Finding> {
        let mut refusals = Vec::new();
        for m in OBJECTIVES {
            match self.make(&setup(m), &json!({})).map_err(Finding::from) {
                Ok(_) => {}
                Err(finding) if finding.status == Status::Skipped => {
                    refusals.push((m, finding.reason));
                }
                Err(finding) => return Err(finding.at(format!("M = {m}"))),
            }
        }
        let Some((_, reason)) = refusals.first() else {
            return Ok(());
        };
        let refused: Vec<String> = refusals.iter().map(|(m, _)| m.to_string()).collect();
        Err(Finding::skipped(format!(
            "refuses M = {}: {reason}",
            refused.join(", ")
        )))
    }

    fn written_defaults(&self) -> Result<(), Finding> {
        let first = self.first()?;
        if first.params.as_object().is_some_and(|params| !params.is_empty()) {
            return Err(Finding::skipped("its defaults do not build"));
        }
        let params = written_out(&self.described.params);
        self.build(&first.setup, &params).map_err(|error| {
            let finding = Finding::from(error);
            match finding.status {
                // Without params it was built, so this is no refusal by design.
                Status::Skipped => Finding::failed(finding.reason),
                _ => finding,
            }
            .at(params.to_string())
        })
    }

    fn property(&self, property: Property, family: &Family) -> Result<(), Finding> {
        let (hooks, needs) = (testing::Subject::hooks(self), testing::Subject::needs(self));
        for at in self.set_ups()? {
            let events = family.events(at.setup.m(), hooks, needs);
            property
                .check(self, &at.setup, &at.params, &events)
                .map_err(|failure| Finding::from(failure).at(at.place()))?;
        }
        Ok(())
    }

    fn examples(&self) -> Result<(), Finding> {
        if self.described.examples.is_empty() {
            return Err(Finding::skipped("it carries no examples"));
        }
        for example in &self.described.examples {
            let checked = testing::check_example(self, example).map_err(Finding::from);
            checked.map_err(|finding| {
                let finding = match finding.status {
                    // An example says itself what `new` is given.
                    Status::Skipped => Finding::failed(finding.reason),
                    _ => finding,
                };
                finding.at(format!("example {:?}", example.about))
            })?;
        }
        let mut examples = self.described.examples.iter();
        match examples.find(|example| !testing::expects_something(example)) {
            Some(example) => Err(Finding::warning(format!("example {:?} expects nothing", example.about))),
            None => Ok(()),
        }
    }
}

/// A call that failed names its hook itself; a property does not.
impl From<Failure<PluginError>> for Finding {
    fn from(Failure { call, error }: Failure<PluginError>) -> Self {
        let property = matches!(error, PluginError::Event(_));
        let finding = Self::from(error);
        match call {
            Some((hook, step)) if property => finding.at(format!("{hook} at step {step}")),
            _ => finding,
        }
    }
}

fn setup_of(example: &Example) -> Setup {
    Setup {
        objectives: example.objectives.clone(),
        seed: example.seed,
    }
}
