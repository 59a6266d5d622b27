//! What the integers of a stored weight stand for: `(integer - zero point) * scale`.

use super::constant::{content, named};
use crate::model::axes::resolve_axis;
use crate::model::{DataType, Model, TensorData};
use crate::proto::onnx::NodeProto;

/// Scale and zero point of an integer weight, and the axis of the weight that they are listed along.
#[derive(Debug, Clone)]
pub(crate) struct Quantisation {
    /// One for all, or one per index; empty if the model does not store it beside the weight.
    scales: Vec<f32>,
    /// One for all, or one per index; empty for zero.
    zero_points: Vec<i64>,
    axis: usize,
}

/// Inputs of a node with the scale and the zero point of the weight at `input`, and the axis they go along.
fn places(node: &NodeProto, input: usize) -> Option<(Option<usize>, usize, i64)> {
    let transposed = |name: &str| node.int(name) == Some(1);
    Some(match (node.op_type(), input) {
        ("DequantizeLinear", 0) => (Some(1), 2, node.int("axis").unwrap_or(1)),
        ("ConvInteger", 1) => (None, 3, 0),
        ("QLinearConv", 3) => (Some(4), 5, 0),
        ("MatMulInteger", 1) => (None, 3, -1),
        ("QLinearMatMul", 3) => (Some(4), 5, -1),
        ("QGemm", 3) => (Some(4), 5, i64::from(!transposed("transB"))),
        _ => return None,
    })
}

impl Quantisation {
    /// Of the weight of rank `rank` at `input` of a node; `None` where that is none of an operator on integers.
    pub(crate) fn of(model: &Model, node: &NodeProto, input: usize, rank: usize) -> Option<Self> {
        let (scale, zero_point, axis) = places(node, input)?;
        let stored = |input: usize| content(model, named(model.graph(), node.input.get(input)?)?).ok()?;
        let scales = scale.and_then(stored).and_then(|data| data.to_f32()).unwrap_or_default();
        let zero_points = stored(zero_point).and_then(|data| data.to_i64()).unwrap_or_default();
        Some(Self { scales, zero_points, axis: resolve_axis(axis, rank).unwrap_or(0) })
    }

    /// Where the element at place `at` (row-major) of a tensor of this shape finds its scale and zero point.
    fn index(&self, dims: &[usize], at: usize) -> usize {
        let inner: usize = dims.get(self.axis + 1..).unwrap_or_default().iter().product();
        (at / inner.max(1)) % dims.get(self.axis).copied().unwrap_or(1).max(1)
    }

    /// The integer that stands for zero at place `at`.
    pub(crate) fn zero(&self, dims: &[usize], at: usize) -> i64 {
        let index = self.index(dims, at);
        self.zero_points.get(index).or(self.zero_points.first()).copied().unwrap_or(0)
    }

    /// Step at place `at`; one where none is stored.
    pub(crate) fn scale(&self, dims: &[usize], at: usize) -> f32 {
        self.scales.get(self.index(dims, at)).or(self.scales.first()).copied().unwrap_or(1.0)
    }

    /// The numbers that the integers stand for; without a stored scale they count as multiples of one. `None` if the tensor
    /// holds no integers.
    pub(crate) fn real(&self, data: &TensorData) -> Option<Vec<f32>> {
        let value = |(at, value): (usize, i64)| {
            let scale = self.scale(&data.dims, at);
            #[allow(clippy::cast_precision_loss, reason = "8-bit weights")]
            let steps = value.saturating_sub(self.zero(&data.dims, at)) as f32;
            steps * scale
        };
        Some(data.to_i64()?.into_iter().enumerate().map(value).collect())
    }
}

/// Least and largest integer of a type; `None` for others than those of weights and biases.
pub(crate) fn range(dtype: DataType) -> Option<(i64, i64)> {
    Some(match dtype {
        DataType::Int8 => (i8::MIN.into(), i8::MAX.into()),
        DataType::Uint8 => (0, u8::MAX.into()),
        DataType::Int16 => (i16::MIN.into(), i16::MAX.into()),
        DataType::Uint16 => (0, u16::MAX.into()),
        DataType::Int32 => (i32::MIN.into(), i32::MAX.into()),
        _ => return None,
    })
}

impl Quantisation {
    pub(crate) fn scales(&self) -> &[f32] {
        &self.scales
    }

    /// Enlarges the scales that are too small for these numbers; whether any was.
    pub(crate) fn widen(&mut self, dims: &[usize], values: &[f32], dtype: DataType) -> bool {
        let Some((low, high)) = range(dtype) else { return false };
        let mut widened = false;
        for (at, value) in values.iter().enumerate() {
            let (zero, index) = (self.zero(dims, at), self.index(dims, at));
            let steps = if *value < 0.0 { low - zero } else { high - zero };
            let last = self.scales.len().saturating_sub(1);
            let Some(scale) = self.scales.get_mut(index.min(last)) else { return false };
            #[allow(clippy::cast_precision_loss, reason = "steps of a weight")]
            let wanted = value / steps as f32;
            if wanted.is_finite() && wanted > *scale {
                *scale = wanted;
                widened = true;
            }
        }
        widened
    }

    /// The integers nearest to the numbers, within the range of their type; `None` for another type.
    #[allow(clippy::cast_possible_truncation, reason = "rounded and clamped")]
    pub(crate) fn integers(&self, dims: &[usize], values: &[f32], dtype: DataType) -> Option<TensorData> {
        let (low, high) = range(dtype)?;
        let integer = |(at, value): (usize, &f32)| {
            let scale = self.scale(dims, at);
            let steps = (value / scale).round_ties_even() as i64;
            steps.saturating_add(self.zero(dims, at)).clamp(low, high)
        };
        let all = values.iter().enumerate().map(integer);
        let size = TensorData::element_size(dtype)?;
        let bytes: Vec<u8> = all.flat_map(|value| value.to_le_bytes()[..size].to_vec()).collect();
        Some(TensorData { dtype, dims: dims.to_vec(), bytes: bytes.into() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::onnx::{GraphProto, ModelProto};

    #[test]
    fn integers_stand_for_numbers() {
        let tensor = |name: &str, dtype, dims: &[usize], bytes: Vec<u8>| {
            TensorData { dtype, dims: dims.to_vec(), bytes: bytes.into() }.to_proto(name)
        };
        let graph = GraphProto {
            initializer: vec![
                tensor("zero", DataType::Uint8, &[2], vec![3, 128]),
                TensorData::from_f32(vec![2], &[0.5, 2.0]).to_proto("scale"),
            ],
            ..GraphProto::default()
        };
        let model = Model::from_proto(ModelProto { graph: Some(graph), ..ModelProto::default() });
        let node =
            NodeProto::new("QLinearConv").input("x").input("s").input("z").input("w").input("scale").input("zero");
        let own = Quantisation::of(&model, &node, 3, 2).unwrap();
        let data = TensorData { dtype: DataType::Uint8, dims: vec![2, 2], bytes: vec![3, 5, 128, 127].into() };
        assert_eq!(own.real(&data), Some(vec![0.0, 1.0, 0.0, -2.0]));
        assert_eq!((own.zero(&data.dims, 1), own.zero(&data.dims, 2)), (3, 128));
        assert!(Quantisation::of(&model, &node, 0, 4).is_none());
        assert_eq!(own.integers(&data.dims, &[0.0, 1.0, 0.0, -2.0], DataType::Uint8), Some(data.clone()));
        // A number that does not fit makes its own scale larger, and no other.
        let mut wide = own.clone();
        assert!(wide.widen(&data.dims, &[0.0, 252.0, 0.0, -2.0], DataType::Uint8));
        assert_eq!(wide.scales(), [1.0, 2.0]);
        assert!(!wide.widen(&data.dims, &[0.0, 252.0, 0.0, -2.0], DataType::Uint8));
    }
}
