//! Errors of statistics.

use crate::explain::Explain;

/// Why statistics cannot be computed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StatisticsError {
    /// An activation does not fit the consumer input's layout or the batches before it.
    #[error("activation of shape {shape:?} does not fit its consumer_input")]
    Shape {
        /// The activation's shape.
        shape: Vec<usize>,
        /// What the consumer input asks for.
        why: String,
    },
    /// Features hold infinities or NaN.
    #[error("features are not finite")]
    NotFinite,
    /// Features and responses are of different numbers of images, or of too few.
    #[error("{features} images of features, {responses} of responses")]
    Images {
        /// Images in the features.
        features: usize,
        /// Images in the responses.
        responses: usize,
    },
}

impl Explain for StatisticsError {
    fn why(&self) -> Option<String> {
        match self {
            Self::Shape { why, .. } => Some(why.clone()),
            Self::NotFinite => Some("an activation of the dense model is infinite or not a number".into()),
            Self::Images { .. } => Some("both must be of the same images, at least two".into()),
        }
    }

    fn help(&self) -> Option<String> {
        match self {
            Self::NotFinite => Some("check the preprocessing and the model's outputs".into()),
            Self::Images { .. } => Some("calibrate with at least two images".into()),
            Self::Shape { .. } => None,
        }
    }
}
