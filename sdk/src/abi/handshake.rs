//! The first thing that a host reads of a library: a plain C struct under a symbol of its own. Its layout never
//! changes; everything else may, with the ABI number.

use std::ffi::c_void;

use abi_stable::library::LibHeader;

/// The number of the raw interface. Raised with every change that a plugin built before it would not survive;
/// a method appended with a default is none.
pub const ABI: u32 = 3;

/// The first bytes of every handshake.
pub const MAGIC: [u8; 16] = *b"moa-plugin\0\0\0\0\0\0";

/// The exported symbol is this and the name of the plugin's crate.
pub const SYMBOL_PREFIX: &str = "moa_plugin_handshake_";

/// Who made this library, and where its root module is.
#[repr(C)]
#[derive(Debug)]
pub struct Handshake {
    /// Always [`MAGIC`].
    pub magic: [u8; 16],
    /// The [`ABI`] that the plugin was built with.
    pub abi: u32,
    /// Length of `version` in bytes.
    pub version_len: u32,
    /// Version of the SDK that the plugin was built with, UTF-8, not terminated.
    pub version: *const u8,
    /// abi_stable's header of the root module; to be looked at only if `abi` is the host's.
    pub root: *const c_void,
}

// SAFETY: the pointers are to immutable statics of the library, which is never unloaded.
unsafe impl Sync for Handshake {}

impl Handshake {
    /// The handshake of this SDK for a root module.
    pub const fn of(header: &'static LibHeader) -> Self {
        #[allow(clippy::cast_possible_truncation, reason = "a version is short")]
        let version_len = crate::VERSION.len() as u32;
        Self {
            magic: MAGIC,
            abi: ABI,
            version_len,
            version: crate::VERSION.as_ptr(),
            root: (&raw const *header).cast(),
        }
    }
}
