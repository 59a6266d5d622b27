//! What is minimised: how far chosen values are from those of the dense model.

use ndarray::Axis;
use rand::RngExt as _;
use rand_chacha::ChaCha8Rng;

use super::ops::{Array, array, elements};
use super::program::Program;
use crate::ops::vector;

/// Shares of the objective: what the model returns, the last feature map, and all values before it together. Outputs
/// alone have too few numbers an image to say what hundreds of thousands of weights should be, and of training images a
/// classifier knows the answers by heart; the residual streams say it layer by layer (`docs/method.md` 10.1).
const OUTPUTS: f64 = 0.005;
const LAST: f64 = 0.05;
const STREAMS: f64 = 0.95;

/// The more images, the more the later streams count: their weights go with the place among all values to this power times
/// the logarithm of the thousands of images. ResNet-20 at half the MACs after 80 s with 30,000 images, top-1 by power: 89.61 (0),
/// 89.72 (3), 90.03 (6), 90.13 (12), 90.17 without streams; ResNet-56 after 100 s 92.74, 92.85, 92.88 (6), 92.72 without. With 1,000
/// images, whose answers are learned by heart, ResNet-20: 89.38, 89.37, 89.06 (6), 88.79 without.
const LATER: f64 = 2.0;

/// One value that is compared with the dense model's.
pub(super) struct Target {
    /// Share of the objective over the value's variance per image.
    pub(super) weight: f32,
}

/// Images with the dense model's values for them.
pub(super) struct Batch {
    pub(super) image: Array,
    pub(super) wanted: Vec<Array>,
}

impl Target {
    /// The squared length of a difference.
    pub(super) fn length(&self, difference: &Array) -> f64 {
        f64::from(self.weight) * vector::squared_length(elements(difference))
    }

    /// The squared distance of two values.
    pub(super) fn distance(&self, wanted: &Array, value: &Array) -> f64 {
        f64::from(self.weight) * vector::squared_distance(elements(wanted), elements(value))
    }

    /// What is missing to the wanted value, times the weight; `None` if they are of different sizes.
    pub(super) fn missing(&self, wanted: &Array, value: &Array) -> Option<Array> {
        let missing = vector::zip(elements(wanted), elements(value), |wanted, value| (wanted - value) * self.weight);
        array(wanted.shape(), missing)
    }

    /// An array of random signs whose second moments are the weight.
    pub(super) fn sample(&self, like: &Array, rng: &mut ChaCha8Rng) -> Array {
        let size = self.weight.sqrt();
        like.mapv(|_| if rng.random::<bool>() { size } else { -size })
    }
}

/// Weights of the values that `program` compares, from the dense model's values on some images. `images`: how many there are to
/// learn from.
#[allow(clippy::cast_possible_truncation, reason = "weights are single precision")]
pub(super) fn weigh(program: &Program, batches: &[Batch], images: usize) -> Vec<Target> {
    let values = program.targets();
    let shape = |value: usize| program.values[value].shape.as_slice();
    let last_plane = values.iter().rposition(|&value| shape(value).iter().skip(2).product::<usize>() > 1);
    let ends = program.ends();
    let role = |place: usize, value: usize| {
        if ends.contains(&value) {
            OUTPUTS / ends.len() as f64
        } else if Some(place) == last_plane {
            LAST
        } else if shape(value).len() < 4 && last_plane.is_some() {
            // Pooled features follow from the last feature map.
            0.0
        } else {
            stream_share(place, values.len(), images)
        }
    };
    let spread = |place: usize| variance(batches.iter().map(|batch| &batch.wanted[place])).max(1e-12);
    values
        .iter()
        .enumerate()
        .map(|(place, &value)| Target { weight: (role(place, value) / spread(place)) as f32 })
        .collect()
}

/// Share of one of `count` values that are no end and not the last feature map.
fn stream_share(place: usize, count: usize, images: usize) -> f64 {
    let later = LATER * (images as f64 / 1000.0).ln().max(0.0);
    STREAMS / count as f64 * ((place + 1) as f64 / count as f64).powf(later)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn later_streams_count_more_the_more_images_there_are() {
        let shares = |images: usize| [0, 4, 9].map(|place| stream_share(place, 10, images));
        assert!(shares(1000).iter().chain(&shares(10)).all(|own| (own - STREAMS / 10.0).abs() < 1e-12));
        let ratio = |images: usize| shares(images)[1] / shares(images)[2];
        // Half as far in, to the power 2 ln 10.
        assert!((ratio(10_000) - 0.5f64.powf(2.0 * 10f64.ln())).abs() < 1e-12);
        assert!(ratio(50_000) < ratio(10_000));
    }
}
