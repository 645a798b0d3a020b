//! The progress bar on stderr: step, time, tokens/s, rewards and weights.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Shows where a long command stands. Draws nothing when stderr is not a terminal or the user asked for quiet.
#[derive(Debug)]
pub struct Progress {
    bar: ProgressBar,
}

impl Progress {
    /// A bar over `total` steps; `quiet` hides it.
    #[must_use]
    pub fn new(total: u64, quiet: bool) -> Self {
        let target = if quiet {
            ProgressDrawTarget::hidden()
        } else {
            ProgressDrawTarget::stderr()
        };
        let bar = ProgressBar::with_draw_target(Some(total), target);
        if let Ok(style) = ProgressStyle::with_template("{prefix:>8} {bar:20} {pos}/{len} [{elapsed}<{eta}] {msg}") {
            bar.set_style(style);
        }
        bar.enable_steady_tick(Duration::from_millis(500));
        Self { bar }
    }

    /// So many steps were done by an earlier process.
    pub fn resume(&self, steps: u64) {
        self.bar.set_position(steps);
        self.bar.reset_eta();
    }

    /// What is going on now: "rollout", "update", …
    pub fn phase(&self, name: &'static str) {
        self.bar.set_prefix(name);
    }

    /// One step is done; `message` stays beside the bar.
    pub fn step(&self, message: String) {
        self.bar.set_message(message);
        self.bar.inc(1);
    }

    /// Takes the bar away.
    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }
}
