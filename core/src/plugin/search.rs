//! Where libraries are found: a path as it is typed, else a file in the folders of the search path.

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

    /// The absolute path of a library. Error: not found, with all places that were looked at.
    pub(super) fn resolve(&self, plugin: &str) -> Result<PathBuf, PluginError> {
        let mut looked = Vec::new();
        let names = if is_bare(plugin) {
            file_names(plugin)
        } else {
            looked.push(PathBuf::from(plugin));
            Path::new(plugin)
                .file_name()
                .map(|name| vec![PathBuf::from(name)])
                .unwrap_or_default()
        };
        for folder in &self.folders {
            looked.extend(names.iter().map(|name| folder.join(name)));
        }
        for place in &looked {
            // Absolute: the system's loader searches places of its own for a name without a folder.
            if place.is_file()
                && let Ok(path) = place.canonicalize()
            {
                return Ok(path);
            }
        }
        let wanted = names.first().map(|name| bare_name(name)).unwrap_or_default();
        let known: Vec<String> = self.libraries().iter().map(|library| bare_name(library)).collect();
        let known: Vec<&str> = known.iter().map(String::as_str).collect();
        Err(PluginError::NotFound {
            plugin: plugin.to_owned(),
            nearest: moa_sdk::nearest(&wanted, &known).map(str::to_owned),
            looked,
        })
    }

    /// The absolute path of a component, by path as typed or by file name in the folders; what is there but no file
    /// (a folder) is given too, for a better message than "not found".
    pub(super) fn resolve_component(&self, typed: &str) -> Result<PathBuf, PluginError> {
        let name = Path::new(typed).file_name().map(PathBuf::from).unwrap_or_default();
        let mut looked = vec![PathBuf::from(typed)];
        looked.extend(self.component_folders().map(|folder| folder.join(&name)));
        for place in &looked {
            if place.exists()
                && let Ok(path) = place.canonicalize()
            {
                return Ok(path);
            }
        }
        let known: Vec<String> = self
            .components()
            .iter()
            .filter_map(|path| Some(path.file_name()?.to_string_lossy().into_owned()))
            .collect();
        let known: Vec<&str> = known.iter().map(String::as_str).collect();
        Err(PluginError::NotFound {
            plugin: typed.to_owned(),
            nearest: moa_sdk::nearest(&name.to_string_lossy(), &known).map(str::to_owned),
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
        let library = |name: &str| name.starts_with(DLL_PREFIX) && name.ends_with(DLL_SUFFIX);
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
/// Whether `plugin` is a name and not a path: no folder, and not the suffix of a library.
fn is_bare(plugin: &str) -> bool {
    !plugin.contains(std::path::is_separator) && !plugin.ends_with(DLL_SUFFIX)
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
pub(super) fn bare_name(path: &Path) -> String {
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
    fn a_path_is_taken_as_typed_then_by_its_file_name() -> Result<(), Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("libalpha_beta.so");
        std::fs::write(&file, "")?;
        let search = SearchPath {
            folders: vec![folder.path().to_owned()],
        };
        let expected = file.canonicalize()?;
        for typed in [
            "alpha-beta",
            "alpha_beta",
            "nowhere/libalpha_beta.so",
            "libalpha_beta.so",
        ] {
            assert_eq!(search.resolve(typed)?, expected, "{typed}");
        }
        let nowhere = SearchPath { folders: vec![] };
        assert_eq!(nowhere.resolve(&file.to_string_lossy())?, expected);
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
        let error = search.resolve("other/libgamma.so").expect_err("no such file");
        assert!(
            error
                .to_string()
                .contains("looked at other/libgamma.so, first/libgamma.so")
        );
        Ok(())
    }
}
