//! The head: log-probability and entropy of each response token, without ever holding logits for all N tokens.

use rayon::prelude::*;

use super::backward_pass::BackwardPass;
use super::gemm::{Mat, Threads, gemm, linear};
use super::pool::take;
use super::simd::{entropy_slopes, exp_shifted, log_sum_exp};
use crate::model::token_stats::{Cotangent, TokenStats};

/// Logits held at a time (16 MiB), except that a block has at least [`MIN_ROWS`] rows, below which the products
/// are slow.
const BLOCK: usize = 4 << 20;
const MIN_ROWS: usize = 256;
const MAX_ROWS: usize = 2048;

fn block_rows(vocab: usize) -> usize {
    (BLOCK / vocab.max(1)).clamp(MIN_ROWS, MAX_ROWS)
}

/// Copies the chosen rows of `hidden` `[T, D]` to `out`.
fn gather(hidden: &[f32], rows: impl Iterator<Item = usize>, d: usize, out: &mut Vec<f32>) {
    out.clear();
    rows.for_each(|row| out.extend_from_slice(&hidden[row * d..(row + 1) * d]));
}

/// Log-probabilities of `targets` `[N]` with `inv_temperature` = 1 / temperature, from rows `predictors` `[N]` of `hidden`
/// `[T, D]` and `w` `[V, D]`.
pub(crate) fn score(
    hidden: &[f32],
    w: &[f32],
    d: usize,
    predictors: &[u32],
    targets: &[u32],
    inv_temperature: f32,
) -> TokenStats {
    let (vocab, n) = (w.len() / d, targets.len());
    let block = block_rows(vocab);
    let mut stats = TokenStats {
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
                stats.logprobs[from..to]
                    .par_iter_mut()
                    .zip(&mut stats.entropy[from..to]),
            )
            .zip(&mut stats.lse[from..to])
            .with_min_len(16)
            .for_each(|(((logits, target), (logprob, entropy)), to)| {
                let (lse, mean) = log_sum_exp(logits, inv_temperature);
                *logprob = logits[*target as usize] * inv_temperature - lse;
                *entropy = lse - mean;
                *to = lse;
            });
    }
    stats
}

/// What the head's forward pass read and returned.
#[derive(Clone, Copy)]
pub(crate) struct Head<'a> {
    pub(crate) hidden: &'a [f32], // [T, D]
    pub(crate) w: &'a [f32],      // [V, D]
    pub(crate) d: usize,
    pub(crate) predictors: &'a [u32], // [N]
    pub(crate) targets: &'a [u32],    // [N]
    pub(crate) inv_temperature: f32,  // 1 / temperature
    pub(crate) stats: &'a TokenStats,
}

/// What the head's backward writes.
struct Gradients<'a, 'b> {
    passes: &'a [BackwardPass<'b>],
    dhidden: Vec<Vec<f32>>, // of each pass, [R, D]
}

impl Head<'_> {
    /// Returns the gradients of `hidden`, for the rows of each pass `[R, D]`, and adds those of `w` to `dw`, `[V, D]` for
    /// each of M columns, if it is trained. Tokens whose cotangents are all zero cost nothing.
    ///
    /// With z = logits / temperature, p = softmax(z) and H its entropy, the derivatives with respect to z_v are 1[v =
    /// target] − p_v of the log-probability and −p_v (log p_v + H) of the entropy. The first is the same for every
    /// column up to its cotangent, so columns without an entropy share one pass over the logits.
    pub(crate) fn backward(
        &self,
        columns: &[Cotangent<'_>],
        passes: &[BackwardPass<'_>],
        mut dw: Option<Vec<&mut [f32]>>,
    ) -> Vec<Vec<f32>> {
        let empty = |pass: &BackwardPass<'_>| vec![0f32; pass.packed().tokens().len() * self.d];
        let mut gradients = Gradients {
            passes,
            dhidden: passes.iter().map(empty).collect(),
        };
        let plain: Vec<usize> = (0..columns.len()).filter(|&m| columns[m].entropy.is_none()).collect();
        if !plain.is_empty() {
            self.over_logits(columns, &plain, &mut gradients, dw.as_deref_mut(), |logits, i| {
                exp_shifted(logits, self.inv_temperature, self.stats.lse[i]);
                logits.iter_mut().for_each(|p| *p *= -self.inv_temperature);
                logits[self.targets[i] as usize] += self.inv_temperature;
            });
        }
        for (m, column) in columns.iter().enumerate() {
            let Some(entropy) = column.entropy else { continue };
            self.over_logits(columns, &[m], &mut gradients, dw.as_deref_mut(), |logits, i| {
                let g = column.logprobs[i];
                let (shift, h) = (self.stats.lse[i], self.stats.entropy[i]);
                entropy_slopes(logits, self.inv_temperature, shift, g, entropy[i], h);
                logits[self.targets[i] as usize] += g * self.inv_temperature;
            });
        }
        gradients.dhidden
    }

    /// One pass over the logits [n, V] of the tokens that have a gradient in some of the columns `of`. `slopes` turns
    /// the logits of token `i` into derivatives with respect to them: of the log-probability, which each column
    /// multiplies by its cotangent, or of the whole scalar if the column has an entropy.
    fn over_logits(
        &self,
        columns: &[Cotangent<'_>],
        of: &[usize],
        gradients: &mut Gradients<'_, '_>,
        mut dw: Option<&mut [&mut [f32]]>,
        slopes: impl Fn(&mut [f32], usize) + Sync,
    ) {
        let (d, vocab) = (self.d, self.w.len() / self.d);
        let wide = of.len() * d;
        let active: Vec<usize> = (0..self.targets.len())
            .filter(|&i| of.iter().any(|&m| columns[m].is_nonzero_at(i)))
            .collect();
        let factor = |m: usize, i: usize| match columns[m].entropy {
            None => columns[m].logprobs[i],
            Some(_) => 1.0,
        };
        let mut several = vec![0f32; if of.len() == 1 || dw.is_none() { 0 } else { vocab * wide }]; // [V, M, D] for the M columns `of`
        let (mut x, mut dx, mut scaled) = (Vec::new(), Vec::new(), Vec::new());
        let mut logits = take(block_rows(vocab).min(active.len()) * vocab);
        for block in active.chunks(block_rows(vocab)) {
            let rows = block.len();
            gather(
                self.hidden,
                block.iter().map(|&i| self.predictors[i] as usize),
                d,
                &mut x,
            );
            let logits = &mut logits[..rows * vocab];
            linear(&x, self.w, d, vocab, logits, false, Threads::All);
            logits
                .par_chunks_mut(vocab)
                .zip(block)
                .with_min_len(16)
                .for_each(|(logits, &i)| slopes(logits, i));
            dx.resize(rows * d, 0.0);
            let (slopes, w) = (Mat::rows(logits, vocab), Mat::rows(self.w, d));
            gemm((rows, d, vocab), &mut dx, d, false, 1.0, slopes, w, Threads::All);
            if let Some(dw) = dw.as_deref_mut() {
                scaled.clear();
                for (x, &i) in x.chunks_exact(d).zip(block) {
                    for &m in of {
                        let factor = factor(m, i);
                        scaled.extend(x.iter().map(|x| factor * x));
                    }
                }
                let x = Mat::rows(&scaled, wide);
                let to: &mut [f32] = match of {
                    [m] => dw[*m],
                    _ => &mut several,
                };
                gemm((vocab, wide, rows), to, wide, true, 1.0, slopes.t(), x, Threads::All);
            }
            let mine = |pass: &BackwardPass<'_>| pass.columns().iter().all(|m| of.contains(m));
            let passes = gradients.passes.iter().zip(&mut gradients.dhidden);
            for (pass, to) in passes.filter(|(pass, _)| mine(pass)) {
                for (dx, &i) in dx.chunks_exact(d).zip(block) {
                    pass.scatter(self.predictors[i] as usize, dx, |m| factor(m, i), to);
                }
            }
        }
        let Some(dw) = dw else { return };
        for (row, several) in several.chunks_exact(wide).enumerate() {
            for (&m, part) in of.iter().zip(several.chunks_exact(d)) {
                dw[m][row * d..(row + 1) * d].copy_from_slice(part);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;
    use crate::model::packed::Packed;

    #[derive(Deserialize)]
    struct Table {
        width: usize,
        cases: Vec<Case>,
    }

    #[derive(Deserialize)]
    struct Case {
        temperature: f32,
        hidden: Vec<f32>,
        head: Vec<f32>,
        predictors: Vec<u32>,
        targets: Vec<u32>,
        by_logprob: Vec<f32>,
        by_entropy: Vec<f32>,
        logprobs: Vec<f32>,
        entropies: Vec<f32>,
        grad_hidden: Vec<f32>,
        grad_head: Vec<f32>,
    }

    fn close(what: &str, found: &[f32], want: &[f32]) {
        assert_eq!(found.len(), want.len(), "{what}");
        for (i, (f, w)) in found.iter().zip(want).enumerate() {
            assert!(
                (f - w).abs() <= 3e-6 * (1.0 + w.abs()),
                "{what}[{i}]: {f}, expected {w}"
            );
        }
    }

    fn table() -> Table {
        serde_json::from_str(include_str!("../../../../tests/golden/head.json")).expect("golden file parses")
    }

    fn head<'a>(case: &'a Case, d: usize, stats: &'a TokenStats) -> Head<'a> {
        Head {
            hidden: &case.hidden,
            w: &case.head,
            d,
            predictors: &case.predictors,
            targets: &case.targets,
            inv_temperature: 1.0 / case.temperature,
            stats,
        }
    }

    /// Gradients of hidden and of w for each column, each with a pass of its own over all five rows.
    fn alone(head: &Head<'_>, columns: &[Cotangent<'_>]) -> Vec<(Vec<f32>, Vec<f32>)> {
        let packed = Packed::new(&[[0]], &[[0; 5]], &[0]).expect("five rows");
        let passes: Vec<BackwardPass<'_>> = (0..columns.len())
            .map(|m| BackwardPass::for_column(&packed, m, &[true]))
            .collect();
        let mut dw = vec![vec![0f32; head.w.len()]; columns.len()];
        let to = dw.iter_mut().map(Vec::as_mut_slice).collect();
        let dhidden = head.backward(columns, &passes, Some(to));
        dhidden.into_iter().zip(dw).collect()
    }

    fn stats(case: &Case, d: usize) -> TokenStats {
        let inv_temperature = 1.0 / case.temperature;
        score(
            &case.hidden,
            &case.head,
            d,
            &case.predictors,
            &case.targets,
            inv_temperature,
        )
    }

    #[test]
    fn log_probabilities_entropies_and_their_gradients_are_pytorchs() {
        let Table { width, cases } = table();
        for case in &cases {
            let stats = stats(case, width);
            close("logprobs", &stats.logprobs, &case.logprobs);
            close("entropies", &stats.entropy, &case.entropies);
            let both = Cotangent {
                logprobs: &case.by_logprob,
                entropy: Some(&case.by_entropy),
            };
            let (dhidden, dw) = alone(&head(case, width, &stats), &[both]).remove(0);
            close("grad_hidden", &dhidden, &case.grad_hidden);
            close("grad_head", &dw, &case.grad_head);
        }
    }

    /// Columns return the same gradients together as alone, and those of log-probability and entropy add up.
    #[test]
    fn columns_share_a_pass_and_change_nothing() {
        let Table { width, cases } = table();
        for case in &cases {
            let stats = stats(case, width);
            let head = head(case, width, &stats);
            let zero = vec![0.0; case.targets.len()];
            let twice: Vec<f32> = case.by_logprob.iter().map(|g| 2.0 * g).collect();
            let entropy = Cotangent {
                logprobs: &zero,
                entropy: Some(&case.by_entropy),
            };
            let columns = [
                Cotangent::of(&case.by_logprob),
                entropy,
                Cotangent::of(&twice),
                Cotangent::of(&zero),
            ];
            let found = alone(&head, &columns);
            let sum = |a: &[f32], b: &[f32]| -> Vec<f32> { a.iter().zip(b).map(|(a, b)| a + b).collect() };
            close("sum of hidden", &sum(&found[0].0, &found[1].0), &case.grad_hidden);
            close("sum of head", &sum(&found[0].1, &found[1].1), &case.grad_head);
            let (hidden, w) = alone(&head, &columns[2..3]).remove(0);
            close("alone, hidden", &hidden, &found[2].0);
            close("alone, head", &w, &found[2].1);
            assert!(found[3].0.iter().chain(&found[3].1).all(|g| *g == 0.0));
        }
    }
}
