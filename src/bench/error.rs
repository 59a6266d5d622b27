//! Errors of timing.

use crate::engine::EngineError;
use crate::explain::Explain;

/// Why two models could not be timed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BenchError {
    /// The engine refuses a model.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The run was interrupted.
    #[error("interrupted")]
    Interrupted,
}

impl Explain for BenchError {
    fn why(&self) -> Option<String> {
        match self {
            Self::Engine(error) => error.why(),
            Self::Interrupted => None,
        }
    }

    fn help(&self) -> Option<String> {
        match self {
            Self::Engine(error) => error.help(),
            Self::Interrupted => None,
        }
    }
}
