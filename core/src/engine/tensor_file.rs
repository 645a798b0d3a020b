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
fn metadata() -> std::collections::HashMap<String, String> {
    [("format".to_owned(), "pt".to_owned())].into()
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
    safetensors::serialize(tensors(&[("", weights)]), Some(metadata())).map_err(io::Error::other)
}

/// Writes a file of weights, one tensor after the other, with the permissions of the file `like`: safetensors makes its
/// own for the owner only.
///
/// # Errors
/// It cannot be written.
pub(crate) fn write_weights(path: &Path, weights: &Arena, like: &Path) -> io::Result<()> {
    safetensors::serialize_to_file(tensors(&[("", weights)]), Some(metadata()), path).map_err(io::Error::other)?;
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

/// Reads buffers, each part's name after its buffer's prefix.
///
/// # Errors
/// The file cannot be read, a part is missing or has another shape or type, or there is a tensor more.
pub(crate) fn read(path: &Path, parts: &[(&str, &Layout)]) -> Result<Vec<Vec<f32>>, ReadError> {
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
            if view.dtype() != Dtype::F32 || view.shape() != slot.shape {
                let (dtype, shape) = (view.dtype(), view.shape());
                let problem = format!("is {dtype:?} {shape:?}, expected F32 {:?}", slot.shape);
                return Err(ReadError::Tensor(name, problem));
            }
            let of = view.data().chunks_exact(4);
            values.extend(of.map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])));
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
