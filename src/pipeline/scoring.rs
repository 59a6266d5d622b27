//! Scores of all groups by one criterion.

use ndarray::{Array2, ArrayD, Axis, IxDyn};
use rayon::prelude::*;

use super::dense::Observed;
use crate::channels::run::source_tensor;
use crate::channels::{Channels, Group, Slices};
use crate::compensate::Moments;
use crate::error::Error;
use crate::model::{Model, TensorData};
use crate::score::{Criterion, GroupInput, Regression, responses};
use crate::statistics::TapFeatures;

/// One score per atom and group, larger stays.
pub(super) fn scores(
    model: &Model,
    channels: &Channels,
    criterion: &dyn Criterion,
    observed: Option<&Observed>,
    seed: u64,
) -> Result<Vec<Vec<f64>>, Error> {
    let run = observed.and_then(|observed| Some((observed.outputs.as_ref()?, observed.labels.as_deref())));
    let known = match run {
        Some((outputs, labels)) if criterion.needs().outputs => Some(responses::from_run(outputs.view(), labels)?),
        _ => None,
    };
    let none: Vec<TapFeatures> = Vec::new();
    (0..channels.groups.len())
        .into_par_iter()
        .map(|index| {
            let group = &channels.groups[index];
            let producers = matrices(model, channels, &group.producers)?;
            // Only activations are weighted by what reads them.
            let readers = if criterion.needs().features { group.consumers.as_slice() } else { &[] };
            let consumers = matrices(model, channels, readers)?;
            let moments = observed.and_then(|observed| observed.moments.as_ref()).filter(|_| criterion.needs().moments);
            let regressions = match moments {
                Some(moments) => regressions(model, channels, group, moments)?,
                None => Vec::new(),
            };
            let input = GroupInput {
                name: &group.name,
                width: group.width(),
                producer_weights: producers.iter().map(|matrix| matrix.view()).collect(),
                consumer_weights: consumers.iter().map(|matrix| matrix.view()).collect(),
                taps: observed.map_or(&none, |observed| observed.features.get(index).unwrap_or(&none)),
                regressions: &regressions,
                responses: known.as_ref().map(|(responses, _)| responses),
                relatedness: known.as_ref().map(|(_, relatedness)| relatedness),
                seed,
            };
            Ok(score(group, criterion, &input)?)
        })
        .collect()
}

/// The consumers of a group that can be refitted.
fn regressions(model: &Model, channels: &Channels, group: &Group, moments: &Moments) -> Result<Vec<Regression>, Error> {
    let mut found = Vec::new();
    for tap in &group.taps {
        found.extend(moments.regression(model, channels, tap)?);
    }
    Ok(found)
}

fn score(
    group: &Group,
    criterion: &dyn Criterion,
    input: &GroupInput<'_>,
) -> Result<Vec<f64>, crate::score::ScoreError> {
    if criterion.needs().features && input.taps.is_empty() {
        // Nobody sums over these channels (a dead branch): every one is as good as another.
        return Ok(vec![0.0; group.width()]);
    }
    Ok(criterion.score(input)?.scores)
}

/// For every constant a matrix `[atoms, elements]`. Constants whose slices differ in number are left out.
fn matrices(model: &Model, channels: &Channels, slices: &[Slices]) -> Result<Vec<Array2<f32>>, Error> {
    let mut matrices = Vec::new();
    for slices in slices {
        let Some(source) = channels.source(slices.node, slices.input) else { continue };
        let Some(tensor) = source_tensor(model.graph(), source) else { continue };
        let data = model.tensor(tensor)?;
        let Some(values) = data.to_f32().or_else(|| dequantised(model, slices, &data)) else { continue };
        let each = slices.indices.first().map_or(0, Vec::len);
        let in_order = slices.indices.iter().enumerate().all(|(atom, own)| own[..] == [atom]);
        if slices.axis == 0 && in_order && data.dims.first() == Some(&slices.indices.len()) {
            // Filters as they are stored: no second copy of a large weight.
            matrices.extend(Array2::from_shape_vec((data.dims[0], values.len() / data.dims[0].max(1)), values).ok());
            continue;
        }
        let Ok(array) = ArrayD::from_shape_vec(IxDyn(&data.dims), values) else { continue };
        if each == 0 || slices.indices.iter().any(|own| own.len() != each) {
            continue;
        }
        let rest = array.len() / array.len_of(Axis(slices.axis)).max(1);
        let mut matrix = Array2::zeros((slices.indices.len(), each * rest));
        for (mut row, own) in matrix.axis_iter_mut(Axis(0)).zip(&slices.indices) {
            let mut cells = row.iter_mut();
            for &index in own {
                for (cell, value) in cells.by_ref().zip(array.index_axis(Axis(slices.axis), index)) {
                    *cell = *value;
                }
            }
        }
        matrices.push(matrix);
    }
    Ok(matrices)
}

/// Values of an integer weight behind `DequantizeLinear`; the zero point plays no part where it is zero, as it is for
/// the symmetric weights that quantisers write. Without a stored scale the integers themselves are compared.
fn dequantised(model: &Model, slices: &Slices, data: &TensorData) -> Option<Vec<f32>> {
    #[allow(clippy::cast_precision_loss, reason = "8-bit weights")]
    let mut values: Vec<f32> = data.to_i64()?.into_iter().map(|value| value as f32).collect();
    let node = &model.graph().node[slices.node];
    let stored = node.input.get(1).and_then(|name| model.graph().initializer.iter().find(|t| t.name() == name));
    let scales = stored.and_then(|tensor| model.tensor(tensor).ok()).and_then(|scales| scales.to_f32());
    if let Some(scales) = scales.filter(|_| node.op_type() == "DequantizeLinear") {
        // One scale for all, or one per index of the axis that the attribute names (1 by default).
        let axis = crate::channels::run::int_attribute(node, "axis").unwrap_or(1);
        let axis = usize::try_from(axis).unwrap_or(0).min(data.dims.len().saturating_sub(1));
        let inner: usize = data.dims[axis + 1..].iter().product();
        for (at, value) in values.iter_mut().enumerate() {
            let index = (at / inner.max(1)) % data.dims[axis].max(1);
            *value *= scales.get(index).or(scales.first()).copied().unwrap_or(1.0);
        }
    }
    Some(values)
}
