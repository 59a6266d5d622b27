//! Reading `.npy` and `.npz` files whose element types are not known beforehand.

use std::fs::File;
use std::io::{BufReader, Read as _};
use std::path::Path;

use ndarray::{ArrayD, IxDyn, OwnedRepr};
use ndarray_npy::{NpzReader, ReadNpyError, ReadNpzError, ReadableElement};

use super::super::CalibrationError;
use super::files::extension;

const IMAGE_KEYS: [&str; 4] = ["x", "images", "data", "arr_0"];
/// Bytes of a `.npy` file in which its shape must be found; NumPy pads headers to 64 or 128.
const MOST_HEADER: u64 = 4096;

const LABEL_KEYS: [&str; 3] = ["y", "labels", "arr_1"];

/// Arrays of images by their element type.
pub(super) enum Images {
    /// Pixels.
    Bytes(ArrayD<u8>),
    /// Preprocessed values.
    Floats(ArrayD<f32>),
}

impl Images {
    pub(super) fn shape(&self) -> &[usize] {
        match self {
            Self::Bytes(images) => images.shape(),
            Self::Floats(images) => images.shape(),
        }
    }
}

/// Images, and labels where the file has them.
pub(super) fn read(path: &Path) -> Result<(Images, Option<Vec<usize>>), CalibrationError> {
    let fail = |why: String| {
        let help = "write it with numpy.savez(path, x=images, y=labels) or numpy.save(path, images)";
        CalibrationError::format(path, "", why, help)
    };
    let open = || File::open(path).map_err(|source| CalibrationError::read(path, source));
    if extension(path) == "npy" {
        check_length(path, &open()?).map_err(fail)?;
        let mut file = Npy { path };
        return Ok((images(&mut file).map_err(fail)?, None));
    }
    let mut reader = NpzReader::new(BufReader::new(open()?)).map_err(|error| fail(error.to_string()))?;
    let names = reader.names().map_err(|error| fail(error.to_string()))?;
    let key =
        |keys: &[&str]| keys.iter().find_map(|key| names.iter().find(|name| name.eq_ignore_ascii_case(key))).cloned();
    let Some(name) = key(&IMAGE_KEYS) else {
        return Err(fail(format!("it has no array `x`, `images` or `data`, only {}", names.join(", "))));
    };
    let images =
        images(&mut Npz { reader: &mut reader, name: &name }).map_err(|why| fail(format!("`{name}`: {why}")))?;
    let labels = match key(&LABEL_KEYS) {
        None => None,
        Some(name) => {
            let read = labels(&mut Npz { reader: &mut reader, name: &name });
            Some(read.map_err(|why| fail(format!("`{name}`: {why}")))?)
        }
    };
    Ok((images, labels))
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

fn images(array: &mut impl Typed) -> Result<Images, String> {
    if let Some(images) = array.read::<u8>()? {
        return Ok(Images::Bytes(images));
    }
    if let Some(images) = array.read::<f32>()? {
        return Ok(Images::Floats(images));
    }
    #[allow(
        clippy::cast_possible_truncation,
        reason = "tensors are f32; what overflows becomes infinite and is refused"
    )]
    if let Some(images) = array.read::<f64>()? {
        return Ok(Images::Floats(images.mapv(|value| value as f32)));
    }
    Err("the elements are neither uint8 nor float32".to_owned())
}

fn labels(array: &mut impl Typed) -> Result<Vec<usize>, String> {
    macro_rules! try_types {
        ($($kind:ty),+) => {
            $(if let Some(found) = array.read::<$kind>()? {
                return column(&found);
            })+
        };
    }
    try_types!(i64, i32, u8, u32, u64, i16, u16, i8);
    Err("labels must be integers".to_owned())
}

/// A vector or a single column of non-negative numbers.
fn column<T: Copy + std::fmt::Display + TryInto<usize>>(array: &ArrayD<T>) -> Result<Vec<usize>, String> {
    if !matches!(*array.shape(), [_] | [_, 1]) {
        return Err(format!("labels have shape {:?}, expected [N] of output indices", array.shape()));
    }
    let index = |(i, &value): (usize, &T)| value.try_into().map_err(|_| format!("label {i} is {value}"));
    array.iter().enumerate().map(index).collect()
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
