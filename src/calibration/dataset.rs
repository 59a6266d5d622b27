//! Labelled images, wherever they lie.

use std::path::{Path, PathBuf};

use super::classes::ClassMap;
use super::{CalibrationError, arrays, cifar, folders};

/// Where one image comes from.
#[derive(Debug, Clone)]
pub(super) enum Picture {
    /// An image file.
    File(PathBuf),
    /// 8-bit pixels `[height, width, channels]` at an offset of a loaded buffer.
    Pixels { buffer: usize, offset: usize },
    /// Finished input values of a float array, at an offset of its buffer.
    Values { offset: usize },
}

#[derive(Debug, Clone)]
pub(super) struct Item {
    pub(super) picture: Picture,
    pub(super) label: Option<usize>,
}

/// Shape of the pixels in [`Dataset::buffers`].
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Raster {
    pub(super) height: usize,
    pub(super) width: usize,
    pub(super) channels: usize,
    /// `[C, H, W]` in place of `[H, W, C]`.
    pub(super) planar: bool,
}

/// How to open a data set.
#[derive(Debug, Clone, Default)]
pub struct DatasetOptions {
    /// File that maps class folders to output indices.
    pub classes: Option<PathBuf>,
}

/// A set of images with or without labels.
#[derive(Debug, Clone, Default)]
pub struct Dataset {
    pub(super) items: Vec<Item>,
    pub(super) classes: Vec<String>,
    pub(super) buffers: Vec<Vec<u8>>,
    pub(super) values: Vec<f32>,
    pub(super) raster: Raster,
    pub(super) source: &'static str,
    pub(super) notes: Vec<String>,
}

impl Dataset {
    /// Opens a folder of class folders, a flat folder (with `labels.csv` or `labels.jsonl` or without labels), an
    /// `.npz` or `.npy` array, or CIFAR-10 binary batches (a file or a folder of them).
    ///
    /// # Errors
    /// If the path does not exist, holds no images, or a file beside them is not usable.
    pub fn open(path: &Path, options: &DatasetOptions) -> Result<Self, CalibrationError> {
        let classes = options.classes.as_deref().map(ClassMap::load).transpose()?;
        if !path.exists() {
            return Err(CalibrationError::Empty { path: path.display().to_string(), why: "no such path".into() });
        }
        let ending = path.extension().map(|end| end.to_string_lossy().to_lowercase()).unwrap_or_default();
        let dataset = match ending.as_str() {
            "npz" | "npy" => arrays::open(path)?,
            "bin" => cifar::open(path)?,
            _ if path.is_dir() && cifar::is_folder(path) => cifar::open(path)?,
            _ if path.is_dir() => folders::open(path, classes.as_ref())?,
            _ => {
                return Err(CalibrationError::Empty {
                    path: path.display().to_string(),
                    why: "a single file that is neither .npz, .npy nor .bin".into(),
                });
            }
        };
        if dataset.items.is_empty() {
            return Err(CalibrationError::Empty { path: path.display().to_string(), why: "it has no images".into() });
        }
        Ok(dataset)
    }

    /// Number of images.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether there are no images.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Whether every image has a label.
    pub fn labelled(&self) -> bool {
        self.items.iter().all(|item| item.label.is_some())
    }

    /// Index of the output that an image belongs to.
    pub fn label(&self, index: usize) -> Option<usize> {
        self.items.get(index).and_then(|item| item.label)
    }

    /// Number of distinct labels.
    pub fn class_count(&self) -> usize {
        let mut labels: Vec<_> = self.items.iter().filter_map(|item| item.label).collect();
        labels.sort_unstable();
        labels.dedup();
        labels.len()
    }

    /// Names by output index, as far as they are known.
    pub fn class_names(&self) -> &[String] {
        &self.classes
    }

    /// Path or number of an image, for messages.
    pub fn name(&self, index: usize) -> String {
        match self.items.get(index).map(|item| &item.picture) {
            Some(Picture::File(path)) => path.display().to_string(),
            _ => format!("image {index}"),
        }
    }

    /// What kind of place the images come from.
    pub fn source(&self) -> &'static str {
        self.source
    }

    /// What a person should know: empty class folders and the like.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Whether the images are finished input values that need no preprocessing.
    pub fn is_finished(&self) -> bool {
        !self.values.is_empty()
    }
}
