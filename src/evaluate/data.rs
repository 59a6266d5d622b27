//! Which images are run, and how they become inputs.

use std::path::{Path, PathBuf};

use super::roll::Chosen;
use crate::calibration::{CalibrationError, Dataset, DatasetOptions, PreprocessOptions, sample};
use crate::model::InputSpec;

/// Images that the repair is judged on at most; fewer than the least are taken from the calibration images instead.
const MOST_JUDGING: usize = 64;
const LEAST_JUDGING: usize = 16;

/// Every so many calibration images one judges, where there are no others.
const HELD_OUT: usize = 5;

/// Images by their use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parted {
    /// Statistics and repair are fitted on these.
    pub fitted: Chosen,
    /// The repair is judged on these.
    pub judging: Chosen,
    /// Calibration images among those that judge and that nothing is fitted on.
    pub held_out: usize,
}

impl Parted {
    fn new(fitted: Vec<u32>, judging: Vec<u32>, held_out: usize) -> Self {
        Self { fitted: Chosen::whole(fitted), judging: Chosen::whole(judging), held_out }
    }

    /// Only the images of a shard are this machine's own; `items`: theirs, ascending.
    #[must_use]
    pub fn within(self, items: &[u32]) -> Self {
        let held = |item: u32| items.binary_search(&item).is_ok();
        Self { fitted: self.fitted.within(held), judging: self.judging.within(held), ..self }
    }
}

/// Images.
#[derive(Debug, Clone, Default)]
pub struct DataOptions {
    /// Calibration images.
    pub data: Option<PathBuf>,
    /// What was gathered from calibration images before, in their place.
    pub statistics: Option<PathBuf>,
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

    /// Calibration images of a data set, and images that the repair is judged on: others where there are enough, else a
    /// part of the calibration images, and these themselves where they are too few to be parted.
    pub fn calibration_images(&self, dataset: &Dataset, seed: u64) -> Parted {
        let wanted = self.samples.unwrap_or(Self::DEFAULT_SAMPLES);
        let mut fitted = sample(dataset, Some(wanted.saturating_add(MOST_JUDGING)), seed);
        let others = fitted.split_off(wanted.min(fitted.len()));
        // Behind the calibration images stand those that judge the loss of accuracy, if a part was set aside.
        if self.eval_skip == 0 && others.len() >= LEAST_JUDGING.min(fitted.len()).max(1) {
            return Parted::new(fitted, others, 0);
        }
        let count = (fitted.len() / HELD_OUT).min(MOST_JUDGING);
        let judging = if count == 0 { fitted.clone() } else { fitted.split_off(fitted.len() - count) };
        Parted::new(fitted, judging, count)
    }

    /// Held-out images of a data set.
    pub fn held_out_images(&self, dataset: &Dataset, seed: u64) -> Vec<u32> {
        let count = self.eval_samples.map(|count| count + self.eval_skip);
        sample(dataset, count, seed).into_iter().skip(self.eval_skip).collect()
    }

    /// Opens a data set for a model that takes `inputs`.
    pub(super) fn open(&self, path: &Path, inputs: Vec<InputSpec>) -> Result<Dataset, CalibrationError> {
        Dataset::open(path, &DatasetOptions { classes: self.classes.clone(), strict: self.strict, inputs })
    }
}
