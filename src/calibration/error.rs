//! Errors of calibration data.

use std::path::Path;

use crate::explain::Explain;

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
    /// A file or folder cannot be read.
    #[error("cannot read `{path}`")]
    Read {
        /// The path as given.
        path: String,
        /// The operating system's error.
        source: std::io::Error,
    },
    /// The path is neither a folder nor a kind of file that holds images.
    #[error("`{path}` is not a known kind of calibration data")]
    Unknown {
        /// The path as given.
        path: String,
    },
    /// One image cannot be decoded or does not fit the preprocessing.
    #[error("cannot use image `{name}`")]
    Image {
        /// File name, or file and position in it.
        name: String,
        /// What is wrong with it.
        why: String,
    },
    /// Not one of the chosen images could be decoded.
    #[error("none of the {count} calibration images can be used")]
    Unreadable {
        /// Number of images tried.
        count: usize,
        /// The first image and what is wrong with it.
        why: String,
    },
    /// A label table, array file, binary batch or class list is malformed.
    #[error("cannot use `{path}`")]
    Format {
        /// The file or folder.
        path: String,
        /// Line, key or position inside it, or empty.
        place: String,
        /// What is wrong there.
        why: String,
        /// How to mend it.
        help: String,
    },
    /// Folder names or labels that the class list does not know.
    #[error("unknown class names in `{path}`")]
    Classes {
        /// The data set.
        path: String,
        /// The names.
        why: String,
        /// How to mend it.
        help: String,
    },
    /// The preprocessing is contradictory or does not fit the model's input.
    #[error("cannot use the preprocessing setting `{setting}`")]
    Preprocess {
        /// Name of the setting.
        setting: &'static str,
        /// What is wrong with it.
        why: String,
        /// How to mend it.
        help: String,
    },
}

impl CalibrationError {
    pub(crate) fn read(path: &Path, source: std::io::Error) -> Self {
        Self::Read { path: path.display().to_string(), source }
    }

    pub(crate) fn format(
        path: &Path,
        place: impl Into<String>,
        why: impl Into<String>,
        help: impl Into<String>,
    ) -> Self {
        Self::Format { path: path.display().to_string(), place: place.into(), why: why.into(), help: help.into() }
    }

    pub(crate) fn image(name: impl Into<String>, why: impl Into<String>) -> Self {
        Self::Image { name: name.into(), why: why.into() }
    }

    pub(crate) fn setting(setting: &'static str, why: impl Into<String>, help: impl Into<String>) -> Self {
        Self::Preprocess { setting, why: why.into(), help: help.into() }
    }
}

impl Explain for CalibrationError {
    fn location(&self) -> Option<String> {
        match self {
            Self::Format { place, .. } if !place.is_empty() => Some(place.clone()),
            _ => None,
        }
    }

    fn why(&self) -> Option<String> {
        Some(match self {
            Self::Read { source, .. } => source.to_string(),
            Self::Unknown { .. } => {
                "it is neither a folder nor a .npz, .npy, .tar, .parquet, .bin, .csv or .jsonl file".to_owned()
            }
            Self::Empty { why, .. }
            | Self::Image { why, .. }
            | Self::Unreadable { why, .. }
            | Self::Format { why, .. }
            | Self::Classes { why, .. }
            | Self::Preprocess { why, .. } => why.clone(),
        })
    }

    fn help(&self) -> Option<String> {
        let text = match self {
            Self::Empty { .. } => {
                "give a folder with one subfolder of images per class, a folder of images (with labels.csv or \
                 labels.jsonl), a .npz or .npy file, tar or Parquet files, `@list.txt`, or CIFAR-10 binary batches"
            }
            Self::Read { source, .. } if source.kind() == std::io::ErrorKind::NotFound => {
                "check the spelling; a relative path starts at the current folder"
            }
            Self::Read { .. } => "check the permissions of the file",
            Self::Unknown { .. } => "give a folder of images or one of these files",
            Self::Image { .. } => "repair or remove the image, or do without `--strict` to skip such images",
            Self::Unreadable { .. } => {
                "the images must be JPEG, PNG, BMP or WebP; check also the size, resize and crop settings"
            }
            Self::Format { help, .. } | Self::Classes { help, .. } | Self::Preprocess { help, .. } => help,
        };
        (!text.is_empty()).then(|| text.to_owned())
    }
}
