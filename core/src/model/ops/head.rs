//! The end of the decoder as candle ops: the last RMS norm, and the head that gives each response token's
//! log-probability without ever holding logits for all N tokens.

use std::sync::{Arc, OnceLock};

use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

use super::gemm::{Mat, Threads, gemm, linear};
use super::pool::take;
use super::simd::{add, exp_shifted, log_sum_exp};
use super::{norm, slice, with_slice};
use crate::model::packed::Packed;

/// Logits held at a time (16 MiB), except that a block has at least [`MIN_ROWS`] rows, below which the products
/// are slow.
const BLOCK: usize = 4 << 20;
const MIN_ROWS: usize = 256;
const MAX_ROWS: usize = 2048;

fn block_rows(vocab: usize) -> usize {
    (BLOCK / vocab.max(1)).clamp(MIN_ROWS, MAX_ROWS)
}

/// RMS norm of x [T, D] with its weight [D].
pub struct RmsNorm {
    eps: f32,
    rstd: OnceLock<Vec<f32>>,
}

impl RmsNorm {
    /// With this ε.
    pub fn new(eps: f64) -> Self {
        RmsNorm {
            eps: super::narrow(eps),
            rstd: OnceLock::new(),
        }
    }
}

/// Rows `x` [T, D] normed -> ([T, D], 1 / rms [T]).
pub(crate) fn norm_rows(x: &[f32], w: &[f32], eps: f32) -> (Vec<f32>, Vec<f32>) {
    let rows = super::ROWS;
    let mut out = vec![0f32; x.len()];
    let mut rstd = vec![0f32; x.len() / w.len()];
    x.par_chunks(rows * w.len())
        .zip(out.par_chunks_mut(rows * w.len()).zip(rstd.par_chunks_mut(rows)))
        .for_each(|(x, (out, rstd))| norm::forward(x, w, eps, rstd, out));
    (out, rstd)
}

impl CustomOp2 for RmsNorm {
    fn name(&self) -> &'static str {
        "rms-norm"
    }

    fn cpu_fwd(&self, x: &CpuStorage, lx: &Layout, w: &CpuStorage, lw: &Layout) -> Result<(CpuStorage, Shape)> {
        let (out, rstd) = norm_rows(slice(x, lx)?, slice(w, lw)?, self.eps);
        let _ = self.rstd.set(rstd);
        Ok((CpuStorage::F32(out), lx.shape().clone()))
    }

    fn bwd(&self, x: &Tensor, w: &Tensor, _: &Tensor, dy: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let Some(rstd) = self.rstd.get() else {
            candle_core::bail!("rms-norm: backward before forward")
        };
        let rows = super::ROWS;
        let (dx, dw) = with_slice(x, |x| {
            with_slice(w, |w| {
                with_slice(dy, |dy| {
                    let d = w.len();
                    let mut dx = vec![0f32; x.len()];
                    let parts: Vec<Vec<f32>> = x
                        .par_chunks(rows * d)
                        .zip(dy.par_chunks(rows * d))
                        .zip(dx.par_chunks_mut(rows * d).zip(rstd.par_chunks(rows)))
                        .map(|((x, dy), (dx, rstd))| {
                            let mut dw = vec![0f32; d];
                            norm::backward(x, w, rstd, dy, dx, &mut dw);
                            dw
                        })
                        .collect();
                    let mut dw = vec![0f32; d];
                    parts.iter().for_each(|part| add(part, &mut dw));
                    Ok((dx, dw))
                })
            })
        })?;
        Ok((
            Some(Tensor::from_vec(dx, x.shape(), x.device())?),
            Some(Tensor::from_vec(dw, w.shape(), w.device())?),
        ))
    }
}

/// What the head found for each response token.
#[derive(Debug, Clone, Default)]
pub struct Scored {
    /// log p of the token at the given temperature [N].
    pub logprobs: Vec<f32>,
    /// Entropy of the distribution it was drawn from, nats [N].
    pub entropy: Vec<f32>,
    pub(crate) lse: Vec<f32>, // [N]
}

/// Copies the chosen rows of `hidden` [T, D] to `out`.
fn gather(hidden: &[f32], rows: impl Iterator<Item = usize>, d: usize, out: &mut Vec<f32>) {
    out.clear();
    rows.for_each(|row| out.extend_from_slice(&hidden[row * d..(row + 1) * d]));
}

/// Log-probabilities of `targets` [N] at 1 / temperature `inverse`, from rows `predictors` [N] of `hidden` [T, D]
/// and `w` [V, D].
pub(crate) fn score(hidden: &[f32], w: &[f32], d: usize, predictors: &[u32], targets: &[u32], inverse: f32) -> Scored {
    let (vocab, n) = (w.len() / d, targets.len());
    let block = block_rows(vocab);
    let mut scored = Scored {
        logprobs: vec![0f32; n],
        entropy: vec![0f32; n],
        lse: vec![0f32; n],
    };
    let mut x = Vec::new();
    let mut logits = take(block.min(n) * vocab);
    for from in (0..n).step_by(block) {
        let to = n.min(from + block);
        gather(hidden, predictors[from..to].iter().map(|r| *r as usize), d, &mut x);
        let logits = &mut logits[..(to - from) * vocab];
        linear(&x, w, d, vocab, logits, false, Threads::All);
        logits
            .par_chunks(vocab)
            .zip(targets[from..to].par_iter())
            .zip(
                scored.logprobs[from..to]
                    .par_iter_mut()
                    .zip(&mut scored.entropy[from..to]),
            )
            .zip(&mut scored.lse[from..to])
            .with_min_len(16)
            .for_each(|(((logits, target), (logprob, entropy)), to)| {
                let (lse, mean) = log_sum_exp(logits, inverse);
                *logprob = logits[*target as usize] * inverse - lse;
                *entropy = lse - mean;
                *to = lse;
            });
    }
    scored
}

/// Gradients of hidden [T, D] and w [V, D] from that of the log-probabilities [N]. Tokens whose gradient is zero
/// cost nothing.
fn score_backward(
    hidden: &[f32],
    w: &[f32],
    d: usize,
    (predictors, targets): (&[u32], &[u32]),
    inverse: f32,
    lse: &[f32],
    dlogprobs: &[f32],
) -> (Vec<f32>, Vec<f32>) {
    let vocab = w.len() / d;
    let live: Vec<usize> = (0..targets.len()).filter(|&i| dlogprobs[i] != 0.0).collect();
    let mut dhidden = vec![0f32; hidden.len()];
    let mut dw = vec![0f32; w.len()];
    let (mut x, mut dx) = (Vec::new(), Vec::new());
    let mut logits = take(block_rows(vocab).min(live.len()) * vocab);
    for block in live.chunks(block_rows(vocab)) {
        gather(hidden, block.iter().map(|&i| predictors[i] as usize), d, &mut x);
        let logits = &mut logits[..block.len() * vocab];
        linear(&x, w, d, vocab, logits, false, Threads::All);
        // d log p_target / d logit_v = inverse (1[v = target] − p_v)
        logits
            .par_chunks_mut(vocab)
            .zip(block)
            .with_min_len(16)
            .for_each(|(logits, &i)| {
                let g = dlogprobs[i] * inverse;
                exp_shifted(logits, inverse, lse[i]);
                let row: &mut [f32] = logits;
                scale_in_place(-g, row);
                row[targets[i] as usize] += g;
            });
        dx.resize(block.len() * d, 0.0);
        let rows = block.len();
        gemm(
            (rows, d, vocab),
            &mut dx,
            d,
            false,
            1.0,
            Mat::rows(logits, vocab),
            Mat::rows(w, d),
            Threads::All,
        );
        gemm(
            (vocab, d, rows),
            &mut dw,
            d,
            true,
            1.0,
            Mat::rows(logits, vocab).t(),
            Mat::rows(&x, d),
            Threads::All,
        );
        for (dx, &i) in dx.chunks_exact(d).zip(block) {
            let at = predictors[i] as usize * d;
            add(dx, &mut dhidden[at..at + d]);
        }
    }
    (dhidden, dw)
}

fn scale_in_place(a: f32, row: &mut [f32]) {
    row.iter_mut().for_each(|x| *x *= a);
}

/// Log-probabilities [N] of a packed batch's response tokens, from (hidden [T, D], w [V, D]).
pub struct LogProbHead {
    packed: Arc<Packed>,
    inverse: f32,
    scored: Arc<OnceLock<Scored>>,
}

impl LogProbHead {
    /// For one forward at `temperature`.
    pub fn new(packed: Arc<Packed>, temperature: f32) -> Self {
        LogProbHead {
            packed,
            inverse: 1.0 / temperature,
            scored: Arc::default(),
        }
    }

    /// Where the entropies appear once the op has run.
    pub fn scored(&self) -> Arc<OnceLock<Scored>> {
        self.scored.clone()
    }
}

impl CustomOp2 for LogProbHead {
    fn name(&self) -> &'static str {
        "logprob-head"
    }

    fn cpu_fwd(&self, hidden: &CpuStorage, lh: &Layout, w: &CpuStorage, lw: &Layout) -> Result<(CpuStorage, Shape)> {
        let d = lw.shape().dims2()?.1;
        let (hidden, w) = (slice(hidden, lh)?, slice(w, lw)?);
        let scored = score(
            hidden,
            w,
            d,
            self.packed.predictors(),
            self.packed.targets(),
            self.inverse,
        );
        let logprobs = scored.logprobs.clone();
        let _ = self.scored.set(scored);
        let n = logprobs.len();
        Ok((CpuStorage::F32(logprobs), Shape::from(n)))
    }

    fn bwd(
        &self,
        hidden: &Tensor,
        w: &Tensor,
        _: &Tensor,
        dlogprobs: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let Some(scored) = self.scored.get() else {
            candle_core::bail!("logprob-head: backward before forward")
        };
        let d = w.dim(1)?;
        let rows = (self.packed.predictors(), self.packed.targets());
        let (dhidden, dw) = with_slice(hidden, |h| {
            with_slice(w, |w| {
                with_slice(dlogprobs, |g| {
                    Ok(score_backward(h, w, d, rows, self.inverse, &scored.lse, g))
                })
            })
        })?;
        Ok((
            Some(Tensor::from_vec(dhidden, hidden.shape(), hidden.device())?),
            Some(Tensor::from_vec(dw, w.shape(), w.device())?),
        ))
    }
}
