//! Errors of loading, decoding and saving models.

use crate::explain::Explain;

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
    #[error("`{path}` is not an ONNX model")]
    Decode {
        /// Where the bytes come from.
        path: String,
        /// Place inside the file.
        place: String,
        /// What is wrong with them.
        why: String,
    },
    /// Fields that this version does not know.
    #[error("`{path}` has fields that are not in onnx.proto")]
    UnknownFields {
        /// Where the bytes come from.
        path: String,
        /// `Message.number` of each.
        fields: Vec<String>,
    },
    /// The model breaks a rule of the ONNX specification that everything here relies on.
    #[error("`{path}` is not a valid model")]
    Invalid {
        /// Where the bytes come from.
        path: String,
        /// Which rule.
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
            Self::Decode { place, .. } => Some(place.clone()),
            _ => None,
        }
    }

    fn why(&self) -> Option<String> {
        Some(match self {
            Self::Read { source, .. } => source.to_string(),
            Self::UnknownFields { fields, .. } => fields.join(", "),
            Self::Decode { why, .. }
            | Self::Invalid { why, .. }
            | Self::Tensor { why, .. }
            | Self::Write { why, .. } => why.clone(),
        })
    }

    fn help(&self) -> Option<String> {
        match self {
            Self::UnknownFields { .. } => {
                Some("`--allow-unknown-fields` drops them; a newer version of this tool may know them".into())
            }
            Self::Decode { .. } => Some("check that the file is complete and is an .onnx file".into()),
            _ => None,
        }
    }
}
