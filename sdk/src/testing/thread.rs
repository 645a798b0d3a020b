//! Work on a thread of its own, as a run may do with a plugin.

use crate::Error;

/// The message of work whose thread panicked.
pub const THREAD_PANICKED: &str = "its thread panicked";

/// Runs `work` on a new thread, with a stack of so many bytes or of the usual size.
///
/// # Errors
/// Those of `work`; and what `failed` makes of a thread that cannot be started, or that ended without a result
/// ([`THREAD_PANICKED`]).
pub fn on_thread<T: Send, E: Send>(
    stack_bytes: Option<usize>,
    work: impl FnOnce() -> Result<T, E> + Send,
    failed: impl Fn(Error) -> E,
) -> Result<T, E> {
    std::thread::scope(|scope| {
        let mut builder = std::thread::Builder::new();
        if let Some(bytes) = stack_bytes {
            builder = builder.stack_size(bytes);
        }
        let thread = builder
            .spawn_scoped(scope, work)
            .map_err(|error| failed(Error::new(format!("a thread cannot be started: {error}"))))?;
        thread
            .join()
            .unwrap_or_else(|_| Err(failed(Error::new(THREAD_PANICKED))))
    })
}
