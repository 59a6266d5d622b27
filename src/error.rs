//! The crate's error: one variant per room, one [`ErrorKind`] for the exit code, four parts for the reader.

use std::fmt::Write as _;

use crate::bench::BenchError;
use crate::evaluate::{EvaluateError, Measured};
use crate::explain::Explain;

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
    /// A graph edit was refused.
    #[error(transparent)]
    Surgery(#[from] crate::surgery::SurgeryError),
    /// A tensor does not hold what was asked for.
    #[error(transparent)]
    Typed(#[from] crate::model::TypedError),
    /// The inference engine refused something.
    #[error(transparent)]
    Engine(crate::engine::EngineError),
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
    /// A model cannot be written in integers.
    #[error(transparent)]
    Quantize(#[from] crate::quantize::QuantizeError),
    /// A model is not what it should be.
    #[error(transparent)]
    Evaluate(EvaluateError),
    /// Times cannot be measured.
    #[error(transparent)]
    Bench(BenchError),
    /// A check cannot give a verdict.
    #[error(transparent)]
    Check(#[from] crate::check::CheckError),
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

impl From<crate::engine::EngineError> for Error {
    fn from(error: crate::engine::EngineError) -> Self {
        match error {
            crate::engine::EngineError::Interrupted => Self::Interrupted,
            own => Self::Engine(own),
        }
    }
}

impl From<crate::repair::RepairError> for Error {
    fn from(error: crate::repair::RepairError) -> Self {
        use crate::repair::RepairError;
        match error {
            RepairError::Model(error) => error.into(),
            RepairError::Engine(error) => error.into(),
            RepairError::Interrupted => Self::Interrupted,
        }
    }
}

impl Error {
    /// The class of this error.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Interrupted => ErrorKind::Interrupted,
            Self::Evaluate(EvaluateError::NearChance { .. } | EvaluateError::Dense(_) | EvaluateError::Part { .. }) => {
                ErrorKind::Input
            }
            Self::Evaluate(EvaluateError::Metric { model, .. }) if *model != Measured::Pruned => ErrorKind::Input,
            Self::Evaluate(_) => ErrorKind::Check,
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
            Self::Surgery(error) => Some(error),
            Self::Typed(error) => Some(error),
            Self::Engine(error) => Some(error),
            Self::Calibration(error) => Some(error),
            Self::Statistics(error) => Some(error),
            Self::Score(error) => Some(error),
            Self::Plan(error) => Some(error),
            Self::Rewrite(error) => Some(error),
            Self::Quantize(error) => Some(error),
            Self::Evaluate(error) => Some(error),
            Self::Bench(error) => Some(error),
            Self::Check(error) => Some(error),
            Self::Usage { .. } | Self::Interrupted => None,
        }
    }

    /// What a person is told.
    pub fn parts(&self) -> ErrorParts {
        let what = self.to_string();
        if let Self::Usage { help, .. } = self {
            return ErrorParts { what, help: Some(help.clone()), ..ErrorParts::default() };
        }
        let part = |of: fn(&dyn Explain) -> Option<String>| self.explain().and_then(of);
        let [location, why, help] = [part(|own| own.location()), part(|own| own.why()), part(|own| own.help())];
        ErrorParts { what, location, why, help }
    }

    /// The error as the command line prints it: up to four lines, the first without a prefix.
    pub fn render(&self) -> String {
        let ErrorParts { what: mut text, location, why, help } = self.parts();
        for (label, part) in [("where:", location), ("why:", why), ("help:", help)] {
            if let Some(part) = part {
                let _ = write!(text, "\n  {label:<7}{part}");
            }
        }
        text
    }
}

/// The parts of an [`Error`] for a person.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ErrorParts {
    /// What is wrong.
    pub what: String,
    /// The file, node, value or flag that it is about.
    pub location: Option<String>,
    /// The cause, with numbers and their units.
    pub why: Option<String>,
    /// What can be done about it.
    pub help: Option<String>,
}

impl From<EvaluateError> for Error {
    /// What evaluation passes on from a lower module stays that module's error.
    fn from(error: EvaluateError) -> Self {
        match error {
            EvaluateError::Engine(error) => error.into(),
            EvaluateError::Calibration(error) => error.into(),
            EvaluateError::Model(error) => error.into(),
            EvaluateError::Statistics(error) => error.into(),
            EvaluateError::Score(error) => error.into(),
            EvaluateError::Rewrite(error) => error.into(),
            EvaluateError::Usage { what, help } => Self::Usage { what, help },
            EvaluateError::Interrupted => Self::Interrupted,
            own => Self::Evaluate(own),
        }
    }
}

impl From<BenchError> for Error {
    fn from(error: BenchError) -> Self {
        match error {
            BenchError::Engine(error) => error.into(),
            BenchError::Interrupted => Self::Interrupted,
            own @ BenchError::Cores { .. } => Self::Bench(own),
        }
    }
}
