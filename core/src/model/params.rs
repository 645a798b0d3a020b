//! The trainable weights: named tensors in the order of [`Architecture::parameters`](super::Architecture::parameters).
//!
//! Kernels work on plain slices. This file is where slices come out of tensors and go back into them.

use candle_core::{Device, Result, Storage, Tensor, Var};

/// Hugging Face names and values: embedding first, then layer by layer, last norm, head.
pub type Params = Vec<(String, Var)>;

/// A trainable tensor on the CPU.
///
/// # Errors
/// `values` do not fill `shape`.
pub(crate) fn trainable(values: Vec<f32>, shape: &[usize]) -> Result<Var> {
    Var::from_tensor(&Tensor::from_vec(values, shape, &Device::Cpu)?)
}

/// Runs `read` on the contiguous f32 values of a CPU tensor.
///
/// # Errors
/// The tensor is not f32 or not on the CPU; or what `read` returns.
pub(crate) fn with_slice<R>(tensor: &Tensor, read: impl FnOnce(&[f32]) -> Result<R>) -> Result<R> {
    let tensor = tensor.contiguous()?;
    let (storage, layout) = tensor.storage_and_layout();
    match (&*storage, layout.contiguous_offsets()) {
        (Storage::Cpu(cpu), Some((start, end))) => read(&cpu.as_slice::<f32>()?[start..end]),
        _ => candle_core::bail!("expected a contiguous f32 tensor on the CPU, found {layout:?}"),
    }
}

/// Values of several tensors, one after the other.
///
/// # Errors
/// A tensor is not f32 or not on the CPU.
pub(crate) fn copy_flat(params: &[(String, Var)]) -> Result<Vec<f32>> {
    let mut flat = Vec::with_capacity(params.iter().map(|(_, var)| var.elem_count()).sum());
    for (_, var) in params {
        with_slice(var.as_tensor(), |values| {
            flat.extend_from_slice(values);
            Ok(())
        })?;
    }
    Ok(flat)
}
