//! Metric definitions and sinks.

pub mod interference;
