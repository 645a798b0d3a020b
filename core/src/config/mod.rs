//! Configuration: what the user typed (raw) -> what runs (resolved).
