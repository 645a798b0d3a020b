//! The integration tests, all in one program: candle and wasmtime link once. One file is one subject; name it to run it
//! alone: `cargo test --release -p moa-core --test integration checkpoint_stop::`.
//!
//! The tests share this process. One that changes its environment, its folder or its signal handlers does so in a child
//! process (support/host.rs); files go into a temporary folder.

#![allow(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    unreachable_pub,
    reason = "a panic is a test's failure"
)]

mod support;

mod checkpoint_resume;
mod checkpoint_stop;
mod cli_errors;
mod components;
mod components_evil;
mod config_cli;
mod config_errors;
mod config_explain;
mod config_files;
mod config_layers;
mod config_plugins;
mod data_convert;
mod data_files;
mod data_tiny_math;
mod faults_end;
mod faults_folders;
mod faults_native;
mod faults_settings;
mod faults_terminal;
mod guests;
mod guide;
mod invariant_cycles;
mod invariants;
mod lora;
mod model_files;
mod model_golden;
mod model_ops;
mod model_prompts;
mod plugin_calls;
mod plugin_check;
mod plugin_hooks;
mod plugin_load;
mod plugin_replay;
mod report_runs;
mod train_gradients;
mod train_run;
mod train_step;
mod train_terms;
