//! Rewards as WebAssembly components: untrusted code that is granted nothing but a log.
//!
//! Data flow: [`preflight`] looks at the file and refuses what is no reward, before anything is compiled →
//! [`Sandbox`] (one engine for all) compiles it, or takes it from the user's cache → [`ComponentReward`] scores
//! batches over worker threads, each chunk in a fresh [`instance`] with its limits.
//!
//! What a completion gets is what it would get alone: a chunk is one call with the budget of *one* completion, and
//! where that call fails, passes its budget or gives back something else than one result each, its completions are
//! scored again one by one, each with the whole budget, and fail only if they fail in a new instance. So which
//! completions fail depends neither on their neighbours nor on the number of threads, and only the guilty one fails.

mod cache;
mod instance;
mod limits;
mod preflight;
mod sandbox;
mod text;
mod world;

pub use limits::Limits;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use moa_sdk::{Completion, Performance, RewardDescription};
use serde_json::Value;

use super::error::PluginError;
use super::score::{Cause, Failure, Score};
use super::shown::shown;
use instance::{Compiled, Guest, Stop};
use limits::THREAD_STACK;

pub(super) use sandbox::Sandbox;

/// Completions of one call. A constant, so that the same batch is cut the same way on every machine.
const CHUNK: usize = 64;

/// A component that was opened: what it says of itself, ready to make instances.
pub(super) struct Component {
    path: PathBuf,
    compiled: Compiled,
    description: RewardDescription,
}

impl Component {
    /// Reads, checks and compiles the file and asks it what it is. Errors: not a reward, or `describe` fails.
    pub(super) fn open(sandbox: &Sandbox, path: &Path) -> Result<Self, PluginError> {
        let bytes = preflight::read(path).map_err(|refusal| refusal.of(path))?;
        let compiled = sandbox.compile(&bytes).map_err(|refusal| refusal.of(path))?;
        let description = on_a_deep_stack(|| {
            let mut guest = Guest::new(&compiled, Limits::default())?;
            guest.describe()
        });
        let description = description
            .and_then(|described| described.checked().map_err(|text| Stop::new(Cause::Output, text)))
            .map_err(|stop| PluginError::Component {
                path: PathBuf::from(shown(path)),
                reason: format!("describe: {}", stop.message),
                hint: Some("this is a defect of the component".to_owned()),
            })?;
        Ok(Self {
            path: path.to_owned(),
            compiled,
            description,
        })
    }

    /// The file, absolute.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// What it says of itself.
    pub(super) fn description(&self) -> &RewardDescription {
        &self.description
    }

    /// A reward with these params and limits. Error: the component refuses the params.
    pub(super) fn reward(&self, params: &Value, limits: Limits) -> Result<ComponentReward, PluginError> {
        let params = match params {
            Value::Null => "{}".to_owned(),
            params => params.to_string(),
        };
        let reward = ComponentReward {
            name: self.description.name.clone(),
            compiled: self.compiled.clone(),
            params,
            limits,
        };
        on_a_deep_stack(|| reward.guest().map(|_| ())).map_err(|stop| PluginError::Hook {
            plugin: format!("{} ({})", self.description.name, shown(&self.path)),
            hook: "configure",
            step: None,
            message: stop.message,
            hint: None,
        })?;
        Ok(reward)
    }
}

/// A configured component.
pub(super) struct ComponentReward {
    name: String,
    compiled: Compiled,
    /// JSON.
    params: String,
    limits: Limits,
}

impl ComponentReward {
    /// One score or failure for each completion, in order. `done` counts the completions as they are scored.
    pub(super) fn score_all(&self, completions: &[Completion<'_>], done: &AtomicUsize) -> Vec<Score> {
        let chunks: Vec<&[Completion<'_>]> = completions.chunks(CHUNK).collect();
        let slots: Vec<Mutex<Vec<Score>>> = chunks.iter().map(|_| Mutex::default()).collect();
        let next = AtomicUsize::new(0);
        let work = || {
            while let Some((chunk, slot)) = {
                let index = next.fetch_add(1, Ordering::Relaxed);
                chunks.get(index).zip(slots.get(index))
            } {
                let scores = self.score_chunk(chunk);
                done.fetch_add(chunk.len(), Ordering::Relaxed);
                *slot.lock().unwrap_or_else(PoisonError::into_inner) = scores;
            }
        };
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        std::thread::scope(|scope| {
            for _ in 0..threads.min(chunks.len()) {
                // A thread that cannot be started leaves its chunks to the others.
                let _ = std::thread::Builder::new()
                    .name(format!("reward {}", self.name))
                    .stack_size(THREAD_STACK)
                    .spawn_scoped(scope, work);
            }
        });
        let unscored = || Failure {
            cause: Cause::Trap,
            message: "no thread could be started to score it".to_owned(),
        };
        chunks
            .iter()
            .zip(slots)
            .flat_map(|(chunk, slot)| {
                let mut scores = slot.into_inner().unwrap_or_else(PoisonError::into_inner);
                scores.resize_with(chunk.len(), || Err(unscored()));
                scores
            })
            .collect()
    }

    /// A new instance, configured.
    fn guest(&self) -> Result<Guest, Stop> {
        let mut guest = Guest::new(&self.compiled, self.limits)?;
        guest.configure(&self.params)?;
        Ok(guest)
    }

    fn score_chunk(&self, chunk: &[Completion<'_>]) -> Vec<Score> {
        if chunk.len() > 1
            && let Ok(mut guest) = self.guest()
            && let Ok(scores) = guest.score(chunk)
        {
            return scores;
        }
        let mut guest: Option<Guest> = None;
        chunk
            .iter()
            .map(|completion| {
                let alone = std::slice::from_ref(completion);
                // An instance that scored others may lack what they took; only a new one's failure is the completion's.
                let used = guest.take().and_then(|mut used| Some((used.score(alone).ok()?, used)));
                let (scores, living) = match used {
                    Some(scored) => scored,
                    None => {
                        let mut new = self.guest()?;
                        (new.score(alone)?, new)
                    }
                };
                guest = Some(living);
                scores.into_iter().next().unwrap_or_else(|| {
                    Err(Failure {
                        cause: Cause::Output,
                        message: "gave no score".to_owned(),
                    })
                })
            })
            .collect()
    }
}

/// Runs guest code on a thread whose stack is known to be deep enough for the guest's.
fn on_a_deep_stack<T: Send>(work: impl FnOnce() -> Result<T, Stop> + Send) -> Result<T, Stop> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new()
            .stack_size(THREAD_STACK)
            .spawn_scoped(scope, work);
        match thread.map(std::thread::ScopedJoinHandle::join) {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(Stop::new(Cause::Trap, "the host's thread panicked".to_owned())),
            Err(error) => Err(Stop::new(Cause::Trap, format!("no thread could be started: {error}"))),
        }
    })
}

impl From<Stop> for Failure {
    fn from(stop: Stop) -> Self {
        Self {
            cause: stop.cause,
            message: stop.message,
        }
    }
}

/// The performance that a validation reports.
impl From<world::GuestPerformance> for Performance {
    fn from(performance: world::GuestPerformance) -> Self {
        match performance {
            world::GuestPerformance::Score => Self::Score,
            world::GuestPerformance::ResponseTokens => Self::ResponseTokens,
        }
    }
}
