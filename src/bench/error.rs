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
    /// The system does not keep the program to some cores.
    #[error("cannot keep to the cores that `--cpus` names: {why}")]
    Cores {
        /// What it says.
        why: String,
    },
    /// The run was interrupted.
    #[error("interrupted")]
    Interrupted,
}

impl Explain for BenchError {
    fn why(&self) -> Option<String> {
        match self {
            Self::Engine(error) => error.why(),
            Self::Cores { .. } | Self::Interrupted => None,
        }
    }

    fn help(&self) -> Option<String> {
        match self {
            Self::Engine(error) => error.help(),
            Self::Cores { .. } => Some("leave it out, or name cores that `nproc` counts, from 0".into()),
            Self::Interrupted => None,
        }
    }
}
