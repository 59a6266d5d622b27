//! New weights for the consumers of what was cut.

use std::collections::BTreeMap;

use faer::linalg::matmul::matmul;
use faer::linalg::solvers::Solve as _;
use faer::{Accum, Mat, Par, Side};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Compensation;
use super::moments::{Consumer, Moments, Pairs, Weight, add_bias, put};
use crate::channels::{Channels, ConsumerInput, Cut};
use crate::model::{Model, ModelError};

/// Ridge relative to the mean variance of the kept channels.
const RIDGE: f64 = 1e-3;

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
    /// What the walk over all layers behind a cut did.
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
    // A consumer of a concatenation has a input per group; it is refitted once, over all of them.
    let consumers: BTreeMap<usize, &ConsumerInput> =
        channels.groups.iter().flat_map(|group| &group.consumer_inputs).map(|input| (input.node, input)).collect();
    for (&node, input) in &consumers {
        let Some(ids) = channels.value_ids(&input.value) else { continue };
        let kept = channels.kept(cut, ids, input.axis);
        if kept.len() == input.size {
            continue;
        }
        let name = crate::model::node::node_name(&model.graph().node[node]);
        let method = one(model, sliced, channels, cut, moments, compensation, (input, &kept))?;
        report.consumers.push((name, method));
    }
    Ok(report)
}

fn one(
    model: &Model,
    sliced: &mut Model,
    channels: &Channels,
    cut: &Cut,
    moments: &Moments,
    compensation: Compensation,
    (input, kept): (&ConsumerInput, &[usize]),
) -> Result<Method, ModelError> {
    let (Some(weight), Some(read)) = (Weight::of(model, channels, input)?, moments.consumers.get(&input.node)) else {
        return Ok(Method::None);
    };
    let Some(target) = Target::find(model, sliced, input).filter(|_| weight.kernel_size == read.kernel_size) else {
        return Ok(Method::None);
    };
    let kernel_size = weight.kernel_size;
    let outputs = channels
        .use_ids(input.node, input.weight.0)
        .map(|ids| channels.kept(cut, ids, weight.axes.0))
        .unwrap_or_default();
    let cut_channels: Vec<usize> = (0..input.size).filter(|c| kept.binary_search(c).is_err()).collect();
    let pairs = read.pairs.as_ref().filter(|_| matches!(compensation, Compensation::Local | Compensation::Sequential));
    let blend = pairs.and_then(|pairs| regression(pairs, kept, &cut_channels));
    let method = match pairs {
        Some(pairs) if blend.is_some() && pairs.per_channel == kernel_size => Method::Window,
        _ if blend.is_some() => Method::Channel,
        _ => Method::Bias,
    };
    let new = blended(&weight, &outputs, kept, &cut_channels, blend.as_ref());
    let shift = bias_shift(&weight, &outputs, kept, read, &new);
    target.store(sliced, &new, method, &shift, model.graph().node[input.node].op_type())
}

/// `A [S, R]`: the removed columns regressed on the kept ones, `(C_SS + rho I)^-1 C_SR`. A channel has one column or one
/// per kernel position.
fn regression(pairs: &Pairs, kept: &[usize], cut: &[usize]) -> Option<Mat<f64>> {
    if pairs.rows < 2 || kept.is_empty() {
        return None;
    }
    let columns = |channels: &[usize]| -> Vec<usize> {
        channels.iter().flat_map(|channel| channel * pairs.per_channel..(channel + 1) * pairs.per_channel).collect()
    };
    let (kept, cut) = (columns(kept), columns(cut));
    let mean_variance = kept.iter().map(|&c| pairs.covariance(c, c)).sum::<f64>() / kept.len() as f64;
    let ridge = RIDGE * mean_variance.max(f64::MIN_POSITIVE);
    let ss = Mat::from_fn(kept.len(), kept.len(), |i, j| {
        pairs.covariance(kept[i], kept[j]) + if i == j { ridge } else { 0.0 }
    });
    let sr = Mat::from_fn(kept.len(), cut.len(), |i, j| pairs.covariance(kept[i], cut[j]));
    let blend = ss.llt(Side::Lower).ok()?.solve(&sr);
    let finite = blend.col_iter().all(|column| column.iter().all(|value| value.is_finite()));
    finite.then_some(blend)
}

/// `W_S + sum over removed r of A_sr W_r`, in the layout of the sliced weight.
#[allow(clippy::cast_possible_truncation, reason = "weights are stored in single precision")]
fn blended(weight: &Weight, outputs: &[usize], kept: &[usize], cut: &[usize], blend: Option<&Mat<f64>>) -> Vec<f32> {
    let size = (outputs.len(), kept.len(), weight.kernel_size);
    let mut new = vec![0.0_f32; size.0 * size.1 * size.2];
    // Columns of a channel are blended together where the regression knows kernel positions, else position by position.
    let together = blend.is_some_and(|blend| blend.nrows() == size.1 * size.2);
    let (rounds, per_channel) = if together { (1, size.2) } else { (size.2, 1) };
    for round in 0..rounds {
        let at = |o: usize, channels: &[usize], column: usize| {
            let input = if together { column % per_channel } else { round };
            f64::from(weight.values[weight.at(outputs[o], channels[column / per_channel], input)])
        };
        let mut refitted = Mat::from_fn(size.0, size.1 * per_channel, |o, column| at(o, kept, column));
        if let Some(blend) = blend {
            let removed = Mat::from_fn(size.0, cut.len() * per_channel, |o, column| at(o, cut, column));
            matmul(refitted.as_mut(), Accum::Add, removed.as_ref(), blend.transpose(), 1.0, Par::Seq);
        }
        for o in 0..size.0 {
            for column in 0..size.1 * per_channel {
                let input = if together { column % per_channel } else { round };
                new[position(weight, size, o, column / per_channel, input)] = refitted[(o, column)] as f32;
            }
        }
    }
    new
}

/// Index in the sliced weight.
fn position(weight: &Weight, size: (usize, usize, usize), o: usize, s: usize, input: usize) -> usize {
    let (outer, inner) = if weight.axes.0 < weight.axes.1 { (o * size.1, s) } else { (s * size.0, o) };
    (outer + inner) * size.2 + input
}

/// What the mean of every output lacks: `sum over all W m - sum over kept W' m` with the mean patch `m` (7.2).
#[allow(clippy::cast_possible_truncation, reason = "biases are stored in single precision")]
fn bias_shift(weight: &Weight, outputs: &[usize], kept: &[usize], read: &Consumer, new: &[f32]) -> Vec<f32> {
    let count = read.count.max(1) as f64;
    let channels = read.sums.len() / weight.kernel_size;
    let size = (outputs.len(), kept.len(), weight.kernel_size);
    outputs
        .iter()
        .enumerate()
        .map(|(o, &output)| {
            let mut shift = 0.0;
            for channel in 0..channels {
                for input in 0..weight.kernel_size {
                    let mean = read.sums[channel * weight.kernel_size + input] / count;
                    shift += mean * f64::from(weight.values[weight.at(output, channel, input)]);
                }
            }
            for (s, &channel) in kept.iter().enumerate() {
                for input in 0..weight.kernel_size {
                    let mean = read.sums[channel * weight.kernel_size + input] / count;
                    shift -= mean * f64::from(new[position(weight, size, o, s, input)]);
                }
            }
            shift as f32
        })
        .collect()
}

/// Where the new weights go in the sliced model.
struct Target {
    node: usize,
    weight: usize,
    /// The bias initializer, if there is one of its own.
    bias: Option<usize>,
    /// Whether there is no bias at all.
    missing: bool,
}

impl Target {
    /// `None` if a weight is shared, computed, or not a stored initializer.
    fn find(model: &Model, sliced: &Model, input: &ConsumerInput) -> Option<Self> {
        let name = model.graph().node[input.node].output.first()?;
        let graph = sliced.graph();
        let node = graph.node.iter().position(|node| node.output.first() == Some(name))?;
        let alone = |name: &str| graph.node.iter().flat_map(|n| &n.input).filter(|i| *i == name).count() == 1;
        let stored =
            |name: &str| graph.initializer.iter().position(|tensor| tensor.name() == name).filter(|_| alone(name));
        let inputs = &graph.node[node].input;
        let weight = stored(inputs.get(input.weight.0)?)?;
        let bias = inputs.get(2).filter(|name| !name.is_empty());
        Some(Self { node, weight, bias: bias.and_then(|name| stored(name)), missing: bias.is_none() })
    }

    fn store(
        &self,
        sliced: &mut Model,
        new: &[f32],
        method: Method,
        shift: &[f32],
        op: &str,
    ) -> Result<Method, ModelError> {
        let changed = method != Method::Bias;
        let biased = match (self.bias, self.missing, op) {
            (Some(bias), ..) => {
                let old = sliced.tensor(&sliced.graph().initializer[bias])?;
                let sum: Option<Vec<f32>> = old.to_f32().map(|values| {
                    let broadcast = |o: usize| values[if values.len() == 1 { 0 } else { o }];
                    shift.iter().enumerate().map(|(o, shift)| broadcast(o) + shift).collect()
                });
                let data = sum.filter(|sum| sum.len() == old.len()).and_then(|sum| old.with_f32(&sum));
                data.is_some_and(|data| {
                    put(sliced, bias, &data);
                    true
                })
            }
            (None, true, "Conv" | "Gemm") => {
                add_bias(sliced, self.node, self.weight, shift);
                true
            }
            _ => false,
        };
        if !biased && !changed {
            return Ok(Method::None);
        }
        if changed {
            let old = sliced.tensor(&sliced.graph().initializer[self.weight])?;
            let Some(data) = old.with_f32(new) else { return Ok(Method::None) };
            put(sliced, self.weight, &data);
        }
        Ok(method)
    }
}
