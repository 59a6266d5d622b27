//! Kernels and their scale for each channel (`docs/method.md` 1.3).

#![allow(clippy::needless_pass_by_value, reason = "array views are passed by value, as ndarray itself does")]

use ndarray::ArrayView3;

/// Images that the median of the squared distances is taken over.
const MEDIAN_IMAGES: usize = 256;
/// A channel whose mean squared distance is below this share of the largest is dead.
const DEAD: f64 = 1e-12;

/// Kernel between the features of one channel on two images.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Kernel {
    /// `exp(-gamma |x - x'|^2)`, `1 / gamma` the mean squared distance of the channel.
    #[default]
    Gaussian,
    /// The same with the lower median of the squared distances of the first 256 images.
    GaussianMedian,
    /// The same with `gamma = 1 / d`.
    GaussianD,
    /// `exp(-sqrt(0.5 / d) |x - x'|)`.
    LaplaceD,
    /// `<x, x'>`.
    Linear,
}

impl Kernel {
    /// The kernel's value at a squared distance.
    pub(super) fn at(self, gamma: f64, squared: f64) -> f64 {
        match self {
            Self::LaplaceD => (-gamma * squared.sqrt()).exp(),
            _ => (-gamma * squared).exp(),
        }
    }

    /// `gamma` of every channel over the given images; 0 for a dead channel. `scale` multiplies each channel's features.
    pub(super) fn gammas<T: Copy + Into<f64>>(
        self,
        features: ArrayView3<'_, T>,
        images: &[usize],
        scale: Option<&[f64]>,
    ) -> Vec<f64> {
        let (_, channels, depth) = features.dim();
        let spread = |channel: usize| {
            let factor = scale.map_or(1.0, |scale| scale[channel]);
            let value = |image: usize, feature: usize| factor * features[(image, channel, feature)].into();
            match self {
                Self::GaussianMedian => median_distance(&images[..images.len().min(MEDIAN_IMAGES)], depth, value),
                _ => mean_distance(images, depth, value),
            }
        };
        match self {
            Self::Gaussian | Self::GaussianMedian => {
                let spreads: Vec<f64> = (0..channels).map(spread).collect();
                let largest = spreads.iter().copied().fold(0.0, f64::max);
                spreads.into_iter().map(|spread| if spread > DEAD * largest { 1.0 / spread } else { 0.0 }).collect()
            }
            Self::GaussianD => vec![1.0 / depth as f64; channels],
            Self::LaplaceD => vec![(0.5 / depth as f64).sqrt(); channels],
            Self::Linear => vec![1.0; channels],
        }
    }
}

/// Mean squared distance over pairs of different images, in closed form from the variances.
fn mean_distance(images: &[usize], depth: usize, value: impl Fn(usize, usize) -> f64) -> f64 {
    let count = images.len() as f64;
    let variance = |feature: usize| {
        let mean = images.iter().map(|&image| value(image, feature)).sum::<f64>() / count;
        images.iter().map(|&image| (value(image, feature) - mean).powi(2)).sum::<f64>() / count
    };
    2.0 * count / (count - 1.0) * (0..depth).map(variance).sum::<f64>()
}

fn median_distance(images: &[usize], depth: usize, value: impl Fn(usize, usize) -> f64) -> f64 {
    let mut distances = Vec::with_capacity(images.len() * images.len() / 2);
    for (rank, &first) in images.iter().enumerate() {
        for &second in &images[rank + 1..] {
            distances
                .push((0..depth).map(|feature| (value(first, feature) - value(second, feature)).powi(2)).sum::<f64>());
        }
    }
    if distances.is_empty() {
        return 0.0;
    }
    let middle = (distances.len() - 1) / 2;
    *distances.select_nth_unstable_by(middle, f64::total_cmp).1
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;

    #[test]
    fn mean_and_lower_median_of_squared_distances() {
        let features = array![[[0.0_f32], [7.0]], [[1.0], [7.0]], [[3.0], [7.0]]];
        let images = [0, 1, 2];
        let mean = Kernel::Gaussian.gammas(features.view(), &images, None);
        assert!((1.0 / mean[0] - (1.0 + 9.0 + 4.0) / 3.0).abs() < 1e-12);
        assert!(mean[1].abs() < 1e-300);
        let median = Kernel::GaussianMedian.gammas(features.view(), &images, Some(&[2.0, 1.0]));
        assert_eq!(median, [1.0 / 16.0, 0.0]);
    }
}
