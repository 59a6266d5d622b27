//! Pooled features of a consumer input, collected batch by batch.

use ndarray::{Array3, ArrayViewD, Axis, CowArray, IxDyn};
use rayon::prelude::*;

use super::StatisticsError;
use super::pool::Bins;

/// How a consumer input's activations are read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeatureLayout {
    /// Axis of the channels, at least 1 (axis 0 is the batch): 1 for `[N, C, H, W]` and `[N, C]`, 2 for `[N, T, C]`.
    pub channel_axis: usize,
    /// For every pruning unit the channel indices that it owns in this tensor, at least one and equally many for every pruning unit.
    pub units: Vec<Vec<usize>>,
    /// Bins per position axis of the adaptive average pool, at least 1.
    pub pool: usize,
}

/// Features of one consumer input over the calibration images.
#[derive(Debug, Clone, PartialEq)]
pub struct InputFeatures {
    /// `[n, units, d]`; `d` is the number of bins times the number of channels of an pruning unit (bins run fastest).
    pub features: Array3<f32>,
}

impl InputFeatures {
    /// Number of images `n`.
    pub fn images(&self) -> usize {
        self.features.len_of(Axis(0))
    }

    /// Number of pruning units.
    pub fn units(&self) -> usize {
        self.features.len_of(Axis(1))
    }

    /// Number of features of an pruning unit `d`.
    pub fn depth(&self) -> usize {
        self.features.len_of(Axis(2))
    }
}

/// Streams the activations of one consumer input into [`InputFeatures`] (`docs/method.md` 1.2). Sums are in f64,
/// features are stored as f32; the maps themselves are not kept.
#[derive(Debug, Clone)]
pub struct FeatureCollector {
    layout: FeatureLayout,
    /// Shape of the first batch without its batch axis.
    shape: Option<Vec<usize>>,
    depth: usize,
    data: Vec<f32>,
    images: usize,
}

impl FeatureCollector {
    /// A collector that has seen nothing.
    pub fn new(layout: FeatureLayout) -> Self {
        Self { layout, shape: None, depth: 0, data: Vec::new(), images: 0 }
    }

    /// Folds in the activations of a batch, `[N, ...]` with the channel axis of the layout. Images are kept in the
    /// order in which they come.
    ///
    /// # Errors
    /// [`StatisticsError::Shape`] where the tensor lacks the channel axis or a channel of the layout, or where its shape
    /// (the batch size aside) differs from the first batch.
    pub fn push(&mut self, batch: &ArrayViewD<'_, f32>) -> Result<(), StatisticsError> {
        self.check(batch.shape())?;
        let batch: CowArray<'_, f32, IxDyn> = batch.as_standard_layout();
        let Some(values) = batch.as_slice() else {
            return Err(shape_error(batch.shape(), "it has no contiguous form"));
        };
        let (shape, axis) = (batch.shape(), self.layout.channel_axis);
        let strides: Vec<usize> = (0..shape.len()).map(|axis| shape[axis + 1..].iter().product()).collect();
        let positions: Vec<(usize, usize)> =
            (1..shape.len()).filter(|&other| other != axis).map(|other| (shape[other], strides[other])).collect();
        let bins = Bins::new(self.layout.pool, &positions);
        let slices = self.layout.units.first().map_or(0, Vec::len);
        self.depth = bins.len() * slices;
        let row = self.depth * self.layout.units.len();
        let before = self.data.len();
        self.data.resize(before + row * shape[0], 0.0);
        self.images += shape[0];
        if row == 0 {
            return Ok(());
        }
        let units = &self.layout.units;
        self.data[before..].par_chunks_mut(row).enumerate().for_each(|(image, out)| {
            let channels = units.iter().flatten();
            for (&channel, out) in channels.zip(out.chunks_mut(bins.len())) {
                bins.means(&values[image * strides[0] + channel * strides[axis]..], out);
            }
        });
        Ok(())
    }

    /// The features of all images.
    ///
    /// # Errors
    /// [`StatisticsError::NotFinite`] if an activation was infinite or NaN.
    pub fn finish(self) -> Result<InputFeatures, StatisticsError> {
        if self.data.iter().any(|value| !value.is_finite()) {
            return Err(StatisticsError::NotFinite);
        }
        let shape = (self.images, self.layout.units.len(), self.depth);
        let features = Array3::from_shape_vec(shape, self.data)
            .map_err(|error| shape_error(&[shape.0, shape.1, shape.2], &error.to_string()))?;
        Ok(InputFeatures { features })
    }

    fn check(&mut self, shape: &[usize]) -> Result<(), StatisticsError> {
        let axis = self.layout.channel_axis;
        if axis == 0 || axis >= shape.len() {
            return Err(shape_error(shape, &format!("there is no channel axis {axis}")));
        }
        if let Some(&missing) = self.layout.units.iter().flatten().find(|&&channel| channel >= shape[axis]) {
            return Err(shape_error(shape, &format!("there is no channel {missing} on axis {axis}")));
        }
        let slices = self.layout.units.first().map_or(0, Vec::len);
        if self.layout.units.iter().any(|channels| channels.len() != slices || slices == 0) {
            return Err(shape_error(shape, "its units own different numbers of channels, or none"));
        }
        if shape[1..].contains(&0) {
            return Err(shape_error(shape, "an axis is empty"));
        }
        match &self.shape {
            Some(first) if first[..] != shape[1..] => Err(shape_error(shape, &format!("the first was [N, {first:?}]"))),
            Some(_) => Ok(()),
            None => {
                self.shape = Some(shape[1..].to_vec());
                Ok(())
            }
        }
    }
}

pub(super) fn shape_error(shape: &[usize], why: &str) -> StatisticsError {
    StatisticsError::Shape { shape: shape.to_vec(), why: why.into() }
}

#[cfg(test)]
mod tests {
    use ndarray::{Array, Ix3, array};

    use super::*;

    fn layout(channel_axis: usize, units: Vec<Vec<usize>>, pool: usize) -> FeatureLayout {
        FeatureLayout { channel_axis, units, pool }
    }

    #[test]
    fn channels_first_and_channels_last_agree() {
        let first = Array::from_iter((0..2 * 3 * 4).map(|value| f32::from(u8::try_from(value).unwrap())))
            .into_shape_with_order((2, 3, 4))
            .unwrap();
        let mut one = FeatureCollector::new(layout(1, vec![vec![2], vec![0]], 2));
        one.push(&first.view().into_dyn()).unwrap();
        let last = first.view().permuted_axes([0, 2, 1]);
        let mut two = FeatureCollector::new(layout(2, vec![vec![2], vec![0]], 2));
        two.push(&last.to_owned().view().into_dyn()).unwrap();
        let features = one.finish().unwrap();
        assert_eq!(features, two.finish().unwrap());
        assert_eq!(features.features, array![[[8.5, 10.5], [0.5, 2.5]], [[20.5, 22.5], [12.5, 14.5]]]);
    }

    #[test]
    fn batches_and_slices_are_concatenated() {
        let mut collector = FeatureCollector::new(layout(1, vec![vec![0, 1], vec![2, 3]], 4));
        collector.push(&array![[1.0, 2.0, 3.0, 4.0]].view().into_dyn()).unwrap();
        collector.push(&array![[5.0, 6.0, 7.0, 8.0]].view().into_dyn()).unwrap();
        let features = collector.finish().unwrap().features;
        assert_eq!(features, array![[[1.0, 2.0], [3.0, 4.0]], [[5.0, 6.0], [7.0, 8.0]]]);
        assert_eq!(features.into_dimensionality::<Ix3>().unwrap().shape(), [2, 2, 2]);
    }

    #[test]
    fn what_does_not_fit_is_an_error() {
        let batch = array![[1.0, 2.0]].into_dyn();
        for bad in [layout(2, vec![vec![0]], 1), layout(1, vec![vec![2]], 1), layout(1, vec![vec![0], vec![]], 1)] {
            assert!(matches!(FeatureCollector::new(bad).push(&batch.view()), Err(StatisticsError::Shape { .. })));
        }
        let mut collector = FeatureCollector::new(layout(1, vec![vec![0]], 1));
        collector.push(&batch.view()).unwrap();
        assert!(collector.push(&array![[1.0, 2.0, 3.0]].view().into_dyn()).is_err());
        collector.push(&array![[f32::NAN, 2.0]].view().into_dyn()).unwrap();
        assert_eq!(collector.finish(), Err(StatisticsError::NotFinite));
    }
}
