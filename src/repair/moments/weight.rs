//! The weight of a consumer that can be refitted.

use super::{Consumer, Moments};
use crate::channels::ConsumerInput;
use crate::model::Model;
use crate::ops::constant::Constants;
use crate::ops::linear::{LinearMap, WEIGHT};
use crate::ops::real::RealWeight;
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
    pub(in crate::repair) fn of(model: &Model, constants: &Constants, input: &ConsumerInput) -> Option<Self> {
        let node = &model.graph().node[input.node];
        let name = node.input.get(WEIGHT).filter(|_| input.weight.0 == WEIGHT);
        let RealWeight { dims, values, .. } = RealWeight::of(model, constants, name?)?;
        let map = LinearMap::of(node, &dims);
        let map = map.filter(|map| map.layout.groups == 1 && node.op_type() != "ConvTranspose")?;
        let kernel_size = map.layout.kernel_size;
        Some(Self { map, values, output_axis: 1 - input.weight.1.min(1), kernel_size })
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
    pub fn regression(&self, model: &Model, input: &ConsumerInput) -> Option<Regression> {
        let Some(Consumer { pairs: Some(pairs), weighted, kernel_size, .. }) = self.consumers.get(&input.node) else {
            return None;
        };
        let pairs = weighted.as_ref().unwrap_or(pairs);
        let weight = Weight::of(model, &self.constants, input).filter(|weight| weight.kernel_size == *kernel_size)?;
        if pairs.rows < 2 || pairs.mass <= 0.0 || weight.channels() != input.size {
            return None;
        }
        let columns = pairs.sum.len();
        Some(Regression {
            covariance: Mat::from_fn(columns, columns, |i, j| pairs.covariance(i, j)),
            ridge: pairs.ridge(),
            means: (0..columns).map(|column| pairs.mean(column)).collect(),
            weights: columns_by_outputs(&weight, pairs.per_channel, input.size),
            columns: input
                .indices
                .iter()
                .map(|own| own.iter().flat_map(|&c| c * pairs.per_channel..(c + 1) * pairs.per_channel).collect())
                .collect(),
        })
    }

    /// Class-conditional statistics of the pruning units of an input; `None` where no contributions were gathered, or a class or
    /// the consumer's output on it shows nothing.
    pub fn class_gram(&self, model: &Model, input: &ConsumerInput, centring: Centring) -> Option<ClassGram> {
        let sums = self.contributions(input.node)?;
        let per_channel = self.consumers.get(&input.node)?.pairs.as_ref()?.per_channel;
        let columns = columns_by_outputs(&Weight::of(model, &self.constants, input)?, per_channel, input.size);
        sums.finish(columns.as_ref(), &input.indices, centring)
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
