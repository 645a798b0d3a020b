//! A language model: its architecture, tokenizer and weights, and what the rest of the host asks of it.

use std::path::Path;
use std::sync::Arc;

use super::activations::Activations;
use super::adapter_files;
use super::architecture::Architecture;
use super::decoder::Weights;
use super::error::ModelError;
use super::files::{self, Kept, Parts};
use super::init;
use super::lora::Lora;
use super::packed::Packed;
use super::tokenizer::{Tokenizer, TokenizerFiles};
use crate::config::Source;
use crate::engine::{Arena, Params};

/// A causal language model with trainable weights.
pub struct Model {
    /// Its sizes and switches.
    pub architecture: Architecture,
    /// Its tokenizer.
    pub tokenizer: Tokenizer,
    params: Params,
    /// What its folder had besides.
    kept: Kept,
    lora: Option<Lora>,
    source: String, // as a config names it; empty: made in memory, and no base of saved adapters
    recompute: bool,
}

/// The files of a model folder, as bytes: for a model inside the binary.
#[derive(Debug, Clone, Copy)]
pub struct ModelFiles<'a> {
    /// config.json
    pub config: &'a [u8],
    /// model.safetensors
    pub weights: &'a [u8],
    /// The tokenizer's files; `model` in it may be left empty.
    pub tokenizer: TokenizerFiles<'a>,
}

impl Model {
    /// Opens what a config or a command line names: the model inside the binary, or what [`Model::load`] takes.
    ///
    /// # Errors
    /// As [`Model::load`].
    pub fn open(source: &Source) -> Result<Self, ModelError> {
        match source {
            Source::Embedded => Ok(Model {
                source: String::from(Source::Embedded),
                ..Model::embedded()?
            }),
            Source::Path(path) => Model::load(path),
        }
    }

    /// Loads a folder in Hugging Face's layout, a `.gguf` file, or a hub id `org/name`, into f32 on the CPU. A folder with
    /// adapters in PEFT's layout is loaded with the base that it names, and merged into it.
    ///
    /// # Errors
    /// There is no such folder, file or id; the hub cannot be reached; a file cannot be read, or is not of a known
    /// architecture; weights are missing, superfluous or of another shape; a token id is beyond the vocabulary.
    pub fn load(source: &str) -> Result<Self, ModelError> {
        if adapter_files::is_adapter(Path::new(source)) {
            return Model::merged(Path::new(source));
        }
        let mut model = Model::from_parts(files::load(source)?)?;
        model.source = source.into();
        Ok(model)
    }

    /// The model that the adapters in `folder` name as their base, with these merged in.
    ///
    /// # Errors
    /// As [`Model::load`] and [`Model::load_adapters`]; the base is itself a folder of adapters.
    pub fn merged(folder: &Path) -> Result<Self, ModelError> {
        let base = adapter_files::read_config(folder)?.base;
        if adapter_files::is_adapter(Path::new(&base)) {
            let path = folder.to_path_buf();
            return Err(ModelError::AdapterOfAdapter { path, base });
        }
        let mut model = Model::open(&Source::from(base))?;
        model.load_adapters(folder)?;
        model.params = Params::from(model.merged_params()?);
        model.lora = None;
        model.source = folder.display().to_string();
        Ok(model)
    }

    /// From here on the adapters in `folder` are trained, and the model stays as it is.
    ///
    /// # Errors
    /// The folder holds no adapters in PEFT's layout, adapters of a kind that is not known, or those of another model.
    pub fn load_adapters(&mut self, folder: &Path) -> Result<(), ModelError> {
        let lora = adapter_files::read_config(folder)?.lora;
        let adapters = adapter_files::read(folder, lora.layout(&self.architecture))?;
        self.params.set_adapters(adapters);
        self.lora = Some(lora);
        Ok(())
    }

    /// From here on new adapters are trained, and the model stays as it is. They change nothing yet; the same seed makes
    /// the same ones.
    ///
    /// # Errors
    /// The model was loaded from a folder of adapters: no file holds the base of what would be trained.
    pub fn add_adapters(&mut self, lora: Lora, seed: u64) -> Result<(), ModelError> {
        if adapter_files::is_adapter(Path::new(&self.source)) {
            return Err(ModelError::AdapterOfAdapter {
                path: "model.lora".into(),
                base: self.source.clone(),
            });
        }
        self.params.set_adapters(lora.init(&self.architecture, seed)?);
        self.lora = Some(lora);
        Ok(())
    }

    /// All parameters with any adapters merged in: a copy where there are some.
    fn merged_params(&self) -> Result<Arena, ModelError> {
        match (&self.lora, self.params.adapters()) {
            (Some(lora), Some(adapters)) => lora.merge(self.params.all(), adapters),
            _ => Ok(self.params.all().clone()),
        }
    }

    /// A model from the bytes of its files.
    ///
    /// # Errors
    /// As [`Model::load`].
    pub fn from_bytes(files: &ModelFiles<'_>) -> Result<Self, ModelError> {
        let mut tokenizer = files.tokenizer;
        tokenizer.model[1] = tokenizer.model[1].or(Some(files.config));
        Model::from_parts(files::from_bytes(files.config, files.weights, &tokenizer)?)
    }

    /// A model with random weights; the same seed makes the same weights.
    ///
    /// # Errors
    /// A token id of the tokenizer is beyond the vocabulary.
    pub fn init(architecture: Architecture, tokenizer: Tokenizer, seed: u64) -> Result<Self, ModelError> {
        let params = init::random(&architecture, seed)?;
        Model::from_parts(Parts {
            architecture,
            tokenizer,
            params,
            kept: Kept::default(),
        })
    }

    fn from_parts(parts: Parts) -> Result<Self, ModelError> {
        let Parts {
            architecture,
            tokenizer,
            params,
            kept,
        } = parts;
        // ids beyond the vocabulary would read outside the embedding
        let largest = tokenizer.largest_id();
        if largest.is_some_and(|id| id as usize >= architecture.vocab) {
            return Err(ModelError::Batch {
                what: "largest token id of the tokenizer",
                found: largest.unwrap_or_default().to_string(),
                expected: format!("less than the model's vocabulary {}", architecture.vocab),
            });
        }
        Ok(Model {
            architecture,
            tokenizer,
            params,
            kept,
            lora: None,
            source: String::new(),
            recompute: false,
        })
    }

    /// The weights, and which of them are trained.
    #[must_use]
    pub fn params(&self) -> &Params {
        &self.params
    }

    /// The same, to be changed.
    pub fn params_mut(&mut self) -> &mut Params {
        &mut self.params
    }

    /// Whether forward passes keep only each layer's input from here on, and backward passes compute the rest again. No
    /// number changes.
    pub fn set_recompute(&mut self, recompute: bool) {
        self.recompute = recompute;
    }

    /// One forward pass over a packed batch at `temperature` > 0, kept for any number of backward passes.
    ///
    /// # Errors
    /// A token of the batch is beyond the vocabulary.
    pub fn forward(&self, packed: &Arc<Packed>, temperature: f32) -> Result<Activations, ModelError> {
        Activations::new(self.weights(), &self.params, packed, temperature, self.recompute)
    }

    /// The weights as they are now, for sampling, scoring, or as a reference policy. Nothing is copied.
    #[must_use]
    pub fn weights(&self) -> Weights {
        match (&self.lora, self.params.adapters()) {
            (Some(lora), Some(adapters)) => self.base_weights().with_adapters(lora, adapters),
            _ => self.base_weights(),
        }
    }

    /// The same without adapters, where there are any: the model as it was loaded.
    #[must_use]
    pub fn base_weights(&self) -> Weights {
        Weights::of(&self.architecture, self.params.all())
    }

    /// The weights with any adapters merged in, for sampling: a copy of the model where there are some.
    ///
    /// # Errors
    /// The adapters are not of this model.
    pub fn merged_weights(&self) -> Result<Weights, ModelError> {
        Ok(Weights::of(&self.architecture, &self.merged_params()?))
    }

    /// Checks that the backward pass leaves nothing out: returns the names of the weights whose gradient is zero or not
    /// finite, for a batch that uses all of the decoder.
    ///
    /// # Errors
    /// The forward or the backward pass fails.
    pub fn canary(&self) -> Result<Vec<String>, ModelError> {
        let vocab = u32::try_from(self.architecture.vocab).unwrap_or(u32::MAX);
        let token = |i: u32| (i * 7 + 1) % vocab;
        let prompt: Vec<u32> = (0..6).map(token).collect();
        let responses: Vec<Vec<u32>> = vec![(6..12).map(token).collect(), (3..8).map(token).collect()];
        let packed = Arc::new(Packed::new(&[prompt], &responses, &[0, 0])?);
        let n = packed.targets().len();
        let cotangent: Vec<f32> = (0..n).map(|i| 1.0 + 0.5 * (i as f32).sin()).collect();
        let gradients = self.forward(&packed, 1.0)?.gradient(&cotangent)?;
        let mut dead = Vec::new();
        for (slot, gradient) in gradients.iter() {
            let alive = gradient.iter().all(|g| g.is_finite()) && gradient.iter().any(|g| *g != 0.0);
            // A has no gradient as long as B is zero.
            let b = slot.name.replace("lora_A", "lora_B");
            let waits = b != slot.name
                && self
                    .params
                    .trainable()
                    .get(&b)
                    .is_some_and(|b| b.iter().all(|b| *b == 0.0));
            if !alive && !waits {
                dead.push(slot.name.clone());
            }
        }
        Ok(dead)
    }

    /// Whether [`Model::save`] may write to `folder`. It replaces a model that it wrote itself and nobody changed; it
    /// removes nothing else.
    ///
    /// # Errors
    /// Something else is there.
    pub fn check_place(folder: &Path) -> Result<(), ModelError> {
        files::check_place(folder)
    }

    /// Whether `folder` holds a model as [`Model::save`] wrote it, by the checksums of its files.
    ///
    /// # Errors
    /// It does not; the text says why.
    pub fn check_saved(folder: &Path) -> Result<(), String> {
        files::check_saved(folder)
    }

    /// Writes the model to `folder`: the whole folder, or none of it. The layout is Hugging Face's, or PEFT's where
    /// adapters are trained. `checksums.txt` tells later whether it is still whole.
    ///
    /// # Errors
    /// Something else is there, see [`Model::check_place`]; the folder or a file in it cannot be written.
    pub fn save(&self, folder: &Path) -> Result<(), ModelError> {
        files::save(folder, |staged| self.write_files(staged))
    }

    /// Writes the same files into an existing folder, one after the other: for a caller that adds files of its own.
    ///
    /// # Errors
    /// A file cannot be written.
    pub fn write_files(&self, folder: &Path) -> Result<(), ModelError> {
        match (&self.lora, self.params.adapters()) {
            (Some(lora), Some(adapters)) => {
                adapter_files::write(folder, lora, adapters, &self.source)?;
                for (name, bytes) in self.tokenizer.files() {
                    let path = folder.join(name);
                    std::fs::write(&path, bytes).map_err(|e| ModelError::file(&path, e))?;
                }
                Ok(())
            }
            _ => files::write(&self.architecture, &self.tokenizer, &self.params, &self.kept, folder),
        }
    }

    /// The file among those of [`Model::write_files`] that holds what is trained.
    #[must_use]
    pub fn weights_file(&self) -> &'static str {
        match self.lora {
            Some(_) => adapter_files::WEIGHTS,
            None => "model.safetensors",
        }
    }

    /// The weights as the bytes of one safetensors file.
    ///
    /// # Errors
    /// A weight cannot be read.
    pub fn to_safetensors(&self) -> Result<Vec<u8>, ModelError> {
        files::serialize(self.params.all(), Path::new("model.safetensors"))
    }

    /// One line: family, parameters, layers, width, vocabulary.
    #[must_use]
    pub fn describe(&self) -> String {
        let architecture = &self.architecture;
        let parameters = architecture.size() as f64;
        let size = if parameters < 1e6 {
            format!("{:.0} k", parameters / 1e3)
        } else {
            format!("{:.0} M", parameters / 1e6)
        };
        let adapters = match (&self.lora, self.params.adapters()) {
            (Some(lora), Some(adapters)) => {
                let values = adapters.layout().len() as f64 / 1e3;
                format!(", trained by {values:.0} k values in adapters of rank {}", lora.rank)
            }
            _ => String::new(),
        };
        format!(
            "{} with {size} parameters ({} layers, width {}, vocabulary {}){adapters}",
            architecture.family.model_type(),
            architecture.layers,
            architecture.hidden,
            architecture.vocab
        )
    }
}
