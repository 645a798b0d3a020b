//! Which completion a reward is at, so that a panic can name it.

use std::cell::Cell;

thread_local! {
    static AT: Cell<Option<usize>> = const { Cell::new(None) };
}

/// Says that this thread scores completion `index` of a call, or none any more.
pub(crate) fn set(index: Option<usize>) {
    // At the end of a thread the cell may be gone, and nobody asks.
    let _ = AT.try_with(|at| at.set(index));
}

/// The completion that this thread is at. It is forgotten.
pub(crate) fn take() -> Option<usize> {
    AT.try_with(Cell::take).ok().flatten()
}
