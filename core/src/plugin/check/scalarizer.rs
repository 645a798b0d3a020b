//! The cases of a scalarizer.

use moa_sdk::replay::run_event;
use moa_sdk::trace::{Event, Example};
use moa_sdk::{Hooks, Needs, ScalarizerDescription, Setup};
use serde_json::{Value, json};

use super::answers::{Answer, answer, same};
use super::finding::{Finding, Status};
use super::inputs::{FAMILIES, Family, OBJECTIVES, ORDINARY, setup};
use super::{Case, described, on_thread, params, written_out};
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
    cases.extend(FAMILIES.iter().map(|family| {
        Case::new(
            format!("finite-{}", family.name),
            family.about,
            move |subject: &Subject<'_>| subject.finite(family),
        )
    }));
    cases.extend([
        Case::new(
            "determinism",
            "two instances give the same outputs, bit for bit",
            Subject::determinism,
        ),
        Case::new(
            "state-bytes",
            "its state is the same bytes when it is saved, loaded and saved again",
            Subject::state_bytes,
        ),
        Case::new(
            "state-mid-run",
            "a new instance goes on from a saved state with the same outputs",
            Subject::state_mid_run,
        ),
        Case::new(
            "small-stack",
            "the same outputs on a plain thread with a stack of 256 KiB",
            |subject: &Subject<'_>| {
                subject.on_other_threads(|subject, at, events| {
                    on_thread(Some(SMALL_STACK), || {
                        let mut plugin = subject.new_at(at)?;
                        events.iter().map(|event| answer(&mut plugin, event)).collect()
                    })
                })
            },
        ),
        Case::new(
            "moved-between-threads",
            "the same outputs where each hook is called from another thread",
            |subject: &Subject<'_>| {
                subject.on_other_threads(|subject, at, events| {
                    let mut plugin = subject.new_at(at)?;
                    let one = |event| on_thread(None, || answer(&mut plugin, event));
                    events.iter().map(one).collect()
                })
            },
        ),
        Case::new("examples", "its own examples give what they expect", Subject::examples),
    ]);
    cases
}

/// Enough for hooks that keep no arrays on the stack; a run may call them from threads that have little.
const SMALL_STACK: usize = 256 << 10;

impl<'a> Subject<'a> {
    pub(super) fn new(library: &'a Library, described: &'a ScalarizerDescription) -> Self {
        Self { library, described }
    }

    fn make(&self, setup: &Setup, params: &Value) -> Result<ScalarizerPlugin, PluginError> {
        self.library.scalarizer(&self.described.name, setup, params)
    }

    fn new_at(&self, at: &SetUp) -> Result<ScalarizerPlugin, Finding> {
        Ok(self.make(&at.setup, &at.params)?)
    }

    fn build(&self, setup: &Setup, params: &Value) -> Result<(), PluginError> {
        self.make(setup, params).map(|_| ())
    }

    /// The names were checked when an instance was made.
    fn asks(&self) -> (Hooks, Needs) {
        let hooks = Hooks::from_names(&self.described.hooks).unwrap_or_default();
        (hooks, Needs::from_names(&self.described.needs).unwrap_or_default())
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

    fn finite(&self, family: &Family) -> Result<(), Finding> {
        for at in self.set_ups()? {
            let mut plugin = self.new_at(&at)?;
            for event in family.events(at.setup.m(), self.asks()) {
                answer(&mut plugin, &event).map_err(|finding| finding.at(at.place()))?;
            }
        }
        Ok(())
    }

    /// All set-ups with the events that the cases about state and threads use.
    fn runs(&self) -> Result<Vec<(SetUp, Vec<Event>)>, Finding> {
        let with_events = |at: SetUp| {
            let events = ORDINARY.events(at.setup.m(), self.asks());
            (at, events)
        };
        Ok(self.set_ups()?.into_iter().map(with_events).collect())
    }

    fn determinism(&self) -> Result<(), Finding> {
        for (at, events) in self.runs()? {
            let (mut first, mut second) = (self.new_at(&at)?, self.new_at(&at)?);
            let one = |event: &Event| {
                let (a, b) = (answer(&mut first, event)?, answer(&mut second, event)?);
                same(event, &a, &b, "in two instances with the same inputs")
            };
            all(&at, &events, one)?;
        }
        Ok(())
    }

    fn state_bytes(&self) -> Result<(), Finding> {
        for (at, events) in self.runs()? {
            let mut plugin = self.new_at(&at)?;
            let through = |plugin: &ScalarizerPlugin| -> Result<(), Finding> {
                let saved = plugin.save()?;
                let mut other = self.new_at(&at)?;
                other.load(&saved)?;
                let again = other.save()?;
                if again == saved && plugin.save()? == saved {
                    return Ok(());
                }
                Err(Finding::failed(format!(
                    "its state is {} when it is saved, {} when it is loaded and saved again",
                    cut(&saved),
                    cut(&again)
                )))
            };
            through(&plugin).map_err(|finding| finding.at(at.place()))?;
            all(&at, &events, |event| {
                answer(&mut plugin, event)?;
                through(&plugin)
            })?;
        }
        Ok(())
    }

    /// One instance runs on, the other is saved and loaded into a new one before each step, which is where a run
    /// writes its checkpoints.
    fn state_mid_run(&self) -> Result<(), Finding> {
        for (at, events) in self.runs()? {
            let (mut whole, mut resumed) = (self.new_at(&at)?, self.new_at(&at)?);
            let mut step = 0;
            all(&at, &events, |event| {
                if event.step() != step {
                    step = event.step();
                    let saved = resumed.save()?;
                    resumed = self.new_at(&at)?;
                    resumed.load(&saved)?;
                }
                let (a, b) = (answer(&mut whole, event)?, answer(&mut resumed, event)?);
                same(event, &a, &b, "without and with a state that was loaded")
            })?;
        }
        Ok(())
    }

    /// The answers of `run` are those of this thread.
    fn on_other_threads(
        &self,
        run: impl Fn(&Self, &SetUp, &[Event]) -> Result<Vec<Answer>, Finding>,
    ) -> Result<(), Finding> {
        for (at, events) in self.runs()? {
            let answers = run(self, &at, &events).map_err(|finding| finding.at(at.place()))?;
            let mut plugin = self.new_at(&at)?;
            let mut answers = answers.iter();
            all(&at, &events, |event| {
                let here = answer(&mut plugin, event)?;
                match answers.next() {
                    Some(there) => same(event, &here, there, "on the main and on another thread"),
                    None => Err(Finding::failed("one answer is missing")),
                }
            })?;
        }
        Ok(())
    }

    fn examples(&self) -> Result<(), Finding> {
        if self.described.examples.is_empty() {
            return Err(Finding::skipped("it carries no examples"));
        }
        for example in &self.described.examples {
            self.example(example)
                .map_err(|finding| finding.at(format!("example {:?}", example.about)))?;
        }
        let expects = |event: &Event| event.expect().is_some();
        match self
            .described
            .examples
            .iter()
            .find(|example| !example.events.iter().any(expects))
        {
            Some(example) => Err(Finding::warning(format!("example {:?} expects nothing", example.about))),
            None => Ok(()),
        }
    }

    fn example(&self, example: &Example) -> Result<(), Finding> {
        let setup = setup_of(example);
        let made = self.make(&setup, &example.params).map_err(Finding::from);
        let mut plugin = made.map_err(|finding| match finding.status {
            // An example says itself what `new` is given.
            Status::Skipped => Finding::failed(finding.reason),
            _ => finding,
        })?;
        for (index, event) in example.events.iter().enumerate() {
            let place = format!("event {} ({}, step {})", index + 1, event.hook(), event.step());
            let found = run_event(&mut plugin, setup.m(), event).map_err(|error| Finding::from(error).at(&place))?;
            if let Some(difference) = event.expect().and_then(|e| e.first_difference(&found)) {
                return Err(Finding::failed(format!(
                    "{place}: {} is {}, expected {}",
                    difference.field, difference.found, difference.expected
                )));
            }
        }
        Ok(())
    }
}

/// Calls `one` for each event; a finding says for which M it was.
fn all(at: &SetUp, events: &[Event], one: impl FnMut(&Event) -> Result<(), Finding>) -> Result<(), Finding> {
    let mut results = events.iter().map(one);
    results
        .try_for_each(|result| result)
        .map_err(|finding| finding.at(at.place()))
}

fn setup_of(example: &Example) -> Setup {
    Setup {
        objectives: example.objectives.clone(),
        seed: example.seed,
    }
}

/// The beginning of a text for a message.
fn cut(text: &str) -> String {
    let mut short: String = text.chars().take(60).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}
