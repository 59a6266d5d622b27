//! Errors of calibration data.

use crate::error::Explain;

/// Why calibration data cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CalibrationError {
    /// The path holds nothing usable.
    #[error("no calibration images in `{path}`")]
    Empty {
        /// The path as given.
        path: String,
        /// What was looked for.
        why: String,
    },
    /// A file beside the images (labels, classes, preprocessing, arrays) cannot be used.
    #[error("cannot use `{path}`")]
    File {
        /// The path as given.
        path: String,
        /// What is wrong with it.
        why: String,
    },
    /// An image cannot be decoded.
    #[error("cannot read the image `{image}`")]
    Image {
        /// Path or number of the image.
        image: String,
        /// The decoder's words.
        why: String,
    },
    /// The preprocessing does not fit the model.
    #[error("the preprocessing does not fit the model's input")]
    Preprocess {
        /// What does not fit.
        why: String,
        /// The flag that mends it.
        help: String,
    },
}

impl Explain for CalibrationError {
    fn why(&self) -> Option<String> {
        Some(match self {
            Self::Empty { why, .. }
            | Self::File { why, .. }
            | Self::Image { why, .. }
            | Self::Preprocess { why, .. } => why.clone(),
        })
    }

    fn help(&self) -> Option<String> {
        match self {
            Self::Empty { .. } => Some(
                "give a folder of class folders, a folder of images (with labels.csv), an .npz, or CIFAR-10 .bin files"
                    .into(),
            ),
            Self::Image { .. } => Some("leave `--strict` away to skip unreadable images".into()),
            Self::Preprocess { help, .. } => Some(help.clone()),
            Self::File { .. } => None,
        }
    }
}
