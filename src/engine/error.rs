//! Errors of the engines.

use crate::explain::Explain;

/// Why an engine cannot be used or a model cannot be run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// An engine or provider that was asked for is not available.
    #[error("{engine} is not available")]
    Unavailable {
        /// Name of the engine or provider.
        engine: String,
        /// The loader's reason.
        why: String,
        /// How to install it.
        help: String,
    },
    /// The engine does not accept the model.
    #[error("{engine} cannot load the model")]
    Compile {
        /// Name of the engine.
        engine: String,
        /// The engine's message.
        why: String,
    },
    /// Running the model failed.
    #[error("{engine} cannot run the model")]
    Run {
        /// Name of the engine.
        engine: String,
        /// The engine's message.
        why: String,
    },
}

impl Explain for EngineError {
    fn why(&self) -> Option<String> {
        match self {
            Self::Unavailable { why, .. } | Self::Compile { why, .. } | Self::Run { why, .. } => Some(why.clone()),
        }
    }

    fn help(&self) -> Option<String> {
        match self {
            Self::Unavailable { help, .. } => Some(help.clone()),
            _ => None,
        }
    }
}
