//! Inner products of centred kernels, what the lasso needs (`docs/method.md` 1.4, 1.8).

#![allow(clippy::needless_pass_by_value, reason = "array views are passed by value, as ndarray itself does")]

use nalgebra::DMatrix;
use ndarray::ArrayView3;

use super::{Kernel, StatisticsError, linear, tiles};

/// `Q`, `R` and `y_kk` of one consumer input, not normalised.
#[derive(Debug, Clone, PartialEq)]
pub struct GramStatistics {
    /// `c x c`: inner products of the centred kernels of two channels.
    pub quadratic: DMatrix<f64>,
    /// `c x K`: inner products of the centred kernels of a channel and a response.
    pub linear: DMatrix<f64>,
    /// Squared Frobenius norms of the response kernels, `K`.
    pub norms: Vec<f64>,
}

/// Over which pairs of images the kernels are compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Blocks {
    /// All pairs.
    All,
    /// Pairs inside the same block (block HSIC, `docs/method.md` 1.8): lists of image indices.
    Inside(Vec<Vec<usize>>),
}

/// The statistics of one consumer input.
///
/// `features`: `[n, c, d]`; `responses`: centred factors `U_k` (`n x r_k`); `scale`: a factor for each channel's features
/// (`energy` normalisation), all 1 if absent. The work is spread over threads by fixed shares whose sums are added in a
/// fixed order: the result does not depend on the number of threads. Memory is `O(n c d + c^2)`, never `n^2 c`.
///
/// # Errors
/// [`StatisticsError::Images`] with fewer than two images, or if the responses are of another number of images;
/// [`StatisticsError::NotFinite`] if a feature or a result is not finite.
pub fn gram<T: Copy + Into<f64> + Send + Sync>(
    features: ArrayView3<'_, T>,
    responses: &[DMatrix<f64>],
    kernel: Kernel,
    blocks: &Blocks,
    scale: Option<&[f64]>,
) -> Result<GramStatistics, StatisticsError> {
    let (images, channels, _) = features.dim();
    let other = responses.iter().map(DMatrix::nrows).find(|&rows| rows != images);
    if images < 2 || other.is_some() {
        return Err(StatisticsError::Images { features: images, responses: other.unwrap_or(images) });
    }
    if features.iter().any(|&value| !value.into().is_finite()) {
        return Err(StatisticsError::NotFinite);
    }
    let all = [(0..images).collect::<Vec<_>>()];
    let blocks = match blocks {
        Blocks::All => &all[..],
        Blocks::Inside(blocks) => blocks,
    };
    let mut total = GramStatistics {
        quadratic: DMatrix::zeros(channels, channels),
        linear: DMatrix::zeros(channels, responses.len()),
        norms: vec![0.0; responses.len()],
    };
    for block in blocks.iter().filter(|block| block.len() > 1) {
        let factors: Vec<DMatrix<f64>> = responses.iter().map(|factor| centred(factor.select_rows(block))).collect();
        let part = Part { features, images: block, factors: &factors, scale };
        let (quadratic, linear) = match kernel {
            Kernel::Linear => linear::statistics(&part),
            _ => tiles::statistics(&part, kernel),
        };
        total.quadratic += quadratic;
        total.linear += linear;
        for (norm, factor) in total.norms.iter_mut().zip(&factors) {
            *norm += (factor.transpose() * factor).norm_squared();
        }
    }
    if total.quadratic.iter().chain(total.linear.iter()).any(|value| !value.is_finite()) {
        return Err(StatisticsError::NotFinite);
    }
    Ok(total)
}

/// Images by `(label, index)`, dealt in turn to `floor(n / size)` blocks (`docs/method.md` 1.8); each block rises.
pub fn stratified_blocks(labels: &[usize], size: usize) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (0..labels.len()).collect();
    order.sort_by_key(|&image| labels[image]);
    let count = (labels.len() / size.max(1)).max(1);
    let deal = |block: usize| {
        let mut images: Vec<usize> = order.iter().skip(block).step_by(count).copied().collect();
        images.sort_unstable();
        images
    };
    (0..count).map(deal).collect()
}

/// One block of images with everything that the kernel forms need.
pub(super) struct Part<'a, T> {
    pub(super) features: ArrayView3<'a, T>,
    pub(super) images: &'a [usize],
    /// Factors of the block's images, centred inside it.
    pub(super) factors: &'a [DMatrix<f64>],
    pub(super) scale: Option<&'a [f64]>,
}

impl<T: Copy + Into<f64>> Part<'_, T> {
    /// Writes the scaled features of a channel over a range of the block's images, `d` values for each image.
    pub(super) fn gather(&self, channel: usize, images: std::ops::Range<usize>, out: &mut [f64]) {
        let depth = self.features.dim().2;
        let factor = self.scale.map_or(1.0, |scale| scale[channel]);
        for (&image, out) in self.images[images].iter().zip(out.chunks_exact_mut(depth.max(1))) {
            for (feature, out) in out.iter_mut().enumerate() {
                *out = factor * self.features[(image, channel, feature)].into();
            }
        }
    }
}

fn centred(mut factor: DMatrix<f64>) -> DMatrix<f64> {
    for mut column in factor.column_iter_mut() {
        let mean = column.mean();
        column.add_scalar_mut(-mean);
    }
    factor
}

#[cfg(test)]
mod tests;
