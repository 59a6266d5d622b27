//! Reading `.npy` and `.npz` files whose element types are not known beforehand.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use half::f16;
use ndarray::{ArrayD, IxDyn, OwnedRepr};
use ndarray_npy::{NpzReader, ReadDataError, ReadNpyError, ReadNpzError, ReadableElement};
use py_literal::Value as Description;

use super::super::CalibrationError;
use super::files::extension;
use crate::engine::Tensor;

/// Bytes of a `.npy` file in which its shape must be found; NumPy pads headers to 64 or 128.
const MOST_HEADER: u64 = 4096;

/// One array of a file.
#[derive(Debug, Clone)]
pub(super) struct Named {
    /// Its name in a `.npz`; empty in a `.npy`.
    pub(super) name: String,
    pub(super) values: Tensor,
}

/// All arrays of a file, in its order.
pub(super) fn read(path: &Path) -> Result<Vec<Named>, CalibrationError> {
    let fail = |why: String| {
        let help = "write it with numpy.savez(path, x=images, y=labels) or numpy.save(path, images)";
        CalibrationError::format(path, "", why, help)
    };
    let open = || File::open(path).map_err(|source| CalibrationError::read(path, source));
    if extension(path) == "npy" {
        check_length(path, &open()?).map_err(fail)?;
        let values = tensor(&mut Npy { path }).map_err(fail)?;
        return Ok(vec![Named { name: String::new(), values }]);
    }
    let mut reader = NpzReader::new(BufReader::new(open()?)).map_err(|error| fail(error.to_string()))?;
    let names = reader.names().map_err(|error| fail(error.to_string()))?;
    let mut all = Vec::with_capacity(names.len());
    for name in names {
        let values = tensor(&mut Npz { reader: &mut reader, name: &name });
        let values = values.map_err(|why| fail(format!("`{name}`: {why}")))?;
        all.push(Named { name, values });
    }
    Ok(all)
}

/// One array that can be read as different element types until one fits.
trait Typed {
    /// `None` where the array has another element type.
    fn read<T: ReadableElement>(&mut self) -> Result<Option<ArrayD<T>>, String>;
}

struct Npy<'a> {
    path: &'a Path,
}

impl Typed for Npy<'_> {
    fn read<T: ReadableElement>(&mut self) -> Result<Option<ArrayD<T>>, String> {
        fitting(ndarray_npy::read_npy(self.path))
    }
}

struct Npz<'a> {
    reader: &'a mut NpzReader<BufReader<File>>,
    name: &'a str,
}

impl Typed for Npz<'_> {
    fn read<T: ReadableElement>(&mut self) -> Result<Option<ArrayD<T>>, String> {
        match self.reader.by_name::<OwnedRepr<T>, IxDyn>(self.name) {
            Err(ReadNpzError::Npy(error)) => fitting(Err(error)),
            Err(error) => Err(error.to_string()),
            Ok(array) => Ok(Some(array)),
        }
    }
}

fn fitting<T>(result: Result<ArrayD<T>, ReadNpyError>) -> Result<Option<ArrayD<T>>, String> {
    match result {
        Ok(array) => Ok(Some(array)),
        Err(ReadNpyError::WrongDescriptor(_)) => Ok(None),
        Err(error) => Err(error.to_string()),
    }
}

/// Half precision as NumPy writes it, little-endian.
#[derive(Clone, Copy)]
struct Half(f16);

impl ReadableElement for Half {
    fn read_to_end_exact_vec<R: Read>(
        mut reader: R,
        kind: &Description,
        length: usize,
    ) -> Result<Vec<Self>, ReadDataError> {
        if !matches!(kind, Description::String(name) if name == "<f2") {
            return Err(ReadDataError::WrongDescriptor(kind.clone()));
        }
        let mut bytes = Vec::new();
        reader.read_to_end(&mut bytes)?;
        match bytes.len().checked_sub(2 * length) {
            None => Err(ReadDataError::MissingData),
            Some(0) => Ok(bytes.chunks_exact(2).map(|pair| Self(f16::from_le_bytes([pair[0], pair[1]]))).collect()),
            Some(extra) => Err(ReadDataError::ExtraBytes(extra)),
        }
    }
}

/// An array of any element type that models take; narrow integers that they do not take become wider ones.
fn tensor(array: &mut impl Typed) -> Result<Tensor, String> {
    macro_rules! try_types {
        ($($kind:ty => $make:expr),+ $(,)?) => {
            $(if let Some(found) = array.read::<$kind>()? {
                return Ok($make(found));
            })+
        };
    }
    try_types!(
        f32 => Tensor::F32,
        u8 => Tensor::U8,
        f64 => Tensor::F64,
        i64 => Tensor::I64,
        i32 => Tensor::I32,
        i8 => Tensor::I8,
        bool => Tensor::Bool,
        Half => |values: ArrayD<Half>| Tensor::F16(values.mapv(|value| value.0)),
        i16 => |values: ArrayD<i16>| Tensor::I32(values.mapv(i32::from)),
        u16 => |values: ArrayD<u16>| Tensor::I32(values.mapv(i32::from)),
        u32 => |values: ArrayD<u32>| Tensor::I64(values.mapv(i64::from)),
    );
    match array.read::<u64>()? {
        Some(values) if values.iter().all(|&value| i64::try_from(value).is_ok()) => {
            Ok(Tensor::I64(values.mapv(u64::cast_signed)))
        }
        Some(_) => Err("numbers above the largest 64-bit integer".to_owned()),
        None => Err("the elements are neither numbers nor truth values".to_owned()),
    }
}

/// The header of a `.npy` file may claim more than memory can hold; the file's length bounds it.
///
/// Source: NumPy's `lib/format.py`: magic, version, header length, a Python dictionary with `'shape': (..)`.
fn check_length(path: &Path, file: &File) -> Result<(), String> {
    let length = file.metadata().map_err(|error| error.to_string())?.len();
    let mut start = Vec::new();
    file.take(MOST_HEADER).read_to_end(&mut start).map_err(|error| error.to_string())?;
    let text = String::from_utf8_lossy(&start);
    let shape = text.split_once("'shape':").and_then(|(_, rest)| rest.split_once('(')?.1.split_once(')'));
    let Some((shape, _)) = shape else { return Err("it has no NumPy header".to_owned()) };
    let sides = shape.split(',').map(str::trim).filter(|side| !side.is_empty()).map(str::parse::<u64>);
    let elements = sides.map(Result::ok).try_fold(1_u64, |product, side| product.checked_mul(side?));
    match elements {
        Some(elements) if elements <= length => Ok(()),
        _ => Err(format!("shape ({shape}) does not fit into the {length} bytes of `{}`", path.display())),
    }
}
