//! Panics of libraries that read a user's files, as errors: caught, and without the message that a panic prints.

use std::cell::Cell;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Once;

thread_local! {
    /// Whether this thread's panics are caught by [`quietly`] and print nothing.
    static QUIET: Cell<bool> = const { Cell::new(false) };
}

/// What `work` returns. A panic of it on this thread prints nothing.
///
/// # Errors
/// The message of a panic.
pub(crate) fn quietly<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let others = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if !QUIET.get() {
                others(info);
            }
        }));
    });
    let before = QUIET.replace(true);
    let result = panic::catch_unwind(AssertUnwindSafe(work));
    QUIET.set(before);
    result.map_err(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
        text.unwrap_or("it gave up without a message").to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_its_message_and_the_next_one_is_loud_again() {
        assert_eq!(quietly(|| 3), Ok(3));
        let nested = quietly(|| {
            assert_eq!(quietly(|| panic!("in {}", "side")), Err::<(), _>("in side".to_owned()));
            assert!(QUIET.get(), "still quiet in the outer one");
            panic!("out")
        });
        assert_eq!(nested, Err::<(), _>("out".to_owned()));
        assert!(!QUIET.get());
    }
}
