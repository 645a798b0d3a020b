//! The properties that every scalarizer has on every sequence of valid events, each by itself, so that a report can say
//! which one does not hold.

use serde_json::Value;

use super::outcome::{first_bit_difference, well_formed};
use super::subject::{Failure, Subject};
use super::thread::on_thread;
use crate::replay::run_event;
use crate::trace::{Event, Expect};
use crate::{Error, Setup};

/// A property of a scalarizer on a sequence of events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Property {
    /// Every hook accepts the events, and what it returns has its length and is finite.
    Finite,
    /// Two instances return the same numbers, bit for bit.
    Determinism,
    /// The state is the same bytes when it is saved, loaded into a new instance and saved again.
    StateBytes,
    /// A new instance goes on from a saved state with the same numbers. The state is saved before each step, which is
    /// where a run writes its checkpoints.
    StateMidRun,
    /// The same numbers on a thread with a stack of 256 KiB.
    SmallStack,
    /// The same numbers where each hook is called from another thread.
    MovedBetweenThreads,
}

/// Enough for hooks that keep no arrays on the stack; a run may call them from threads that have little.
const SMALL_STACK: usize = 256 << 10;

impl Property {
    /// All of them, in the order of a report.
    pub const ALL: [Property; 6] = [
        Property::Finite,
        Property::Determinism,
        Property::StateBytes,
        Property::StateMidRun,
        Property::SmallStack,
        Property::MovedBetweenThreads,
    ];

    /// Checks the property on new instances of `subject`.
    ///
    /// # Errors
    /// The first event at which it does not hold, or what the scalarizer said.
    pub fn check<S: Subject>(
        self,
        subject: &S,
        setup: &Setup,
        params: &Value,
        events: &[Event],
    ) -> Result<(), Failure<S::Error>> {
        let run = Run {
            subject,
            setup,
            params,
            events,
        };
        match self {
            Self::Finite => run.finite(),
            Self::Determinism => run.determinism(),
            Self::StateBytes => run.state_bytes(),
            Self::StateMidRun => run.state_mid_run(),
            Self::SmallStack => run.on_small_stack(),
            Self::MovedBetweenThreads => run.moved_between_threads(),
        }
    }
}

struct Run<'a, S> {
    subject: &'a S,
    setup: &'a Setup,
    params: &'a Value,
    events: &'a [Event],
}

type Outcome<T, S> = Result<T, Failure<<S as Subject>::Error>>;

impl<S: Subject> Run<'_, S> {
    fn create(&self) -> Outcome<S::Calls, S> {
        Ok(self.subject.create(self.setup, self.params)?)
    }

    fn call(&self, calls: &mut S::Calls, event: &Event) -> Outcome<Expect, S> {
        run_event(calls, self.setup.m(), event).map_err(|error| Failure::from(error).at(event))
    }

    fn finite(&self) -> Outcome<(), S> {
        let mut calls = self.create()?;
        for event in self.events {
            let outcome = self.call(&mut calls, event)?;
            well_formed(&outcome, event, self.setup.m()).map_err(|error| Failure::property(error.message).at(event))?;
        }
        Ok(())
    }

    fn determinism(&self) -> Outcome<(), S> {
        let (mut first, mut second) = (self.create()?, self.create()?);
        for event in self.events {
            let (one, other) = (self.call(&mut first, event)?, self.call(&mut second, event)?);
            let advice = "is there a clock, an unordered map or an unseeded random number?";
            same(event, &one, &other, "in two instances with the same inputs", advice)?;
        }
        Ok(())
    }

    fn state_bytes(&self) -> Outcome<(), S> {
        let mut calls = self.create()?;
        self.round_trip(&calls)?;
        for event in self.events {
            self.call(&mut calls, event)?;
            self.round_trip(&calls).map_err(|failure| failure.at(event))?;
        }
        Ok(())
    }

    fn round_trip(&self, calls: &S::Calls) -> Outcome<(), S> {
        let saved = self.subject.save(calls)?;
        let mut other = self.create()?;
        self.subject.load(&mut other, &saved)?;
        let again = self.subject.save(&other)?;
        if again == saved && self.subject.save(calls)? == saved {
            return Ok(());
        }
        Err(Failure::property(format!(
            "its state is {} when it is saved, {} when it is loaded and saved again",
            cut(&saved),
            cut(&again)
        )))
    }

    fn state_mid_run(&self) -> Outcome<(), S> {
        let (mut whole, mut resumed) = (self.create()?, self.create()?);
        let mut step = 0;
        for event in self.events {
            if event.step() != step {
                step = event.step();
                let saved = self.subject.save(&resumed)?;
                resumed = self.create()?;
                self.subject.load(&mut resumed, &saved)?;
            }
            let (one, other) = (self.call(&mut whole, event)?, self.call(&mut resumed, event)?);
            let advice = "is a field of the struct left out of its state?";
            same(event, &one, &other, "without and with a state that was loaded", advice)?;
        }
        Ok(())
    }

    fn on_small_stack(&self) -> Outcome<(), S> {
        let there = || {
            let mut calls = self.create()?;
            self.events
                .iter()
                .map(|event| self.call(&mut calls, event))
                .collect::<Result<Vec<_>, _>>()
        };
        let there = on_thread(Some(SMALL_STACK), there, no_thread)?;
        self.same_here(&there)
    }

    fn moved_between_threads(&self) -> Outcome<(), S> {
        let mut calls = self.create()?;
        let mut there = Vec::new();
        for event in self.events {
            there.push(on_thread(None, || self.call(&mut calls, event), no_thread)?);
        }
        self.same_here(&there)
    }

    /// The outcomes of another thread are those of this one.
    fn same_here(&self, there: &[Expect]) -> Outcome<(), S> {
        let mut calls = self.create()?;
        for (event, there) in self.events.iter().zip(there) {
            let here = self.call(&mut calls, event)?;
            let advice = "does it keep anything by thread?";
            same(event, &here, there, "on the main and on another thread", advice)?;
        }
        Ok(())
    }
}

fn no_thread<E: From<Error>>(error: Error) -> Failure<E> {
    Failure::property(error.message)
}

fn same<E: From<Error>>(
    event: &Event,
    one: &Expect,
    other: &Expect,
    where_: &str,
    advice: &str,
) -> Result<(), Failure<E>> {
    match first_bit_difference(one, other) {
        None => Ok(()),
        Some(difference) => {
            Err(Failure::from(E::from(Error::new(format!("{difference}, {where_}")).hint(advice))).at(event))
        }
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
