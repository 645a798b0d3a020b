//! Stops panics inside the plugin: one that reached the host would end it, whatever the host does.
//!
//! A plugin is a library with a standard library of its own, so the panic hook that is set here is the plugin's
//! alone. Inside [`catch`] it keeps message and place instead of printing them.

use std::cell::{Cell, RefCell};
use std::panic::{self, AssertUnwindSafe};
use std::sync::Once;

use crate::{Error, Result, scoring};

thread_local! {
    static CATCHING: Cell<bool> = const { Cell::new(false) };
    static LAST: RefCell<Option<String>> = const { RefCell::new(None) };
}

static HOOK: Once = Once::new();

/// What stopped a call.
#[derive(Debug)]
pub enum Stopped {
    /// The plugin gave an error.
    Error(Error),
    /// The plugin panicked: `panicked: <message> at <file>:<line>`. Its object may be half changed.
    Panic(Error),
}

/// Runs `f`; a panic in it becomes [`Stopped::Panic`].
pub fn catch<T>(f: impl FnOnce() -> Result<T>) -> Result<T, Stopped> {
    HOOK.call_once(|| {
        let previous = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if CATCHING.get() {
                let place = info
                    .location()
                    .map(|l| format!(" at {}:{}", l.file(), l.line()))
                    .unwrap_or_default();
                let place = match scoring::take() {
                    Some(index) => format!("{place}, at completion {index}"),
                    None => place,
                };
                let payload = info.payload();
                let message = payload
                    .downcast_ref::<&str>()
                    .map(|text| (*text).to_owned())
                    .or_else(|| payload.downcast_ref::<String>().cloned())
                    .unwrap_or_else(|| "a value that is no text".to_owned());
                // At the end of a thread the place may be gone; the panic is caught all the same.
                let _ = LAST.try_with(|last| last.replace(Some(format!("panicked: {message}{place}"))));
            } else {
                previous(info);
            }
        }));
    });
    scoring::set(None);
    let outer = CATCHING.replace(true);
    let result = panic::catch_unwind(AssertUnwindSafe(f));
    CATCHING.set(outer);
    match result {
        Ok(result) => result.map_err(Stopped::Error),
        Err(payload) => {
            // Dropping the payload runs the plugin's code, which may panic again.
            std::mem::forget(payload);
            let message = LAST
                .try_with(RefCell::take)
                .ok()
                .flatten()
                .unwrap_or_else(|| "panicked".to_owned());
            Err(Stopped::Panic(
                Error::new(message).hint("this is a defect of the plugin, not of the run's configuration"),
            ))
        }
    }
}

impl Stopped {
    /// The error, whatever its kind.
    pub fn into_error(self) -> Error {
        match self {
            Self::Error(error) | Self::Panic(error) => error,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Stopped, catch};
    use crate::{Completion, Error, Result, Reward as _};

    /// Panics at an empty response.
    struct Brittle;

    impl crate::Reward for Brittle {
        const NAME: &str = "brittle";
        const ABOUT: &str = "panics at an empty response";
        type Params = ();
        fn new((): ()) -> Result<Self> {
            Ok(Self)
        }
        fn score(&self, completion: &Completion<'_>) -> Result<f32> {
            assert!(!completion.response.is_empty(), "empty");
            Ok(1.0)
        }
    }

    #[test]
    fn a_rewards_panic_names_the_completion() {
        let full = Completion {
            response: "a",
            ..Completion::default()
        };
        let batch = [full, full, Completion::default(), full];
        let stopped = catch(|| Brittle.score_all(&batch)).expect_err("it panics");
        let message = stopped.into_error().message;
        assert!(
            message.starts_with("panicked: empty at ") && message.ends_with(", at completion 2"),
            "{message}"
        );
        // What panics outside of any completion names none.
        let after = catch::<()>(|| panic!("no"))
            .expect_err("it panics")
            .into_error()
            .message;
        assert!(!after.contains("completion"), "{after}");
        assert!(catch(|| Brittle.score_all(&[full])).is_ok());
        let after = catch::<()>(|| panic!("no"))
            .expect_err("it panics")
            .into_error()
            .message;
        assert!(!after.contains("completion"), "{after}");
    }

    #[test]
    fn a_panic_becomes_an_error_with_its_place() {
        let number = 7;
        let stopped = catch::<()>(|| panic!("no {number}")).expect_err("it panics");
        let Stopped::Panic(error) = stopped else {
            panic!("an error is not a panic")
        };
        assert!(error.message.starts_with("panicked: no 7 at "), "{error}");
        assert!(error.message.contains("guard.rs:"), "{error}");
    }

    #[test]
    fn errors_and_values_pass() -> Result<()> {
        assert_eq!(catch(|| Ok(3)).map_err(Stopped::into_error)?, 3);
        let stopped = catch::<()>(|| Err(Error::new("no"))).expect_err("an error");
        assert!(matches!(stopped, Stopped::Error(error) if error.message == "no"));
        Ok(())
    }
}
