//! `moa_sdk::export!` of a native library.

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
            use $crate::abi::names::{
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
