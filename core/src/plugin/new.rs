//! `plugin new`: writes the crate of a new plugin, which builds as it is, from the templates in examples/.

use std::path::{Path, PathBuf};

use super::error::PluginError;

/// What a new crate holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NewPlugin {
    /// A scalarizer.
    Scalarizer,
    /// A reward.
    Reward,
}

const MANIFEST: &str = include_str!("../../../examples/template/Cargo.toml");
/// The SDK that this host was built from, where it still is.
const SDK: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../sdk");

impl NewPlugin {
    /// Files of the template, with placeholders.
    fn files(self) -> [(&'static str, &'static str); 3] {
        let (source, readme) = match self {
            Self::Scalarizer => (
                include_str!("../../../examples/template/src/lib.rs"),
                include_str!("../../../examples/template/README.md"),
            ),
            Self::Reward => (
                include_str!("../../../examples/template-reward/src/lib.rs"),
                include_str!("../../../examples/template-reward/README.md"),
            ),
        };
        [("Cargo.toml", MANIFEST), ("src/lib.rs", source), ("README.md", readme)]
    }

    /// Writes the crate `name` into a folder of that name in `parent`. `sdk` is the folder of moa-sdk's source; without it,
    /// that of this host where it is still there, else the published version. Returns the folder.
    ///
    /// # Errors
    /// The name is no kebab-case, the folder is there already, `sdk` is no folder of moa-sdk, or a file cannot be written.
    pub fn write(self, parent: &Path, name: &str, sdk: Option<&Path>) -> Result<PathBuf, PluginError> {
        let folder = parent.join(name);
        let refuse = |message: String, hint: &str| PluginError::New {
            folder: folder.clone(),
            message,
            hint: hint.to_owned(),
        };
        let kebab = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if !name.starts_with(|c: char| c.is_ascii_lowercase()) || !name.chars().all(kebab) || name.ends_with('-') {
            let found = format!("the name is {name:?}, expected small letters, digits and hyphens, a letter first");
            return Err(refuse(found, "such as `my-method`"));
        }
        if folder.exists() {
            return Err(refuse(
                "it is there already".to_owned(),
                "choose another name, or move it away",
            ));
        }
        let sdk = self
            .sdk(sdk)
            .map_err(|found| refuse(found, "give the folder sdk/ of moa's source"))?;
        let write = |file: &str, text: &str| {
            let path = folder.join(file);
            std::fs::create_dir_all(path.parent().unwrap_or(&folder))?;
            let text = text.replace("{{project-name}}", name).replace("{{sdk}}", &sdk);
            std::fs::write(
                path,
                text.replace("{{paper}}", "say where it comes from: authors, title, arXiv number"),
            )
        };
        for (file, text) in self.files() {
            write(file, text).map_err(|error| {
                refuse(
                    format!("{file} cannot be written: {error}"),
                    "is the disk full, or read-only?",
                )
            })?;
        }
        Ok(folder)
    }

    /// moa-sdk as a dependency in Cargo.toml.
    fn sdk(self, given: Option<&Path>) -> Result<String, String> {
        let path = match given {
            Some(path) => path.to_owned(),
            None if Path::new(SDK).join("Cargo.toml").is_file() => PathBuf::from(SDK),
            None => return Ok(format!("{:?}", moa_sdk::VERSION)),
        };
        let whole = path
            .canonicalize()
            .ok()
            .filter(|path| path.join("Cargo.toml").is_file());
        match whole.as_ref().and_then(|path| path.to_str()) {
            Some(path) => Ok(format!("{{ path = {path:?} }}")),
            None => Err(format!(
                "the SDK is {}, expected a folder with a Cargo.toml",
                path.display()
            )),
        }
    }
}
