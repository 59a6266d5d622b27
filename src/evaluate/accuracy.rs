//! Accuracy on labelled images and agreement with the dense model.

use std::collections::BTreeMap;

use ndarray::{ArrayD, ArrayViewD, Axis};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Paired, Tally};

/// Top-1 of a model, with its uncertainty.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Accuracy {
    /// Images classified right.
    pub correct: usize,
    /// Images classified.
    pub images: usize,
    /// Top-1 in percent.
    pub percent: f64,
    /// Lower end of the 95 % Wilson interval, in percent.
    pub low: f64,
    /// Upper end of the 95 % Wilson interval, in percent.
    pub high: f64,
}

impl Accuracy {
    /// From counts.
    pub fn new(correct: usize, images: usize) -> Self {
        let (low, high) = wilson(correct, images);
        let percent = 100.0 * correct as f64 / images.max(1) as f64;
        Self { correct, images, percent, low: 100.0 * low, high: 100.0 * high }
    }

    /// Whether this is what guessing among `classes` would give: the interval reaches chance and images suffice to
    /// tell.
    pub fn near_chance(&self, classes: usize) -> bool {
        classes > 1 && self.images >= 20 && self.low <= 100.0 / classes as f64 && self.percent < 50.0
    }
}

/// 95 % Wilson score interval of a share (Wilson 1927).
pub fn wilson(correct: usize, images: usize) -> (f64, f64) {
    const Z: f64 = 1.959_964;
    if images == 0 {
        return (0.0, 1.0);
    }
    let n = images as f64;
    let p = correct as f64 / n;
    let centre = p + Z * Z / (2.0 * n);
    let spread = Z * (p * (1.0 - p) / n + Z * Z / (4.0 * n * n)).sqrt();
    let scale = 1.0 + Z * Z / n;
    (((centre - spread) / scale).max(0.0), ((centre + spread) / scale).min(1.0))
}

/// The output of the largest score; ties: the lower index, as NumPy's argmax.
pub(super) fn answer(scores: &ArrayViewD<'_, f32>) -> usize {
    let better =
        |best: (usize, f32), (index, &score): (usize, &f32)| if score > best.1 { (index, score) } else { best };
    scores.iter().enumerate().fold((0, f32::NEG_INFINITY), better).0
}

/// How a model does on one class.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ClassAccuracy {
    /// Images of the class.
    pub images: usize,
    /// Share of them that are classified right, in percent.
    pub recall: f64,
    /// Share of the answers naming the class that are right, in percent; `None` if the class is never named.
    pub precision: Option<f64>,
}

/// Remembers the answers of a model and the labels, image by image.
#[derive(Debug, Clone, Default)]
pub struct Predictions {
    /// Answer and label by the image's number in the data set.
    answers: BTreeMap<usize, (usize, Option<usize>)>,
}

impl Predictions {
    /// Adds the scores `[N, classes]` of one batch; `items`: the images' numbers in the data set.
    pub fn add(&mut self, scores: &ArrayD<f32>, labels: &[Option<usize>], items: &[usize]) {
        for ((row, label), &item) in scores.axis_iter(Axis(0)).zip(labels).zip(items) {
            self.insert(item, answer(&row), *label);
        }
    }

    /// Adds the answer of one image.
    pub fn insert(&mut self, item: usize, answer: usize, label: Option<usize>) {
        self.answers.insert(item, (answer, label));
    }

    /// Images that were answered.
    pub fn images(&self) -> usize {
        self.answers.len()
    }

    /// The answers of `other` beside these, on the images that both answered.
    fn tally(&self, other: &Self) -> Tally {
        let mut tally = Tally::default();
        for (item, &(answer, label)) in &self.answers {
            if let Some(&(others, _)) = other.answers.get(item) {
                tally.add(others, answer, label);
            }
        }
        tally
    }

    /// Top-1, if any image had a label.
    pub fn accuracy(&self) -> Option<Accuracy> {
        self.tally(self).accuracy()
    }

    /// Recall and precision of every class that has labelled images, by the class's number.
    pub fn by_class(&self) -> BTreeMap<usize, ClassAccuracy> {
        self.tally(self).by_class()
    }

    /// On which labelled images `other` is wrong where this model is right, and the reverse.
    pub fn paired(&self, other: &Self) -> Paired {
        self.tally(other).paired()
    }

    /// Share of images on which two models answer the same.
    pub fn agreement(&self, other: &Self) -> Option<f64> {
        let tally = self.tally(other);
        (tally.images > 0).then(|| tally.agreeing as f64 / tally.images as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wilson_interval_of_a_known_case() {
        let (low, high) = wilson(90, 100);
        assert!((low - 0.8256).abs() < 1e-4 && (high - 0.9448).abs() < 1e-4);
        assert!(Accuracy::new(11, 100).near_chance(10));
        assert!(!Accuracy::new(30, 100).near_chance(10));
    }

    #[test]
    fn recall_and_precision_by_class() {
        let scores = ndarray::array![[1.0_f32, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]].into_dyn();
        let mut first = Predictions::default();
        first.add(&scores, &[Some(0), Some(1), Some(1), None], &[3, 2, 1, 0]);
        let found = first.by_class();
        assert_eq!(found[&0], ClassAccuracy { images: 1, recall: 100.0, precision: Some(50.0) });
        assert_eq!(found[&1], ClassAccuracy { images: 2, recall: 50.0, precision: Some(100.0) });
        assert_eq!(first.agreement(&first.clone()), Some(1.0));
        let mut other = Predictions::default();
        other.add(&scores.slice(ndarray::s![..2, ..]).to_owned().into_dyn(), &[None, None], &[0, 3]);
        assert_eq!(first.agreement(&other), Some(0.5));
        let mut worse = Predictions::default();
        worse.add(
            &scores.slice(ndarray::s![..;-1, ..]).to_owned().into_dyn(),
            &[Some(0), Some(1), Some(1), None],
            &[3, 2, 1, 0],
        );
        assert_eq!(first.paired(&worse), Paired { images: 3, lost: 2, gained: 1 });
    }
}
