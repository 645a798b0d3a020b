//! Fused kernels of the decoder on CPU, in f32, each with a backward of its own: plain functions on slices, which
//! [`crate::model::Forward`] chains by hand.
//!
//! * [`simd`]: vector helpers, compiled for AVX-512, AVX2 and the baseline, chosen at run time
//! * [`gemm`]: matrix products on row-major slices, through the gemm crate
//! * [`skinny`]: products with few rows; [`pool`]: buffers that are used again
//! * [`norm`], [`rope`], [`swiglu`], [`attention`]: forward and backward on plain slices
//! * [`decode`]: attention of one new token over a cache
//! * [`layer`]: one whole decoder layer made of these
//! * [`head`]: the last RMS norm and the chunked log-probability head
//!
//! Every result is a pure function of the inputs: work is split at fixed row numbers and sums are added in a
//! fixed order, whichever thread ran first. This is the only part of the model that holds `unsafe`.

pub(crate) mod simd;

pub(crate) mod gemm;

pub(crate) mod skinny;

pub(crate) mod pool;

pub mod norm;

pub mod rope;

pub mod swiglu;

pub mod attention;

pub(crate) mod decode;

pub mod layer;

pub mod head;

use candle_core::{CpuStorage, Layout, Result, Storage, Tensor};

/// The nearest f32 of a constant or a table entry that was computed in f64.
#[allow(clippy::cast_possible_truncation, reason = "rounding to f32 is meant")]
pub(crate) fn narrow(x: f64) -> f32 {
    x as f32
}

/// Rows that one task of a row-parallel kernel takes: the widest activation of a small model stays in L2.
pub(crate) const ROWS: usize = 256;

/// The contiguous f32 slice behind a storage and its layout.
pub(crate) fn slice<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    let data = storage.as_slice::<f32>()?;
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(&data[start..end]),
        None => candle_core::bail!("a fused op needs contiguous tensors"),
    }
}

/// Runs `f` on the contiguous f32 values of a CPU tensor.
pub fn with_slice<R>(tensor: &Tensor, f: impl FnOnce(&[f32]) -> Result<R>) -> Result<R> {
    let tensor = tensor.contiguous()?;
    let (storage, layout) = tensor.storage_and_layout();
    match &*storage {
        Storage::Cpu(cpu) => f(slice(cpu, layout)?),
        _ => candle_core::bail!("a fused op runs on the CPU only"),
    }
}
