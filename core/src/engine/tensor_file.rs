//! Buffers in safetensors files, one tensor for each part, in f32.

use std::{borrow::Cow, collections::BTreeMap, fs, io, path::Path};

use safetensors::{Dtype, SafeTensors, View};

use super::{Arena, Layout};

/// A part of a buffer as safetensors asks for it: bytes of one tensor at a time.
struct Tensor<'a> {
    shape: &'a [usize],
    values: &'a [f32],
}

impl View for Tensor<'_> {
    fn dtype(&self) -> Dtype {
        Dtype::F32
    }

    fn shape(&self) -> &[usize] {
        self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        self.values.iter().flat_map(|v| v.to_le_bytes()).collect()
    }

    fn data_len(&self) -> usize {
        self.values.len() * 4
    }
}

/// What Hugging Face's libraries want to see in a file of weights.
fn metadata() -> [(String, String); 1] {
    [("format".to_owned(), "pt".to_owned())]
}

fn tensors<'a>(parts: &'a [(&str, &Arena)]) -> impl Iterator<Item = (String, Tensor<'a>)> {
    parts.iter().flat_map(|(prefix, arena)| {
        arena.iter().map(move |(slot, values)| {
            let shape = slot.shape.as_slice();
            (format!("{prefix}{}", slot.name), Tensor { shape, values })
        })
    })
}

/// The bytes of a file of weights.
///
/// # Errors
/// safetensors refuses a name or a shape.
pub(crate) fn weights_to_bytes(weights: &Arena) -> io::Result<Vec<u8>> {
    safetensors::serialize(tensors(&[("", weights)]), Some(metadata().into())).map_err(io::Error::other)
}

/// Writes a file of weights, one tensor after the other, with the permissions of the file `like`: safetensors makes its
/// own for the owner only.
///
/// # Errors
/// It cannot be written.
pub(crate) fn write_weights(path: &Path, weights: &Arena, like: &Path) -> io::Result<()> {
    safetensors::serialize_to_file(tensors(&[("", weights)]), Some(metadata().into()), path)
        .map_err(io::Error::other)?;
    fs::set_permissions(path, fs::metadata(like)?.permissions())
}

/// Writes the parts of several buffers, each name after its buffer's prefix; otherwise as [`write_weights`].
///
/// # Errors
/// It cannot be written.
pub(crate) fn write(path: &Path, parts: &[(&str, &Arena)], like: &Path) -> io::Result<()> {
    safetensors::serialize_to_file(tensors(parts), None, path).map_err(io::Error::other)?;
    fs::set_permissions(path, fs::metadata(like)?.permissions())
}

/// Why a file is not what was asked for.
#[derive(Debug)]
pub(crate) enum ReadError {
    /// It cannot be read at all.
    File(String),
    /// A tensor, and what is wrong with it.
    Tensor(String, String),
}

/// Little-endian values as f32.
fn to_f32(dtype: Dtype, bytes: &[u8]) -> Vec<f32> {
    let two = bytes.chunks_exact(2).map(|b| [b[0], b[1]]);
    match dtype {
        Dtype::F16 => two.map(|b| half::f16::from_le_bytes(b).to_f32()).collect(),
        Dtype::BF16 => two.map(|b| half::bf16::from_le_bytes(b).to_f32()).collect(),
        _ => {
            let four = bytes.chunks_exact(4);
            four.map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
        }
    }
}

/// Reads buffers, each part's name after its buffer's prefix, from tensors of one of the `types` (F32, BF16, F16).
///
/// # Errors
/// The file cannot be read, a part is missing or has another shape or type, or there is a tensor more.
pub(crate) fn read(path: &Path, parts: &[(&str, &Layout)], types: &[Dtype]) -> Result<Vec<Vec<f32>>, ReadError> {
    let bytes = fs::read(path).map_err(|e| ReadError::File(e.to_string()))?;
    let file = SafeTensors::deserialize(&bytes).map_err(|e| ReadError::File(e.to_string()))?;
    let mut found: BTreeMap<&str, _> = file.iter().collect();
    let mut buffers = Vec::with_capacity(parts.len());
    for (prefix, layout) in parts {
        let mut values = Vec::with_capacity(layout.len());
        for slot in layout.slots() {
            let name = format!("{prefix}{}", slot.name);
            let Some(view) = found.remove(name.as_str()) else {
                return Err(ReadError::Tensor(name, "is missing".into()));
            };
            if !types.contains(&view.dtype()) || view.shape() != slot.shape {
                let (dtype, shape) = (view.dtype(), view.shape());
                let types: Vec<String> = types.iter().map(|dtype| format!("{dtype:?}")).collect();
                let problem = format!(
                    "is {dtype:?} {shape:?}, expected {} {:?}",
                    types.join(" or "),
                    slot.shape
                );
                return Err(ReadError::Tensor(name, problem));
            }
            values.extend(to_f32(view.dtype(), view.data()));
        }
        buffers.push(values);
    }
    match found.keys().next() {
        Some(name) => Err(ReadError::Tensor(
            (*name).to_owned(),
            "does not belong to the model".into(),
        )),
        None => Ok(buffers),
    }
}
