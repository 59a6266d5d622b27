//! What a user of a model without class scores asks of its outputs: how near they are, and how often they decide alike.

use std::sync::atomic::AtomicBool;

use ndarray::{ArrayD, Axis};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{EvaluateError, Reference};
use crate::engine::Engine;
use crate::model::Model;

/// Scores of at least so many tokens along the last axis are a vocabulary; fewer may be coordinates.
const FEWEST_TOKENS: usize = 16;

/// Rows and columns from which a plane may be a picture.
const SMALLEST_PICTURE: usize = 8;

/// One output of the pruned model beside the dense model's, on inputs that nothing was fitted on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct OutputFigures {
    /// Name of the value.
    pub name: String,
    /// Squared error relative to the variance of the dense model's values.
    pub error: f64,
    /// Cosine of the angle between both, over all inputs.
    pub cosine: f64,
    /// Peak signal-to-noise ratio in decibels, of planes of one or three channels; the peak is the range of the dense
    /// model's values. `None` for other shapes, and without any difference.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub psnr: Option<f64>,
    /// Share of positions with the same largest score, of maps `[N, K, H, W]` and of sequences `[N, T, K]`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agreement: Option<f64>,
    /// Mean over the classes that the dense model finds of intersection over union, of maps `[N, K, H, W]`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mean_iou: Option<f64>,
}

/// What the numbers of an output are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Picture,
    /// Scores along an axis.
    Scores(usize),
    Other,
}

impl Kind {
    fn of(shape: &[usize]) -> Self {
        let large = |sizes: &[usize]| sizes.iter().all(|&size| size >= SMALLEST_PICTURE);
        match *shape {
            [_, 1 | 3, h, w] | [_, h, w, 1 | 3] if large(&[h, w]) => Self::Picture,
            [_, k, h, w] if k > 1 && h * w > 1 => Self::Scores(1),
            [_, t, k] if t > 1 && k >= FEWEST_TOKENS => Self::Scores(2),
            _ => Self::Other,
        }
    }
}

/// Positions of one class.
#[derive(Debug, Clone, Copy, Default)]
struct Overlap {
    /// Where the dense model finds it, where both do, and where either does.
    dense: usize,
    both: usize,
    either: usize,
}

/// Sums over all inputs.
#[derive(Debug, Clone, Default)]
struct Sums {
    squares: f64,
    products: f64,
    dense: f64,
    own: f64,
    numbers: usize,
    low: f64,
    high: f64,
    alike: usize,
    positions: usize,
    classes: Vec<Overlap>,
}

impl Sums {
    fn add(&mut self, dense: &ArrayD<f32>, own: &ArrayD<f32>, kind: Kind) {
        for (a, b) in dense.iter().zip(own).map(|(a, b)| (f64::from(*a), f64::from(*b))) {
            self.squares += (a - b).powi(2);
            self.products += a * b;
            self.dense += a * a;
            self.own += b * b;
            (self.low, self.high) = if self.numbers == 0 { (a, a) } else { (self.low.min(a), self.high.max(a)) };
            self.numbers += 1;
        }
        if let Kind::Scores(axis) = kind {
            self.add_choices(&choices(dense, axis), &choices(own, axis), dense.len_of(Axis(axis)));
        }
    }

    fn add_choices(&mut self, dense: &[usize], own: &[usize], classes: usize) {
        self.classes.resize(classes, Overlap::default());
        for (&a, &b) in dense.iter().zip(own) {
            self.positions += 1;
            self.classes[a].dense += 1;
            self.classes[a].either += 1;
            if a == b {
                self.alike += 1;
                self.classes[a].both += 1;
            } else {
                self.classes[b].either += 1;
            }
        }
    }

    fn figures(&self, name: String, error: f64, kind: Kind) -> OutputFigures {
        let mean = self.squares / self.numbers.max(1) as f64;
        let peak = self.high - self.low;
        let decibels = (mean > 0.0 && peak > 0.0).then(|| 10.0 * (peak * peak / mean).log10());
        let length = (self.dense * self.own).sqrt();
        let scores = matches!(kind, Kind::Scores(_)) && self.positions > 0;
        let of_dense = self.classes.iter().filter(|own| own.dense > 0);
        let overlaps: Vec<f64> = of_dense.map(|own| own.both as f64 / own.either as f64).collect();
        OutputFigures {
            name,
            error,
            cosine: if length > 0.0 { self.products / length } else { 1.0 },
            psnr: decibels.filter(|_| kind == Kind::Picture),
            agreement: scores.then(|| self.alike as f64 / self.positions as f64),
            mean_iou: (kind == Kind::Scores(1) && !overlaps.is_empty())
                .then(|| overlaps.iter().sum::<f64>() / overlaps.len() as f64),
        }
    }
}

/// The index of the largest number along an axis, position by position; the first of equals.
fn choices(values: &ArrayD<f32>, axis: usize) -> Vec<usize> {
    let largest = |lane: ndarray::ArrayView1<'_, f32>| {
        let better = |best: (usize, f32), (at, &value): (usize, &f32)| if value > best.1 { (at, value) } else { best };
        lane.iter().enumerate().fold((0, f32::NEG_INFINITY), better).0
    };
    values.lanes(Axis(axis)).into_iter().map(largest).collect()
}

impl Reference {
    /// Figures of every compared value of another model. A value whose shape is another is left out.
    ///
    /// # Errors
    /// As [`Reference::errors`].
    pub fn figures(
        &self,
        engine: &dyn Engine,
        model: &Model,
        cancel: &AtomicBool,
    ) -> Result<Vec<OutputFigures>, EvaluateError> {
        let mut all: Vec<(Sums, Kind)> = Vec::new();
        let errors = self.compare(engine, model, cancel, &mut |at, dense, own| {
            if all.len() <= at {
                all.resize(at + 1, (Sums::default(), Kind::Other));
            }
            let (sums, kind) = &mut all[at];
            *kind = Kind::of(dense.shape());
            sums.add(dense, own, *kind);
        })?;
        let figures = |(at, error): (usize, Option<f64>)| {
            let (sums, kind) = all.get(at)?;
            Some(sums.figures(self.name(at).to_owned(), error?, *kind))
        };
        Ok(errors.into_iter().enumerate().filter_map(figures).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_tell_what_is_asked() {
        assert_eq!(Kind::of(&[1, 3, 64, 64]), Kind::Picture);
        assert_eq!(Kind::of(&[1, 64, 64, 1]), Kind::Picture);
        assert_eq!(Kind::of(&[2, 21, 32, 32]), Kind::Scores(1));
        assert_eq!(Kind::of(&[2, 10, 1000]), Kind::Scores(2));
        for other in [&[2, 100, 4][..], &[2, 1000], &[2, 21, 1, 1]] {
            assert_eq!(Kind::of(other), Kind::Other, "{other:?}");
        }
    }

    #[test]
    fn figures_by_hand() {
        let array = |values: Vec<f32>, shape: &[usize]| ArrayD::from_shape_vec(shape, values).unwrap();
        // Two classes at three positions; the last one changes sides.
        let dense = array(vec![1.0, 1.0, 0.0, 0.0, 0.0, 1.0], &[1, 2, 1, 3]);
        let own = array(vec![1.0, 1.0, 0.5, 0.0, 0.0, 0.0], &[1, 2, 1, 3]);
        let mut sums = Sums::default();
        sums.add(&dense, &own, Kind::Scores(1));
        let figures = sums.figures("y".into(), 0.5, Kind::Scores(1));
        assert!((figures.agreement.unwrap() - 2.0 / 3.0).abs() < 1e-12);
        // Intersection over union: 2 of 3, and 0 of 1.
        assert!((figures.mean_iou.unwrap() - 1.0 / 3.0).abs() < 1e-12);
        assert!((figures.cosine - 2.0 / (3.0_f64 * 2.25).sqrt()).abs() < 1e-12);
        let figures = sums.figures("y".into(), 0.5, Kind::Picture);
        assert!((figures.psnr.unwrap() - 10.0 * (6.0_f64 / 1.25).log10()).abs() < 1e-9);
    }
}
