//! Compiled components in the user's cache folder, each with a checksum: compiled code is trusted, and a flipped bit in it
//! must not run. Without a folder that can be written there is no cache, and nothing else is lost.

#![allow(unsafe_code, reason = "loads compiled code that this program wrote")]

use std::{
    fs,
    hash::{Hash, Hasher},
    path::{Path, PathBuf},
    time::SystemTime,
};

use twox_hash::XxHash64;
use wasmtime::{Engine, component::Component};

use crate::checksums::Checksum;
use crate::staged::write_file;

/// Bytes that the folder may hold; the oldest files go first.
const LARGEST: u64 = 512 << 20;
/// Letters of the checksum before the code.
const SUM: usize = 16;

/// The compiled component, from the cache where it is whole, else compiled and kept.
pub(super) fn compile(engine: &Engine, bytes: &[u8]) -> wasmtime::Result<Component> {
    let place = folder().map(|folder| folder.join(format!("{}.cwasm", key(engine, bytes))));
    if let Some(component) = place.as_deref().and_then(|path| load(engine, path)) {
        return Ok(component);
    }
    let component = Component::new(engine, bytes)?;
    if let (Some(path), Ok(code)) = (place, component.serialize()) {
        keep(&path, &code);
    }
    Ok(component)
}

/// What the file is called after: the component, the settings of the engine and its version.
fn key(engine: &Engine, bytes: &[u8]) -> String {
    let sum = |seed: u64| {
        let mut hasher = XxHash64::with_seed(seed);
        hasher.write(bytes);
        engine.precompile_compatibility_hash().hash(&mut hasher);
        hasher.finish()
    };
    format!("{:016x}{:016x}", sum(0), sum(1))
}

fn sum_of(code: &[u8]) -> String {
    let mut sum = Checksum::default();
    sum.add(code);
    sum.hex()
}

/// The code of a file that is whole; none otherwise.
fn load(engine: &Engine, path: &Path) -> Option<Component> {
    let bytes = fs::read(path).ok()?;
    let (sum, code) = bytes.split_at_checked(SUM)?;
    if sum != sum_of(code).as_bytes() {
        return None;
    }
    // SAFETY: the file is in the user's own cache folder, and its checksum says that it is what `keep` wrote there for an
    // engine with these settings.
    unsafe { Component::deserialize(engine, code) }.ok()
}

/// Writes a file and makes room for it. A cache that cannot be written is none.
fn keep(path: &Path, code: &[u8]) {
    let mut bytes = sum_of(code).into_bytes();
    bytes.extend_from_slice(code);
    if write_file(path, &bytes).is_err() {
        return;
    }
    let entries = path.parent().and_then(|folder| fs::read_dir(folder).ok());
    let mut files: Vec<(SystemTime, u64, PathBuf)> = entries
        .into_iter()
        .flatten()
        .filter_map(|entry| {
            let (path, about) = entry.ok().map(|entry| (entry.path(), entry.metadata()))?;
            let about = about
                .ok()
                .filter(|_| path.extension().is_some_and(|end| end == "cwasm"))?;
            Some((about.modified().ok()?, about.len(), path))
        })
        .collect();
    files.sort();
    let mut total: u64 = files.iter().map(|(_, bytes, _)| bytes).sum();
    for (_, bytes, old) in files {
        if total <= LARGEST || old == path {
            break;
        }
        let _ = fs::remove_file(old);
        total -= bytes;
    }
}

fn folder() -> Option<PathBuf> {
    let folder = std::env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .filter(|path| path.is_absolute())
        .or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")))
        .filter(|path| path.is_absolute())?
        .join("moa")
        .join("components");
    fs::create_dir_all(&folder).ok()?;
    Some(folder)
}
