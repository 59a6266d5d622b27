//! The crate's error: one variant per room, one [`ErrorKind`] for the exit code, four parts for the reader.

use std::fmt::{self, Write as _};

/// What an error tells a person beside its `Display` text (*what* failed).
///
/// Every room's error implements it, so that the command line prints all errors in one form:
/// `error: WHAT`, `where: ...`, `why: ...`, `help: ...`.
pub trait Explain: std::error::Error {
    /// File, node, value or flag that the error is about.
    fn location(&self) -> Option<String> {
        None
    }
    /// The cause, with numbers and their units.
    fn why(&self) -> Option<String> {
        None
    }
    /// What the user can do about it.
    fn help(&self) -> Option<String> {
        None
    }
}

/// The class of an [`Error`]; the command line turns it into an exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// Bad input or usage (exit code 2).
    Input,
    /// A verification or check failed (exit code 1).
    Check,
    /// The user interrupted the run (exit code 130).
    Interrupted,
}

/// Any error of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Loading, decoding or saving a model failed.
    #[error(transparent)]
    Model(#[from] crate::model::ModelError),
    /// The inference engine refused something.
    #[error(transparent)]
    Engine(#[from] crate::engine::EngineError),
    /// Calibration images or their preprocessing are unusable.
    #[error(transparent)]
    Calibration(#[from] crate::calibration::CalibrationError),
    /// Statistics of the activations cannot be formed.
    #[error(transparent)]
    Statistics(#[from] crate::statistics::StatisticsError),
    /// A criterion cannot score.
    #[error(transparent)]
    Score(#[from] crate::score::ScoreError),
    /// There is no plan, or it does not fit.
    #[error(transparent)]
    Plan(#[from] crate::plan::PlanError),
    /// A cut cannot be made.
    #[error(transparent)]
    Rewrite(#[from] crate::rewrite::RewriteError),
    /// A model is not what it should be.
    #[error(transparent)]
    Verify(#[from] crate::verify::VerifyError),
    /// Options contradict each other or the data.
    #[error("{what}")]
    Usage {
        /// What is wrong.
        what: String,
        /// What to give.
        help: String,
    },
    /// The run was interrupted.
    #[error("interrupted")]
    Interrupted,
}

impl Error {
    /// The class of this error.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Interrupted => ErrorKind::Interrupted,
            Self::Verify(crate::verify::VerifyError::NearChance { .. } | crate::verify::VerifyError::Dense(_)) => {
                ErrorKind::Input
            }
            Self::Verify(_) => ErrorKind::Check,
            _ => ErrorKind::Input,
        }
    }

    /// The cause alone, with numbers and their units.
    pub(crate) fn cause(&self) -> Option<String> {
        self.explain().and_then(Explain::why)
    }

    fn explain(&self) -> Option<&dyn Explain> {
        match self {
            Self::Model(error) => Some(error),
            Self::Engine(error) => Some(error),
            Self::Calibration(error) => Some(error),
            Self::Statistics(error) => Some(error),
            Self::Score(error) => Some(error),
            Self::Plan(error) => Some(error),
            Self::Rewrite(error) => Some(error),
            Self::Verify(error) => Some(error),
            Self::Usage { .. } | Self::Interrupted => None,
        }
    }

    /// The error as the command line prints it: up to four lines, the first without a prefix.
    pub fn render(&self) -> String {
        let mut text = self.to_string();
        if let Self::Usage { help, .. } = self {
            let _ = write!(text, "\n  help:  {help}");
        }
        if let Some(explain) = self.explain() {
            for (label, part) in [("where", explain.location()), ("why", explain.why()), ("help", explain.help())] {
                if let Some(part) = part {
                    let _ = write!(text, "\n  {:<7}{part}", format!("{label}:"));
                }
            }
        }
        text
    }
}

/// Displays a list of names, at most `most` of them: `a, b, c and 4 more`.
pub(crate) struct Names<'a>(pub(crate) &'a [String], pub(crate) usize);

impl fmt::Display for Names<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self.0.len().min(self.1);
        f.write_str(&self.0[..shown].join(", "))?;
        if self.0.len() > shown {
            write!(f, " and {} more", self.0.len() - shown)?;
        }
        Ok(())
    }
}
