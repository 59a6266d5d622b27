//! What is minimised: how far chosen values are from those of the dense model.

use ndarray::Axis;
use rand::RngExt as _;
use rand_chacha::ChaCha8Rng;

use super::ops::{Array, elements};

/// One value that is compared with the dense model's.
pub(super) struct Target {
    /// Weight of a squared difference: share of the objective over the value's variance per image.
    pub(super) squares: f32,
    /// Weight of the difference in the metric of the softmax (twice the divergence of Kullback and Leibler); rows of
    /// scores only.
    pub(super) fisher: f32,
}

/// Images with the dense model's values for them.
pub(super) struct Batch {
    pub(super) image: Array,
    pub(super) wanted: Vec<Array>,
}

/// Softmax of every row.
fn softmax(rows: &Array) -> Array {
    let mut out = rows.clone();
    for mut row in out.axis_iter_mut(Axis(0)) {
        let most = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        row.mapv_inplace(|value| (value - most).exp());
        let sum = row.sum();
        row.mapv_inplace(|value| value / sum);
    }
    out
}

impl Target {
    /// The metric times a difference.
    pub(super) fn pull(&self, wanted: &Array, difference: &Array) -> Array {
        let mut out = difference * self.squares;
        if self.fisher > 0.0 {
            let shares = softmax(wanted);
            for ((mut out, row), shares) in
                out.axis_iter_mut(Axis(0)).zip(difference.axis_iter(Axis(0))).zip(shares.axis_iter(Axis(0)))
            {
                let mean = (&row * &shares).sum();
                out += &(&shares * &(&row - mean) * self.fisher);
            }
        }
        out
    }

    /// The squared length of a difference in the metric.
    pub(super) fn length(&self, wanted: &Array, difference: &Array) -> f64 {
        let pulled = self.pull(wanted, difference);
        elements(&pulled).iter().zip(elements(difference)).map(|(a, b)| f64::from(a * b)).sum()
    }

    /// A random array whose second moments are the metric.
    pub(super) fn sample(&self, wanted: &Array, rng: &mut ChaCha8Rng) -> Array {
        let mut sign = |size: f32| if rng.random::<bool>() { size } else { -size };
        let mut out = wanted.mapv(|_| sign(self.squares.sqrt()));
        if self.fisher > 0.0 {
            let shares = softmax(wanted);
            for (mut out, shares) in out.axis_iter_mut(Axis(0)).zip(shares.axis_iter(Axis(0))) {
                let noise = shares.mapv(|share| sign((self.fisher * share).sqrt()));
                let sum = noise.sum();
                out += &(&noise - &(&shares * sum));
            }
        }
        out
    }
}

/// Mean over images of the squared distance from the mean image, of one value over all batches.
pub(super) fn variance<'a>(arrays: impl Iterator<Item = &'a Array> + Clone) -> f64 {
    let (mut sum, mut count): (Option<Array>, usize) = (None, 0);
    for array in arrays.clone() {
        count += array.shape().first().copied().unwrap_or(0);
        let part = array.sum_axis(Axis(0));
        sum = Some(match sum {
            Some(sum) => sum + part,
            None => part,
        });
    }
    let Some(sum) = sum else { return 0.0 };
    let mean = sum / count.max(1) as f32;
    let squares = arrays.flat_map(|array| {
        array
            .axis_iter(Axis(0))
            .map(|row| (&row - &mean).iter().map(|value| f64::from(value * value)).sum::<f64>())
            .collect::<Vec<_>>()
    });
    squares.sum::<f64>() / count.max(1) as f64
}

impl Batch {
    /// Images in the batch.
    pub(super) fn len(&self) -> usize {
        self.image.shape().first().copied().unwrap_or(0)
    }
}
