//! Ranks of feature maps (Lin et al., `HRank`, 2020).

use faer::Mat;
use ndarray::{ArrayViewD, Axis};
use rayon::prelude::*;

/// Sums the ranks of the feature maps of one consumer input over some images.
#[derive(Debug, Clone)]
pub struct RankCollector {
    axis: usize,
    units: Vec<Vec<usize>>,
    sums: Vec<f64>,
    images: usize,
}

impl RankCollector {
    /// Images that are to be looked at: ranks hardly differ from batch to batch (Lin et al., figure 2), and each costs a
    /// factorisation.
    pub const MOST_IMAGES: usize = 50;

    /// A collector that has seen nothing. `channel_axis` is at least 1; `units`: the channels of each.
    pub fn new(channel_axis: usize, units: Vec<Vec<usize>>) -> Self {
        let sums = vec![0.0; units.len()];
        Self { axis: channel_axis, units, sums, images: 0 }
    }

    /// Folds in the activations of a batch, `[N, ...]` with the channel axis of the collector.
    pub fn push(&mut self, batch: &ArrayViewD<'_, f32>) {
        if self.axis == 0 || self.axis >= batch.ndim() {
            return;
        }
        let wanted = batch.len_of(Axis(0));
        self.images += wanted;
        let axis = self.axis;
        self.sums.par_iter_mut().zip(&self.units).for_each(|(sum, channels)| {
            for image in 0..wanted {
                for &channel in channels.iter().filter(|&&channel| channel < batch.len_of(Axis(axis))) {
                    let map = batch.index_axis(Axis(axis), channel);
                    *sum += rank(&map.index_axis(Axis(0), image)) as f64;
                }
            }
        });
    }

    /// Mean rank of every pruning unit's maps, added over its channels.
    pub fn finish(self) -> Vec<f64> {
        self.sums.into_iter().map(|sum| sum / self.images.max(1) as f64).collect()
    }
}

/// Numerical rank of a map: the last axis are the columns, what comes before the rows. Pivots of a rank-revealing QR that
/// are below `max(rows, columns) * eps` of the first do not count (the rule of LAPACK and of `torch.linalg.matrix_rank`).
fn rank(map: &ArrayViewD<'_, f32>) -> usize {
    let columns = map.shape().last().copied().unwrap_or(1);
    let rows = map.len() / columns.max(1);
    let values: Vec<f64> = map.iter().map(|&value| f64::from(value)).collect();
    if rows == 0 || columns == 0 || values.iter().any(|value| !value.is_finite()) {
        return 0;
    }
    let matrix = Mat::from_fn(rows, columns, |row, column| values[row * columns + column]);
    let factor = matrix.col_piv_qr();
    let pivots = factor.R();
    let pivot = |at: usize| pivots[(at, at)].abs();
    let threshold = rows.max(columns) as f64 * f64::from(f32::EPSILON) * pivot(0);
    (0..rows.min(columns)).filter(|&at| pivot(at) > threshold).count()
}

#[cfg(test)]
mod tests {
    use ndarray::Array4;

    use super::*;

    #[test]
    fn ranks_of_known_maps() {
        let maps = Array4::from_shape_fn((2, 3, 4, 5), |(_, channel, y, x)| match channel {
            0 => 0.0,
            1 => (y * 5 + x) as f32,
            _ => f32::from(u8::from(x == y)),
        });
        let mut collector = RankCollector::new(1, vec![vec![0], vec![1], vec![2], vec![1, 2]]);
        collector.push(&maps.view().into_dyn());
        assert_eq!(collector.finish(), [0.0, 2.0, 4.0, 6.0]);
    }

    #[test]
    fn the_mean_is_over_images_and_positions_may_be_missing() {
        let maps =
            ndarray::Array2::from_shape_fn((8, 2), |(image, channel)| f32::from(u8::from(channel > 0 && image < 4)));
        let mut collector = RankCollector::new(1, vec![vec![0], vec![1]]);
        collector.push(&maps.view().into_dyn());
        collector.push(&maps.view().into_dyn());
        assert_eq!(collector.finish(), [0.0, 0.5]);
    }
}
