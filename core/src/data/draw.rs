//! Seeded draws: ChaCha8 with the seed as key and a stream number for each use, so that two uses of one seed share
//! nothing. The sampling is written out here because its numbers must never change; a library's may, with a new
//! version.

use rand_chacha::ChaCha8Rng;
use rand_core::{RngCore, SeedableRng};

/// A stream of draws.
pub(super) struct Draw(ChaCha8Rng);

impl Draw {
    /// The stream `stream` of `seed`.
    pub(super) fn new(seed: u64, stream: u64) -> Self {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&seed.to_le_bytes());
        let mut rng = ChaCha8Rng::from_seed(key);
        rng.set_stream(stream);
        Self(rng)
    }

    /// Uniform in `0..n`, without bias (Lemire 2019, "Fast Random Integer Generation in an Interval"); 0 for n = 0.
    pub(super) fn below(&mut self, n: u32) -> u32 {
        loop {
            let wide = u64::from(self.0.next_u32()) * u64::from(n);
            // Both halves fit 32 bits.
            let low = u32::try_from(wide & u64::from(u32::MAX)).unwrap_or_default();
            let high = u32::try_from(wide >> 32).unwrap_or_default();
            // 2^32 mod n values of the low half would be drawn once too often.
            if low >= n || low >= n.wrapping_neg() % n.max(1) {
                return high;
            }
        }
    }

    /// Uniform in `low..=high`.
    pub(super) fn between(&mut self, low: u32, high: u32) -> u32 {
        low + self.below(high - low + 1)
    }

    /// True with probability `percent` / 100.
    pub(super) fn percent(&mut self, percent: u32) -> bool {
        self.below(100) < percent
    }

    /// One of `items`, which is not empty.
    pub(super) fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.index(items.len())]
    }

    /// An index with probability in proportion to its weight.
    pub(super) fn weighted(&mut self, weights: &[u32]) -> usize {
        let mut left = self.below(weights.iter().sum());
        weights
            .iter()
            .position(|&weight| {
                let found = left < weight;
                left = left.saturating_sub(weight);
                found
            })
            .unwrap_or_default()
    }

    /// Fisher–Yates.
    pub(super) fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            items.swap(i, self.index(i + 1));
        }
    }

    /// Uniform in `0..n`. A list of 2^32 rows does not fit a run's memory, so 32 bits suffice.
    fn index(&mut self, n: usize) -> usize {
        self.below(u32::try_from(n).unwrap_or(u32::MAX)) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_are_uniform_and_weighted_as_asked() {
        let mut draw = Draw::new(1, 0);
        let mut counts = [0_u32; 7];
        (0..70_000).for_each(|_| counts[draw.below(7) as usize] += 1);
        // Standard deviation of a count: sqrt(70000 · 1/7 · 6/7) = 93; five of them.
        assert!(counts.iter().all(|c| c.abs_diff(10_000) < 465), "{counts:?}");
        let mut counts = [0_u32; 3];
        (0..10_000).for_each(|_| counts[draw.weighted(&[60, 0, 40])] += 1);
        assert_eq!(counts[1], 0);
        assert!(counts[0].abs_diff(6_000) < 245, "{counts:?}");
    }

    #[test]
    fn streams_of_a_seed_differ_and_repeat() {
        let draws = |seed, stream| {
            let mut draw = Draw::new(seed, stream);
            (0..8).map(|_| draw.below(1000)).collect::<Vec<_>>()
        };
        assert_eq!(draws(3, 1), draws(3, 1));
        assert_ne!(draws(3, 1), draws(3, 2));
        assert_ne!(draws(3, 1), draws(4, 1));
    }
}
