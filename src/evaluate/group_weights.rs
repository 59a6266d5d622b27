//! Stored weights of a group as arrays, for the criteria.

use ndarray::{Array2, ArrayD, Axis, IxDyn};

use crate::channels::{Channels, Group, Slices};
use crate::model::axes::resolve_axis;
use crate::model::{Model, ModelError, TensorData};
use crate::ops::constant::{content, named};

/// Scales of the batch normalisations that the pruning units pass.
pub(super) fn scales(model: &Model, channels: &Channels, group: &Group) -> Result<Vec<Vec<f64>>, ModelError> {
    let mut found = Vec::new();
    for slices in &group.parameters {
        let scale = model.graph().node[slices.node].op_type() == "BatchNormalization" && slices.input == 1;
        let Some(source) = channels.source(slices.node, slices.input).filter(|_| scale) else { continue };
        let Some(values) = content(model, source)?.and_then(|data| data.to_f32()) else { continue };
        let largest = |own: &Vec<usize>| own.iter().map(|&at| f64::from(values[at].abs())).fold(0.0, f64::max);
        found.push(slices.indices.iter().map(largest).collect());
    }
    Ok(found)
}

/// For every constant a matrix `[units, elements]`. Constants whose slices differ in number are left out.
pub(super) fn matrices(model: &Model, channels: &Channels, slices: &[Slices]) -> Result<Vec<Array2<f32>>, ModelError> {
    let mut matrices = Vec::new();
    for slices in slices {
        let Some(source) = channels.source(slices.node, slices.input) else { continue };
        let Some(data) = content(model, source)? else { continue };
        let Some(values) = data.to_f32().or_else(|| dequantised(model, slices, &data)) else { continue };
        let each = slices.indices.first().map_or(0, Vec::len);
        let in_order = slices.indices.iter().enumerate().all(|(unit, own)| own[..] == [unit]);
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
    let stored = node.input.get(1).and_then(|name| named(model.graph(), name));
    let scales = stored.and_then(|id| content(model, id).ok()?).and_then(|scales| scales.to_f32());
    if let Some(scales) = scales.filter(|_| node.op_type() == "DequantizeLinear") {
        // One scale for all, or one per index of the axis that the attribute names (1 by default).
        let axis = resolve_axis(node.int("axis").unwrap_or(1), data.dims.len()).unwrap_or(0);
        let inner: usize = data.dims[axis + 1..].iter().product();
        for (at, value) in values.iter_mut().enumerate() {
            let index = (at / inner.max(1)) % data.dims[axis].max(1);
            *value *= scales.get(index).or(scales.first()).copied().unwrap_or(1.0);
        }
    }
    Some(values)
}
