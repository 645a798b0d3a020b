//! What a component may use.

use std::time::Duration;

use crate::config;

/// How often the clock of running guests ticks.
pub(super) const TICK: Duration = Duration::from_millis(10);

/// Stack of a guest in bytes; deeper recursion traps.
pub(super) const GUEST_STACK: usize = 1 << 20;

/// Stack of a thread that runs guests, in bytes: more than the guest's own, which the engine bounds.
pub(super) const THREAD_STACK: usize = 4 << 20;

/// Limits of a component. Fuel and result are for one completion (and for one `configure`), memory is for one
/// instance, the time for one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// WebAssembly instructions, roughly. The budget that gives the same answer on every machine.
    pub fuel: u64,
    /// Wall-clock milliseconds of a call: a backstop for what costs time and no fuel.
    pub milliseconds: u64,
    /// Memory of an instance in MiB, its tables included.
    pub memory_mib: u64,
    /// Bytes that a call may give back, error texts included.
    pub result_bytes: u64,
}

impl Default for Limits {
    /// About a second of computing, 10 seconds of waiting, a quarter of a GiB and a MiB: far more than scoring a
    /// response needs in any language (a Python guest uses some 3·10⁶ fuel for 1 KiB), and little enough to wait for.
    fn default() -> Self {
        Self {
            fuel: 1_000_000_000,
            milliseconds: 10_000,
            memory_mib: 256,
            result_bytes: 1 << 20,
        }
    }
}

impl From<&config::Limits> for Limits {
    fn from(given: &config::Limits) -> Self {
        let default = Self::default();
        Self {
            fuel: given.fuel.unwrap_or(default.fuel),
            milliseconds: given.milliseconds.unwrap_or(default.milliseconds),
            memory_mib: given.memory_mib.unwrap_or(default.memory_mib),
            result_bytes: given.result_bytes.unwrap_or(default.result_bytes),
        }
    }
}
