//! Errors of calibration data.

use crate::error::Explain;

/// Why calibration data cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CalibrationError {
    /// The path holds no usable images.
    #[error("no calibration images in `{path}`")]
    Empty {
        /// The path as given.
        path: String,
        /// What was looked for.
        why: String,
    },
}

impl Explain for CalibrationError {
    fn why(&self) -> Option<String> {
        match self {
            Self::Empty { why, .. } => Some(why.clone()),
        }
    }
}
