//! What can go wrong when a model is written in integers.

use crate::explain::Explain;
use crate::surgery::SurgeryError;

/// Errors of this room.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum QuantizeError {
    /// Nothing in the model can run on integers.
    #[error("nothing in the model can run on 8-bit integers: {why}")]
    Nothing {
        /// The first reason.
        why: String,
    },
    /// Nothing in the model can be in half precision.
    #[error("nothing in the model can be in half precision: {why}")]
    Single {
        /// The first reason.
        why: String,
    },
    /// The graph cannot be edited.
    #[error("{0}")]
    Graph(#[from] SurgeryError),
}

impl Explain for QuantizeError {
    fn help(&self) -> Option<String> {
        match self {
            Self::Nothing { .. } | Self::Single { .. } => {
                Some("give a model with convolutions or matrix products of stored weights in single precision".into())
            }
            Self::Graph(error) => error.help(),
        }
    }
}
