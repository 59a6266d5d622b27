//! Tensor data independent of where a `TensorProto` keeps them.

use bytes::Bytes;

use crate::proto::onnx::{TensorProto, tensor_proto};

pub use tensor_proto::DataType;

/// A tensor's elements in row-major order, little-endian, whatever field or file they came from.
///
/// Cloning is cheap: the bytes are shared with the loaded file.
#[derive(Debug, Clone, PartialEq)]
pub struct TensorData {
    /// Element type.
    pub dtype: DataType,
    /// Sizes of the axes; empty for a scalar.
    pub dims: Vec<usize>,
    /// `dims.product() * element size` bytes. Not aligned: convert, never cast.
    pub bytes: Bytes,
}

impl TensorData {
    /// Bytes per element; `None` for strings and types narrower than a byte.
    pub fn element_size(dtype: DataType) -> Option<usize> {
        use DataType as T;
        match dtype {
            T::Uint8
            | T::Int8
            | T::Bool
            | T::Float8e4m3fn
            | T::Float8e4m3fnuz
            | T::Float8e5m2
            | T::Float8e5m2fnuz
            | T::Float8e8m0 => Some(1),
            T::Uint16 | T::Int16 | T::Float16 | T::Bfloat16 => Some(2),
            T::Float | T::Int32 | T::Uint32 => Some(4),
            T::Double | T::Int64 | T::Uint64 | T::Complex64 => Some(8),
            T::Complex128 => Some(16),
            _ => None,
        }
    }

    /// Bytes that a stored tensor's elements take; `None` for strings.
    ///
    /// # Errors
    /// If a size is negative, the product overflows or the element type is unknown.
    pub(super) fn needed_bytes(tensor: &TensorProto) -> Result<Option<usize>, String> {
        use DataType as T;
        let name = tensor.name();
        let dims = Self::sizes(tensor)?;
        let kind =
            T::try_from(tensor.data_type()).map_err(|_| format!("tensor `{name}` has an unknown element type"))?;
        let elements = dims
            .iter()
            .try_fold(1usize, |all, &size| all.checked_mul(size))
            .ok_or_else(|| format!("tensor `{name}` is too large"))?;
        let bits = match kind {
            T::Undefined if elements == 0 => return Ok(Some(0)),
            T::Undefined => return Err(format!("tensor `{name}` has no element type")),
            T::Uint4 | T::Int4 | T::Float4e2m1 => 4,
            T::Uint2 | T::Int2 => 2,
            T::String | T::Float6e2m3 | T::Float6e3m2 => return Ok(None),
            other => Self::element_size(other).unwrap_or(1) * 8,
        };
        let total = elements.checked_mul(bits).ok_or_else(|| format!("tensor `{name}` is too large"))?;
        Ok(Some(total.div_ceil(8)))
    }

    /// Sizes of the axes of a stored tensor.
    pub(super) fn sizes(tensor: &TensorProto) -> Result<Vec<usize>, String> {
        let size =
            |&dim: &i64| usize::try_from(dim).map_err(|_| format!("tensor `{}` has a negative size", tensor.name()));
        tensor.dims.iter().map(size).collect()
    }

    /// The elements of the typed field that a tensor without `raw_data` uses, as little-endian bytes.
    pub(super) fn typed_bytes(tensor: &TensorProto, kind: DataType) -> Option<Vec<u8>> {
        use DataType as T;
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "int32_data holds narrower types in its low bits"
        )]
        Some(match kind {
            T::Float | T::Complex64 => tensor.float_data.iter().flat_map(|v| v.to_le_bytes()).collect(),
            T::Double | T::Complex128 => tensor.double_data.iter().flat_map(|v| v.to_le_bytes()).collect(),
            T::Int64 => tensor.int64_data.iter().flat_map(|v| v.to_le_bytes()).collect(),
            T::Uint64 => tensor.uint64_data.iter().flat_map(|v| v.to_le_bytes()).collect(),
            T::Uint32 => tensor.uint64_data.iter().flat_map(|v| (*v as u32).to_le_bytes()).collect(),
            T::Int32 => tensor.int32_data.iter().flat_map(|v| v.to_le_bytes()).collect(),
            T::Int16 | T::Uint16 | T::Float16 | T::Bfloat16 => {
                tensor.int32_data.iter().flat_map(|v| (*v as u16).to_le_bytes()).collect()
            }
            _ if Self::element_size(kind) == Some(1) => tensor.int32_data.iter().map(|v| *v as u8).collect(),
            _ => return None,
        })
    }

    /// A tensor of `f32` values. `values.len()` must be the product of `dims`.
    pub fn from_f32(dims: Vec<usize>, values: &[f32]) -> Self {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<_>>();
        Self { dtype: DataType::Float, dims, bytes: bytes.into() }
    }

    /// A tensor of `i64` values. `values.len()` must be the product of `dims`.
    pub fn from_i64(dims: Vec<usize>, values: &[i64]) -> Self {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<_>>();
        Self { dtype: DataType::Int64, dims, bytes: bytes.into() }
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        self.dims.iter().product()
    }

    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The elements as `f32`; `None` unless the type is f16, bf16, f32 or f64.
    pub fn to_f32(&self) -> Option<Vec<f32>> {
        Some(match self.dtype {
            DataType::Float => self.elements(f32::from_le_bytes),
            #[allow(clippy::cast_possible_truncation, reason = "asked for in single precision")]
            DataType::Double => self.elements(|bytes| f64::from_le_bytes(bytes) as f32),
            DataType::Float16 => self.elements(|bytes| half::f16::from_le_bytes(bytes).to_f32()),
            DataType::Bfloat16 => self.elements(|bytes| half::bf16::from_le_bytes(bytes).to_f32()),
            _ => return None,
        })
    }

    /// The elements as `i64`; `None` unless the type is a whole number or bool.
    pub fn to_i64(&self) -> Option<Vec<i64>> {
        Some(match self.dtype {
            DataType::Int64 => self.elements(i64::from_le_bytes),
            DataType::Int32 => self.elements(|bytes| i32::from_le_bytes(bytes).into()),
            DataType::Uint32 => self.elements(|bytes| u32::from_le_bytes(bytes).into()),
            DataType::Int16 => self.elements(|bytes| i16::from_le_bytes(bytes).into()),
            DataType::Uint16 => self.elements(|bytes| u16::from_le_bytes(bytes).into()),
            DataType::Int8 => self.elements(|bytes| i8::from_le_bytes(bytes).into()),
            DataType::Uint8 | DataType::Bool => self.elements(|bytes| u8::from_le_bytes(bytes).into()),
            _ => return None,
        })
    }

    /// The same tensor with the values replaced, stored in its own float type.
    ///
    /// `None` unless the type is a float type and `values` has as many elements.
    pub fn with_f32(&self, values: &[f32]) -> Option<Self> {
        let bytes: Vec<u8> = match self.dtype {
            _ if values.len() != self.len() => return None,
            DataType::Float => values.iter().flat_map(|v| v.to_le_bytes()).collect(),
            DataType::Double => values.iter().flat_map(|v| f64::from(*v).to_le_bytes()).collect(),
            DataType::Float16 => values.iter().flat_map(|v| half::f16::from_f32(*v).to_le_bytes()).collect(),
            DataType::Bfloat16 => values.iter().flat_map(|v| half::bf16::from_f32(*v).to_le_bytes()).collect(),
            _ => return None,
        };
        Some(Self { dtype: self.dtype, dims: self.dims.clone(), bytes: bytes.into() })
    }

    /// The elements at `indices` of `axis`, in that order. `None` if an index or the axis is out of range
    /// or the element type has no whole bytes.
    pub fn select(&self, axis: usize, indices: &[usize]) -> Option<Self> {
        let size = Self::element_size(self.dtype)?;
        let along = *self.dims.get(axis)?;
        let inner = self.dims[axis + 1..].iter().product::<usize>() * size;
        let outer: usize = self.dims[..axis].iter().product();
        let mut bytes = Vec::with_capacity(outer * indices.len() * inner);
        for o in 0..outer {
            for &index in indices {
                if index >= along {
                    return None;
                }
                let start = (o * along + index) * inner;
                bytes.extend_from_slice(self.bytes.get(start..start + inner)?);
            }
        }
        let mut dims = self.dims.clone();
        dims[axis] = indices.len();
        Some(Self { dtype: self.dtype, dims, bytes: bytes.into() })
    }

    /// The tensor as an initializer called `name`, its elements in `raw_data`.
    pub fn to_proto(&self, name: &str) -> TensorProto {
        TensorProto {
            name: Some(name.to_owned()),
            #[allow(clippy::cast_possible_wrap, reason = "sizes of tensors in memory fit")]
            dims: self.dims.iter().map(|&dim| dim as i64).collect(),
            data_type: Some(self.dtype as i32),
            raw_data: Some(self.bytes.clone()),
            ..TensorProto::default()
        }
    }

    fn elements<const N: usize, T>(&self, convert: impl Fn([u8; N]) -> T) -> Vec<T> {
        self.bytes.as_chunks::<N>().0.iter().map(|bytes| convert(*bytes)).collect()
    }
}
