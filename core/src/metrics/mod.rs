//! Metric definitions and sinks.
