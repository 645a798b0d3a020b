//! A language model: its architecture, tokenizer and weights, and what the rest of the host asks of it.

use std::path::Path;
use std::sync::Arc;

use super::activations::Activations;
use super::architecture::Architecture;
use super::decoder::Weights;
use super::error::ModelError;
use super::files::{self, Kept, Parts};
use super::init;
use super::packed::Packed;
use super::tokenizer::{Tokenizer, TokenizerFiles};
use crate::config::Source;
use crate::engine::Params;

/// A causal language model with trainable weights.
pub struct Model {
    /// Its sizes and switches.
    pub architecture: Architecture,
    /// Its tokenizer.
    pub tokenizer: Tokenizer,
    params: Params,
    /// What its folder had besides.
    kept: Kept,
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
            Source::Embedded => Model::embedded(),
            Source::Path(path) => Model::load(path),
        }
    }

    /// Loads a folder in Hugging Face's layout, a `.gguf` file, or a hub id `org/name`, into f32 on the CPU.
    ///
    /// # Errors
    /// There is no such folder, file or id; the hub cannot be reached; a file cannot be read, or is not of a known
    /// architecture; weights are missing, superfluous or of another shape; a token id is beyond the vocabulary.
    pub fn load(source: &str) -> Result<Self, ModelError> {
        Model::from_parts(files::load(source)?)
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

    /// One forward pass over a packed batch at `temperature` > 0, kept for any number of backward passes.
    ///
    /// # Errors
    /// A token of the batch is beyond the vocabulary.
    pub fn forward(&self, packed: &Arc<Packed>, temperature: f32) -> Result<Activations, ModelError> {
        Activations::new(&self.architecture, &self.params, packed, temperature)
    }

    /// The weights as they are now, for sampling, scoring, or as a reference policy. Nothing is copied.
    #[must_use]
    pub fn weights(&self) -> Weights {
        Weights::of(&self.architecture, self.params.all())
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
            if !alive {
                dead.push(slot.name.clone());
            }
        }
        Ok(dead)
    }

    /// Writes the model to `folder` in Hugging Face's layout: the whole folder, or none of it.
    ///
    /// # Errors
    /// The folder or a file in it cannot be written.
    pub fn save(&self, folder: &Path) -> Result<(), ModelError> {
        files::save(&self.architecture, &self.tokenizer, &self.params, &self.kept, folder)
    }

    /// Writes the same files into an existing folder, one after the other: for a caller that adds files of its own.
    ///
    /// # Errors
    /// A file cannot be written.
    pub fn write_files(&self, folder: &Path) -> Result<(), ModelError> {
        files::write(&self.architecture, &self.tokenizer, &self.params, &self.kept, folder)
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
        format!(
            "{} with {size} parameters ({} layers, width {}, vocabulary {})",
            architecture.family.model_type(),
            architecture.layers,
            architecture.hidden,
            architecture.vocab
        )
    }
}
