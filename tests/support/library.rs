//! Libraries for tests: cargo builds plugins and fixtures into a target folder of their own, so that no test depends
//! on which build came before it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use super::root;

/// The library that has the scalarizer or reward `name`, built from the sources as they are.
pub fn plugin(name: &str) -> PathBuf {
    let folder = folder_of(name).unwrap_or_else(|| name.to_owned());
    once("plugins", &folder, || {
        let package = format!("moa-plugin-{folder}");
        build(&root().join("Cargo.toml"), &package, &folder)
    })
}

/// The folder in plugins/ whose sources name the scalarizer or reward `name`.
pub fn folder_of(name: &str) -> Option<String> {
    let names = plugin_names("impl");
    names
        .into_iter()
        .find(|(_, named)| named == name)
        .map(|(folder, _)| folder)
}

/// The names of all first-party scalarizers, sorted.
pub fn scalarizers() -> Vec<String> {
    let names = plugin_names("impl Scalarizer for");
    let mut names: Vec<String> = names.into_iter().map(|(_, name)| name).collect();
    names.sort();
    names
}

/// (folder, NAME) of each source file in plugins/*/src that holds `holds` and a constant NAME.
fn plugin_names(holds: &str) -> Vec<(String, String)> {
    let entries = |folder: &Path| {
        std::fs::read_dir(folder)
            .expect("a folder")
            .map(|entry| entry.expect("an entry").path())
    };
    let mut names = Vec::new();
    for folder in entries(&root().join("plugins")).filter(|folder| folder.join("src").is_dir()) {
        for file in entries(&folder.join("src")).filter(|file| file.extension().is_some_and(|end| end == "rs")) {
            let text = std::fs::read_to_string(&file).expect("a source file");
            let name = text
                .split("const NAME: &str = \"")
                .nth(1)
                .and_then(|rest| rest.split('"').next());
            if let (true, Some(name)) = (text.contains(holds), name) {
                let folder = folder.file_name().expect("a name").to_string_lossy().into_owned();
                names.push((folder, name.to_owned()));
            }
        }
    }
    names
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
