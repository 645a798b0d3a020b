//! Work on texts, on all cores, with what strangers' templates and tokenizers may use: a stack of known size, and a
//! watch over memory and time. A panic is an error.
//!
//! A thread that runs away cannot be stopped from outside. It is left behind, and its error ends the program.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use super::error::ModelError;
use crate::caught::quietly;

/// Stack of a thread. Only what is used takes memory.
const STACK: usize = 512 << 20;
/// How often a thread is looked at.
const LOOK: Duration = Duration::from_millis(20);
/// Longest time for one text.
const LONGEST: Duration = Duration::from_secs(60);
/// By how much the program may grow while one text is worked on.
const MOST_BYTES: u64 = 4 << 30;
/// Items that a thread takes at a time.
const CHUNK: usize = 32;

/// What one thread is at: index of its item + 1, and 0 when it is done.
type Slot = Arc<AtomicUsize>;

/// Index of a chunk's first item, the results up to a failure, and the failure.
type Part<O> = (usize, Vec<O>, Option<(usize, ModelError)>);

/// `work` of every item, in order, on as many threads as the pool has. The items come back with the results.
///
/// # Errors
/// The index of the first item whose work failed, panicked or ran away, and the error.
pub(super) fn map<I, O>(
    items: Vec<I>,
    work: impl Fn(&I) -> Result<O, ModelError> + Send + Sync + 'static,
) -> Result<Vec<O>, (usize, ModelError)>
where
    I: Send + Sync + 'static,
    O: Send + 'static,
{
    let count = items.len();
    let threads = rayon::current_num_threads().clamp(1, count.div_ceil(CHUNK).max(1));
    let shared = Arc::new((items, work));
    let (next, failed) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    let (sender, receiver) = mpsc::channel();
    let mut slots: Vec<Slot> = Vec::with_capacity(threads);
    for _ in 0..threads {
        let slot: Slot = Arc::new(AtomicUsize::new(0));
        slots.push(Arc::clone(&slot));
        let (shared, next, failed, sender) = (
            Arc::clone(&shared),
            Arc::clone(&next),
            Arc::clone(&failed),
            sender.clone(),
        );
        let run = move || {
            let (items, work) = &*shared;
            // A failed item ends the walk, but items before it are finished: the first error is the same each time.
            while !failed.load(Ordering::Relaxed) {
                let start = next.fetch_add(CHUNK, Ordering::Relaxed);
                if start >= items.len() {
                    break;
                }
                let mut done = Vec::with_capacity(CHUNK);
                let mut error = None;
                for (i, item) in items.iter().enumerate().skip(start).take(CHUNK) {
                    slot.store(i + 1, Ordering::Relaxed);
                    let result = quietly(|| work(item)).unwrap_or_else(|panic| {
                        Err(ModelError::Tokenizer {
                            message: format!("a panic inside: {panic}"),
                        })
                    });
                    match result {
                        Ok(result) => done.push(result),
                        Err(reason) => {
                            failed.store(true, Ordering::Relaxed);
                            error = Some((i, reason));
                            break;
                        }
                    }
                }
                slot.store(0, Ordering::Relaxed);
                if sender.send((start, done, error)).is_err() {
                    break;
                }
            }
        };
        let spawned = std::thread::Builder::new().stack_size(STACK).spawn(run);
        if let Err(error) = spawned {
            let message = format!("no thread with a stack of {} MiB: {error}", STACK >> 20);
            return Err((0, ModelError::Tokenizer { message }));
        }
    }
    drop((sender, shared));
    collect(&receiver, &slots, count)
}

/// Results in order, while the threads are watched.
fn collect<O>(receiver: &mpsc::Receiver<Part<O>>, slots: &[Slot], count: usize) -> Result<Vec<O>, (usize, ModelError)> {
    let mut parts: Vec<Option<Vec<O>>> = Vec::new();
    parts.resize_with(count.div_ceil(CHUNK), || None);
    let mut first: Option<(usize, ModelError)> = None;
    let mut watched: Vec<(usize, Instant, u64)> = slots.iter().map(|_| (0, Instant::now(), 0)).collect();
    let mut looked = Instant::now();
    loop {
        match receiver.recv_timeout(LOOK) {
            Ok((start, done, error)) => {
                parts[start / CHUNK] = Some(done);
                if let Some(error) = error
                    && first.as_ref().is_none_or(|(i, _)| error.0 < *i)
                {
                    first = Some(error);
                }
            }
            Err(mpsc::RecvTimeoutError::Timeout) => {}
            Err(mpsc::RecvTimeoutError::Disconnected) => break,
        }
        if looked.elapsed() >= LOOK {
            looked = Instant::now();
            if let Some(error) = runaway(slots, &mut watched) {
                return Err(error);
            }
        }
    }
    match first {
        Some(error) => Err(error),
        None => Ok(parts.into_iter().flatten().flatten().collect()),
    }
}

/// The item whose thread takes too long or too much, if there is one.
fn runaway(slots: &[Slot], watched: &mut [(usize, Instant, u64)]) -> Option<(usize, ModelError)> {
    let bytes = resident();
    for (slot, (item, since, before)) in slots.iter().zip(watched) {
        let now = slot.load(Ordering::Relaxed);
        if now != *item {
            (*item, *since, *before) = (now, Instant::now(), bytes);
            continue;
        }
        let message = if now == 0 {
            continue;
        } else if bytes.saturating_sub(*before) > MOST_BYTES {
            format!("the program grew by more than {} GiB at this text", MOST_BYTES >> 30)
        } else if since.elapsed() > LONGEST {
            format!("more than {} s at this text", LONGEST.as_secs())
        } else {
            continue;
        };
        return Some((now - 1, ModelError::Runaway { message }));
    }
    None
}

/// Bytes of memory that the program has in use; 0 where the system does not say.
fn resident() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: Option<u64> = text.split(' ').nth(1).and_then(|pages| pages.parse().ok());
    pages.unwrap_or_default() * 4096
}

#[cfg(test)]
mod tests {
    use super::*;

    fn halves(item: &u32) -> Result<u32, ModelError> {
        match item {
            7 => panic!("seven"),
            i if i % 2 == 1 => Err(ModelError::Tokenizer {
                message: format!("odd {i}"),
            }),
            i => Ok(i / 2),
        }
    }

    #[test]
    fn results_are_in_order_and_the_first_failure_is_the_error() {
        let even: Vec<u32> = (0..1000).map(|i| i * 2).collect();
        let expected: Vec<u32> = (0..1000).collect();
        assert_eq!(map(even.clone(), halves).map_err(|e| e.1.to_string()), Ok(expected));
        assert_eq!(map(Vec::new(), halves).map_err(|e| e.1.to_string()), Ok(Vec::new()));
        let mut with_errors = even;
        with_errors[40] = 7;
        with_errors[41] = 9;
        with_errors[900] = 9;
        for _ in 0..20 {
            let (at, error) = map(with_errors.clone(), halves).expect_err("a panic");
            assert_eq!(at, 40);
            assert!(error.to_string().contains("seven"), "{error}");
        }
    }

    #[test]
    fn deep_recursion_has_room() {
        fn depth(n: &u64) -> Result<u64, ModelError> {
            if *n == 0 {
                Ok(0)
            } else {
                Ok(std::hint::black_box(depth(&(n - 1))?) + 1)
            }
        }
        assert!(map(vec![100_000], depth).is_ok());
    }
}
