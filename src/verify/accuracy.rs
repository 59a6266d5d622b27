//! Accuracy on labelled images and agreement with the dense model.

use ndarray::{ArrayD, Axis};
use serde::{Deserialize, Serialize};

/// Top-1 of a model, with its uncertainty.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Accuracy {
    /// Images judged right.
    pub correct: usize,
    /// Images judged.
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

/// Counts right answers and agreement batch by batch.
#[derive(Debug, Clone, Default)]
pub struct Judge {
    correct: usize,
    labelled: usize,
    predictions: Vec<usize>,
}

impl Judge {
    /// Adds the scores `[N, classes]` of one batch.
    pub fn add(&mut self, scores: &ArrayD<f32>, labels: &[Option<usize>]) {
        for (row, label) in scores.axis_iter(Axis(0)).zip(labels) {
            // Ties: the lower index, as NumPy's argmax.
            let best =
                row.iter().enumerate().fold(
                    (0, f32::NEG_INFINITY),
                    |best, (index, &score)| {
                        if score > best.1 { (index, score) } else { best }
                    },
                );
            self.predictions.push(best.0);
            if let Some(label) = label {
                self.labelled += 1;
                self.correct += usize::from(best.0 == *label);
            }
        }
    }

    /// Top-1, if any image had a label.
    pub fn accuracy(&self) -> Option<Accuracy> {
        (self.labelled > 0).then(|| Accuracy::new(self.correct, self.labelled))
    }

    /// Share of images on which two models answer the same.
    pub fn agreement(&self, other: &Self) -> Option<f64> {
        let both = self.predictions.len().min(other.predictions.len());
        let same = self.predictions.iter().zip(&other.predictions).filter(|(a, b)| a == b).count();
        (both > 0).then(|| same as f64 / both as f64)
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
}
