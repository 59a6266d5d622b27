//! Which images are run, and how they become inputs.

use std::path::{Path, PathBuf};

use crate::calibration::{CalibrationError, Dataset, DatasetOptions, PreprocessOptions, sample};
use crate::model::InputSpec;

/// Images.
#[derive(Debug, Clone, Default)]
pub struct DataOptions {
    /// Calibration images.
    pub data: Option<PathBuf>,
    /// Labelled images held out from calibration.
    pub eval: Option<PathBuf>,
    /// Map of class folders to outputs.
    pub classes: Option<PathBuf>,
    /// Preprocessing given by the user.
    pub preprocess: PreprocessOptions,
    /// Calibration images to use; all up to [`DataOptions::DEFAULT_SAMPLES`] by default.
    pub samples: Option<usize>,
    /// Held-out images to use; all by default.
    pub eval_samples: Option<usize>,
    /// Images at the head of the seeded order of `eval` that are not held out: they calibrate.
    pub eval_skip: usize,
    /// Whether an unreadable image ends the run.
    pub strict: bool,
}

impl DataOptions {
    /// Calibration images that are used unless told otherwise.
    pub const DEFAULT_SAMPLES: usize = 500;

    /// Calibration images of a data set.
    pub fn calibration_images(&self, dataset: &Dataset, seed: u64) -> Vec<usize> {
        sample(dataset, Some(self.samples.unwrap_or(Self::DEFAULT_SAMPLES)), seed)
    }

    /// Held-out images of a data set.
    pub fn held_out_images(&self, dataset: &Dataset, seed: u64) -> Vec<usize> {
        let count = self.eval_samples.map(|count| count + self.eval_skip);
        sample(dataset, count, seed).into_iter().skip(self.eval_skip).collect()
    }

    /// Opens a data set for a model that takes `inputs`.
    pub(super) fn open(&self, path: &Path, inputs: Vec<InputSpec>) -> Result<Dataset, CalibrationError> {
        Dataset::open(path, &DatasetOptions { classes: self.classes.clone(), strict: self.strict, inputs })
    }
}
