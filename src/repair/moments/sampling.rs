//! Which rows (image, position) enter the moments.

use faer::Mat;
use ndarray::{ArrayD, Axis};

use super::SeenImage;
use crate::ops::window::PlacedWindow;
use crate::repair::draws;

/// Rows (image, position) that enter one problem at most.
const MOST_ROWS: usize = 40_000;

/// Positions per image at least, where there are so many.
const LEAST_POSITIONS: usize = 8;

/// Positions per image that are looked at, of `positions`.
pub(in crate::repair) fn wanted_positions(images: usize, positions: usize) -> usize {
    LEAST_POSITIONS.max(MOST_ROWS / images.max(1)).min(positions)
}

/// Which positions of which images are looked at. The draw depends on the image's number alone.
pub(in crate::repair) struct Draw<'a> {
    /// Images of the whole run.
    pub(in crate::repair) images: usize,
    pub(in crate::repair) seed: u64,
    /// The images of the batch.
    pub(in crate::repair) batch: &'a [SeenImage],
}

impl Draw<'_> {
    fn positions(&self, image: usize, positions: usize) -> Vec<usize> {
        let number = self.batch.get(image).map_or(image, |own| own.number);
        draws::positions(self.seed, number, positions, wanted_positions(self.images, positions))
    }

    /// Channel vectors `[C, rows]` at sampled positions of the value; a row's values lie side by side.
    pub(in crate::repair) fn rows(&self, value: &ArrayD<f32>, axis: usize) -> Mat<f64> {
        let (channels, n) = (value.len_of(Axis(axis)), value.len_of(Axis(0)));
        let positions = value.len() / (n * channels).max(1);
        let wanted = wanted_positions(self.images, positions);
        let mut rows = Mat::zeros(channels, n * wanted);
        let outer: usize = value.shape()[1..axis].iter().product();
        let inner: usize = value.shape()[axis + 1..].iter().product();
        let Some(values) = value.as_slice() else { return rows };
        for image in 0..n {
            for (row, position) in self.positions(image, positions).into_iter().enumerate() {
                // A position counts the axes before and after the channel axis, in row-major order.
                let start = (image * outer + position / inner) * channels * inner + position % inner;
                for channel in 0..channels {
                    rows[(channel, image * wanted + row)] = f64::from(values[start + channel * inner]);
                }
            }
        }
        rows
    }

    /// Patches `[C * kernel_size, rows]` at sampled output positions; padding reads zero.
    pub(in crate::repair) fn patches(&self, value: &ArrayD<f32>, window: &PlacedWindow) -> Mat<f64> {
        let (Some(&n), Some(&channels), Some(values)) = (value.shape().first(), value.shape().get(1), value.as_slice())
        else {
            return Mat::zeros(0, 0);
        };
        let (kernel_size, positions, area) = (window.kernel_size(), window.positions(), window.area());
        let wanted = wanted_positions(self.images, positions);
        let mut rows = Mat::zeros(channels * kernel_size, n * wanted);
        for image in 0..n {
            for (row, position) in self.positions(image, positions).into_iter().enumerate() {
                let reads: Vec<(usize, usize)> =
                    (0..kernel_size).filter_map(|k| Some((k, window.reads(position, k)?))).collect();
                for channel in 0..channels {
                    let map = &values[(image * channels + channel) * area..][..area];
                    for &(kernel_position, at) in &reads {
                        rows[(channel * kernel_size + kernel_position, image * wanted + row)] = f64::from(map[at]);
                    }
                }
            }
        }
        rows
    }
}
