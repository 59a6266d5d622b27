//! A set of calibration images.

use std::ops::Range;
use std::path::{Path, PathBuf};

use super::CalibrationError;
use super::source::{self, Opened, Picture};
use crate::engine::Feed;
use crate::model::InputSpec;

/// How a data set is opened.
#[derive(Debug, Clone, Default)]
pub struct DatasetOptions {
    /// File that maps class names to output indices; by default the alphabetical order of the class folders.
    pub classes: Option<PathBuf>,
    /// Refuse data sets of which parts are unusable instead of noting it.
    pub strict: bool,
    /// What the model takes, where arrays may be inputs themselves; without it arrays are images.
    pub inputs: Vec<InputSpec>,
}

/// Calibration images, with labels where they are known. Items are counted from 0 in the order of their names.
pub struct Dataset {
    opened: Opened,
}

impl std::fmt::Debug for Dataset {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Dataset").field("source", &self.source()).field("len", &self.len()).finish_non_exhaustive()
    }
}

impl Dataset {
    /// Opens class folders (`ImageFolder`), a folder of images with or without `labels.csv` or `labels.jsonl`, a
    /// `.npz` or `.npy` file of images or of the model's inputs, a folder of such files, CIFAR-10 binary batches, or a
    /// single image.
    ///
    /// Image files are found here but decoded later; arrays and batches are read into memory.
    ///
    /// # Errors
    /// [`CalibrationError`] where the path cannot be read, holds no images, or its labels or classes make no sense.
    pub fn open(path: &Path, options: &DatasetOptions) -> Result<Self, CalibrationError> {
        source::open(path, options).map(|opened| Self { opened })
    }

    /// Inputs of a model in batches of `size` samples, of which there are as many as labels; the last batch may have fewer, or
    /// repeat some.
    pub fn of_batches(batches: Vec<Feed>, size: usize, labels: Vec<Option<usize>>, class_names: Vec<String>) -> Self {
        Self { opened: source::of_batches(batches, size, labels, class_names) }
    }

    /// Number of images.
    pub fn len(&self) -> usize {
        self.opened.source.len()
    }

    /// Numbers of all images. Lists of them hold them as 32 bits, for there may be millions.
    pub fn numbers(&self) -> Range<u32> {
        0..u32::try_from(self.len()).unwrap_or(u32::MAX)
    }

    /// Whether there are no images; an opened data set has at least one.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether every image has a label.
    pub fn labelled(&self) -> bool {
        !self.is_empty() && (0..self.len()).all(|i| self.label(i).is_some())
    }

    /// Class names by output index; empty where one is not known.
    pub fn class_names(&self) -> &[String] {
        &self.opened.class_names
    }

    /// Output index of the class of image `i`.
    pub fn label(&self, i: usize) -> Option<usize> {
        self.opened.source.label(i)
    }

    /// File name of image `i` relative to the path, or its position in the file.
    pub fn name(&self, i: usize) -> String {
        self.opened.source.name(i)
    }

    /// Calls `each` with the number and name of every image, in order.
    pub fn each_name(&self, each: &mut dyn FnMut(usize, &str)) {
        self.opened.source.each_name(each);
    }

    /// What kind of data this is, such as `image folder`.
    pub fn source(&self) -> &str {
        self.opened.source.kind()
    }

    /// What the user should know about how the data were read.
    pub fn notes(&self) -> &[String] {
        &self.opened.notes
    }

    /// Whether the samples are the inputs themselves, not pictures.
    pub fn is_inputs(&self) -> bool {
        self.opened.source.feed(&[0]).is_some()
    }

    /// Samples that a run takes, where the data say that it takes neither more nor fewer.
    pub fn fixed_run(&self) -> Option<usize> {
        self.opened.source.fixed_run()
    }

    /// All inputs of a run on these samples; `None` if they are pictures.
    pub(crate) fn feed(&self, items: &[usize]) -> Option<Feed> {
        self.opened.source.feed(items)
    }

    pub(crate) fn load(&self, i: usize) -> Result<Picture, String> {
        self.opened.source.load(i)
    }
}
