//! Errors of loading, decoding and saving models.

use crate::error::Explain;

/// Why a model cannot be loaded, read or saved.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ModelError {
    /// The file cannot be opened or read.
    #[error("cannot read `{path}`")]
    Read {
        /// The path as given.
        path: String,
        /// The operating system's error.
        source: std::io::Error,
    },
    /// The bytes are not an ONNX model.
    #[error("cannot decode the model")]
    Decode {
        /// Where the bytes come from.
        path: String,
        /// What is wrong with them.
        why: String,
    },
    /// A tensor's data are missing, too short or of an unusable kind.
    #[error("cannot read tensor `{tensor}`")]
    Tensor {
        /// Name of the tensor.
        tensor: String,
        /// What is wrong with it.
        why: String,
    },
    /// The model cannot be written.
    #[error("cannot write `{path}`")]
    Write {
        /// The path as given.
        path: String,
        /// Why not.
        why: String,
    },
}

impl Explain for ModelError {
    fn location(&self) -> Option<String> {
        match self {
            Self::Decode { path, .. } => Some(path.clone()),
            _ => None,
        }
    }

    fn why(&self) -> Option<String> {
        Some(match self {
            Self::Read { source, .. } => source.to_string(),
            Self::Decode { why, .. } | Self::Tensor { why, .. } | Self::Write { why, .. } => why.clone(),
        })
    }
}
