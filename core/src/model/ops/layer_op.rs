//! A decoder layer as one candle custom op of two arguments, the hidden states and the layer's weights in a row.
//!
//! One op a layer, as candle's own backward fills a tensor with zeros and adds to it for every argument of every op,
//! which for a small model costs as much as the products.

use std::sync::{Arc, OnceLock};

use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor};

use super::layer::{LayerShape, Saved, backward, forward};
use super::rope::RopeTable;
use super::{slice, with_slice};
use crate::model::packed::Packed;

/// The layer as a candle op on (x [T, D], weights [`LayerShape::len`]). Its saved state stays, so any number of
/// backward passes may follow one forward.
pub struct DecoderLayer {
    /// Sizes and weight layout.
    pub shape: Arc<LayerShape>,
    /// Rotations of all positions of the batch.
    pub rope: Arc<RopeTable>,
    /// The batch's layout.
    pub packed: Arc<Packed>,
    saved: OnceLock<Saved>,
}

impl DecoderLayer {
    /// An op for one forward of one layer.
    pub fn new(shape: Arc<LayerShape>, rope: Arc<RopeTable>, packed: Arc<Packed>) -> Self {
        DecoderLayer {
            shape,
            rope,
            packed,
            saved: OnceLock::new(),
        }
    }
}

impl CustomOp2 for DecoderLayer {
    fn name(&self) -> &'static str {
        "decoder-layer"
    }

    fn cpu_fwd(&self, x: &CpuStorage, lx: &Layout, w: &CpuStorage, lw: &Layout) -> Result<(CpuStorage, Shape)> {
        let (x, w) = (slice(x, lx)?, slice(w, lw)?);
        if w.len() != self.shape.len() || x.len() != self.packed.tokens().len() * self.shape.hidden {
            candle_core::bail!("decoder-layer: x {:?} and {} weights do not fit", lx.shape(), w.len());
        }
        let (z, saved) = forward(&self.shape, w, &self.rope, &self.packed, x, true);
        if let Some(saved) = saved {
            // a second forward of the same op would give the same state
            let _ = self.saved.set(saved);
        }
        Ok((CpuStorage::F32(z), lx.shape().clone()))
    }

    fn bwd(&self, x: &Tensor, w: &Tensor, _: &Tensor, dz: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let Some(saved) = self.saved.get() else {
            candle_core::bail!("decoder-layer: backward before forward")
        };
        let (dx, dw) = with_slice(x, |x| {
            with_slice(w, |w| {
                with_slice(dz, |dz| {
                    Ok(backward(&self.shape, w, &self.rope, &self.packed, x, saved, dz))
                })
            })
        })?;
        let n = dw.len();
        Ok((
            Some(Tensor::from_vec(dx, x.shape(), x.device())?),
            Some(Tensor::from_vec(dw, n, w.device())?),
        ))
    }
}
