//! Values that go in and come out of an engine.

use std::borrow::Cow;

use ndarray::{ArrayD, Axis, concatenate};

use crate::model::{DataType, TensorData, TypedError};

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

/// The same expression for the array of any element type.
macro_rules! with_array {
    ($tensor:expr, $array:ident => $what:expr) => {
        match $tensor {
            Tensor::F32($array) => $what,
            Tensor::F64($array) => $what,
            Tensor::F16($array) => $what,
            Tensor::I64($array) => $what,
            Tensor::I32($array) => $what,
            Tensor::U8($array) => $what,
            Tensor::I8($array) => $what,
            Tensor::Bool($array) => $what,
        }
    };
}

/// The same function of the array of any element type, as a tensor of that type.
macro_rules! map_array {
    ($tensor:expr, $array:ident => $what:expr) => {
        match $tensor {
            Tensor::F32($array) => Tensor::F32($what),
            Tensor::F64($array) => Tensor::F64($what),
            Tensor::F16($array) => Tensor::F16($what),
            Tensor::I64($array) => Tensor::I64($what),
            Tensor::I32($array) => Tensor::I32($what),
            Tensor::U8($array) => Tensor::U8($what),
            Tensor::I8($array) => Tensor::I8($what),
            Tensor::Bool($array) => Tensor::Bool($what),
        }
    };
}

impl Tensor {
    /// Sizes of the axes.
    pub fn shape(&self) -> &[usize] {
        with_array!(self, array => array.shape())
    }

    /// Type of the elements.
    pub fn element_type(&self) -> DataType {
        match self {
            Self::F32(_) => DataType::Float,
            Self::F64(_) => DataType::Double,
            Self::F16(_) => DataType::Float16,
            Self::I64(_) => DataType::Int64,
            Self::I32(_) => DataType::Int32,
            Self::U8(_) => DataType::Uint8,
            Self::I8(_) => DataType::Int8,
            Self::Bool(_) => DataType::Bool,
        }
    }

    /// Bytes of all elements.
    pub fn bytes(&self) -> u64 {
        fn of<T>(array: &ArrayD<T>) -> usize {
            size_of::<T>() * array.len()
        }
        with_array!(self, array => of(array)) as u64
    }

    /// Rows of the first axis, in this order and as often as they are named; a tensor without axes as it is.
    ///
    /// # Panics
    /// If there is no such row.
    #[must_use]
    pub fn rows(&self, rows: &[usize]) -> Self {
        if self.shape().is_empty() {
            return self.clone();
        }
        map_array!(self, array => array.select(Axis(0), rows))
    }

    /// Floats of which every other one is moved by one unit in the last place; other values as they are.
    #[must_use]
    pub fn moved(&self) -> Self {
        let every_other = |at: usize| at.is_multiple_of(2);
        let half = |value: half::f16| if value.is_finite() { half::f16::from_bits(value.to_bits() ^ 1) } else { value };
        let mut at = 0;
        let mut turn = || {
            at += 1;
            every_other(at)
        };
        match self {
            Self::F32(array) => {
                let next = |value: f32| if value.is_finite() { value.next_up() } else { value };
                Self::F32(array.mapv(|value| if turn() { next(value) } else { value }))
            }
            Self::F64(array) => {
                let next = |value: f64| if value.is_finite() { value.next_up() } else { value };
                Self::F64(array.mapv(|value| if turn() { next(value) } else { value }))
            }
            Self::F16(array) => Self::F16(array.mapv(|value| if turn() { half(value) } else { value })),
            other => other.clone(),
        }
    }

    /// The same values in another shape; `None` if their number differs.
    pub fn reshaped(self, shape: &[usize]) -> Option<Self> {
        if self.shape().iter().product::<usize>() != shape.iter().product::<usize>() {
            return None;
        }
        Some(map_array!(self, array => array.as_standard_layout().into_owned().into_shape_with_order(shape).ok()?))
    }

    /// Whether all values of a row of the first axis are finite; values without axes are one row.
    pub fn row_is_finite(&self, row: usize) -> bool {
        fn all<T: Copy>(array: &ArrayD<T>, row: usize, finite: impl Fn(T) -> bool) -> bool {
            if array.ndim() == 0 {
                return array.iter().all(|&value| finite(value));
            }
            array.axis_iter(Axis(0)).nth(row).is_none_or(|own| own.iter().all(|&value| finite(value)))
        }
        match self {
            Self::F32(array) => all(array, row, f32::is_finite),
            Self::F64(array) => all(array, row, f64::is_finite),
            Self::F16(array) => all(array, row, half::f16::is_finite),
            _ => true,
        }
    }

    /// Tensors of one element type one after the other along the first axis; `None` if they do not go together.
    pub fn concatenated(parts: &[&Self]) -> Option<Self> {
        macro_rules! join {
            ($($kind:ident),+) => {
                match parts.first()? {
                    $(Self::$kind(_) => {
                        let all = parts.iter().map(|part| match part {
                            Self::$kind(array) => Some(array.view()),
                            _ => None,
                        });
                        Self::$kind(concatenate(Axis(0), &all.collect::<Option<Vec<_>>>()?).ok()?)
                    })+
                }
            };
        }
        Some(join!(F32, F64, F16, I64, I32, U8, I8, Bool))
    }

    /// Left and right exchanged along `axis`.
    #[must_use]
    pub fn reversed(&self, axis: usize) -> Self {
        map_array!(self, array => {
            let mut view = array.view();
            view.invert_axis(Axis(axis));
            view.as_standard_layout().into_owned()
        })
    }

    /// Moved by one along an axis, towards its end; the first stays where it was as well.
    ///
    /// # Panics
    /// If there is no such axis.
    #[must_use]
    pub fn moved_by_one(&self, axis: usize) -> Self {
        let from: Vec<usize> = (0..self.shape()[axis]).map(|at| at.saturating_sub(1)).collect();
        map_array!(self, array => array.select(Axis(axis), &from).as_standard_layout().into_owned())
    }

    /// The values as `f32`, converted if need be.
    pub fn to_f32(&self) -> ArrayD<f32> {
        self.as_f32().into_owned()
    }

    /// As [`Tensor::to_f32`], without a copy where they are of that type.
    pub fn into_f32(self) -> ArrayD<f32> {
        match self {
            Self::F32(array) => array,
            other => other.to_f32(),
        }
    }

    /// The values as `f32`, copied only where they are converted.
    #[allow(clippy::cast_possible_truncation, reason = "asked for in single precision")]
    pub fn as_f32(&self) -> Cow<'_, ArrayD<f32>> {
        Cow::Owned(match self {
            Self::F32(array) => return Cow::Borrowed(array),
            Self::F64(array) => array.mapv(|value| value as f32),
            Self::F16(array) => array.mapv(half::f16::to_f32),
            Self::I64(array) => array.mapv(|value| value as f32),
            Self::I32(array) => array.mapv(|value| value as f32),
            Self::U8(array) => array.mapv(f32::from),
            Self::I8(array) => array.mapv(f32::from),
            Self::Bool(array) => array.mapv(|value| if value { 1.0 } else { 0.0 }),
        })
    }
}

impl From<ArrayD<f32>> for Tensor {
    fn from(array: ArrayD<f32>) -> Self {
        Self::F32(array)
    }
}

/// The values of a tensor that a model stores.
impl TryFrom<&TensorData> for Tensor {
    type Error = TypedError;

    fn try_from(data: &TensorData) -> Result<Self, TypedError> {
        Ok(match data.dtype {
            DataType::Double => Self::F64(data.to_array()?),
            DataType::Float16 => Self::F16(data.to_array()?),
            DataType::Int64 => Self::I64(data.to_array()?),
            DataType::Int32 => Self::I32(data.to_array()?),
            DataType::Uint8 => Self::U8(data.to_array()?),
            DataType::Int8 => Self::I8(data.to_array()?),
            DataType::Bool => Self::Bool(data.to_array()?),
            // Of any other type: the error names it.
            _ => Self::F32(data.to_array()?),
        })
    }
}

/// The values in the form in which a model stores them, of the same element type.
impl From<&Tensor> for TensorData {
    fn from(tensor: &Tensor) -> Self {
        with_array!(tensor, array => Self::from_array(array))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::arr2;

    #[test]
    fn rows_of_any_element_type_are_taken_and_joined() {
        let bytes = Tensor::U8(arr2(&[[1, 2], [3, 4], [5, 6]]).into_dyn());
        assert_eq!(bytes.rows(&[2, 0]), Tensor::U8(arr2(&[[5, 6], [1, 2]]).into_dyn()));
        assert_eq!((bytes.bytes(), bytes.element_type()), (6, DataType::Uint8));
        let long = Tensor::concatenated(&[&bytes.rows(&[0]), &bytes.rows(&[1, 2])]);
        assert_eq!(long.as_ref(), Some(&bytes));
        assert_eq!(bytes.reversed(1).rows(&[0]), Tensor::U8(arr2(&[[2, 1]]).into_dyn()));
        let whole = Tensor::I64(arr2(&[[1, 2]]).into_dyn());
        assert_eq!(whole.moved_by_one(1), Tensor::I64(arr2(&[[1, 1]]).into_dyn()));
        let Tensor::U8(moved) = Tensor::U8(ArrayD::zeros(vec![2, 3, 4, 5])).moved_by_one(3) else { panic!("bytes") };
        assert!(moved.is_standard_layout());
        assert_eq!(Tensor::concatenated(&[&bytes, &whole]), None);
        assert_eq!(Tensor::concatenated(&[]), None);
    }
}
