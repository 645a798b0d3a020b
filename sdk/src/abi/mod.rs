//! The boundary between host and plugin. Nothing here is for plugin authors, who write traits and
//! [`crate::export!`]; nothing here is stable but the bytes.
//!
//! From the outside in:
//! 1. [`Handshake`]: one plain C symbol with magic, ABI number and SDK version. It is read before anything of
//!    abi_stable, so a plugin of another ABI gets one line instead of a dump of layouts.
//! 2. [`raw::PluginRoot`]: the root module of abi_stable, whose layout is checked when a library is loaded.
//! 3. [`raw::RawScalarizer`], [`raw::RawReward`]: the objects. Flat slices in, owned vectors out, JSON for
//!    descriptions, params and state.
//!
//! Growing the interface: append a method with a default at the end of a raw trait, and leave [`ABI`] alone; an
//! older plugin then runs the default. Any other change of `raw` raises [`ABI`].
//!
//! Ownership and threads: arguments are borrowed for the call, results are owned by the caller (their vtables
//! free them in the allocator that made them). A scalarizer is called from one thread at a time, a reward from
//! any number. Panics stop inside the plugin, see [`guard`].
// The rule `unsafe only where it is needed` has its exception here: the handshake's raw pointers.
#![allow(unsafe_code, reason = "the boundary itself")]

pub(crate) mod finite;
pub mod guard;
pub mod handshake;
mod library;
mod native;
pub mod raw;

pub use handshake::{ABI, Handshake, MAGIC, SYMBOL_PREFIX};
pub use library::{RewardEntry, ScalarizerEntry, describe, new_reward, new_scalarizer};
pub use native::{NativeReward, NativeScalarizer};

/// What the code of [`crate::export!`] names.
#[doc(hidden)]
pub mod export {
    pub use abi_stable::library::{
        __call_root_module_loader as call_root_module_loader, CheckTypeLayout, LibHeader, RootModuleResult,
    };
    pub use abi_stable::prefix_type::PrefixTypeTrait;
    pub use abi_stable::std_types::{RResult, RStr, RString};
}

/// Exports the scalarizers and rewards of a library; once in a crate, at its root. Either list may be missing.
///
/// ```text
/// moa_sdk::export!(scalarizers: [A, B], rewards: [C]);
/// ```
///
/// The exported symbol carries the name of the crate, so that several plugins can be linked into one program
/// (their tests) without a clash. `#![forbid(unsafe_code)]` refuses the macro; `deny` works.
#[macro_export]
macro_rules! export {
    (scalarizers: [$($scalarizer:ty),* $(,)?] $(,)?) => {
        $crate::export!(scalarizers: [$($scalarizer),*], rewards: []);
    };
    (rewards: [$($reward:ty),* $(,)?] $(,)?) => {
        $crate::export!(scalarizers: [], rewards: [$($reward),*]);
    };
    (scalarizers: [$($scalarizer:ty),* $(,)?], rewards: [$($reward:ty),* $(,)?] $(,)?) => {
        #[allow(unsafe_code, reason = "an exported symbol, and the promise that the module is of its type")]
        const _: () = {
            use $crate::abi::export::{
                CheckTypeLayout, LibHeader, PrefixTypeTrait as _, RResult, RStr, RString,
                RootModuleResult, call_root_module_loader,
            };
            use $crate::abi::raw::{
                PluginRoot, PluginRoot_Ref, RawError, RawRewardBox, RawScalarizerBox,
            };

            static SCALARIZERS: &[$crate::abi::ScalarizerEntry] =
                &[$($crate::abi::ScalarizerEntry::of::<$scalarizer>()),*];
            static REWARDS: &[$crate::abi::RewardEntry] =
                &[$($crate::abi::RewardEntry::of::<$reward>()),*];

            extern "C" fn describe() -> RResult<RString, RawError> {
                $crate::abi::describe(SCALARIZERS, REWARDS)
            }
            extern "C" fn new_scalarizer(
                name: RStr<'_>,
                setup: RStr<'_>,
                params: RStr<'_>,
            ) -> RResult<RawScalarizerBox, RawError> {
                $crate::abi::new_scalarizer(SCALARIZERS, name.as_str(), setup.as_str(), params.as_str())
            }
            extern "C" fn new_reward(
                name: RStr<'_>,
                params: RStr<'_>,
            ) -> RResult<RawRewardBox, RawError> {
                $crate::abi::new_reward(REWARDS, name.as_str(), params.as_str())
            }
            fn root() -> PluginRoot_Ref {
                PluginRoot { describe, new_scalarizer, new_reward }.leak_into_prefix()
            }
            extern "C" fn construct() -> RootModuleResult {
                call_root_module_loader(root)
            }

            // SAFETY: `construct` gives a `PluginRoot_Ref`, the type that the header is made for.
            static HEADER: LibHeader = unsafe {
                LibHeader::from_constructor::<PluginRoot_Ref>(construct, CheckTypeLayout::Yes)
            };

            // SAFETY: the name is this crate's alone: prefix and crate name.
            #[unsafe(export_name = concat!("moa_plugin_handshake_", env!("CARGO_CRATE_NAME")))]
            static HANDSHAKE: $crate::abi::Handshake = $crate::abi::Handshake::of(&HEADER);
        };
    };
}
