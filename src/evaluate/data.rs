//! Which images are run, and how they become inputs.

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use super::roll::Chosen;
use super::trials::images_within;
use crate::calibration::{CalibrationError, Dataset, DatasetOptions, PreprocessOptions, sample};
use crate::model::InputSpec;

/// Images that plans and repair are judged on: a quarter as many as calibrate, within these bounds. The more there are the better the
/// plan: ResNet-56 at half the MACs, 1,000 images, seeds 0 to 2, with 64 that judge 92.49, 92.33, 92.24 %, with 256 92.54, 92.50, 92.50.
const JUDGING: RangeInclusive<usize> = 64..=512;

/// Multiply-accumulates of one run of all images that judge, about, where these are more than the fewest.
const JUDGING_MACS: f64 = 1e11;

/// Fewer other images than this judge nothing: calibration images are taken instead.
const LEAST_JUDGING: usize = 16;

/// Every so many calibration images one judges, where there are no others; beyond so many, every so many of all. MobileNetV2 at x0.8 of
/// the MACs, 1,000 images of as many classes, with 64, 128 and 200 of them: top-1 64.4, 65.4, 65.6 %, agreement 85.2, 84.8, 84.4 %.
/// ResNet-20 at half the MACs, 50,000 images, with 128 and 512: 89.85 % after 240 s of refinement, 90.43 % after 120 s.
const HELD_OUT: usize = 5;
const MOST_PARTED: usize = 128;
const PARTED_OF_MANY: usize = 64;

/// Images that judge at most, where `samples` calibrate and the dense model takes `macs` multiply-accumulates an image.
fn most_judging(samples: usize, macs: u64) -> usize {
    let affordable = images_within(JUDGING_MACS, macs as f64);
    (samples / 4).min(affordable).clamp(*JUDGING.start(), *JUDGING.end())
}

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
    /// part of the calibration images, and these themselves where they are too few to be parted. `macs`: multiply-accumulates of the
    /// dense model for one image.
    pub fn calibration_images(&self, dataset: &Dataset, macs: u64, seed: u64) -> Parted {
        let wanted = self.samples.unwrap_or(Self::DEFAULT_SAMPLES);
        let most = most_judging(wanted.min(dataset.len()), macs);
        let mut fitted = sample(dataset, Some(wanted.saturating_add(most)), seed);
        let others = fitted.split_off(wanted.min(fitted.len()));
        // Behind the calibration images stand those that judge the loss of accuracy, if a part was set aside.
        if self.eval_skip == 0 && others.len() >= LEAST_JUDGING.min(fitted.len()).max(1) {
            return Parted::new(fitted, others, 0);
        }
        let parted = MOST_PARTED.max(fitted.len() / PARTED_OF_MANY);
        let count = (fitted.len() / HELD_OUT).min(most.min(parted));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quarter_judges_and_fewer_of_large_networks() {
        let small = [0, 256, 500, 1000, 50_000].map(|samples| most_judging(samples, 40_000_000));
        assert_eq!(small, [64, 64, 125, 250, 512]);
        let large = [40_000_000_000, 500_000_000, 0].map(|macs| most_judging(1000, macs));
        assert_eq!(large, [64, 200, 250]);
    }
}
