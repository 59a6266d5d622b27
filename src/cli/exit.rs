//! Exit codes, in one place.

use std::process::{ExitCode, Termination};

use crate::error::{Error, ErrorKind};

/// How the program ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum ExitStatus {
    /// Done.
    Done = 0,
    /// A check or verification failed.
    Failed = 1,
    /// Bad input or usage.
    Bad = 2,
    /// Interrupted.
    Interrupted = 130,
}

impl From<&Error> for ExitStatus {
    fn from(error: &Error) -> Self {
        match error.kind() {
            ErrorKind::Input => Self::Bad,
            ErrorKind::Check => Self::Failed,
            ErrorKind::Interrupted => Self::Interrupted,
        }
    }
}

impl Termination for ExitStatus {
    fn report(self) -> ExitCode {
        #[allow(clippy::as_conversions, reason = "the discriminants are the codes")]
        ExitCode::from(self as u8)
    }
}
