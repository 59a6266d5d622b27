//! New weights for the consumers of what was cut.

use std::collections::{BTreeMap, HashMap};

use faer::linalg::matmul::matmul;
use faer::linalg::solvers::Solve as _;
use faer::{Accum, Mat, Par, Side};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Compensation;
use super::moments::{Consumer, Moments, Pairs, Weight};
use crate::channels::{Channels, ConsumerInput, Cut};
use crate::model::node::node_name;
use crate::model::{Model, ModelError};
use crate::ops::constant::{Constants, add_bias};
use crate::ops::linear::{BIAS, Bias, MatrixLayout, WEIGHT};
use crate::ops::real::RealWeight;
use crate::proto::onnx::NodeProto;

/// What was done for a consumer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Method {
    /// Least squares over channels and kernel positions, and bias.
    Window,
    /// Least squares over channels, the same for every kernel position, and bias.
    Channel,
    /// Bias only.
    Bias,
    /// Nothing: the consumer has no place for a correction.
    None,
}

/// What was done, consumer by consumer.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Refit {
    /// Node name and method.
    pub consumers: Vec<(String, Method)>,
    /// What the sequential reconstruction of the layers behind a cut did.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub layers: Vec<super::LayerFit>,
}

/// Refits the consumers in `sliced`, the sliced form of `model` under `cut`.
///
/// # Errors
/// If a weight cannot be read.
pub fn refit(
    model: &Model,
    sliced: &mut Model,
    channels: &Channels,
    cut: &Cut,
    moments: &Moments,
    compensation: Compensation,
) -> Result<Refit, ModelError> {
    let mut report = Refit::default();
    if compensation == Compensation::None {
        return Ok(report);
    }
    // A consumer of a concatenation has an input per group; it is refitted once, over all of them.
    let consumers: BTreeMap<usize, &ConsumerInput> =
        channels.groups.iter().flat_map(|group| &group.consumer_inputs).map(|input| (input.node, input)).collect();
    let places = Places::of(sliced);
    for (&node, input) in &consumers {
        let Some(ids) = channels.value_ids(&input.value) else { continue };
        let kept = channels.kept(cut, ids, input.axis);
        if kept.len() == input.size || cut.removes_node(node) {
            continue;
        }
        let method = match (Weight::of(model, &moments.constants, input), moments.consumers.get(&node)) {
            (Some(weight), Some(read)) if weight.kernel_size == read.kernel_size => {
                let ids = channels.weight_ids(model, node, input.weight.0);
                let outputs = ids.map(|ids| channels.kept(cut, ids, weight.output_axis)).unwrap_or_default();
                let removed = (0..input.size).filter(|c| kept.binary_search(c).is_err()).collect();
                let reader = Reader { weight, read, outputs, kept: &kept, removed };
                let target = places.find(sliced, &model.graph().node[node], &reader.weight);
                target.map_or(Method::None, |target| reader.refit(&target, sliced, compensation))
            }
            _ => Method::None,
        };
        report.consumers.push((node_name(&model.graph().node[node]), method));
    }
    Ok(report)
}

/// One consumer and what is left of the channels that it reads.
struct Reader<'a> {
    weight: Weight,
    read: &'a Consumer,
    /// Outputs and channels that are left, and channels that are not.
    outputs: Vec<usize>,
    kept: &'a [usize],
    removed: Vec<usize>,
}

/// `A [S, R]`: the removed columns regressed on the kept ones, `(C_SS + rho I)^-1 C_SR`, `rho` as [`Pairs::ridge`]
/// says. A channel has one column or one per kernel position.
fn regression(pairs: &Pairs, kept: &[usize], cut: &[usize]) -> Option<Mat<f64>> {
    if pairs.rows < 2 || kept.is_empty() {
        return None;
    }
    let columns = |channels: &[usize]| -> Vec<usize> {
        channels.iter().flat_map(|channel| channel * pairs.per_channel..(channel + 1) * pairs.per_channel).collect()
    };
    let (kept, cut) = (columns(kept), columns(cut));
    let mean_variance = kept.iter().map(|&c| pairs.covariance(c, c)).sum::<f64>() / kept.len() as f64;
    let ridge = pairs.ridge() * mean_variance.max(f64::MIN_POSITIVE);
    let ss = Mat::from_fn(kept.len(), kept.len(), |i, j| {
        pairs.covariance(kept[i], kept[j]) + if i == j { ridge } else { 0.0 }
    });
    let sr = Mat::from_fn(kept.len(), cut.len(), |i, j| pairs.covariance(kept[i], cut[j]));
    let blend = ss.llt(Side::Lower).ok()?.solve(&sr);
    let finite = blend.col_iter().all(|column| column.iter().all(|value| value.is_finite()));
    finite.then_some(blend)
}

impl Reader<'_> {
    /// Solves, and writes into the sliced model.
    fn refit(&self, target: &Target, sliced: &mut Model, compensation: Compensation) -> Method {
        let products = matches!(compensation, Compensation::Local | Compensation::Sequential);
        let pairs = self.read.pairs.as_ref().filter(|_| products);
        let blend = pairs.and_then(|pairs| regression(pairs, self.kept, &self.removed));
        let method = match pairs {
            Some(pairs) if blend.is_some() && pairs.per_channel == self.weight.kernel_size => Method::Window,
            _ if blend.is_some() => Method::Channel,
            _ => Method::Bias,
        };
        let new = self.blended(blend.as_ref());
        let shift = self.bias_shift(&new);
        target.store(sliced, &new, &shift, method)
    }

    /// The layout of the sliced weight.
    fn sliced(&self) -> MatrixLayout {
        self.weight.map.layout.resized(self.outputs.len(), self.kept.len())
    }

    /// `W_S + sum over removed r of A_sr W_r`, in the layout of the sliced weight.
    #[allow(clippy::cast_possible_truncation, reason = "weights are stored in single precision")]
    fn blended(&self, blend: Option<&Mat<f64>>) -> Vec<f32> {
        let (outputs, layout, kernel_size) = (self.outputs.len(), self.sliced(), self.weight.kernel_size);
        let mut new = vec![0.0_f32; layout.len()];
        // Columns of a channel are blended together where the regression knows kernel positions, else position by
        // position.
        let together = blend.is_some_and(|blend| blend.nrows() == self.kept.len() * kernel_size);
        let (rounds, per_channel) = if together { (1, kernel_size) } else { (kernel_size, 1) };
        for round in 0..rounds {
            let position = |column: usize| if together { column % per_channel } else { round };
            let at = |o: usize, channels: &[usize], column: usize| {
                self.weight.at(self.outputs[o], channels[column / per_channel], position(column))
            };
            let columns = self.kept.len() * per_channel;
            let mut refitted = Mat::from_fn(outputs, columns, |o, column| at(o, self.kept, column));
            if let Some(blend) = blend {
                let removed = self.removed.len() * per_channel;
                let removed = Mat::from_fn(outputs, removed, |o, column| at(o, &self.removed, column));
                matmul(refitted.as_mut(), Accum::Add, removed.as_ref(), blend.transpose(), 1.0, Par::Seq);
            }
            for o in 0..outputs {
                for column in 0..columns {
                    let own = column / per_channel * kernel_size + position(column);
                    new[layout.at(0, o, own)] = refitted[(o, column)] as f32;
                }
            }
        }
        new
    }

    /// What the mean of every output lacks: `sum over all W m - sum over kept W' m` with the mean patch `m`
    /// (`docs/method.md` 9.2).
    #[allow(clippy::cast_possible_truncation, reason = "biases are stored in single precision")]
    fn bias_shift(&self, new: &[f32]) -> Vec<f32> {
        let (layout, kernel_size, read) = (self.sliced(), self.weight.kernel_size, self.read);
        let count = read.count.max(1) as f64;
        let channels = read.sums.len() / kernel_size;
        let mean = |channel: usize, position: usize| read.sums[channel * kernel_size + position] / count;
        let scale = f64::from(self.weight.map.alpha) / f64::from(self.weight.map.beta);
        let lacking = |(o, &output): (usize, &usize)| {
            let mut shift = 0.0;
            for channel in 0..channels {
                for position in 0..kernel_size {
                    shift += mean(channel, position) * self.weight.at(output, channel, position);
                }
            }
            for (s, &channel) in self.kept.iter().enumerate() {
                for position in 0..kernel_size {
                    let weight = f64::from(new[layout.at(0, o, s * kernel_size + position)]);
                    shift -= mean(channel, position) * weight;
                }
            }
            (shift * scale) as f32
        };
        self.outputs.iter().enumerate().map(lacking).collect()
    }
}

/// Where the new weights go in the sliced model.
struct Target {
    node: usize,
    weight: RealWeight,
    bias: Bias,
    /// Of the bias, where there is one.
    stored_bias: Option<RealWeight>,
}

/// Nodes of the sliced model by their first output, and where its constants are stored.
struct Places {
    nodes: HashMap<String, usize>,
    constants: Constants,
}

impl Places {
    fn of(sliced: &Model) -> Self {
        let graph = sliced.graph();
        let first = |(at, node): (usize, &NodeProto)| Some((node.output.first()?.clone(), at));
        Self { nodes: graph.node.iter().enumerate().filter_map(first).collect(), constants: Constants::of(graph) }
    }

    /// Where the weight and the bias of a consumer are; `None` if its weight is shared or computed.
    fn find(&self, sliced: &Model, consumer: &NodeProto, weight: &Weight) -> Option<Target> {
        let node = *self.nodes.get(consumer.output.first()?)?;
        let own = &sliced.graph().node[node];
        let real = |input: usize| RealWeight::of(sliced, &self.constants, own.input.get(input)?);
        let bias = weight.map.bias(sliced, own, &self.constants);
        let stored_bias = if bias == Bias::Stored { real(BIAS) } else { None };
        Some(Target { node, weight: real(WEIGHT).filter(|own| own.alone)?, bias, stored_bias })
    }
}

impl Target {
    fn store(&self, sliced: &mut Model, new: &[f32], shift: &[f32], method: Method) -> Method {
        let changed = method != Method::Bias;
        let biased = shift.iter().all(|own| own.is_finite()) && self.shift(sliced, shift);
        if !biased && !changed {
            return Method::None;
        }
        if changed && !self.weight.put(sliced, new) {
            return Method::None;
        }
        method
    }

    /// Adds to the bias; false where there is no place for it.
    fn shift(&self, sliced: &mut Model, shift: &[f32]) -> bool {
        match self.bias {
            Bias::Stored => self.stored_bias.as_ref().is_some_and(|own| own.add(sliced, shift)),
            Bias::Missing => {
                add_bias(sliced, self.node, self.weight.dtype, shift);
                true
            }
            Bias::Fixed | Bias::Unsupported => false,
        }
    }
}
