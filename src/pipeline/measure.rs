//! What a run measures beside its own work.

use super::dense::Observed;
use crate::error::Error;
use crate::evaluate::{Accuracy, Predictions, VerifyError};
use crate::model::Model;
use crate::report::{AccuracyChange, ClassChange};

/// Top-1 of two models on the same images.
pub(super) fn accuracy_change(
    (before, after): (&Predictions, &Predictions),
    seen_in_calibration: bool,
    classes: Vec<ClassChange>,
) -> Option<AccuracyChange> {
    let (before, after) = before.accuracy().zip(after.accuracy())?;
    Some(AccuracyChange {
        before: before.percent,
        after: after.percent,
        images: before.images,
        before_interval: before,
        after_interval: after,
        seen_in_calibration,
        classes,
    })
}

/// Number of distinct labels.
pub(super) fn class_count(dataset: &crate::calibration::Dataset) -> usize {
    let labels: std::collections::BTreeSet<usize> =
        (0..dataset.len()).filter_map(|index| dataset.label(index)).collect();
    labels.len()
}

pub(super) fn near_chance(observed: &Observed, classes: usize) -> Result<(), Error> {
    match observed.judge.accuracy() {
        Some(accuracy) if accuracy.near_chance(classes) => {
            let Accuracy { percent, images, .. } = accuracy;
            Err(VerifyError::NearChance { percent, images, classes }.into())
        }
        _ => Ok(()),
    }
}

/// Elements of stored weights with at least two elements, each stored tensor once.
pub(super) fn count_params(model: &Model) -> u64 {
    model.weight_count()
}
