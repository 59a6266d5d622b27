//! Values that go in and come out of an engine.

use ndarray::ArrayD;

use crate::model::TensorData;

/// A dense tensor of one of the element types that models take and return.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Tensor {
    /// 32-bit floats.
    F32(ArrayD<f32>),
    /// 64-bit floats.
    F64(ArrayD<f64>),
    /// 16-bit floats.
    F16(ArrayD<half::f16>),
    /// 64-bit integers.
    I64(ArrayD<i64>),
    /// 32-bit integers.
    I32(ArrayD<i32>),
    /// Bytes.
    U8(ArrayD<u8>),
    /// Signed bytes.
    I8(ArrayD<i8>),
    /// Truth values.
    Bool(ArrayD<bool>),
}

impl Tensor {
    /// Sizes of the axes.
    pub fn shape(&self) -> &[usize] {
        match self {
            Self::F32(array) => array.shape(),
            Self::F64(array) => array.shape(),
            Self::F16(array) => array.shape(),
            Self::I64(array) => array.shape(),
            Self::I32(array) => array.shape(),
            Self::U8(array) => array.shape(),
            Self::I8(array) => array.shape(),
            Self::Bool(array) => array.shape(),
        }
    }

    /// The values as `f32`, converted if need be.
    #[allow(clippy::cast_possible_truncation, reason = "asked for in single precision")]
    pub fn to_f32(&self) -> ArrayD<f32> {
        match self {
            Self::F32(array) => array.clone(),
            Self::F64(array) => array.mapv(|value| value as f32),
            Self::F16(array) => array.mapv(half::f16::to_f32),
            Self::I64(array) => array.mapv(|value| value as f32),
            Self::I32(array) => array.mapv(|value| value as f32),
            Self::U8(array) => array.mapv(f32::from),
            Self::I8(array) => array.mapv(f32::from),
            Self::Bool(array) => array.mapv(|value| if value { 1.0 } else { 0.0 }),
        }
    }
}

impl From<ArrayD<f32>> for Tensor {
    fn from(array: ArrayD<f32>) -> Self {
        Self::F32(array)
    }
}

/// The values in the form in which a model stores them, of the same element type.
impl From<&Tensor> for TensorData {
    fn from(tensor: &Tensor) -> Self {
        match tensor {
            Tensor::F32(array) => Self::from_array(array),
            Tensor::F64(array) => Self::from_array(array),
            Tensor::F16(array) => Self::from_array(array),
            Tensor::I64(array) => Self::from_array(array),
            Tensor::I32(array) => Self::from_array(array),
            Tensor::U8(array) => Self::from_array(array),
            Tensor::I8(array) => Self::from_array(array),
            Tensor::Bool(array) => Self::from_array(array),
        }
    }
}
