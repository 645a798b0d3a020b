//! A language model: sizes, tokenizer and weights, with what the rest of the host asks of it.

use std::path::Path;
use std::sync::Arc;

use candle_core::{Tensor, Var};

use super::decoder::{Forward, Weights};
use super::error::ModelError;
use super::packed::Packed;
use super::spec::Spec;
use super::tokenizer::{Tokenizer, TokenizerFiles};
use super::{gguf, hub, init, load, save};

/// Sizes, tokenizer and trainable weights of a causal language model.
pub struct Model {
    /// Its sizes.
    pub spec: Spec,
    /// Its tokenizer.
    pub tokenizer: Tokenizer,
    params: Vec<(String, Var)>,
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
    /// Loads a folder in Hugging Face's layout, a `.gguf` file, or a hub id `org/name`, into f32 on the CPU.
    pub fn load(source: &str) -> Result<Self, ModelError> {
        let path = Path::new(source);
        if path.is_dir() {
            Model::from_folder(path)
        } else if path.is_file() {
            gguf::load(path)
        } else if hub::is_id(source) {
            Model::from_folder(&hub::fetch(source)?)
        } else {
            Err(ModelError::NotFound {
                source_name: source.to_string(),
            })
        }
    }

    fn from_folder(folder: &Path) -> Result<Self, ModelError> {
        let path = folder.join("config.json");
        let config = std::fs::read_to_string(&path).map_err(|e| ModelError::file(&path, e))?;
        let spec = Spec::from_config(&config, &path)?;
        let tokenizer = Tokenizer::from_folder(folder)?;
        let params = load::from_folder(&spec, folder)?;
        Model::new(spec, tokenizer, params)
    }

    /// A model from the bytes of its files.
    pub fn from_bytes(files: &ModelFiles<'_>) -> Result<Self, ModelError> {
        let path = Path::new("config.json");
        let config = std::str::from_utf8(files.config).map_err(|e| ModelError::file(path, e))?;
        let spec = Spec::from_config(config, path)?;
        let mut tokenizer = files.tokenizer;
        tokenizer.model[1] = tokenizer.model[1].or(Some(files.config));
        let weights = Path::new("model.safetensors");
        let mut collector = load::Collector::new(&spec, weights);
        load::add_safetensors(&mut collector, files.weights, weights)?;
        Model::new(spec, Tokenizer::from_bytes(&tokenizer)?, collector.finish()?)
    }

    /// A model with random weights, the same for the same seed.
    pub fn init(spec: Spec, tokenizer: Tokenizer, seed: u64) -> Result<Self, ModelError> {
        let params = init::random(&spec, seed)?;
        Model::new(spec, tokenizer, params)
    }

    pub(crate) fn new(spec: Spec, tokenizer: Tokenizer, params: Vec<(String, Var)>) -> Result<Self, ModelError> {
        // ids beyond the vocabulary would read outside the embedding
        let largest = tokenizer.largest_id();
        if largest.is_some_and(|id| id as usize >= spec.vocab) {
            return Err(ModelError::Batch {
                what: "largest token id of the tokenizer",
                found: largest.unwrap_or_default().to_string(),
                expected: format!("less than the model's vocabulary {}", spec.vocab),
            });
        }
        Ok(Model {
            spec,
            tokenizer,
            params,
        })
    }

    /// Trainable weights: Hugging Face names and values, embedding first, then layer by layer, norm, head.
    pub fn params(&self) -> &[(String, Var)] {
        &self.params
    }

    /// Replaces all weights by `values`, in the order of [`Model::params`].
    pub fn set_params(&self, values: &[Tensor]) -> Result<(), ModelError> {
        if values.len() != self.params.len() {
            return Err(ModelError::Batch {
                what: "weights",
                found: format!("{} tensors", values.len()),
                expected: self.params.len().to_string(),
            });
        }
        for ((_, var), value) in self.params.iter().zip(values) {
            var.set(value)?;
        }
        Ok(())
    }

    /// Log-probabilities of the response tokens [N] at `temperature` > 0, ready for M backward passes.
    pub fn forward(&self, packed: &Arc<Packed>, temperature: f32) -> Result<Forward, ModelError> {
        Forward::new(&self.spec, &self.params, packed, temperature)
    }

    /// A copy of the weights for sampling, scoring, or as a frozen reference.
    pub fn weights(&self) -> Result<Weights, ModelError> {
        Weights::of(&self.spec, &self.params)
    }

    /// Names of the weights that get no gradient, or one that is zero or not finite, from a batch that uses all of the
    /// decoder: empty, unless the backward pass leaves something out.
    pub fn canary(&self) -> Result<Vec<String>, ModelError> {
        let vocab = u32::try_from(self.spec.vocab).unwrap_or(u32::MAX);
        let token = |i: u32| (i * 7 + 1) % vocab;
        let prompt: Vec<u32> = (0..6).map(token).collect();
        let responses: Vec<Vec<u32>> = vec![(6..12).map(token).collect(), (3..8).map(token).collect()];
        let packed = Arc::new(Packed::new(&[prompt], &responses, &[0, 0])?);
        let n = packed.targets().len();
        let cotangent: Vec<f32> = (0..n).map(|i| 1.0 + 0.5 * (i as f32).sin()).collect();
        let gradients = self.forward(&packed, 1.0)?.gradients(&cotangent)?;
        let mut dead = Vec::new();
        for ((name, _), gradient) in self.params.iter().zip(gradients) {
            let size = gradient.abs()?.max_all()?.to_scalar::<f32>()?;
            if !(size > 0.0 && size.is_finite()) {
                dead.push(name.clone());
            }
        }
        Ok(dead)
    }

    /// Writes the model to `folder` in Hugging Face's layout, whole or not at all.
    pub fn save(&self, folder: &Path) -> Result<(), ModelError> {
        save::save(&self.spec, &self.tokenizer, &self.params, folder)
    }

    /// Writes the same files into a folder that is there, one after the other: for who makes a larger whole of them.
    pub fn write_files(&self, folder: &Path) -> Result<(), ModelError> {
        save::write_files(&self.spec, &self.tokenizer, &self.params, folder)
    }

    /// The weights as one safetensors file.
    pub fn to_safetensors(&self) -> Result<Vec<u8>, ModelError> {
        save::serialize(&self.params, Path::new("model.safetensors"))
    }
}
