//! Weights in safetensors, or in PyTorch's pickle files: read from one file or from shards, tensor by tensor, to f32 in the
//! model's order. Names and shapes are checked before any memory is taken for them.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use candle_core::pickle::PthTensors;

use safetensors::tensor::TensorInfo;
use safetensors::{Dtype, SafeTensors};

use crate::caught::quietly;
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

/// Names and shapes of the tensors in some files.
pub(super) type Shapes = BTreeMap<String, Vec<usize>>;

impl Collector {
    /// A collector of the model's weights, which stand in `path` with the shapes `shapes`.
    ///
    /// # Errors
    /// A weight is not among them, or has another shape than the model's.
    pub(super) fn new(architecture: &Architecture, path: &Path, shapes: &Shapes) -> Result<Self, ModelError> {
        // a config may claim any number; the list of names alone would fill the memory
        if architecture.layers > shapes.len() {
            return Err(ModelError::BadValue {
                path: path.to_path_buf(),
                key: "num_hidden_layers".into(),
                found: architecture.layers.to_string(),
                expected: format!("layers that are there; the weights have {} tensors", shapes.len()),
            });
        }
        if let Some((name, expected)) = architecture
            .parameters()
            .into_iter()
            .find(|(n, s)| shapes.get(n) != Some(s))
        {
            let path = path.to_path_buf();
            return Err(match shapes.get(&name) {
                None => ModelError::MissingTensor { path, name, expected },
                Some(found) => ModelError::TensorShape {
                    path,
                    name,
                    found: found.clone(),
                    expected,
                },
            });
        }
        let expected = architecture.layout();
        Ok(Collector {
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
        })
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

/// The weights in the bytes of one safetensors file; `path` is for messages.
pub(super) fn from_bytes(architecture: &Architecture, bytes: &[u8], path: &Path) -> Result<Params, ModelError> {
    let file = SafeTensors::deserialize(bytes).map_err(|e| ModelError::file(path, e))?;
    let shapes: Shapes = file
        .iter()
        .map(|(name, view)| (name.to_owned(), view.shape().to_vec()))
        .collect();
    let mut collector = Collector::new(architecture, path, &shapes)?;
    for (name, view) in file.iter() {
        collector.add(name, view.shape(), || to_f32(view.dtype(), view.data()))?;
    }
    collector.finish()
}

/// One tensor of a safetensors file: its name, type, shape and place in the file.
type Entry = (String, Dtype, Vec<usize>, std::ops::Range<u64>);

/// A weight file whose list of tensors is read.
enum WeightFile {
    Safetensors(PathBuf, File, Vec<Entry>),
    Pickle(PthTensors, Vec<(String, Vec<usize>)>),
}

impl WeightFile {
    fn open(path: &Path) -> Result<Self, ModelError> {
        let bad = |e: &dyn std::fmt::Display| ModelError::file(path, e);
        if path.extension().is_some_and(|e| e == "bin") {
            // data only: what a pickle may call is not called
            let tensors = quietly(|| PthTensors::new(path, None))
                .map_err(|panic| bad(&panic))?
                .map_err(|e| bad(&brief(&e)))?;
            let infos = tensors.tensor_infos().iter();
            let mut list: Vec<_> = infos
                .map(|(name, info)| (name.clone(), info.layout.dims().to_vec()))
                .collect();
            list.sort();
            return Ok(WeightFile::Pickle(tensors, list));
        }
        let mut file = File::open(path).map_err(|e| bad(&e))?;
        let size = file.metadata().map_err(|e| bad(&e))?.len();
        let mut length = [0; 8];
        file.read_exact(&mut length)
            .map_err(|_| bad(&format!("{size} bytes are no safetensors file")))?;
        let header = u64::from_le_bytes(length);
        if header > size.saturating_sub(8) || header > MOST_HEADER {
            return Err(bad(&format!("the header claims {header} bytes, the file has {size}")));
        }
        let mut bytes = length.to_vec();
        (&file).take(header).read_to_end(&mut bytes).map_err(|e| bad(&e))?;
        let entries = entries(&bytes[8..], 8 + header, size).map_err(|message| bad(&message))?;
        Ok(WeightFile::Safetensors(path.to_path_buf(), file, entries))
    }

    fn add_shapes(&self, shapes: &mut Shapes) {
        match self {
            WeightFile::Safetensors(_, _, entries) => {
                shapes.extend(entries.iter().map(|(name, _, shape, _)| (name.clone(), shape.clone())));
            }
            WeightFile::Pickle(_, list) => shapes.extend(list.iter().cloned()),
        }
    }

    /// Hands every tensor over, one after the other.
    fn add_to(&mut self, collector: &mut Collector) -> Result<(), ModelError> {
        match self {
            WeightFile::Safetensors(path, file, entries) => {
                for (name, dtype, shape, range) in entries {
                    collector.add(name, shape, || {
                        let mut bytes = Vec::new();
                        file.seek(SeekFrom::Start(range.start)).map_err(|e| e.to_string())?;
                        let length = range.end - range.start;
                        file.take(length)
                            .read_to_end(&mut bytes)
                            .map_err(|e| format!("{}: {e}", path.display()))?;
                        to_f32(*dtype, &bytes)
                    })?;
                }
            }
            WeightFile::Pickle(tensors, list) => {
                for (name, shape) in list {
                    collector.add(name, shape, || {
                        let words = |e: candle_core::Error| brief(&e);
                        let tensor = quietly(|| tensors.get(name))?.map_err(words)?.ok_or("no data")?;
                        let tensor = tensor.to_dtype(candle_core::DType::F32).map_err(words)?;
                        tensor.flatten_all().and_then(|t| t.to_vec1::<f32>()).map_err(words)
                    })?;
                }
            }
        }
        Ok(())
    }
}

/// The tensors in a safetensors header, in the order of the file. Their values begin at `start`, fill the file without
/// gaps and end with it at `size`.
fn entries(header: &[u8], start: u64, size: u64) -> Result<Vec<Entry>, String> {
    let header: serde_json::Map<String, serde_json::Value> =
        serde_json::from_slice(header).map_err(|e| format!("the header is damaged: {e}"))?;
    let mut entries: Vec<Entry> = Vec::with_capacity(header.len());
    for (name, value) in header.into_iter().filter(|(name, _)| name != "__metadata__") {
        let info: TensorInfo =
            serde_json::from_value(value).map_err(|e| format!("the header's entry `{name}` is damaged: {e}"))?;
        let bits = info
            .shape
            .iter()
            .try_fold(info.dtype.bitsize(), |bits, n| bits.checked_mul(*n));
        let (from, to) = info.data_offsets;
        if bits.is_none_or(|bits| bits % 8 != 0 || to.checked_sub(from) != Some(bits / 8)) {
            return Err(format!(
                "tensor `{name}` has shape {:?} and bytes {from} to {to}",
                info.shape
            ));
        }
        entries.push((
            name,
            info.dtype,
            info.shape,
            start.saturating_add(from as u64)..start.saturating_add(to as u64),
        ));
    }
    entries.sort_by_key(|(.., range)| (range.start, range.end));
    let mut end = start;
    for (name, .., range) in &entries {
        if range.start != end {
            return Err(format!(
                "tensor `{name}` begins at byte {}, expected {end}",
                range.start
            ));
        }
        end = range.end;
    }
    if end != size {
        return Err(format!("the file has {size} bytes, its header says {end}"));
    }
    Ok(entries)
}

/// Longest header of a safetensors file, as the format says.
const MOST_HEADER: u64 = 100_000_000;

/// candle's errors without the backtrace that follows them.
pub(super) fn brief(error: &candle_core::Error) -> String {
    error.to_string().lines().next().unwrap_or_default().to_string()
}

/// The weight files of a folder: model.safetensors, or the shards that model.safetensors.index.json names; without both,
/// pytorch_model.bin or its shards.
fn weight_files(folder: &Path) -> Result<Vec<PathBuf>, ModelError> {
    for name in ["model.safetensors", "pytorch_model.bin"] {
        let single = folder.join(name);
        if single.is_file() {
            return Ok(vec![single]);
        }
        let index = folder.join(format!("{name}.index.json"));
        if let Ok(text) = std::fs::read_to_string(&index) {
            let names = shards(&text, &index)?;
            return Ok(names.into_iter().map(|name| folder.join(name)).collect());
        }
    }
    Err(ModelError::file(
        folder,
        "neither model.safetensors nor model.safetensors.index.json in the model folder, and no pytorch_model.bin",
    ))
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
    let files = weight_files(folder)?;
    let mut files = files
        .iter()
        .map(|path| WeightFile::open(path))
        .collect::<Result<Vec<_>, _>>()?;
    let mut shapes = Shapes::new();
    files.iter().for_each(|file| file.add_shapes(&mut shapes));
    let mut collector = Collector::new(architecture, folder, &shapes)?;
    for file in &mut files {
        file.add_to(&mut collector)?;
    }
    collector.finish()
}

/// The weights as the bytes of one safetensors file in f32; `path` is for messages.
pub(in crate::model) fn serialize(params: &Arena, path: &Path) -> Result<Vec<u8>, ModelError> {
    tensor_file::weights_to_bytes(params).map_err(|e| ModelError::file(path, e))
}
