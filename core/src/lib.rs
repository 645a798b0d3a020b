//! moa-core: the host of moa, as a library. The modules stand in the order in which data flows;
//! a module uses only what stands above it, plus `metrics` and `error`. See core/README.md.

pub mod error;

mod caught;

mod num;

pub mod terminal;

mod staged;

mod checksums;

pub mod config;

pub mod data;

pub mod engine;

pub mod model;

pub mod rollout;

pub mod plugin;

pub mod reward;

pub mod advantage;

pub mod update;

pub mod metrics;

pub mod stats;

pub mod run;

pub mod report;

pub mod train;
