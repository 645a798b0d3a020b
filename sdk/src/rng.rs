//! A small random generator that can be saved: xoshiro256++ (Blackman and Vigna, "Scrambled linear
//! pseudorandom number generators", 2021), seeded by SplitMix64. Not for cryptography.

use serde::{Deserialize, Serialize};

/// A seeded generator; keep it in the scalarizer's struct and it is saved and restored with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rng {
    state: [u64; 4],
}

impl Rng {
    /// The generator of a seed; equal seeds give equal sequences on every machine.
    pub fn new(seed: u64) -> Self {
        let mut x = seed;
        let mut split_mix = || {
            x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = x;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            z ^ (z >> 31)
        };
        Self {
            state: [split_mix(), split_mix(), split_mix(), split_mix()],
        }
    }

    /// 64 random bits.
    pub fn next_u64(&mut self) -> u64 {
        let s = &mut self.state;
        let result = s[0].wrapping_add(s[3]).rotate_left(23).wrapping_add(s[0]);
        let t = s[1] << 17;
        s[2] ^= s[0];
        s[3] ^= s[1];
        s[1] ^= s[2];
        s[0] ^= s[3];
        s[2] ^= t;
        s[3] = s[3].rotate_left(45);
        result
    }

    /// Uniform in [0, 1), 53 bits.
    pub fn uniform(&mut self) -> f64 {
        #[allow(clippy::cast_precision_loss, reason = "53 bits fit an f64")]
        let bits = (self.next_u64() >> 11) as f64;
        bits / 9_007_199_254_740_992.0 // 2^53
    }

    /// Standard normal, by the Box–Muller transform.
    pub fn normal(&mut self) -> f64 {
        // 1 - u is in (0, 1]: the logarithm stays finite.
        let radius = (-2.0 * (1.0 - self.uniform()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.uniform()).cos()
    }

    /// Uniform in 0..n without bias; 0 where n is 0.
    pub fn below(&mut self, n: usize) -> usize {
        let n = n as u64;
        if n == 0 {
            return 0;
        }
        // The largest multiple of n: what lies above it would favour small results.
        let limit = u64::MAX - u64::MAX % n;
        loop {
            let x = self.next_u64();
            if x < limit {
                #[allow(clippy::cast_possible_truncation, reason = "below n, which is a usize")]
                return (x % n) as usize;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Rng;

    #[test]
    fn the_sequence_is_the_reference_one() {
        // SplitMix64(0) gives e220a8397b1dcdaf, 6e789e6aa1b965f4, 06c45d188009454f, f88bb8a8724c81ec
        // (reference C code); xoshiro256++ of that state starts as computed below by hand:
        let state = [
            0xe220_a839_7b1d_cdaf_u64,
            0x6e78_9e6a_a1b9_65f4,
            0x06c4_5d18_8009_454f,
            0xf88b_b8a8_724c_81ec,
        ];
        let mut rng = Rng::new(0);
        assert_eq!(rng.state, state);
        let first = state[0].wrapping_add(state[3]).rotate_left(23).wrapping_add(state[0]);
        assert_eq!(rng.next_u64(), first);
    }

    #[test]
    fn a_saved_generator_goes_on_where_it_was() -> Result<(), serde_json::Error> {
        let mut rng = Rng::new(7);
        rng.next_u64();
        let mut copy: Rng = serde_json::from_str(&serde_json::to_string(&rng)?)?;
        assert_eq!(rng.next_u64(), copy.next_u64());
        Ok(())
    }

    #[test]
    fn moments_are_near_their_expectation() {
        let mut rng = Rng::new(1);
        let n = 20_000;
        let (mut sum, mut normal, mut square, mut counts) = (0.0, 0.0, 0.0, [0_u32; 3]);
        for _ in 0..n {
            let u = rng.uniform();
            assert!((0.0..1.0).contains(&u));
            sum += u;
            let z = rng.normal();
            normal += z;
            square += z * z;
            counts[rng.below(3)] += 1;
        }
        let n = f64::from(n);
        // Five standard errors: 0.29/sqrt(n), 1/sqrt(n), sqrt(2/n), and sqrt(2n/9) for the counts.
        assert!((sum / n - 0.5).abs() < 0.011);
        assert!((normal / n).abs() < 0.036);
        assert!((square / n - 1.0).abs() < 0.05);
        assert!(counts.iter().all(|c| (f64::from(*c) - n / 3.0).abs() < 340.0));
    }
}
