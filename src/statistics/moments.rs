//! Mean and variance of every channel over images and positions.

use ndarray::{ArrayViewD, Axis};

use super::StatisticsError;
use super::features::shape_error;

/// Running mean and variance per channel of a value, over images and positions, in f64.
///
/// Each image's mean and squared deviations are merged into the running ones (Chan, Golub and others, 1979), so the split
/// into batches does not change the result.
#[derive(Debug, Clone, PartialEq)]
pub struct ChannelMoments {
    axis: usize,
    count: f64,
    mean: Vec<f64>,
    squares: Vec<f64>,
}

impl ChannelMoments {
    /// Moments of the channels on `channel_axis` (at least 1; axis 0 is the batch).
    pub fn new(channel_axis: usize) -> Self {
        Self { axis: channel_axis, count: 0.0, mean: Vec::new(), squares: Vec::new() }
    }

    /// Folds in a batch `[N, ...]`.
    ///
    /// # Errors
    /// [`StatisticsError::Shape`] where the channel axis is missing, or its size differs from the first batch.
    pub fn push(&mut self, batch: &ArrayViewD<'_, f32>) -> Result<(), StatisticsError> {
        let shape = batch.shape();
        if self.axis == 0 || self.axis >= shape.len() {
            return Err(shape_error(shape, &format!("there is no channel axis {}", self.axis)));
        }
        let channels = shape[self.axis];
        if self.mean.is_empty() {
            self.mean = vec![0.0; channels];
            self.squares = vec![0.0; channels];
        }
        if self.mean.len() != channels {
            return Err(shape_error(shape, &format!("there were {} channels before", self.mean.len())));
        }
        if batch.is_empty() {
            return Ok(());
        }
        for image in batch.axis_iter(Axis(0)) {
            let size = (image.len() / channels) as f64;
            let total = self.count + size;
            for (channel, map) in image.axis_iter(Axis(self.axis - 1)).enumerate() {
                let mean = map.iter().map(|&value| f64::from(value)).sum::<f64>() / size;
                let squares = map.iter().map(|&value| (f64::from(value) - mean).powi(2)).sum::<f64>();
                let shift = mean - self.mean[channel];
                self.squares[channel] += squares + shift * shift * self.count * size / total;
                self.mean[channel] += shift * size / total;
            }
            self.count = total;
        }
        Ok(())
    }

    /// Values seen per channel: images times positions.
    pub fn count(&self) -> f64 {
        self.count
    }

    /// Mean of every channel; empty before the first batch.
    pub fn mean(&self) -> &[f64] {
        &self.mean
    }

    /// Variance of every channel (division by the count).
    pub fn variance(&self) -> Vec<f64> {
        self.squares.iter().map(|squares| if self.count > 0.0 { squares / self.count } else { 0.0 }).collect()
    }
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;

    #[test]
    fn equal_to_the_two_pass_formula() {
        let all =
            array![[[1.0, 2.0], [10.0, 10.0]], [[4.0, 5.0], [10.0, 10.0]], [[7.0, -1.0], [10.0, 10.0]]].into_dyn();
        let mut moments = ChannelMoments::new(1);
        for image in all.axis_chunks_iter(Axis(0), 2) {
            moments.push(&image).unwrap();
        }
        assert!((moments.mean()[0] - 3.0).abs() < 1e-12);
        assert!((moments.variance()[0] - 7.0).abs() < 1e-12);
        assert_eq!((moments.mean()[1], moments.variance()[1]), (10.0, 0.0));
        assert!((moments.count() - 6.0).abs() < 1e-12);
        assert!(moments.push(&array![[1.0]].view().into_dyn()).is_err());
    }
}
