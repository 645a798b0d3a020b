//! Which prompts come next: a seeded shuffle for each epoch, and a position that a checkpoint can save.

use serde::{Deserialize, Serialize};

use super::draw::Draw;

/// A place in an endless walk over a data set, epoch after epoch, each in its own order. A step at the end of an epoch
/// takes the rest of it and the beginning of the next one, so no row is left out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    /// Seed of all epochs' orders.
    pub seed: u64,
    /// Current epoch, from 0.
    pub epoch: u64,
    /// Rows of this epoch that were returned already.
    pub position: usize,
}

impl Cursor {
    /// The first row of the first epoch.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            epoch: 0,
            position: 0,
        }
    }

    /// The next `n` indices into a data set of `len` rows; none if `len` is 0, which [`Dataset`](super::Dataset) rules
    /// out.
    pub fn next(&mut self, len: usize, n: usize) -> Vec<usize> {
        let mut indices = Vec::with_capacity(n);
        while indices.len() < n && len > 0 {
            let order = order(self.seed, self.epoch, len);
            let rest = order.get(self.position..).unwrap_or_default();
            let taken = rest.len().min(n - indices.len());
            indices.extend_from_slice(&rest[..taken]);
            self.position += taken;
            if self.position >= len {
                self.epoch += 1;
                self.position = 0;
            }
        }
        indices
    }
}

/// The order of an epoch: Fisher–Yates with the generator keyed by (seed, epoch), so that it needs no earlier epoch.
fn order(seed: u64, epoch: u64, len: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..len).collect();
    Draw::new(seed, epoch).shuffle(&mut order);
    order
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::test_runner::RngSeed;

    use super::*;

    #[test]
    fn every_epoch_visits_each_row_once_and_carries_the_rest_over() {
        let (len, n) = (10, 4);
        let mut cursor = Cursor::new(7);
        let walk: Vec<usize> = (0..5).flat_map(|_| cursor.next(len, n)).collect(); // 20 rows: two epochs
        for epoch in walk.chunks(len) {
            let mut sorted = epoch.to_vec();
            sorted.sort_unstable();
            assert_eq!(sorted, (0..len).collect::<Vec<_>>());
        }
        assert_ne!(walk[..len], walk[len..], "two epochs in the same order");
        assert_eq!((cursor.epoch, cursor.position), (2, 0));
    }

    #[test]
    fn a_saved_cursor_goes_on_exactly() {
        let mut straight = Cursor::new(1);
        let expected: Vec<_> = (0..9).map(|_| straight.next(13, 5)).collect();
        let mut first = Cursor::new(1);
        let mut walk: Vec<_> = (0..4).map(|_| first.next(13, 5)).collect();
        let saved = serde_json::to_string(&first).expect("three numbers serialize");
        let mut resumed: Cursor = serde_json::from_str(&saved).expect("what was just written");
        walk.extend((0..5).map(|_| resumed.next(13, 5)));
        assert_eq!(walk, expected);
        assert_eq!(resumed, straight);
    }

    #[test]
    fn a_step_may_span_epochs_and_a_smaller_data_set_starts_a_new_one() {
        assert_eq!(Cursor::new(0).next(3, 8).len(), 8);
        assert_eq!(Cursor::new(0).next(0, 8), Vec::<usize>::new());
        let mut cursor = Cursor {
            seed: 0,
            epoch: 0,
            position: 50,
        };
        assert_eq!(cursor.next(3, 3), order(0, 1, 3));
        assert_ne!(Cursor::new(1).next(50, 50), Cursor::new(2).next(50, 50));
    }

    proptest! {
        #![proptest_config(ProptestConfig {
            cases: 64,
            failure_persistence: None,
            rng_seed: RngSeed::Fixed(9),
            ..ProptestConfig::default()
        })]

        /// Steps of any size, also one that holds several epochs.
        #[test]
        fn every_epoch_visits_each_row_once(seed: u64, len in 1usize..30, steps in prop::collection::vec(0usize..40, 1..20)) {
            let mut cursor = Cursor::new(seed);
            let walk: Vec<usize> = steps.iter().flat_map(|&n| cursor.next(len, n)).collect();
            prop_assert_eq!(walk.len(), steps.iter().sum::<usize>());
            prop_assert_eq!(cursor.epoch * len as u64 + cursor.position as u64, walk.len() as u64);
            for epoch in walk.chunks_exact(len) {
                let mut sorted = epoch.to_vec();
                sorted.sort_unstable();
                prop_assert!(sorted.into_iter().eq(0..len));
            }
        }
    }
}
