//! Integers of weights: symmetric, a scale for every output.

use crate::model::{DataType, TensorData};
use crate::ops::linear::MatrixLayout;

/// A weight in integers. Outputs are those of all groups.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct IntegerWeight {
    /// In the order of the weight's elements.
    pub(crate) integers: Vec<i8>,
    /// One for every output.
    pub(crate) scales: Vec<f32>,
}

/// Scale of every output whose largest weight is to be the largest integer; of a weight of zeros one.
pub(crate) fn scales(layout: &MatrixLayout, weight: &[f32], most: i8) -> Vec<f32> {
    let rows = layout.rows(weight);
    let scale = |row: &[f32]| {
        let largest = row.iter().fold(0.0_f32, |most, value| most.max(value.abs()));
        let scale = largest / f32::from(most);
        if scale.is_normal() { scale } else { 1.0 }
    };
    rows.chunks(layout.columns).map(scale).collect()
}

/// The integer nearest to a number of steps, within the largest.
#[allow(clippy::cast_possible_truncation, reason = "rounded and clamped")]
pub(crate) fn nearest(steps: f32, most: i8) -> i8 {
    let most = f32::from(most);
    steps.round_ties_even().clamp(-most, most) as i8
}

impl IntegerWeight {
    /// Every weight rounded to the nearest step. `most`: the largest integer; `least`: the smallest scale of every output.
    pub(crate) fn rounded(layout: &MatrixLayout, weight: &[f32], most: i8, least: &[f32]) -> Self {
        let mut scales = scales(layout, weight, most);
        scales.iter_mut().zip(least).for_each(|(scale, least)| *scale = scale.max(*least));
        let rows = layout.rows(weight);
        let rows: Vec<f32> = rows
            .chunks(layout.columns)
            .zip(&scales)
            .flat_map(|(row, scale)| row.iter().map(move |value| f32::from(nearest(value / scale, most))))
            .collect();
        #[allow(clippy::cast_possible_truncation, reason = "small whole numbers")]
        let integers = layout.elements(&rows).into_iter().map(|value| value as i8).collect();
        Self { integers, scales }
    }

    /// The integers as a tensor.
    pub(crate) fn tensor(&self, dims: &[usize]) -> TensorData {
        let bytes: Vec<u8> = self.integers.iter().map(|value| value.to_le_bytes()[0]).collect();
        TensorData { dtype: DataType::Int8, dims: dims.to_vec(), bytes: bytes.into() }
    }
}

/// Steps that a bias may have: an engine adds products to it in 32 bits.
const MOST_BIAS: f32 = (1 << 29) as f32;

/// The smallest scales of the outputs' weights with which biases fit. Channels whose weights are all but zero would have smaller
/// ones. `input`: scale of what the weights multiply.
pub(crate) fn least_scales(bias: &[f32], input: f32) -> Vec<f32> {
    bias.iter().map(|value| value.abs() / (MOST_BIAS * input)).collect()
}

/// Integers of a bias: steps of the product of the scales of input and weight.
#[allow(clippy::cast_possible_truncation, reason = "rounded and clamped")]
pub(crate) fn bias(values: &[f32], scales: &[f32]) -> TensorData {
    let integer = |(value, scale): (&f32, &f32)| {
        let steps = f64::from(*value) / f64::from(*scale);
        steps.round_ties_even().clamp(f64::from(i32::MIN), f64::from(i32::MAX)) as i32
    };
    let bytes: Vec<u8> = values.iter().zip(scales).flat_map(|own| integer(own).to_le_bytes()).collect();
    TensorData { dtype: DataType::Int32, dims: vec![values.len()], bytes: bytes.into() }
}
