//! Statistics of a shard as tensors.

use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

use safetensors::tensor::Dtype;

use super::file::{Planned, write};
use super::{JUDGING, KEPT, KEY, LABEL, SAMPLED, StatisticsHead, row_name, sum_name};
use crate::channels::Channels;
use crate::engine::{Feed, Tensor, feed};
use crate::evaluate::{EvaluateError, Observed};
use crate::model::{DataType, Model, TensorData};

/// What the pass over a shard gave.
pub struct Gathered<'a> {
    /// Statistics.
    pub observed: &'a Observed,
    /// Inputs that judge the repair, with their place in the order of all such inputs.
    pub judging: &'a [(Feed, Vec<u64>)],
}

/// Writes the statistics of a shard.
///
/// # Errors
/// If they cannot be written, or an input has no axis of samples.
pub fn write_statistics(
    path: &Path,
    head: &StatisticsHead,
    model: &Model,
    channels: &Channels,
    gathered: &Gathered<'_>,
) -> Result<(), EvaluateError> {
    let Gathered { observed, judging } = gathered;
    let mut tensors = sums(model, channels, observed);
    tensors.extend(sampled(channels, observed));
    let keys: Vec<u64> = observed.kept.iter().map(|own| own.key).collect();
    let labels: Vec<i64> =
        observed.kept.iter().map(|own| own.label.map_or(-1, |label| i64::try_from(label).unwrap_or(-1))).collect();
    tensors.extend(inputs(KEPT, &observed.batches, keys)?);
    tensors.push(whole_numbers(row_name(KEPT, LABEL), Dtype::I64, labels.into_iter().map(i64::to_le_bytes).collect()));
    let feeds: Vec<Feed> = judging.iter().map(|own| own.0.clone()).collect();
    tensors.extend(inputs(JUDGING, &feeds, judging.iter().flat_map(|own| own.1.iter().copied()).collect())?);
    write(path, head, tensors)
}

/// What adds up.
fn sums<'a>(model: &Model, channels: &Channels, observed: &'a Observed) -> Vec<Planned<'a>> {
    let moments = observed.moments.as_ref().map(|own| own.stored(model)).unwrap_or_default();
    let mut all: Vec<Planned<'a>> =
        moments.into_iter().map(|(name, values)| doubles(sum_name(&name), vec![values.len()], values)).collect();
    let classes: Vec<f64> = observed.classes.iter().flatten().copied().collect();
    all.push(doubles(sum_name("classes"), vec![observed.classes.len(), 2], classes));
    all.push(doubles(sum_name("ranked"), vec![1], vec![observed.ranked as f64]));
    for (group, ranks) in channels.groups.iter().zip(&observed.ranks).filter(|own| !own.1.is_empty()) {
        let values: Vec<f64> = ranks.iter().map(|mean| mean * observed.ranked as f64).collect();
        all.push(doubles(sum_name(&format!("ranks/{}", group.name)), vec![values.len()], values));
    }
    all
}

/// What is kept of sampled images.
fn sampled<'a>(channels: &'a Channels, observed: &'a Observed) -> Vec<Planned<'a>> {
    let keys = observed.sampled.iter().map(|own| own.to_le_bytes()).collect();
    let mut all = vec![whole_numbers(row_name(SAMPLED, KEY), Dtype::U64, keys)];
    if let Some(outputs) = &observed.outputs {
        let shape = vec![outputs.nrows(), outputs.ncols()];
        all.push(singles(row_name(SAMPLED, "outputs"), shape, outputs.as_slice().unwrap_or_default()));
    }
    for (group, inputs) in channels.groups.iter().zip(&observed.features) {
        for (at, own) in inputs.iter().enumerate().filter(|own| own.1.images() > 0) {
            let shape = vec![own.images(), own.units(), own.depth()];
            let name = row_name(SAMPLED, &format!("features/{}/{at}", group.name));
            all.push(singles(name, shape, own.features.as_slice().unwrap_or_default()));
        }
    }
    all
}

/// Inputs of the model, one row for each image, written batch by batch.
fn inputs(set: &str, feeds: &[Feed], keys: Vec<u64>) -> Result<Vec<Planned<'static>>, EvaluateError> {
    let count = keys.len();
    let mut all = vec![whole_numbers(row_name(set, KEY), Dtype::U64, keys.into_iter().map(u64::to_le_bytes).collect())];
    let Some(first) = feeds.first() else { return Ok(all) };
    for (name, value) in first {
        let row = value.shape().get(1..).unwrap_or_default();
        let same = |own: &&Arc<Tensor>, samples| own.shape().split_first() == Some((&samples, row));
        let values: Option<Vec<Arc<Tensor>>> =
            feeds.iter().map(|feed| feed.get(name).filter(|own| same(own, feed::samples(feed))).cloned()).collect();
        let rows: usize = feeds.iter().map(feed::samples).sum();
        let Some(values) = values.filter(|_| rows >= count) else {
            return Err(EvaluateError::Usage {
                what: format!("the input `{name}` has no axis that counts samples, or not the same size for all"),
                help: "calibrate such a model in one run: `onnx-prune MODEL --data DIR`".into(),
            });
        };
        all.push(tensors(row_name(set, name), count, row, values));
    }
    Ok(all)
}

/// Formats of the engine's values.
pub(super) const FORMATS: [(DataType, Dtype); 8] = [
    (DataType::Float, Dtype::F32),
    (DataType::Double, Dtype::F64),
    (DataType::Float16, Dtype::F16),
    (DataType::Int64, Dtype::I64),
    (DataType::Int32, Dtype::I32),
    (DataType::Uint8, Dtype::U8),
    (DataType::Int8, Dtype::I8),
    (DataType::Bool, Dtype::BOOL),
];

/// The first `count` rows of some tensors, each of shape `row`: the last batch may repeat its samples.
fn tensors(name: String, count: usize, row: &[usize], values: Vec<Arc<Tensor>>) -> Planned<'static> {
    let dtype = values.first().map_or(DataType::Float, |own| own.element_type());
    let dtype = FORMATS.iter().find(|own| own.0 == dtype).map_or(Dtype::F32, |own| own.1);
    let shape = [&[count], row].concat();
    let bytes = shape.iter().product::<usize>() * dtype.bitsize() / 8;
    let write = move |to: &mut dyn Write| {
        let mut left = bytes;
        for value in &values {
            let TensorData { bytes, .. } = TensorData::from(value.as_ref());
            let own = bytes.len().min(left);
            to.write_all(&bytes[..own])?;
            left -= own;
        }
        Ok(())
    };
    Planned { name, dtype, shape, write: Box::new(write) }
}

fn whole_numbers(name: String, dtype: Dtype, values: Vec<[u8; 8]>) -> Planned<'static> {
    let shape = vec![values.len()];
    Planned { name, dtype, shape, write: Box::new(move |to| to.write_all(values.as_flattened())) }
}

fn doubles(name: String, shape: Vec<usize>, values: Vec<f64>) -> Planned<'static> {
    Planned { name, dtype: Dtype::F64, shape, write: Box::new(move |to| write_doubles(&values, to)) }
}

pub(super) fn write_doubles(values: &[f64], to: &mut dyn Write) -> io::Result<()> {
    values.iter().try_for_each(|value| to.write_all(&value.to_le_bytes()))
}

fn singles(name: String, shape: Vec<usize>, values: &[f32]) -> Planned<'_> {
    let write = move |to: &mut dyn Write| values.iter().try_for_each(|value| to.write_all(&value.to_le_bytes()));
    Planned { name, dtype: Dtype::F32, shape, write: Box::new(write) }
}
