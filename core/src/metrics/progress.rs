//! The progress bar on stderr: step, time, tokens/s, rewards and weights.

use std::{
    sync::{
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    time::Duration,
};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::terminal;

/// Shows the progress of a long command. Draws nothing if stderr is not a terminal or the user asked for quiet.
#[derive(Debug)]
pub struct Progress {
    bar: ProgressBar,
    print: Option<fn(&str)>,
}

impl Progress {
    /// How often something that changes all the time is drawn.
    const TICK: Duration = Duration::from_millis(500);

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
        bar.enable_steady_tick(Self::TICK);
        Self { bar, print: None }
    }

    /// Starts the bar at `steps`, which an earlier process completed.
    pub fn resume(&self, steps: u64) {
        self.bar.set_position(steps);
        self.bar.reset_eta();
    }

    /// What is going on now: "rollout", "update", …
    pub fn phase(&self, name: &'static str) {
        self.bar.set_prefix(name);
    }

    /// Runs `work` and shows how far its counter `done` is, of `total`: "score 1200/4096".
    pub fn counting<T>(&self, name: &str, total: usize, done: &AtomicUsize, work: impl FnOnce() -> T) -> T {
        if self.bar.is_hidden() {
            return work();
        }
        let (finished, waiting) = mpsc::channel::<()>();
        std::thread::scope(|scope| {
            scope.spawn(move || {
                // Ends when the sender is dropped.
                while waiting.recv_timeout(Self::TICK) == Err(mpsc::RecvTimeoutError::Timeout) {
                    let done = done.load(Ordering::Relaxed);
                    self.bar.set_prefix(format!("{name} {done}/{total}"));
                }
            });
            let result = work();
            drop(finished);
            result
        })
    }

    /// One step is done; `message` stays beside the bar.
    pub fn step(&self, message: String) {
        self.bar.set_message(terminal::escaped(&message));
        self.bar.inc(1);
    }

    /// The same, with `print` for lines beside the bar.
    #[must_use]
    pub fn noting(self, print: fn(&str)) -> Self {
        Self {
            print: Some(print),
            ..self
        }
    }

    /// Prints a line that stays, if somebody prints.
    pub fn note(&self, text: &str) {
        if let Some(print) = self.print {
            self.bar.suspend(|| print(text));
        }
    }

    /// Clears the bar.
    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }
}
