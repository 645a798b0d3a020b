//! The engine that all components of a process share: how they are compiled, cached and interrupted.

use std::sync::mpsc;
use std::time::Duration;

use wasmtime::component::{Component, Linker};
use wasmtime::{Config, Engine, StoreContextMut};

use super::cache;
use super::instance::{Compiled, State};
use super::limits::{GUEST_STACK, THREAD_STACK, TICK};
use super::preflight::Refusal;
use super::text::line;
use super::world;

/// How long a compilation may take. A component of 18 MiB takes some 15 seconds of one core.
const PATIENCE: Duration = Duration::from_secs(300);

/// One engine with its clock. Compiled components keep it alive.
#[derive(Clone)]
pub(in crate::plugin) struct Sandbox {
    engine: Engine,
}

impl Sandbox {
    /// Starts the engine. Error: this machine cannot run WebAssembly.
    pub(in crate::plugin) fn new() -> Result<Self, Refusal> {
        let engine = Engine::new(&config())
            .map_err(|error| Refusal::new(format!("WebAssembly cannot run on this machine: {}", line(&error))))?;
        let clock = engine.weak();
        let ticker = std::thread::Builder::new().name("component clock".to_owned());
        ticker
            .spawn(move || {
                while let Some(engine) = clock.upgrade() {
                    engine.increment_epoch();
                    drop(engine);
                    std::thread::sleep(TICK);
                }
            })
            .map_err(|error| Refusal::new(format!("the clock of components cannot start: {error}")))?;
        Ok(Self { engine })
    }

    /// Compiles a component that [`super::preflight`] let pass, and links it with all that it is granted. Error:
    /// it cannot be compiled, or its functions have other types than the world's.
    pub(super) fn compile(&self, bytes: &[u8]) -> Result<Compiled, Refusal> {
        let component = self.with_patience(bytes)?;
        let mut linker = Linker::new(&self.engine);
        let offer = |linker: &mut Linker<State>| {
            linker
                .instance(world::HOST)?
                .func_wrap("log", |mut store: StoreContextMut<'_, State>, (text,): (String,)| {
                    State::log(&mut store, text)
                })
        };
        offer(&mut linker).map_err(|error| Refusal::new(line(&error)))?;
        let instances = linker.instantiate_pre(&component).map_err(|error| {
            Refusal::new(format!("it cannot be linked: {}", line(&error)))
                .hint(format!("build it against version {} of the world", world::VERSION))
        })?;
        Ok(Compiled {
            engine: self.engine.clone(),
            instances,
        })
    }

    /// Compiles on a thread of its own, and gives up on it after [`PATIENCE`]: wasmtime promises nothing about how
    /// long a hostile module takes.
    fn with_patience(&self, bytes: &[u8]) -> Result<Component, Refusal> {
        let (send, receive) = mpsc::channel();
        let engine = self.engine.clone();
        let bytes = bytes.to_vec();
        std::thread::Builder::new()
            .name("compile".to_owned())
            .stack_size(THREAD_STACK)
            .spawn(move || {
                // The receiver is gone only if nobody waits any more.
                let _ = send.send(cache::compile(&engine, &bytes));
            })
            .map_err(|error| Refusal::new(format!("no thread could be started to compile it: {error}")))?;
        match receive.recv_timeout(PATIENCE) {
            Ok(Ok(component)) => Ok(component),
            Ok(Err(error)) => Err(Refusal::new(format!("it cannot be compiled: {}", line(&error)))),
            Err(mpsc::RecvTimeoutError::Timeout) => Err(Refusal::new(format!(
                "compiling it took more than {} seconds",
                PATIENCE.as_secs()
            ))),
            Err(mpsc::RecvTimeoutError::Disconnected) => {
                Err(Refusal::new("the compiler failed on it".to_owned()).hint("this may be a defect of wasmtime"))
            }
        }
    }
}

fn config() -> Config {
    let mut config = Config::new();
    config
        .consume_fuel(true)
        .epoch_interruption(true)
        .max_wasm_stack(GUEST_STACK)
        // The same bits on every machine.
        .cranelift_nan_canonicalization(true)
        .relaxed_simd_deterministic(true);
    config
}
