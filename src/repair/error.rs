//! What can go wrong while weights are repaired.

use crate::engine::EngineError;
use crate::explain::Explain;
use crate::model::ModelError;

/// Why a repair stopped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RepairError {
    /// A stored tensor cannot be read.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The engine does not run the model, or a part of it.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The caller cancelled.
    #[error("interrupted")]
    Interrupted,
}

impl Explain for RepairError {
    fn location(&self) -> Option<String> {
        match self {
            Self::Model(error) => error.location(),
            Self::Engine(error) => error.location(),
            Self::Interrupted => None,
        }
    }

    fn why(&self) -> Option<String> {
        match self {
            Self::Model(error) => error.why(),
            Self::Engine(error) => error.why(),
            Self::Interrupted => None,
        }
    }

    fn help(&self) -> Option<String> {
        match self {
            Self::Model(error) => error.help(),
            Self::Engine(error) => error.help(),
            Self::Interrupted => None,
        }
    }
}
