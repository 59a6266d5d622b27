//! Tensor data as values of a Rust type, and back.

use ndarray::{ArrayD, ArrayRef, IxDyn};

use super::{DataType, TensorData};
use crate::explain::Explain;

mod sealed {
    pub trait Sealed {}
}

/// A Rust type that stands for an element type of the format.
pub trait Element: Copy + sealed::Sealed {
    /// The element type in the file.
    const TYPE: DataType;
    #[doc(hidden)]
    fn append(self, bytes: &mut Vec<u8>);
    #[doc(hidden)]
    fn read(bytes: &[u8]) -> Option<Vec<Self>>;
}

macro_rules! elements {
    ($($type:ty => $kind:ident),*) => {$(
        impl sealed::Sealed for $type {}
        impl Element for $type {
            const TYPE: DataType = DataType::$kind;
            fn append(self, bytes: &mut Vec<u8>) {
                bytes.extend_from_slice(&self.to_le_bytes());
            }
            fn read(bytes: &[u8]) -> Option<Vec<Self>> {
                let (parts, rest) = bytes.as_chunks();
                rest.is_empty().then(|| parts.iter().map(|part| Self::from_le_bytes(*part)).collect())
            }
        }
    )*};
}
elements!(f32 => Float, f64 => Double, half::f16 => Float16, half::bf16 => Bfloat16, i8 => Int8, i16 => Int16,
    i32 => Int32, i64 => Int64, u8 => Uint8, u16 => Uint16, u32 => Uint32, u64 => Uint64);

impl sealed::Sealed for bool {}
impl Element for bool {
    const TYPE: DataType = DataType::Bool;
    fn append(self, bytes: &mut Vec<u8>) {
        bytes.push(self.into());
    }
    fn read(bytes: &[u8]) -> Option<Vec<Self>> {
        Some(bytes.iter().map(|&byte| byte != 0).collect())
    }
}

/// Why tensor data and values of a Rust type do not fit together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TypedError {
    /// The elements are of another type than the one asked for.
    #[error("the elements are {found:?}, not {wanted:?}")]
    Element {
        /// The element type that was asked for.
        wanted: DataType,
        /// The element type of the tensor.
        found: DataType,
    },
    /// The number of values is not the product of the sizes.
    #[error("{values} values do not fill the shape {dims:?}")]
    Count {
        /// Sizes of the axes.
        dims: Vec<usize>,
        /// Number of values.
        values: usize,
    },
}

impl Explain for TypedError {
    fn help(&self) -> Option<String> {
        Some(match self {
            Self::Element { .. } => "`dtype` tells the element type; `to_f32` and `to_i64` convert".into(),
            Self::Count { .. } => "give as many values as the product of the sizes".into(),
        })
    }
}

impl TensorData {
    /// A tensor of values in row-major order; its element type is the one that `T` stands for.
    ///
    /// ```
    /// use onnx_prune::model::{DataType, TensorData};
    /// let shape = TensorData::from_vec(vec![3], &[1i64, 3, 224])?;
    /// assert_eq!(shape.dtype, DataType::Int64);
    /// assert_eq!(shape.to_vec::<i64>()?, [1, 3, 224]);
    /// assert!(shape.to_vec::<f32>().is_err());
    /// # Ok::<(), onnx_prune::model::TypedError>(())
    /// ```
    ///
    /// # Errors
    /// [`TypedError::Count`] if the number of values is not the product of `dims`.
    pub fn from_vec<T: Element>(dims: Vec<usize>, values: &[T]) -> Result<Self, TypedError> {
        if dims.iter().try_fold(1usize, |all, &size| all.checked_mul(size)) != Some(values.len()) {
            return Err(TypedError::Count { dims, values: values.len() });
        }
        let mut bytes = Vec::with_capacity(size_of_val(values));
        for value in values {
            value.append(&mut bytes);
        }
        Ok(Self { dtype: T::TYPE, dims, bytes: bytes.into() })
    }

    /// The elements in row-major order, never converted.
    ///
    /// # Errors
    /// [`TypedError::Element`] if they are of another type; [`TypedError::Count`] if the bytes do not fill the shape.
    pub fn to_vec<T: Element>(&self) -> Result<Vec<T>, TypedError> {
        if self.dtype != T::TYPE {
            return Err(TypedError::Element { wanted: T::TYPE, found: self.dtype });
        }
        let fail = |values| TypedError::Count { dims: self.dims.clone(), values };
        let values = T::read(&self.bytes).ok_or_else(|| fail(self.bytes.len() / size_of::<T>()))?;
        let elements = self.dims.iter().try_fold(1usize, |all, &size| all.checked_mul(size));
        if elements == Some(values.len()) { Ok(values) } else { Err(fail(values.len())) }
    }

    /// A tensor of the values of an array, in whatever order the array keeps them.
    pub fn from_array<T: Element>(array: &ArrayRef<T, IxDyn>) -> Self {
        let mut bytes = Vec::with_capacity(array.len() * size_of::<T>());
        for value in array {
            value.append(&mut bytes);
        }
        Self { dtype: T::TYPE, dims: array.shape().to_vec(), bytes: bytes.into() }
    }

    /// The elements as an array of the tensor's shape, never converted.
    ///
    /// # Errors
    /// [`TypedError::Element`] if they are of another type; [`TypedError::Count`] if the bytes do not fill the shape.
    pub fn to_array<T: Element>(&self) -> Result<ArrayD<T>, TypedError> {
        let values = self.to_vec()?;
        let count = values.len();
        let fail = |_| TypedError::Count { dims: self.dims.clone(), values: count };
        ArrayD::from_shape_vec(self.dims.clone(), values).map_err(fail)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round_trip<T: Element + PartialEq + std::fmt::Debug>(values: [T; 4]) {
        let data = TensorData::from_vec(vec![2, 2], &values).unwrap();
        assert_eq!(data.dtype, T::TYPE);
        assert_eq!(data.to_vec::<T>().unwrap(), values);
        // A transposed array is stored as it reads, not as it lies in memory.
        let turned = data.to_array::<T>().unwrap().reversed_axes();
        let expected = [values[0], values[2], values[1], values[3]];
        assert_eq!(TensorData::from_array(&turned).to_vec::<T>().unwrap(), expected);
    }

    #[test]
    fn every_element_type_comes_back() {
        round_trip([1.5f32, -2.0, 0.0, 3.25]);
        round_trip([1.5f64, -2.0, 0.0, 3.25]);
        round_trip([1.5, -2.0, 0.0, 3.25].map(half::f16::from_f32));
        round_trip([1.5, -2.0, 0.0, 3.25].map(half::bf16::from_f32));
        round_trip([1i8, -2, 0, 3]);
        round_trip([1i16, -2, 0, 3]);
        round_trip([1i32, -2, 0, 3]);
        round_trip([1i64, i64::MIN, i64::MAX, 3]);
        round_trip([1u8, 255, 0, 3]);
        round_trip([1u16, 2, 0, 3]);
        round_trip([1u32, 2, 0, 3]);
        round_trip([1u64, u64::MAX, 0, 3]);
        round_trip([true, false, false, true]);
    }

    #[test]
    fn wrong_types_and_counts_are_refused() {
        let data = TensorData::from_i64(vec![2], &[1, 2]);
        let wrong = TypedError::Element { wanted: DataType::Float, found: DataType::Int64 };
        assert_eq!(data.to_vec::<f32>(), Err(wrong));
        assert_eq!(TensorData::from_vec(vec![2, 2], &[1.0f32]), Err(TypedError::Count { dims: vec![2, 2], values: 1 }));
        let short = TensorData { bytes: vec![0; 12].into(), ..data };
        assert!(short.to_vec::<i64>().is_err());
        let scalar = TensorData::from_vec(Vec::new(), &[2.5f32]).unwrap();
        assert_eq!(scalar.to_array::<f32>().unwrap().shape(), [0usize; 0]);
    }
}
