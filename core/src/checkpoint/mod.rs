//! Atomic save and load of everything a run needs.
