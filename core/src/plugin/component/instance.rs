//! One instance of a component: its budgets, its log, its calls, and why a call ended.

use moa_sdk::Completion;
use wasmtime::component::{ComponentNamedList, InstancePre, Lift, Lower};
use wasmtime::{Engine, ResourceLimiter, Store, StoreContextMut, Trap};

use super::limits::{GUEST_STACK, Limits, TICK};
use super::text::{line, one_line};
use super::world::{GuestCompletion, GuestDescription, SCORER};
use crate::plugin::score::{Cause, Failure, Score};

/// Lines of the log that are kept of an instance, the last ones, and their longest, in characters.
const LOG_LINES: usize = 8;
const LOG_LINE: usize = 400;

/// Fuel of a line of the log: what it costs the host.
const LOG_FUEL: u64 = 1_000;

/// Bytes that a table costs for each of its elements.
const TABLE_ELEMENT: usize = 16;

/// Core instances, memories and tables of a component. Those of real guests have fewer than ten.
const PARTS: usize = 100;

/// Why a call ended without a result.
#[derive(Debug, Clone)]
pub(super) struct Stop {
    pub(super) cause: Cause,
    pub(super) message: String,
}

impl Stop {
    pub(super) fn new(cause: Cause, message: String) -> Self {
        Self { cause, message }
    }
}

/// What the host knows of a running guest.
pub(super) struct State {
    memory_limit: usize,
    memory: usize,
    /// What was asked for when it was refused, in bytes.
    refused: Option<usize>,
    log: Vec<String>,
}

impl State {
    /// The import `log`. Each line costs fuel, so that a flood ends.
    pub(super) fn log(store: &mut StoreContextMut<'_, Self>, text: String) -> wasmtime::Result<()> {
        let fuel = store.get_fuel()?;
        let cost = LOG_FUEL + text.len() as u64;
        if fuel < cost {
            store.set_fuel(0)?;
            return Err(Trap::OutOfFuel.into());
        }
        store.set_fuel(fuel - cost)?;
        let log = &mut store.data_mut().log;
        if log.len() == LOG_LINES {
            log.remove(0);
        }
        log.push(one_line(&text).chars().take(LOG_LINE).collect());
        Ok(())
    }

    fn grow(&mut self, from: usize, to: usize) -> wasmtime::Result<bool> {
        let wanted = self.memory.saturating_add(to.saturating_sub(from));
        if wanted > self.memory_limit {
            self.refused = Some(wanted);
            return Err(wasmtime::Error::msg("out of memory"));
        }
        self.memory = wanted;
        Ok(true)
    }
}

impl ResourceLimiter for State {
    fn memory_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        self.grow(current, desired)
    }

    fn table_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        self.grow(
            current.saturating_mul(TABLE_ELEMENT),
            desired.saturating_mul(TABLE_ELEMENT),
        )
    }

    fn instances(&self) -> usize {
        PARTS
    }

    fn tables(&self) -> usize {
        PARTS
    }

    fn memories(&self) -> usize {
        PARTS
    }
}

/// A component, compiled and linked.
#[derive(Clone)]
pub(super) struct Compiled {
    pub(super) engine: Engine,
    pub(super) instances: InstancePre<State>,
}

/// A living instance. After a call that stopped it is not to be called again.
pub(super) struct Guest {
    store: Store<State>,
    instance: wasmtime::component::Instance,
    limits: Limits,
}

impl Guest {
    /// A new instance. Its start functions run within the budget of a call.
    pub(super) fn new(compiled: &Compiled, limits: Limits) -> Result<Self, Stop> {
        let memory_limit = usize::try_from(limits.memory_mib.saturating_mul(1 << 20)).unwrap_or(usize::MAX);
        let state = State {
            memory_limit,
            memory: 0,
            refused: None,
            log: Vec::new(),
        };
        let mut store = Store::new(&compiled.engine, state);
        store.limiter(|state| state);
        store.set_hostcall_fuel(usize::try_from(limits.result_bytes).unwrap_or(usize::MAX));
        store.epoch_deadline_trap();
        refill(&mut store, limits);
        match compiled.instances.instantiate(&mut store) {
            Ok(instance) => Ok(Self {
                store,
                instance,
                limits,
            }),
            Err(error) => Err(stop(&store, limits, &error)),
        }
    }

    /// Who it is.
    pub(super) fn describe(&mut self) -> Result<GuestDescription, Stop> {
        let (description,) = self.call("describe", ())?;
        Ok(description)
    }

    /// Gives it its params, JSON.
    pub(super) fn configure(&mut self, params: &str) -> Result<(), Stop> {
        let (result,): (Result<(), String>,) = self.call("configure", (params,))?;
        result.map_err(|text| Stop::new(Cause::Refused, said(&text)))
    }

    /// One result for each completion. Error: the call as a whole stopped, or gave another number of results.
    pub(super) fn score(&mut self, completions: &[Completion<'_>]) -> Result<Vec<Score>, Stop> {
        type Scores = Result<Vec<Result<f32, String>>, String>;
        let lowered: Vec<GuestCompletion<'_>> = completions.iter().map(GuestCompletion::from).collect();
        let (scores,): (Scores,) = self.call("score", (lowered.as_slice(),))?;
        let scores = scores.map_err(|text| Stop::new(Cause::Refused, said(&text)))?;
        if scores.len() != completions.len() {
            let of = completions.len();
            let plural = if of == 1 { "" } else { "s" };
            let text = format!("gave {} scores for {of} completion{plural}", scores.len());
            return Err(Stop::new(Cause::Output, text));
        }
        Ok(scores
            .into_iter()
            .map(|score| {
                score.map_err(|text| Failure {
                    cause: Cause::Refused,
                    message: said(&text),
                })
            })
            .collect())
    }

    fn call<P, R>(&mut self, function: &'static str, params: P) -> Result<R, Stop>
    where
        P: ComponentNamedList + Lower,
        R: ComponentNamedList + Lift + 'static,
    {
        refill(&mut self.store, self.limits);
        let result = (|| {
            let interface = self
                .instance
                .get_export_index(&mut self.store, None, SCORER)
                .ok_or_else(|| wasmtime::Error::msg(format!("it has no {SCORER}")))?;
            let index = self
                .instance
                .get_export_index(&mut self.store, Some(&interface), function)
                .ok_or_else(|| wasmtime::Error::msg(format!("{SCORER} has no `{function}`")))?;
            let function = self.instance.get_typed_func::<P, R>(&mut self.store, index)?;
            function.call(&mut self.store, params)
        })();
        result.map_err(|error| stop(&self.store, self.limits, &error))
    }
}

/// The text of a guest's error, for a message.
fn said(text: &str) -> String {
    match one_line(text) {
        text if text.is_empty() => "gave an error without a text".to_owned(),
        text => text,
    }
}

/// A whole budget for the next call.
fn refill(store: &mut Store<State>, limits: Limits) {
    // Cannot fail: the engine counts fuel.
    let _ = store.set_fuel(limits.fuel);
    let tick = u64::try_from(TICK.as_millis()).unwrap_or(1);
    // One more, since the first tick may come at once.
    store.set_epoch_deadline(limits.milliseconds.div_ceil(tick).saturating_add(1));
}

/// What ended a call, in the user's words.
fn stop(store: &Store<State>, limits: Limits, error: &wasmtime::Error) -> Stop {
    const MIB: f64 = (1 << 20) as f64;
    let Limits {
        fuel,
        milliseconds,
        memory_mib,
        result_bytes,
    } = limits;
    if let Some(wanted) = store.data().refused {
        let wanted = wanted as f64 / MIB;
        let text = format!("asked for {wanted:.1} MiB of memory, more than limits.memory_mib = {memory_mib}");
        return Stop::new(Cause::Memory, text);
    }
    let (cause, mut message) = match error.downcast_ref::<Trap>() {
        Some(Trap::OutOfFuel) => (Cause::Fuel, format!("used up its limits.fuel = {fuel}")),
        Some(Trap::Interrupt) => (
            Cause::Time,
            format!("took more than limits.milliseconds = {milliseconds}"),
        ),
        Some(Trap::StackOverflow) => (Cause::Trap, format!("recursed beyond its stack of {GUEST_STACK} bytes")),
        Some(trap) => (Cause::Trap, format!("trapped: {trap}")),
        None => {
            let text = line(error);
            // The runtime's error for this has no type of its own.
            if text.contains("too much data is being copied") {
                let text = format!("gave back more than limits.result_bytes = {result_bytes}");
                (Cause::Result, text)
            } else {
                (Cause::Trap, format!("failed: {text}"))
            }
        }
    };
    if let Some(last) = store.data().log.last() {
        message.push_str("; its last words: ");
        message.push_str(last);
    }
    Stop::new(cause, message)
}
