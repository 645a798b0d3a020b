//! Fused kernels of the decoder on the CPU, in f32: plain functions on slices, each with a backward of its own. The
//! decoder chains them by hand.
//!
//! * [`simd`]: vector helpers, compiled for AVX-512, AVX2 and the baseline, chosen at run time
//! * [`gemm`]: matrix products on row-major slices, through the gemm crate; [`skinny`]: products with few rows
//! * [`pool`]: buffers that are used again; [`rows`]: rows of buffers, cut into tasks or copied together
//! * [`norm`], [`rope`], [`swiglu`], [`attention`]: forward and backward on plain slices
//! * [`decode`]: attention of one new token over a cache
//! * [`backward_pass`]: the rows that one backward pass takes through the layers, and their factors
//! * [`lora`]: low-rank adapters of a layer's products
//! * [`layer`]: one whole decoder layer; [`final_norm`] and [`head`]: what follows the layers
//!
//! Every result is a pure function of the inputs: work is split at fixed row numbers, and sums are added in a fixed
//! order, whichever thread ran first. This is the only part of the model that holds `unsafe`.

pub(crate) mod attention;
pub(crate) mod backward_pass;
pub(crate) mod decode;
pub(crate) mod final_norm;
pub(crate) mod gemm;
pub(crate) mod head;
pub(crate) mod layer;
pub(crate) mod lora;
pub(crate) mod norm;
pub(crate) mod pool;
pub(crate) mod rope;
pub(crate) mod rows;
pub(crate) mod simd;
pub(crate) mod skinny;
pub(crate) mod swiglu;
