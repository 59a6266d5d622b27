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
    /// A device cannot be reached, or not any more.
    #[error("{what}")]
    Device {
        /// What happened, with the device's name.
        what: String,
        /// The reason.
        why: String,
        /// What can be done about it.
        help: String,
    },
    /// The user interrupted what a device was asked for.
    #[error("interrupted")]
    Interrupted,
}

impl Explain for EngineError {
    fn why(&self) -> Option<String> {
        match self {
            Self::Unavailable { why, .. }
            | Self::Compile { why, .. }
            | Self::Run { why, .. }
            | Self::Device { why, .. } => Some(why.clone()),
            Self::Interrupted => None,
        }
    }

    fn help(&self) -> Option<String> {
        match self {
            Self::Unavailable { help, .. } | Self::Device { help, .. } => Some(help.clone()),
            _ => None,
        }
    }
}
