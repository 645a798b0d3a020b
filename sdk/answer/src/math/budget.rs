//! How much work a comparison may do.

/// Work that one comparison may do, in multiplications modulo a prime: some 20 ms. What is not decided by then is
/// not known.
pub(super) struct Budget {
    left: u64,
}

impl Budget {
    const WHOLE: u64 = 2_000_000;

    pub(super) fn new() -> Self {
        Self { left: Self::WHOLE }
    }

    /// Whether this much is left; it is spent.
    pub(super) fn spend(&mut self, cost: u64) -> bool {
        let enough = cost <= self.left;
        self.left = if enough { self.left - cost } else { 0 };
        enough
    }
}
