//! Libraries for tests: cargo builds plugins and fixtures into a target folder of their own, so that no test depends
//! on which build came before it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, OnceLock, PoisonError};

use moa_core::plugin::Plugins;
use moa_sdk::Description;

use super::{host::built, root};

/// The library that has the scalarizer or reward `name`, built from the sources as they are.
pub fn plugin(name: &str) -> PathBuf {
    let folder = folder_of(name).unwrap_or_else(|| name.to_owned());
    once("plugins", &folder, || {
        let package = format!("moa-plugin-{folder}");
        build(&root().join("Cargo.toml"), &package, &folder)
    })
}

/// The folder in plugins/ whose library exports the scalarizer or reward `name`.
pub fn folder_of(name: &str) -> Option<String> {
    let exports = |plugin: &&FirstParty| {
        let scalarizers = plugin.description.scalarizers.iter().map(|s| &s.name);
        scalarizers
            .chain(plugin.description.rewards.iter().map(|r| &r.name))
            .any(|n| n == name)
    };
    first_party().iter().find(exports).map(|plugin| plugin.folder.clone())
}

/// The library of `tests/fixtures/<name>`.
pub fn fixture(name: &str) -> PathBuf {
    once("fixtures", name, || {
        let manifest = root().join("tests/fixtures/Cargo.toml");
        lock(&manifest);
        build(&manifest, &format!("fixture-{name}"), name)
    })
}

/// What `make` returns for the library `name` of `folder`; it runs once for each.
fn once(folder: &'static str, name: &str, make: impl FnOnce() -> PathBuf) -> PathBuf {
    type Built = BTreeMap<(&'static str, String), PathBuf>;
    static BUILT: Mutex<Built> = Mutex::new(Built::new());
    let mut built = BUILT.lock().unwrap_or_else(PoisonError::into_inner);
    let key = (folder, name.to_owned());
    built.entry(key).or_insert_with(make).clone()
}

/// Gives a workspace of its own the versions of this one: nothing is looked up, and nothing but what is there already
/// is needed. Cargo takes out what it does not use. A rename, as another cargo may read it at this moment.
pub fn lock(manifest: &Path) {
    let lock = manifest.with_file_name("Cargo.lock");
    let fresh = lock.with_extension(format!("lock.{}", std::process::id()));
    let _one = BUILDING.lock().unwrap_or_else(PoisonError::into_inner);
    std::fs::copy(root().join("Cargo.lock"), &fresh).expect("Cargo.lock can be copied");
    std::fs::rename(&fresh, &lock).expect("Cargo.lock can be renamed");
}

/// One build at a time; cargo would make the second wait for the first anyway, without saying why.
static BUILDING: Mutex<()> = Mutex::new(());

/// Always the release profile: as in the workspace's build and test commands, and fast enough for replays. One
/// package at a time, as packages that are built together share the features of their dependencies.
pub fn build(manifest: &Path, package: &str, library: &str) -> PathBuf {
    let _one = BUILDING.lock().unwrap_or_else(PoisonError::into_inner);
    let target = target_folder().join("fixtures");
    let output = Command::new(env!("CARGO"))
        .args(["build", "--release", "--offline", "--quiet", "--package", package])
        .arg("--manifest-path")
        .arg(manifest)
        .arg("--target-dir")
        .arg(&target)
        .env_remove("CARGO_BUILD_TARGET")
        .env_remove("CARGO_TARGET_DIR")
        .output()
        .expect("cargo runs");
    assert!(
        output.status.success(),
        "cargo build of {package} failed:\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let file = format!(
        "{}{}{}",
        std::env::consts::DLL_PREFIX,
        library.replace('-', "_"),
        std::env::consts::DLL_SUFFIX
    );
    target.join("release").join(file)
}

/// The workspace's target folder: the test program stands in `<target>/<profile>/deps`.
pub fn target_folder() -> PathBuf {
    let program = std::env::current_exe().expect("a test program has a path");
    program
        .ancestors()
        .nth(3)
        .map(Path::to_owned)
        .expect("a test program stands three folders below the target folder")
}

/// A plugin of `plugins/` as the built library says of itself.
pub struct FirstParty {
    /// Its folder in `plugins/`; the library has this name too.
    pub folder: String,
    pub description: Description,
}

/// Every plugin of `plugins/`, by what its library beside the built host exports. A folder without a library that loads,
/// or whose library exports nothing, fails.
pub fn first_party() -> &'static [FirstParty] {
    static ALL: OnceLock<Vec<FirstParty>> = OnceLock::new();
    ALL.get_or_init(described)
}

fn described() -> Vec<FirstParty> {
    let entries = std::fs::read_dir(root().join("plugins")).expect("plugins/ can be listed");
    let mut folders: Vec<String> = entries
        .map(|entry| {
            entry
                .expect("an entry can be read")
                .file_name()
                .to_string_lossy()
                .into_owned()
        })
        .collect();
    folders.sort();
    let described = |folder: String| {
        let mut plugins = Plugins::searching(vec![built()]);
        let library = plugins
            .load(&folder)
            .unwrap_or_else(|e| panic!("plugins/{folder}: {e}"));
        let description = library.description().clone();
        let empty = description.scalarizers.is_empty() && description.rewards.is_empty();
        assert!(!empty, "plugins/{folder} exports nothing");
        FirstParty { folder, description }
    };
    folders.into_iter().map(described).collect()
}

/// The scalarizers of `plugins/` as (library, name).
pub fn scalarizers() -> Vec<(String, String)> {
    let of = |plugin: &FirstParty| {
        let names = plugin.description.scalarizers.iter().map(|s| s.name.clone());
        names.map(|name| (plugin.folder.clone(), name)).collect::<Vec<_>>()
    };
    first_party().iter().flat_map(of).collect()
}
