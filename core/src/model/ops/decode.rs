//! Attention of one new token over cached keys and values.
//!
//! Keys are kept in blocks of 16: [block, d, 16], so that one vector holds 16 scores. Values are kept by row [len, d].

use super::attention::Heads;
use super::simd::{LANES, madd, simd, softmax_unscaled};

/// Keys and values of one key-value head, growing by one row at a time.
#[derive(Debug, Clone, Default)]
pub(crate) struct HeadCache {
    keys: Vec<f32>,
    values: Vec<f32>,
    len: usize,
}

impl HeadCache {
    /// Appends one key [d] and one value [d].
    pub(crate) fn push(&mut self, key: &[f32], value: &[f32]) {
        let (d, lane) = (key.len(), self.len % LANES);
        if lane == 0 {
            self.keys.resize(self.keys.len() + d * LANES, 0.0);
        }
        let start = self.keys.len() - d * LANES;
        for (slot, key) in self.keys[start..].chunks_exact_mut(LANES).zip(key) {
            slot[lane] = *key;
        }
        self.values.extend_from_slice(value);
        self.len += 1;
    }
}

/// Query heads [repeat, d] of one key-value head over a prompt's cache and the completion's own -> `out` [repeat, d].
pub(crate) fn attend(
    heads: Heads,
    query: &[f32],
    prompt: &HeadCache,
    own: &HeadCache,
    scores: &mut Vec<f32>,
    out: &mut [f32],
) {
    let d = heads.dim;
    let scale = 1.0 / (d as f32).sqrt();
    let (first, second) = (prompt.len.next_multiple_of(LANES), own.len.next_multiple_of(LANES));
    scores.resize(first + second, 0.0);
    for (query, out) in query.chunks_exact(d).zip(out.chunks_exact_mut(d)) {
        let (a, b) = scores.split_at_mut(first);
        score_blocks(query, &prompt.keys, a);
        score_blocks(query, &own.keys, b);
        // lanes beyond the last key
        a[prompt.len..].fill(-1e30);
        b[own.len..].fill(-1e30);
        let (_, sum) = softmax_unscaled(scores, scale);
        out.fill(0.0);
        mix(&scores[..prompt.len], &prompt.values, out);
        mix(&scores[first..first + own.len], &own.values, out);
        let norm = 1.0 / sum;
        out.iter_mut().for_each(|o| *o *= norm);
    }
}

simd! {
    fn score_blocks(query: &[f32], keys: &[f32], scores: &mut [f32]) {
        for (block, scores) in keys.chunks_exact(query.len() * LANES).zip(scores.chunks_exact_mut(LANES)) {
            let mut acc = [0f32; LANES];
            for (q, keys) in query.iter().zip(block.chunks_exact(LANES)) {
                for i in 0..LANES {
                    acc[i] = madd::<FMA>(*q, keys[i], acc[i]);
                }
            }
            scores.copy_from_slice(&acc);
        }
    }
}

simd! {
    /// out [d] += Σⱼ p[j] · values[j].
    fn mix(p: &[f32], values: &[f32], out: &mut [f32]) {
        let d = out.len();
        let split = d / LANES * LANES;
        for at in (0..split).step_by(LANES) {
            // four running sums, as one alone would wait for each product
            let mut acc = [[0f32; LANES]; 4];
            let mut quads = p.chunks_exact(4);
            let mut rows = values.chunks_exact(4 * d);
            for (p, rows) in (&mut quads).zip(&mut rows) {
                for k in 0..4 {
                    let row = &rows[k * d + at..k * d + at + LANES];
                    for i in 0..LANES {
                        acc[k][i] = madd::<FMA>(p[k], row[i], acc[k][i]);
                    }
                }
            }
            let done = p.len() / 4 * 4;
            for (p, row) in p[done..].iter().zip(values[done * d..].chunks_exact(d)) {
                let row = &row[at..at + LANES];
                for i in 0..LANES {
                    acc[0][i] = madd::<FMA>(*p, row[i], acc[0][i]);
                }
            }
            for (i, o) in out[at..at + LANES].iter_mut().enumerate() {
                *o += (acc[0][i] + acc[1][i]) + (acc[2][i] + acc[3][i]);
            }
        }
        for (p, row) in p.iter().zip(values.chunks_exact(d)) {
            for (o, v) in out[split..].iter_mut().zip(&row[split..]) {
                *o = madd::<FMA>(*p, *v, *o);
            }
        }
    }
}
