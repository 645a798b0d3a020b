//! Deadlines for native code. Nothing can end a call that hangs; but the host can stop waiting for it, say so, and end the
//! run with a checkpoint. The thread stays behind until the process ends.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
        mpsc::{self, RecvTimeoutError},
    },
    time::{Duration, Instant},
};

/// How often a wait looks whether the run was asked to stop.
const TICK: Duration = Duration::from_millis(100);
/// How long a call may still take after that.
const GRACE: Duration = Duration::from_secs(5);

/// How long a call is waited for.
#[derive(Clone, Debug)]
pub(super) struct Patience {
    /// From the beginning of the call.
    pub(super) deadline: Duration,
    /// Turns true when the run is asked to stop.
    pub(super) stop: Arc<AtomicBool>,
}

/// Why a call was not waited for any longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum GaveUp {
    /// The deadline has passed.
    Deadline,
    /// The run was asked to stop, and the call went on.
    Stopped,
    /// The call ended without an answer, or could not be begun.
    Lost,
}

impl Patience {
    /// What `work` returns on a thread of its own, if it returns in time.
    pub(super) fn wait<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, GaveUp> {
        let (send, receive) = mpsc::channel();
        let thread = std::thread::Builder::new().name("native reward".to_owned());
        // Nobody receives once the wait is over.
        let started = thread.spawn(move || drop(send.send(work())));
        started.map_err(|_| GaveUp::Lost)?;
        let (start, mut asked) = (Instant::now(), None);
        loop {
            let left = self.deadline.saturating_sub(start.elapsed());
            match receive.recv_timeout(left.min(TICK)) {
                Ok(answer) => return Ok(answer),
                Err(RecvTimeoutError::Disconnected) => return Err(GaveUp::Lost),
                Err(RecvTimeoutError::Timeout) if left.is_zero() => return Err(GaveUp::Deadline),
                Err(RecvTimeoutError::Timeout) if self.stop.load(Ordering::Relaxed) => {
                    if asked.get_or_insert_with(Instant::now).elapsed() > GRACE {
                        return Err(GaveUp::Stopped);
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
    }

    /// The first of `count` calls, made one after the other, that does not return within the deadline either (at most ten
    /// seconds); none if all of them return.
    pub(super) fn first_to_hang(&self, count: usize, call: impl Fn(usize) + Send + 'static) -> Option<usize> {
        const LONGEST: Duration = Duration::from_secs(10);
        let at = Arc::new(AtomicUsize::new(0));
        let current = Arc::clone(&at);
        let thread = std::thread::Builder::new().name("native reward".to_owned());
        let started = thread.spawn(move || {
            for index in 0..count {
                current.store(index, Ordering::Relaxed);
                call(index);
            }
            current.store(count, Ordering::Relaxed);
        });
        started.ok()?;
        let (mut seen, mut since) = (0, Instant::now());
        loop {
            std::thread::sleep(Duration::from_millis(2));
            let now = at.load(Ordering::Relaxed);
            if now == count {
                return None;
            }
            if now != seen {
                (seen, since) = (now, Instant::now());
            }
            if since.elapsed() > self.deadline.min(LONGEST) {
                return Some(seen);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patience(milliseconds: u64) -> Patience {
        Patience {
            deadline: Duration::from_millis(milliseconds),
            stop: Arc::default(),
        }
    }

    fn hang() {
        loop {
            std::thread::park();
        }
    }

    #[test]
    fn a_call_that_hangs_is_given_up_and_the_others_are_answered() {
        assert_eq!(patience(60_000).wait(|| 3), Ok(3));
        assert_eq!(patience(20).wait(hang), Err(GaveUp::Deadline));
        let lost = patience(60_000).wait(|| std::panic::resume_unwind(Box::new(())));
        assert_eq!(lost, Err::<(), _>(GaveUp::Lost));
        let hangs_at = |bad: usize| {
            move |index: usize| {
                if index == bad {
                    hang()
                }
            }
        };
        assert_eq!(patience(200).first_to_hang(4, hangs_at(2)), Some(2));
        assert_eq!(patience(200).first_to_hang(4, hangs_at(9)), None);
    }
}
