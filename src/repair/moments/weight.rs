//! The weight of a consumer that can be refitted.

use super::{Consumer, Moments};
use crate::channels::{Channels, ConsumerInput};
use crate::model::{Model, ModelError};
use crate::ops::constant::content;
use crate::ops::linear::{LinearMap, WEIGHT};
use crate::score::Regression;
use crate::statistics::{Centring, ClassGram};
use faer::Mat;

/// Weight of a consumer: `[O, C * kernel_size]`.
pub(in crate::repair) struct Weight {
    pub(in crate::repair) map: LinearMap,
    pub(in crate::repair) values: Vec<f32>,
    /// Axis of the outputs in the tensor.
    pub(in crate::repair) output_axis: usize,
    pub(in crate::repair) kernel_size: usize,
}

impl Weight {
    /// The weight that sums over `input`, if least squares applies to it: an ungrouped convolution or a product with a
    /// matrix.
    pub(in crate::repair) fn of(
        model: &Model,
        channels: &Channels,
        input: &ConsumerInput,
    ) -> Result<Option<Self>, ModelError> {
        let node = &model.graph().node[input.node];
        let source = channels.source(input.node, input.weight.0).filter(|_| input.weight.0 == WEIGHT);
        let Some(source) = source else { return Ok(None) };
        let Some(data) = content(model, source)? else { return Ok(None) };
        let map = LinearMap::of(node, &data.dims);
        let Some(map) = map.filter(|map| map.layout.groups == 1 && node.op_type() != "ConvTranspose") else {
            return Ok(None);
        };
        let Some(values) = data.to_f32() else { return Ok(None) };
        let kernel_size = map.layout.kernel_size;
        Ok(Some(Self { map, values, output_axis: 1 - input.weight.1.min(1), kernel_size }))
    }

    /// The weight of an output for a channel at a kernel position.
    pub(in crate::repair) fn at(&self, output: usize, channel: usize, position: usize) -> f64 {
        f64::from(self.values[self.map.layout.at(0, output, channel * self.kernel_size + position)])
    }

    pub(in crate::repair) fn outputs(&self) -> usize {
        self.map.layout.outputs
    }

    pub(in crate::repair) fn channels(&self) -> usize {
        self.map.layout.channels()
    }
}

impl Moments {
    /// The consumer behind an input as a regression for second-order selection; `None` where it cannot be refitted or no
    /// products were gathered. Rows weigh as their classes do, if classes have weights.
    ///
    /// # Errors
    /// If the weight cannot be read.
    pub fn regression(
        &self,
        model: &Model,
        channels: &Channels,
        input: &ConsumerInput,
    ) -> Result<Option<Regression>, ModelError> {
        let Some(Consumer { pairs: Some(pairs), weighted, kernel_size, .. }) = self.consumers.get(&input.node) else {
            return Ok(None);
        };
        let pairs = weighted.as_ref().unwrap_or(pairs);
        let Some(weight) = Weight::of(model, channels, input)?.filter(|weight| weight.kernel_size == *kernel_size)
        else {
            return Ok(None);
        };
        if pairs.rows < 2 || pairs.mass <= 0.0 || weight.channels() != input.size {
            return Ok(None);
        }
        let columns = pairs.sum.len();
        Ok(Some(Regression {
            covariance: Mat::from_fn(columns, columns, |i, j| pairs.covariance(i, j)),
            means: (0..columns).map(|column| pairs.mean(column)).collect(),
            weights: columns_by_outputs(&weight, pairs.per_channel, input.size),
            columns: input
                .indices
                .iter()
                .map(|own| own.iter().flat_map(|&c| c * pairs.per_channel..(c + 1) * pairs.per_channel).collect())
                .collect(),
        }))
    }

    /// Class-conditional statistics of the pruning units of an input; `None` where no contributions were gathered, or a class or
    /// the consumer's output on it shows nothing.
    ///
    /// # Errors
    /// If the weight cannot be read.
    pub fn class_gram(
        &self,
        model: &Model,
        channels: &Channels,
        input: &ConsumerInput,
        centring: Centring,
    ) -> Result<Option<ClassGram>, ModelError> {
        let Some(sums) = self.contributions(input.node) else { return Ok(None) };
        let Some(per_channel) =
            self.consumers.get(&input.node).and_then(|own| own.pairs.as_ref()).map(|p| p.per_channel)
        else {
            return Ok(None);
        };
        let Some(weight) = Weight::of(model, channels, input)? else { return Ok(None) };
        let columns = columns_by_outputs(&weight, per_channel, input.size);
        Ok(sums.finish(columns.as_ref(), &input.indices, centring))
    }

    /// Whether contributions to the outputs of an input's node are gathered.
    pub fn classwise(&self, input: &ConsumerInput) -> bool {
        self.contributions(input.node).is_some()
    }
}

/// `[columns, outputs]`; where columns are channels, every kernel position is an output of its own.
pub(in crate::repair) fn columns_by_outputs(weight: &Weight, per_channel: usize, channels: usize) -> Mat<f64> {
    let outputs = weight.outputs();
    if per_channel == weight.kernel_size {
        return Mat::from_fn(channels * weight.kernel_size, outputs, |row, output| {
            weight.at(output, row / weight.kernel_size, row % weight.kernel_size)
        });
    }
    Mat::from_fn(channels, outputs * weight.kernel_size, |channel, column| {
        weight.at(column / weight.kernel_size, channel, column % weight.kernel_size)
    })
}
