//! Drives the scalarizer plugin's hooks.
