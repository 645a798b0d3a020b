//! Weights in safetensors: read from one file or from shards, to f32 in the model's order, and written to one file.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use safetensors::{Dtype, SafeTensors};

use crate::engine::{Arena, Layout, Params, tensor_file};
use crate::model::architecture::Architecture;
use crate::model::error::ModelError;

/// Takes tensors one by one and checks names and shapes against the model's list.
pub(super) struct Collector {
    path: PathBuf,
    expected: Layout,
    index: BTreeMap<String, usize>,
    found: Vec<bool>,
    values: Vec<f32>,
    extra: Vec<String>,
    tied: bool,
}

impl Collector {
    pub(super) fn new(architecture: &Architecture, path: &Path) -> Self {
        let expected = architecture.layout();
        Collector {
            path: path.to_path_buf(),
            index: expected
                .slots()
                .iter()
                .enumerate()
                .map(|(i, slot)| (slot.name.clone(), i))
                .collect(),
            found: vec![false; expected.slots().len()],
            values: vec![0.0; expected.len()],
            expected,
            extra: Vec::new(),
            tied: architecture.tied,
        }
    }

    /// Takes one tensor. `values` is called only for a tensor that the model has.
    ///
    /// # Errors
    /// The shape is not the model's, or `values` fails or does not fill it.
    pub(super) fn add(
        &mut self,
        name: &str,
        shape: &[usize],
        values: impl FnOnce() -> Result<Vec<f32>, String>,
    ) -> Result<(), ModelError> {
        let Some(&index) = self.index.get(name) else {
            // copies of the embedding, and constants, that older files carry
            let known = (self.tied && name == "lm_head.weight") || name.ends_with("rotary_emb.inv_freq");
            if !known {
                self.extra.push(name.to_string());
            }
            return Ok(());
        };
        let slot = &self.expected.slots()[index];
        if shape != slot.shape.as_slice() {
            return Err(ModelError::TensorShape {
                path: self.path.clone(),
                name: name.to_string(),
                found: shape.to_vec(),
                expected: slot.shape.clone(),
            });
        }
        let bad = |message: String| ModelError::Tensor {
            path: self.path.clone(),
            name: name.to_string(),
            message,
        };
        let values = values().map_err(bad)?;
        if values.len() != shape.iter().product::<usize>() {
            return Err(bad(format!("{} values do not fill shape {shape:?}", values.len())));
        }
        self.values[slot.range.clone()].copy_from_slice(&values);
        self.found[index] = true;
        Ok(())
    }

    /// All weights in the model's order.
    ///
    /// # Errors
    /// A weight is missing, or there was one that the model does not have.
    pub(super) fn finish(mut self) -> Result<Params, ModelError> {
        self.extra.sort();
        if let Some((slot, _)) = self
            .expected
            .slots()
            .iter()
            .zip(&self.found)
            .find(|(_, found)| !**found)
        {
            return Err(ModelError::MissingTensor {
                path: self.path,
                name: slot.name.clone(),
                expected: slot.shape.clone(),
            });
        }
        if let Some(name) = self.extra.first() {
            return Err(ModelError::ExtraTensors {
                path: self.path,
                count: self.extra.len(),
                name: name.clone(),
            });
        }
        Ok(Params::new(self.expected, self.values)?)
    }
}

/// Little-endian values as f32.
fn to_f32(dtype: Dtype, bytes: &[u8]) -> Result<Vec<f32>, String> {
    match dtype {
        Dtype::F32 => Ok(bytes
            .chunks_exact(4)
            .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
            .collect()),
        Dtype::F16 => Ok(bytes
            .chunks_exact(2)
            .map(|b| half::f16::from_le_bytes([b[0], b[1]]).to_f32())
            .collect()),
        Dtype::BF16 => Ok(bytes
            .chunks_exact(2)
            .map(|b| half::bf16::from_le_bytes([b[0], b[1]]).to_f32())
            .collect()),
        other => Err(format!("type {other:?}; expected F32, F16 or BF16")),
    }
}

/// Adds every tensor of one safetensors file.
pub(super) fn add_safetensors(collector: &mut Collector, bytes: &[u8], path: &Path) -> Result<(), ModelError> {
    let file = SafeTensors::deserialize(bytes).map_err(|e| ModelError::file(path, e))?;
    for (name, view) in file.iter() {
        collector.add(name, view.shape(), || to_f32(view.dtype(), view.data()))?;
    }
    Ok(())
}

/// The weight files of a folder: model.safetensors, or the shards that model.safetensors.index.json names.
pub(super) fn weight_files(folder: &Path) -> Result<Vec<PathBuf>, ModelError> {
    let single = folder.join("model.safetensors");
    if single.is_file() {
        return Ok(vec![single]);
    }
    let index = folder.join("model.safetensors.index.json");
    let text = std::fs::read_to_string(&index).map_err(|_| {
        ModelError::file(
            folder,
            "neither model.safetensors nor model.safetensors.index.json in the model folder",
        )
    })?;
    Ok(shards(&text, &index)?
        .into_iter()
        .map(|name| folder.join(name))
        .collect())
}

/// File names in a model.safetensors.index.json.
pub(super) fn shards(text: &str, path: &Path) -> Result<Vec<String>, ModelError> {
    let index: serde_json::Value = serde_json::from_str(text).map_err(|e| ModelError::file(path, e))?;
    let Some(map) = index["weight_map"].as_object() else {
        return Err(ModelError::MissingKey {
            path: path.to_path_buf(),
            key: "weight_map".into(),
            expected: "tensor names and their files".into(),
        });
    };
    let mut names: Vec<String> = map.values().filter_map(|v| v.as_str().map(String::from)).collect();
    names.sort();
    names.dedup();
    // a name with a folder in it would read outside the model folder
    match names.iter().find(|name| Path::new(name).components().count() != 1) {
        Some(name) => Err(ModelError::BadValue {
            path: path.to_path_buf(),
            key: "weight_map".into(),
            found: name.clone(),
            expected: "file names without folders".into(),
        }),
        None => Ok(names),
    }
}

/// All weights of a folder.
pub(super) fn from_folder(architecture: &Architecture, folder: &Path) -> Result<Params, ModelError> {
    let mut collector = Collector::new(architecture, folder);
    for path in weight_files(folder)? {
        let bytes = std::fs::read(&path).map_err(|e| ModelError::file(&path, e))?;
        add_safetensors(&mut collector, &bytes, &path)?;
    }
    collector.finish()
}

/// The weights as the bytes of one safetensors file in f32; `path` is for messages.
pub(in crate::model) fn serialize(params: &Arena, path: &Path) -> Result<Vec<u8>, ModelError> {
    tensor_file::weights_to_bytes(params).map_err(|e| ModelError::file(path, e))
}
