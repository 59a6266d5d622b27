//! The weight of a consumer that can be refitted.

use super::{Consumer, Moments};
use crate::channels::propagation::source_tensor;
use crate::channels::{Channels, ConsumerInput};
use crate::model::node::int_attribute;
use crate::model::{DataType, Model, ModelError, TensorData};
use crate::score::Regression;
use crate::statistics::{Centring, ClassGram};
use crate::surgery::{Names, add_initializer};
use faer::Mat;

/// Weight of a consumer as `[O, C, kernel_size]` with its axes named.
pub(in crate::repair) struct Weight {
    pub(in crate::repair) data: TensorData,
    pub(in crate::repair) values: Vec<f32>,
    /// Axis of the outputs and of the summed channels.
    pub(in crate::repair) axes: (usize, usize),
    pub(in crate::repair) kernel_size: usize,
}

impl Weight {
    /// The weight behind a input, if least squares applies to it: an ungrouped convolution or a product with a matrix.
    pub(in crate::repair) fn of(
        model: &Model,
        channels: &Channels,
        input: &ConsumerInput,
    ) -> Result<Option<Self>, ModelError> {
        let node = &model.graph().node[input.node];
        let fits = match node.op_type() {
            "Conv" => int_attribute(node, "group").unwrap_or(1) == 1,
            "Gemm" | "MatMul" => input.weight.0 == 1,
            _ => false,
        };
        let source = channels.source(input.node, input.weight.0).filter(|_| fits);
        let Some(tensor) = source.and_then(|source| source_tensor(model.graph(), source)) else { return Ok(None) };
        let data = model.tensor(tensor)?;
        let Some(values) = data.to_f32().filter(|_| data.dims.len() >= 2 && input.weight.1 < 2) else {
            return Ok(None);
        };
        let kernel_size = data.dims.iter().skip(2).product();
        Ok(Some(Self { axes: (1 - input.weight.1, input.weight.1), data, values, kernel_size }))
    }

    pub(in crate::repair) fn at(&self, output: usize, channel: usize, position: usize) -> usize {
        let (o, c) = self.axes;
        let [mut stride_o, mut stride_c] = [self.kernel_size; 2];
        if o < c {
            stride_o *= self.data.dims[c];
        } else {
            stride_c *= self.data.dims[o];
        }
        output * stride_o + channel * stride_c + position
    }
}

impl Moments {
    /// The consumer behind a input as a regression for second-order selection; `None` where it cannot be refitted or no
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
        if pairs.rows < 2 || pairs.mass <= 0.0 || weight.data.dims[weight.axes.1] != input.size {
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

    /// Class-conditional statistics of the pruning units of a input; `None` where no contributions were gathered, or a class or
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

    /// Whether contributions to the outputs of a input's node are gathered.
    pub fn classwise(&self, input: &ConsumerInput) -> bool {
        self.contributions(input.node).is_some()
    }
}

/// `[columns, outputs]`; where columns are channels, every kernel position is an output of its own.
pub(in crate::repair) fn columns_by_outputs(weight: &Weight, per_channel: usize, channels: usize) -> Mat<f64> {
    let outputs = weight.data.dims[weight.axes.0];
    if per_channel == weight.kernel_size {
        return Mat::from_fn(channels * weight.kernel_size, outputs, |row, output| {
            f64::from(weight.values[weight.at(output, row / weight.kernel_size, row % weight.kernel_size)])
        });
    }
    Mat::from_fn(channels, outputs * weight.kernel_size, |channel, column| {
        f64::from(weight.values[weight.at(column / weight.kernel_size, channel, column % weight.kernel_size)])
    })
}

/// Stores other content under the name of an initializer.
pub(in crate::repair) fn put(model: &mut Model, index: usize, data: &TensorData) {
    let tensor = &mut model.graph_mut().initializer[index];
    *tensor = data.to_proto(tensor.name.as_deref().unwrap_or_default());
}

/// Gives a node the bias that it lacks, in the type of its weight.
pub(in crate::repair) fn add_bias(model: &mut Model, node: usize, weight: usize, bias: &[f32]) {
    let weight = &model.graph().initializer[weight];
    let name = Names::of(model.graph()).fresh(&format!("{}_bias", weight.name()));
    let plain = TensorData::from_f32(vec![bias.len()], bias);
    let like = DataType::try_from(weight.data_type()).ok();
    let like = like.and_then(|dtype| TensorData { dtype, ..plain.clone() }.with_f32(bias));
    add_initializer(model, &name, &like.unwrap_or(plain));
    let node = &mut model.graph_mut().node[node];
    node.input.resize(2, String::new());
    node.input.push(name);
}
