//! NumPy arrays: `.npz` with images and labels, `.npy` with images.

use std::fs::File;
use std::path::Path;

use ndarray::{ArrayD, Axis};
use ndarray_npy::{NpzReader, ReadNpyExt};

use super::CalibrationError;
use super::dataset::{Dataset, Item, Picture, Raster};

/// Opens `x` (or `images`, `data`): `[N, C, H, W]`, `[N, H, W, C]` or `[N, H, W]`. Bytes are pixels; floats are finished
/// input values. Labels: `y` (or `labels`), whole numbers.
pub(super) fn open(path: &Path) -> Result<Dataset, CalibrationError> {
    let fail = |why: String| CalibrationError::File { path: path.display().to_string(), why };
    let npz = path.extension().is_some_and(|end| end.eq_ignore_ascii_case("npz"));
    let mut dataset = Dataset { source: if npz { ".npz arrays" } else { ".npy array" }, ..Dataset::default() };
    let labels = if npz { labels(path).map_err(fail)? } else { None };
    #[allow(clippy::single_match_else, reason = "two kinds of arrays, side by side")]
    let count = match pixels(path, npz).map_err(fail)? {
        Some(array) => {
            let (shape, raster) = raster(array.shape()).map_err(fail)?;
            dataset.raster = raster;
            let each = raster.height * raster.width * raster.channels;
            dataset.buffers = vec![array.iter().copied().collect()];
            let item = |number| Item { picture: Picture::Pixels { buffer: 0, offset: number * each }, label: None };
            dataset.items = (0..shape).map(item).collect();
            shape
        }
        None => {
            let array = floats(path, npz).map_err(fail)?;
            if array.iter().any(|value| !value.is_finite()) {
                return Err(fail("it holds values that are not finite".into()));
            }
            let (count, raster) = raster(array.shape()).map_err(fail)?;
            dataset.raster = raster;
            let each = raster.height * raster.width * raster.channels;
            dataset.values = array.iter().copied().collect();
            let item = |number| Item { picture: Picture::Values { offset: number * each }, label: None };
            dataset.items = (0..count).map(item).collect();
            count
        }
    };
    if let Some(labels) = labels {
        if labels.len() != count {
            return Err(fail(format!("{count} images and {} labels", labels.len())));
        }
        for (item, label) in dataset.items.iter_mut().zip(labels) {
            item.label = usize::try_from(label).ok();
        }
    }
    Ok(dataset)
}

/// Number of images and their form; few channels on the last axis mean `[N, H, W, C]`.
fn raster(shape: &[usize]) -> Result<(usize, Raster), String> {
    let few = |size: usize| size == 1 || size == 3 || size == 4;
    match *shape {
        [n, height, width] => Ok((n, Raster { height, width, channels: 1, planar: false })),
        [n, height, width, channels] if few(channels) && !few(height) => {
            Ok((n, Raster { height, width, channels, planar: false }))
        }
        [n, channels, height, width] => Ok((n, Raster { height, width, channels, planar: true })),
        _ => Err(format!("images of shape {shape:?} are not understood; [N, C, H, W] or [N, H, W, C] is wanted")),
    }
}

fn member<T: ndarray_npy::ReadableElement>(path: &Path, names: &[&str]) -> Result<Option<ArrayD<T>>, String> {
    let mut npz = NpzReader::new(File::open(path).map_err(|e| e.to_string())?).map_err(|e| e.to_string())?;
    let members = npz.names().map_err(|e| e.to_string())?;
    let wanted = names.iter().find_map(|name| members.iter().find(|have| have.trim_end_matches(".npy") == *name));
    let Some(wanted) = wanted else { return Err(format!("it has none of the arrays {}", names.join(", "))) };
    Ok(npz.by_name::<ndarray::OwnedRepr<T>, ndarray::IxDyn>(wanted).ok())
}

fn read<T: ndarray_npy::ReadableElement>(path: &Path, npz: bool) -> Result<Option<ArrayD<T>>, String> {
    if npz {
        return member(path, &["x", "images", "data", "arr_0"]);
    }
    Ok(ArrayD::<T>::read_npy(File::open(path).map_err(|error| error.to_string())?).ok())
}

fn pixels(path: &Path, npz: bool) -> Result<Option<ArrayD<u8>>, String> {
    read(path, npz)
}

fn floats(path: &Path, npz: bool) -> Result<ArrayD<f32>, String> {
    if let Some(array) = read::<f32>(path, npz)? {
        return Ok(array);
    }
    #[allow(clippy::cast_possible_truncation, reason = "models take single precision")]
    let single = |array: ArrayD<f64>| array.mapv(|value| value as f32);
    read::<f64>(path, npz)?.map(single).ok_or_else(|| "the images are neither bytes nor floats".into())
}

fn labels(path: &Path) -> Result<Option<Vec<i64>>, String> {
    let names = ["y", "labels", "arr_1"];
    let Ok(found) = member::<i64>(path, &names) else { return Ok(None) };
    let found = match found {
        Some(array) => Some(array),
        None => match member::<i32>(path, &names)? {
            Some(array) => Some(array.mapv(i64::from)),
            None => member::<u8>(path, &names)?.map(|array| array.mapv(i64::from)),
        },
    };
    let array = found.ok_or("the labels are not whole numbers")?;
    if array.ndim() == 0 || array.len() != array.len_of(Axis(0)) {
        return Err("the labels are not a list".into());
    }
    Ok(Some(array.iter().copied().collect()))
}
