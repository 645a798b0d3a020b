//! What every error that reaches the user has in common: one line that says what was found and expected, a hint, and
//! whose fault it is.
//!
//! A module's errors are one enum that implements [`Report`]; [`Error`] holds any of them, so that a function that
//! calls several modules needs no enum of its own and a new error is named once.

use std::{error::Error as StdError, fmt, io};

/// Whose fault an error is; the exit code follows from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The command line, the config, a file's layout or a plugin's params are wrong: nothing has been lost.
    Usage,
    /// The run failed.
    Run,
    /// The user stopped it.
    Interrupted,
    /// Nobody's: there was nothing to do.
    Nothing,
}

impl Fault {
    /// 2, 1, 130 and 0.
    #[must_use]
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Usage => 2,
            Self::Run => 1,
            Self::Interrupted => 130,
            Self::Nothing => 0,
        }
    }
}

/// An error that the user sees. Its text is one line that names what was found and what was expected.
pub trait Report: StdError + Send + Sync + 'static {
    /// What the user can do about it, one line, without the word "hint".
    fn hint(&self) -> Option<String> {
        None
    }

    /// Whose fault it is.
    fn fault(&self) -> Fault {
        Fault::Run
    }
}

/// Any error that the user sees. It is no [`Report`] itself, so that `?` turns every one of them into it.
pub struct Error(Box<dyn Report>);

impl<E: Report> From<E> for Error {
    fn from(error: E) -> Self {
        Self(Box::new(error))
    }
}

impl From<Error> for Box<dyn StdError> {
    fn from(error: Error) -> Self {
        error.0
    }
}

impl Error {
    /// What the user can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        self.0.hint()
    }

    /// Whose fault it is.
    #[must_use]
    pub fn fault(&self) -> Fault {
        self.0.fault()
    }

    /// The error as the type `E`, where it is one.
    #[must_use]
    pub fn downcast_ref<E: Report>(&self) -> Option<&E> {
        let error: &dyn StdError = &*self.0;
        error.downcast_ref()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// A file of the run, or stdout, that could not be written.
impl Report for io::Error {
    fn hint(&self) -> Option<String> {
        Some("the disk may be full, or the run folder was removed".into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("found {0}, expected 1")]
    struct Odd(u8);

    impl Report for Odd {
        fn hint(&self) -> Option<String> {
            Some("set it to 1".into())
        }

        fn fault(&self) -> Fault {
            Fault::Usage
        }
    }

    #[test]
    fn any_error_keeps_its_text_its_hint_its_fault_and_its_type() {
        let error = (|| -> Result<(), Error> { Err(Odd(3))? })().unwrap_err();
        assert_eq!(error.to_string(), "found 3, expected 1");
        assert_eq!(error.hint().as_deref(), Some("set it to 1"));
        assert_eq!(error.fault().exit_code(), 2);
        assert!(matches!(error.downcast_ref(), Some(Odd(3))));
        assert!(error.downcast_ref::<io::Error>().is_none());
    }
}
