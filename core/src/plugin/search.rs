//! Where libraries are found: a path with a folder in it where it says, a name in the folders of the search path.

use std::env::consts::{DLL_PREFIX, DLL_SUFFIX};
use std::path::{Path, PathBuf};

use super::error::PluginError;

/// The folders that are searched, in order.
pub(super) struct SearchPath {
    pub(super) folders: Vec<PathBuf>,
}

impl SearchPath {
    /// `$MOA_PLUGIN_PATH` (folders with ':' between), `./plugins`, the folder of the running program.
    pub(super) fn of_this_process() -> Self {
        let mut folders: Vec<PathBuf> = std::env::var_os("MOA_PLUGIN_PATH")
            .map(|value| std::env::split_paths(&value).collect())
            .unwrap_or_default();
        folders.retain(|folder| !folder.as_os_str().is_empty());
        folders.push(PathBuf::from("plugins"));
        if let Ok(program) = std::env::current_exe()
            && let Some(folder) = program.parent()
        {
            folders.push(folder.to_owned());
        }
        Self { folders }
    }

    /// The absolute path of a library. A path with a folder in it is taken as typed, or as the crate whose library it
    /// names, see [`SearchPath::built_from`]; it is never searched for. A name is searched for in the folders.
    ///
    /// # Errors
    /// Not found, with all places that were looked at.
    pub(super) fn resolve(&self, plugin: &str) -> Result<PathBuf, PluginError> {
        let typed = Path::new(plugin);
        let looked: Vec<PathBuf> = if has_folder(plugin) {
            let built = self.built_from(typed);
            std::iter::once(typed.to_owned()).chain(built).collect()
        } else if plugin.ends_with(DLL_SUFFIX) {
            let in_folders = self.folders.iter().map(|folder| folder.join(typed));
            std::iter::once(typed.to_owned()).chain(in_folders).collect()
        } else {
            let names = file_names(plugin);
            let in_folder = |folder: &PathBuf| names.iter().map(|name| folder.join(name)).collect::<Vec<_>>();
            self.folders.iter().flat_map(in_folder).collect()
        };
        if let Some(path) = first_absolute(&looked, Path::is_file) {
            return Ok(path);
        }
        let advice = self.advice(plugin);
        Err(PluginError::NotFound {
            plugin: plugin.to_owned(),
            advice,
            looked,
        })
    }

    /// `plugins/libname.so` in a checkout names the library of the crate `plugins/name`: where cargo has put it, if that is
    /// below the checkout and one of the folders. Nothing else with that file name is meant.
    fn built_from(&self, typed: &Path) -> Option<PathBuf> {
        let name = bare_name(typed);
        let crates = typed.parent()?;
        let is_crate = |name: &str| crates.join(name).join("Cargo.toml").is_file();
        if !is_crate(&name) && !is_crate(&name.replace('_', "-")) {
            return None;
        }
        let crates = crates.canonicalize().ok()?;
        let checkout = crates.parent()?;
        let here = |folder: &&PathBuf| folder.canonicalize().is_ok_and(|folder| folder.starts_with(checkout));
        let built = self
            .folders
            .iter()
            .filter(here)
            .map(|folder| folder.join(typed.file_name().unwrap_or_default()));
        built.into_iter().find(|file| file.is_file())
    }

    /// What to do about a library that is not there.
    fn advice(&self, plugin: &str) -> Option<String> {
        let name = bare_name(Path::new(plugin));
        if has_folder(plugin)
            && let Ok(found) = self.resolve(&name)
        {
            return Some(format!(
                "a path is not searched for; `{name}` alone is {}",
                found.display()
            ));
        }
        let rust_only = |file: &PathBuf| {
            let file = file.file_name()?.to_string_lossy().into_owned();
            let rlib = file.strip_suffix(DLL_SUFFIX)?.to_owned() + ".rlib";
            self.folders
                .iter()
                .map(|folder| folder.join(&rlib))
                .find(|rlib| rlib.is_file())
        };
        if let Some(rlib) = file_names(&name).iter().find_map(rust_only) {
            return Some(format!(
                "cargo built {} and no {DLL_SUFFIX}: give Cargo.toml `[lib] crate-type = [\"cdylib\", \"rlib\"]`, then `cargo build --release`",
                rlib.display()
            ));
        }
        let known: Vec<String> = self.libraries().iter().map(|library| bare_name(library)).collect();
        let known: Vec<&str> = known.iter().map(String::as_str).collect();
        moa_sdk::nearest(&name, &known).map(|near| format!("did you mean `{near}`?"))
    }

    /// The absolute path of a component: with a folder in it as typed, else the file of that name here or in the folders.
    /// What is there but no file (a folder) is returned too, for a better message than "not found".
    ///
    /// # Errors
    /// Not found, with all places that were looked at.
    pub(super) fn resolve_component(&self, typed: &str) -> Result<PathBuf, PluginError> {
        let mut looked = vec![PathBuf::from(typed)];
        if !has_folder(typed) {
            looked.extend(self.component_folders().map(|folder| folder.join(typed)));
        }
        if let Some(path) = first_absolute(&looked, Path::exists) {
            return Ok(path);
        }
        let name = Path::new(typed).file_name().unwrap_or_default().to_string_lossy();
        let known: Vec<String> = self
            .components()
            .iter()
            .filter_map(|path| Some(path.file_name()?.to_string_lossy().into_owned()))
            .collect();
        let known: Vec<&str> = known.iter().map(String::as_str).collect();
        Err(PluginError::NotFound {
            plugin: typed.to_owned(),
            advice: moa_sdk::nearest(&name, &known).map(|near| format!("did you mean `{near}`?")),
            looked,
        })
    }

    /// The folders, and where cargo puts components beside each that is its output for the host.
    fn component_folders(&self) -> impl Iterator<Item = PathBuf> {
        self.folders.iter().flat_map(|folder| {
            let built = folder
                .file_name()
                .zip(folder.parent())
                .map(|(profile, target)| target.join("wasm32-unknown-unknown").join(profile))
                .filter(|folder| folder.is_dir());
            std::iter::once(folder.clone()).chain(built)
        })
    }

    /// All components in the folders, sorted within each.
    pub(super) fn components(&self) -> Vec<PathBuf> {
        self.component_folders()
            .flat_map(|folder| files(&folder, is_component))
            .collect()
    }

    /// All libraries in the folders, sorted within each.
    pub(super) fn libraries(&self) -> Vec<PathBuf> {
        // Cargo puts the SDK's macros beside the plugins: a library of the compiler, not of a host.
        let macros = format!("{DLL_PREFIX}moa_sdk_derive{DLL_SUFFIX}");
        let library = |name: &str| name.starts_with(DLL_PREFIX) && name.ends_with(DLL_SUFFIX) && name != macros;
        self.folders.iter().flat_map(|folder| files(folder, library)).collect()
    }
}

/// Whether a reward's name is the path of a component: WebAssembly, as bytes or as text.
pub(super) fn is_component(name: &str) -> bool {
    let ending = Path::new(name).extension().map(|ending| ending.to_ascii_lowercase());
    ending.is_some_and(|ending| ending == "wasm" || ending == "wat")
}

/// The files of a folder whose names are wanted, sorted; none if it cannot be read.
fn files(folder: &Path, wanted: impl Fn(&str) -> bool) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return Vec::new();
    };
    let mut files: Vec<PathBuf> = entries
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| path.file_name().and_then(|name| name.to_str()).is_some_and(&wanted))
        .collect();
    files.sort();
    files
}

/// Whether what was typed says in which folder the file is.
fn has_folder(typed: &str) -> bool {
    typed.contains(std::path::is_separator)
}

/// Whether `plugin` is a name and not a path: no folder, and not the suffix of a library.
pub(super) fn is_bare(plugin: &str) -> bool {
    !has_folder(plugin) && !plugin.ends_with(DLL_SUFFIX)
}

/// The first place that is `there`, absolute: the system's loader searches places of its own for a name without a folder.
fn first_absolute(places: &[PathBuf], there: impl Fn(&Path) -> bool) -> Option<PathBuf> {
    let found = places.iter().filter(|place| there(place));
    found.filter_map(|place| place.canonicalize().ok()).next()
}

/// The file names of a bare name: as it is, and as cargo writes it (`-` becomes `_`).
fn file_names(name: &str) -> Vec<PathBuf> {
    let mut names = vec![PathBuf::from(format!("{DLL_PREFIX}{name}{DLL_SUFFIX}"))];
    if name.contains('-') {
        let name = name.replace('-', "_");
        names.push(PathBuf::from(format!("{DLL_PREFIX}{name}{DLL_SUFFIX}")));
    }
    names
}

/// `plugins/libname.so` to `name`.
pub(crate) fn bare_name(path: &Path) -> String {
    let name = path.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
    let name = name.strip_suffix(DLL_SUFFIX).unwrap_or(&name);
    name.strip_prefix(DLL_PREFIX).unwrap_or(name).to_owned()
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::{PluginError, SearchPath};
    use crate::error::Report;

    #[test]
    fn a_name_is_searched_for_and_a_path_is_not() -> Result<(), Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("libalpha_beta.so");
        std::fs::write(&file, "")?;
        std::fs::write(folder.path().join("alpha.wasm"), "")?;
        let search = SearchPath {
            folders: vec![folder.path().to_owned()],
        };
        let expected = file.canonicalize()?;
        for typed in ["alpha-beta", "alpha_beta", "libalpha_beta.so", &file.to_string_lossy()] {
            assert_eq!(search.resolve(typed)?, expected, "{typed}");
        }
        assert!(search.resolve_component("alpha.wasm").is_ok());
        // Another file of the same name is not what was asked for.
        let error = search.resolve("nowhere/libalpha_beta.so").expect_err("no such file");
        assert!(
            error.to_string().ends_with("looked at nowhere/libalpha_beta.so"),
            "{error}"
        );
        let hint = error.hint().unwrap_or_default();
        assert!(
            hint.starts_with("a path is not searched for; `alpha_beta` alone is "),
            "{hint}"
        );
        let error = search
            .resolve_component("nowhere/alpha.wasm")
            .expect_err("no such file");
        assert!(error.to_string().ends_with("looked at nowhere/alpha.wasm"), "{error}");
        Ok(())
    }

    #[test]
    fn a_library_beside_its_crate_is_the_one_that_cargo_built_there() -> Result<(), Box<dyn std::error::Error>> {
        let checkout = tempfile::tempdir()?;
        let elsewhere = tempfile::tempdir()?;
        let built = checkout.path().join("target/release");
        for folder in [&built, &checkout.path().join("plugins/a-b")] {
            std::fs::create_dir_all(folder)?;
        }
        std::fs::write(checkout.path().join("plugins/a-b/Cargo.toml"), "")?;
        for name in ["liba_b.so", "libother.so"] {
            std::fs::write(elsewhere.path().join(name), "")?;
            std::fs::write(built.join(name), "")?;
        }
        let search = SearchPath {
            folders: vec![elsewhere.path().to_owned(), built.clone()],
        };
        let typed = |name: &str| checkout.path().join("plugins").join(name);
        let found = search.resolve(&typed("liba_b.so").to_string_lossy())?;
        assert_eq!(found, built.join("liba_b.so").canonicalize()?);
        // No crate of that name is there.
        assert!(search.resolve(&typed("libother.so").to_string_lossy()).is_err());
        // Built somewhere else: not of this checkout.
        let search = SearchPath {
            folders: vec![elsewhere.path().to_owned()],
        };
        assert!(search.resolve(&typed("liba_b.so").to_string_lossy()).is_err());
        Ok(())
    }

    #[test]
    fn a_library_for_rust_alone_is_told_apart() -> Result<(), Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        std::fs::write(folder.path().join("libn1.rlib"), "")?;
        std::fs::write(folder.path().join("libm1.so"), "")?;
        let search = SearchPath {
            folders: vec![folder.path().to_owned()],
        };
        let hint = search.resolve("n1").expect_err("no library").hint().unwrap_or_default();
        assert!(
            hint.contains("libn1.rlib and no .so") && hint.contains("cdylib"),
            "{hint}"
        );
        Ok(())
    }

    #[test]
    fn what_is_not_found_says_where_it_looked_and_what_is_near() -> Result<(), Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        std::fs::write(folder.path().join("libalpha.so"), "")?;
        let search = SearchPath {
            folders: vec![PathBuf::from("first"), folder.path().to_owned()],
        };
        let error = search.resolve("alhpa").expect_err("no such file");
        let PluginError::NotFound { looked, .. } = &error else {
            panic!("{error}");
        };
        let places = [PathBuf::from("first/libalhpa.so"), folder.path().join("libalhpa.so")];
        assert_eq!(*looked, places);
        assert!(error.to_string().contains("first/libalhpa.so"));
        assert_eq!(error.hint().as_deref(), Some("did you mean `alpha`?"));
        Ok(())
    }
}
