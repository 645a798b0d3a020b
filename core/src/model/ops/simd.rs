//! Vector helpers over f32 slices. Bodies loop over lanes of 16, which LLVM turns into vector code. `simd!` compiles
//! each body three times (AVX-512, AVX2 with FMA, baseline) and picks one at run time.

use std::sync::OnceLock;

/// Lanes of the widest vector, and the number of running sums of a reduction.
pub(crate) const LANES: usize = 16;

/// What this machine's vector unit can do.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Level {
    Baseline,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

/// The best level of this machine, detected once.
pub(crate) fn level() -> Level {
    static LEVEL: OnceLock<Level> = OnceLock::new();
    *LEVEL.get_or_init(|| {
        #[cfg(target_arch = "x86_64")]
        {
            let avx2 = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
            let avx512 = is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512vl")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512dq");
            if avx2 && avx512 {
                return Level::Avx512;
            }
            if avx2 {
                return Level::Avx2;
            }
        }
        Level::Baseline
    })
}

/// Defines a function whose body is compiled for each [`Level`]. Inside the body the constant `FMA` says
/// whether [`madd`] may be one instruction.
macro_rules! simd {
    ($(#[$doc:meta])* $vis:vis fn $name:ident($($arg:ident: $ty:ty),* $(,)?) $(-> $ret:ty)? $body:block) => {
        $(#[$doc])*
        #[allow(clippy::too_many_arguments, reason = "kernels take slices and their sizes")]
        #[inline]
        $vis fn $name($($arg: $ty),*) $(-> $ret)? {
            #[inline(always)]
            fn body<const FMA: bool>($($arg: $ty),*) $(-> $ret)? $body

            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx2,fma")]
                fn avx512($($arg: $ty),*) $(-> $ret)? {
                    body::<true>($($arg),*)
                }
                #[target_feature(enable = "avx2,fma")]
                fn avx2($($arg: $ty),*) $(-> $ret)? {
                    body::<true>($($arg),*)
                }
                match $crate::model::ops::simd::level() {
                    // SAFETY: `level` returned this value because the CPU has these features.
                    $crate::model::ops::simd::Level::Avx512 => return unsafe { avx512($($arg),*) },
                    // SAFETY: as above.
                    $crate::model::ops::simd::Level::Avx2 => return unsafe { avx2($($arg),*) },
                    $crate::model::ops::simd::Level::Baseline => {}
                }
            }
            body::<{ cfg!(target_arch = "aarch64") }>($($arg),*)
        }
    };
}
pub(crate) use simd;

/// a · b + c, in one rounding where the caller was compiled with FMA.
#[inline(always)]
pub(crate) fn madd<const FMA: bool>(a: f32, b: f32, c: f32) -> f32 {
    if FMA { a.mul_add(b, c) } else { a * b + c }
}

/// exp(x) to 2 units in the last place for x in [-87, 88], flushed to about 1e-38 below; vectorisable.
/// Cephes' polynomial on r = x - n ln 2, |r| <= ln 2 / 2.
#[inline(always)]
pub(crate) fn exp<const FMA: bool>(x: f32) -> f32 {
    // 1.5 * 2^23: adding it rounds to the nearest integer, which is then in the low bits.
    const MAGIC: f32 = 12_582_912.0;
    let x = x.clamp(-87.3, 88.0);
    let t = madd::<FMA>(x, std::f32::consts::LOG2_E, MAGIC);
    let n = t - MAGIC;
    let r = madd::<FMA>(n, -0.693_359_4, x);
    let r = madd::<FMA>(n, 2.121_944_4e-4, r);
    let mut p = 1.987_569_1e-4;
    p = madd::<FMA>(p, r, 1.398_199_9e-3);
    p = madd::<FMA>(p, r, 8.333_452e-3);
    p = madd::<FMA>(p, r, 4.166_579_6e-2);
    p = madd::<FMA>(p, r, 1.666_666_5e-1);
    p = madd::<FMA>(p, r, 5e-1);
    let p = madd::<FMA>(p, r * r, r) + 1.0;
    f32::from_bits(p.to_bits().wrapping_add(t.to_bits() << 23))
}

#[inline(always)]
pub(crate) fn fold_sum(acc: [f32; LANES]) -> f32 {
    let mut width = LANES;
    let mut acc = acc;
    while width > 1 {
        width /= 2;
        for i in 0..width {
            acc[i] += acc[i + width];
        }
    }
    acc[0]
}

#[inline(always)]
pub(crate) fn dot_body<const FMA: bool>(a: &[f32], b: &[f32]) -> f32 {
    let n = a.len().min(b.len());
    let (a, b) = (&a[..n], &b[..n]);
    let mut acc = [0f32; LANES];
    let (ca, cb) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let (ra, rb) = (ca.remainder(), cb.remainder());
    for (x, y) in ca.zip(cb) {
        for i in 0..LANES {
            acc[i] = madd::<FMA>(x[i], y[i], acc[i]);
        }
    }
    for (i, (x, y)) in ra.iter().zip(rb).enumerate() {
        acc[i] = madd::<FMA>(*x, *y, acc[i]);
    }
    fold_sum(acc)
}

#[inline(always)]
pub(crate) fn max_body(a: &[f32]) -> f32 {
    let mut acc = [f32::NEG_INFINITY; LANES];
    let chunks = a.chunks_exact(LANES);
    let rest = chunks.remainder();
    for x in chunks {
        for i in 0..LANES {
            acc[i] = if x[i] > acc[i] { x[i] } else { acc[i] };
        }
    }
    for (i, &x) in rest.iter().enumerate() {
        acc[i] = if x > acc[i] { x } else { acc[i] };
    }
    let mut best = acc[0];
    for &x in &acc[1..] {
        best = if x > best { x } else { best };
    }
    best
}

/// Replaces each value by exp(scale · value − shift), and returns the sum.
#[inline(always)]
pub(crate) fn exp_sum_body<const FMA: bool>(a: &mut [f32], scale: f32, shift: f32) -> f32 {
    let mut acc = [0f32; LANES];
    let mut chunks = a.chunks_exact_mut(LANES);
    for x in &mut chunks {
        for i in 0..LANES {
            x[i] = exp::<FMA>(madd::<FMA>(x[i], scale, -shift));
            acc[i] += x[i];
        }
    }
    for (i, x) in chunks.into_remainder().iter_mut().enumerate() {
        *x = exp::<FMA>(madd::<FMA>(*x, scale, -shift));
        acc[i] += *x;
    }
    fold_sum(acc)
}

simd! {
    /// Σ aᵢ bᵢ.
    pub(crate) fn dot(a: &[f32], b: &[f32]) -> f32 { dot_body::<FMA>(a, b) }
}

simd! {
    /// Replaces `a` by exp(scale · a − max), a softmax without its division. Returns (max of scale · a, sum).
    pub(crate) fn softmax_unscaled(a: &mut [f32], scale: f32) -> (f32, f32) {
        let max = max_body(a) * scale;
        let sum = exp_sum_body::<FMA>(a, scale, max);
        (max, sum)
    }
}

simd! {
    /// Replaces each value by exp(scale · value − shift).
    pub(crate) fn exp_shifted(a: &mut [f32], scale: f32, shift: f32) {
        for x in a.iter_mut() {
            *x = exp::<FMA>(madd::<FMA>(*x, scale, -shift));
        }
    }
}

simd! {
    /// Replaces each logit by −scale · p · (g + e (log p + h)), with log p = scale · logit − shift: all of the
    /// derivative of g · log-probability + e · entropy by it, except what the target's own logit adds.
    pub(crate) fn entropy_slopes(a: &mut [f32], scale: f32, shift: f32, g: f32, e: f32, h: f32) {
        for x in a.iter_mut() {
            let logp = madd::<FMA>(*x, scale, -shift);
            *x = -scale * exp::<FMA>(logp) * madd::<FMA>(e, logp + h, g);
        }
    }
}

simd! {
    /// log Σ exp(scale · a) and Σ p · scale · a, with p the softmax; `a` does not change.
    pub(crate) fn log_sum_exp(a: &[f32], scale: f32) -> (f32, f32) {
        let max = max_body(a) * scale;
        let mut sum = [0f32; LANES];
        let mut weighted = [0f32; LANES];
        let chunks = a.chunks_exact(LANES);
        let rest = chunks.remainder();
        for x in chunks {
            for i in 0..LANES {
                let z = madd::<FMA>(x[i], scale, -max);
                let e = exp::<FMA>(z);
                sum[i] += e;
                weighted[i] = madd::<FMA>(e, z, weighted[i]);
            }
        }
        for (i, x) in rest.iter().enumerate() {
            let z = madd::<FMA>(*x, scale, -max);
            let e = exp::<FMA>(z);
            sum[i] += e;
            weighted[i] = madd::<FMA>(e, z, weighted[i]);
        }
        let total = fold_sum(sum);
        (max + total.ln(), max + fold_sum(weighted) / total)
    }
}

simd! {
    /// dS = P ∘ (dP − delta), written over dP.
    pub(crate) fn softmax_backward(p: &[f32], dp: &mut [f32], delta: f32) {
        for (dp, p) in dp.iter_mut().zip(p) {
            *dp = *p * (*dp - delta);
        }
    }
}

simd! {
    /// y += x, row by row of the same length.
    pub(crate) fn add(x: &[f32], y: &mut [f32]) {
        for (y, x) in y.iter_mut().zip(x) {
            *y += *x;
        }
    }
}

simd! {
    /// y += a · x.
    pub(crate) fn add_scaled(a: f32, x: &[f32], y: &mut [f32]) {
        for (y, x) in y.iter_mut().zip(x) {
            *y = madd::<FMA>(a, *x, *y);
        }
    }
}

simd! {
    /// out = a · x.
    pub(crate) fn scale_into(a: f32, x: &[f32], out: &mut [f32]) {
        for (o, x) in out.iter_mut().zip(x) {
            *o = a * *x;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_is_exact_to_two_ulp() {
        let mut worst = 0f64;
        for i in -8_600..8_700 {
            let x = i as f32 * 0.01 + 0.003;
            let exact = f64::from(x).exp();
            worst = worst.max((f64::from(exp::<true>(x)) - exact).abs() / exact);
            worst = worst.max((f64::from(exp::<false>(x)) - exact).abs() / exact);
        }
        assert!(worst < 2.5e-7, "relative error {worst}");
        assert!(exp::<false>(-1e30) < 1e-37 && exp::<false>(f32::NEG_INFINITY) < 1e-37);
    }

    #[test]
    fn reductions_take_every_length() {
        for n in [0usize, 1, 5, 15, 16, 17, 31, 32, 33, 100] {
            let a: Vec<f32> = (0..n).map(|i| (i as f32 * 0.7).sin()).collect();
            let b: Vec<f32> = (0..n).map(|i| (i as f32 * 0.3).cos()).collect();
            let want: f64 = a.iter().zip(&b).map(|(x, y)| f64::from(x * y)).sum();
            assert!((f64::from(dot(&a, &b)) - want).abs() < 1e-5, "n = {n}");
            if n > 0 {
                let (lse, mean) = log_sum_exp(&a, 0.5);
                let z: f64 = a.iter().map(|x| (f64::from(*x) * 0.5).exp()).sum();
                let m: f64 = a
                    .iter()
                    .map(|x| f64::from(*x) * 0.5 * (f64::from(*x) * 0.5).exp())
                    .sum::<f64>()
                    / z;
                assert!((f64::from(lse) - z.ln()).abs() < 1e-5 && (f64::from(mean) - m).abs() < 1e-5);
            }
        }
    }
}
