//! Inputs of the model that were prepared before, in batches.

use super::{Opened, Picture, Source};
use crate::engine::{Feed, feed};

/// Batches of `size` samples; the last may have fewer, or repeat some.
struct PreparedInputs {
    batches: Vec<Feed>,
    size: usize,
    /// One for each sample.
    labels: Vec<Option<usize>>,
}

impl Source for PreparedInputs {
    fn kind(&self) -> &'static str {
        "prepared inputs"
    }

    fn len(&self) -> usize {
        self.labels.len()
    }

    fn label(&self, i: usize) -> Option<usize> {
        *self.labels.get(i)?
    }

    fn name(&self, i: usize) -> String {
        format!("kept image {i}")
    }

    fn load(&self, _: usize) -> Result<Picture, String> {
        Err("it is no picture".to_owned())
    }

    fn feed(&self, items: &[usize]) -> Option<Feed> {
        let row = |&item: &usize| Some(feed::rows(self.batches.get(item / self.size)?, &[item % self.size]));
        feed::joined(&items.iter().map(row).collect::<Option<Vec<_>>>()?)
    }
}

/// A data set of batches of `size` samples, of which there are as many as labels.
pub(in crate::calibration) fn of_batches(
    batches: Vec<Feed>,
    size: usize,
    labels: Vec<Option<usize>>,
    class_names: Vec<String>,
) -> Opened {
    let source = PreparedInputs { batches, size: size.max(1), labels };
    Opened { source: Box::new(source), class_names, notes: Vec::new() }
}
