//! The boundary between host and plugin. Nothing here is for plugin authors, who write traits and
//! [`crate::export!`]; nothing here is stable but the bytes.
//!
//! The same source is built in one of two forms:
//! * **native** (a library, `.so`): from the outside in
//!   1. [`Handshake`]: one plain C symbol with magic, ABI number and SDK version. It is read before anything of
//!      abi_stable, so a plugin of another ABI gets one line instead of a dump of layouts.
//!   2. [`raw::PluginRoot`]: the root module of abi_stable, whose layout is checked when a library is loaded.
//!   3. [`raw::RawScalarizer`], [`raw::RawReward`]: the objects. Flat slices in, owned vectors out, JSON for
//!      descriptions, params and state.
//! * **component** (`.wasm`, rewards only): the world of `sdk/wit/reward.wit`, in the module `component`, which
//!   is there when the target is WebAssembly.
//!
//! Growing the interface, with [`ABI`] as it is:
//! * a method with a default at the end of a raw trait: an older plugin runs the default;
//! * an optional array of a batch, by its name in [`raw::RawBatch::columns`]: an older plugin passes over it.
//!
//! Any other change of `raw` raises [`ABI`]. A change of the world raises the version of its package.
//!
//! Ownership and threads: arguments are borrowed for the call, results are owned by the caller (their vtables
//! free them in the allocator that made them). A scalarizer is called from one thread at a time, a reward from
//! any number. Panics stop inside the plugin, see [`guard`]; in a component they are logged and trap.
// The rule `unsafe only where it is needed` has its exception here: the handshake's raw pointers, and what the
// bindings of the world hand to the host.
#![allow(unsafe_code, reason = "the boundary itself")]

pub(crate) mod finite;

#[cfg(target_family = "wasm")]
pub mod component;
#[cfg(not(target_family = "wasm"))]
mod export;
#[cfg(not(target_family = "wasm"))]
pub mod guard;
#[cfg(not(target_family = "wasm"))]
pub mod handshake;
#[cfg(not(target_family = "wasm"))]
mod library;
#[cfg(not(target_family = "wasm"))]
mod native;
#[cfg(not(target_family = "wasm"))]
pub mod raw;

#[cfg(not(target_family = "wasm"))]
pub use handshake::{ABI, Handshake, MAGIC, SYMBOL_PREFIX};
#[cfg(not(target_family = "wasm"))]
pub use library::{RewardEntry, ScalarizerEntry, describe, new_reward, new_scalarizer};
#[cfg(not(target_family = "wasm"))]
pub use native::{NativeReward, NativeScalarizer};

/// What the code of [`crate::export!`] names.
#[cfg(not(target_family = "wasm"))]
#[doc(hidden)]
pub mod names {
    pub use abi_stable::library::{
        __call_root_module_loader as call_root_module_loader, CheckTypeLayout, LibHeader, RootModuleResult,
    };
    pub use abi_stable::prefix_type::PrefixTypeTrait;
    pub use abi_stable::std_types::{RResult, RStr, RString};
}
