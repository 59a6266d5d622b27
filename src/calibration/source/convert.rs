//! Arrays in the element type that a model takes.

use half::f16;
use ndarray::ArrayD;

use crate::engine::Tensor;
use crate::model::DataType;

/// The same values in another element type. Whole numbers must be the same there; fractions are rounded between float
/// types, and must be whole for integers. The error says which value is not.
pub(in crate::calibration) fn convert(values: Tensor, to: DataType) -> Result<Tensor, String> {
    if values.element_type() == to {
        return Ok(values);
    }
    match numbers(&values) {
        Numbers::Whole(own) => from_whole(&own, to),
        Numbers::Real(own) => from_real(&own, to),
    }
}

enum Numbers {
    Whole(ArrayD<i64>),
    Real(ArrayD<f64>),
}

fn numbers(values: &Tensor) -> Numbers {
    match values {
        Tensor::F32(own) => Numbers::Real(own.mapv(f64::from)),
        Tensor::F64(own) => Numbers::Real(own.clone()),
        Tensor::F16(own) => Numbers::Real(own.mapv(f64::from)),
        Tensor::I64(own) => Numbers::Whole(own.clone()),
        Tensor::I32(own) => Numbers::Whole(own.mapv(i64::from)),
        Tensor::U8(own) => Numbers::Whole(own.mapv(i64::from)),
        Tensor::I8(own) => Numbers::Whole(own.mapv(i64::from)),
        Tensor::Bool(own) => Numbers::Whole(own.mapv(i64::from)),
    }
}

/// All values by a function that gives nothing for those that do not fit.
fn each<A: Copy + std::fmt::Display, B: Clone>(
    values: &ArrayD<A>,
    to: DataType,
    f: impl Fn(A) -> Option<B>,
) -> Result<ArrayD<B>, String> {
    let fitted: Option<Vec<B>> = values.iter().map(|&value| f(value)).collect();
    let misfit = || values.iter().find(|&&value| f(value).is_none());
    let why = || match misfit() {
        Some(value) => format!("{value} is no {}", name(to)),
        None => "the array is too large".to_owned(),
    };
    let array = fitted.and_then(|fitted| ArrayD::from_shape_vec(values.raw_dim(), fitted).ok());
    array.ok_or_else(why)
}

fn from_whole(values: &ArrayD<i64>, to: DataType) -> Result<Tensor, String> {
    #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "what changes is refused")]
    let exact = |value: i64, back: f64| (back as i64 == value && back < i64::MAX as f64).then_some(());
    #[allow(clippy::cast_precision_loss, reason = "what changes is refused")]
    Ok(match to {
        DataType::Int64 => Tensor::I64(values.clone()),
        DataType::Int32 => Tensor::I32(each(values, to, |value| i32::try_from(value).ok())?),
        DataType::Int8 => Tensor::I8(each(values, to, |value| i8::try_from(value).ok())?),
        DataType::Uint8 => Tensor::U8(each(values, to, |value| u8::try_from(value).ok())?),
        DataType::Bool => {
            Tensor::Bool(each(values, to, |value| [false, true].get(usize::try_from(value).ok()?).copied())?)
        }
        DataType::Float => {
            Tensor::F32(each(values, to, |value| exact(value, f64::from(value as f32)).map(|()| value as f32))?)
        }
        DataType::Double => Tensor::F64(each(values, to, |value| exact(value, value as f64).map(|()| value as f64))?),
        DataType::Float16 => Tensor::F16(each(values, to, |value| {
            let near = f16::from_f64(value as f64);
            exact(value, f64::from(near)).map(|()| near)
        })?),
        other => return Err(unsupported(other)),
    })
}

fn from_real(values: &ArrayD<f64>, to: DataType) -> Result<Tensor, String> {
    // Infinity stays what it is; what only becomes infinite does not fit.
    let kept = |value: f64, near: f64| (near.is_finite() || !value.is_finite()).then_some(());
    #[allow(clippy::cast_possible_truncation, reason = "float types are rounded to")]
    Ok(match to {
        DataType::Float => {
            Tensor::F32(each(values, to, |value| kept(value, f64::from(value as f32)).map(|()| value as f32))?)
        }
        DataType::Double => Tensor::F64(values.clone()),
        DataType::Float16 => Tensor::F16(each(values, to, |value| {
            let near = f16::from_f64(value);
            kept(value, f64::from(near)).map(|()| near)
        })?),
        _ => {
            let whole = |value: f64| (value.fract() == 0.0 && value.abs() < 9e15).then_some(value as i64);
            from_whole(&each(values, to, whole)?, to)?
        }
    })
}

/// The element type as NumPy calls it.
pub(super) fn name(kind: DataType) -> &'static str {
    match kind {
        DataType::Float => "float32",
        DataType::Double => "float64",
        DataType::Float16 => "float16",
        DataType::Bfloat16 => "bfloat16",
        DataType::Int64 => "int64",
        DataType::Int32 => "int32",
        DataType::Int16 => "int16",
        DataType::Int8 => "int8",
        DataType::Uint64 => "uint64",
        DataType::Uint32 => "uint32",
        DataType::Uint16 => "uint16",
        DataType::Uint8 => "uint8",
        DataType::Bool => "bool",
        DataType::String => "text",
        _ => "of an element type that arrays do not have",
    }
}

fn unsupported(kind: DataType) -> String {
    format!("the model takes {}, which cannot be fed from arrays", name(kind))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::arr1;

    #[test]
    fn only_what_stays_the_same_is_converted() {
        let whole = Tensor::I64(arr1(&[0, 1, 255]).into_dyn());
        assert_eq!(convert(whole.clone(), DataType::Uint8), Ok(Tensor::U8(arr1(&[0, 1, 255]).into_dyn())));
        assert_eq!(convert(whole.clone(), DataType::Float), Ok(Tensor::F32(arr1(&[0.0, 1.0, 255.0]).into_dyn())));
        assert!(convert(whole.clone(), DataType::Int8).unwrap_err().contains("255 is no int8"));
        assert!(convert(whole, DataType::Bool).is_err());
        let large = Tensor::I64(arr1(&[(1 << 24) + 1]).into_dyn());
        assert!(convert(large, DataType::Float).is_err());
        let real = Tensor::F64(arr1(&[0.5, 3.0]).into_dyn());
        assert!(convert(real.clone(), DataType::Int32).unwrap_err().contains("0.5 is no int32"));
        assert!(convert(real, DataType::Float16).is_ok());
        assert!(convert(Tensor::F32(arr1(&[1e6]).into_dyn()), DataType::Float16).is_err());
        let masked = Tensor::F64(arr1(&[f64::NEG_INFINITY, 0.0]).into_dyn());
        assert!(convert(masked, DataType::Float).is_ok());
        assert!(convert(Tensor::Bool(arr1(&[true]).into_dyn()), DataType::String).is_err());
    }
}
