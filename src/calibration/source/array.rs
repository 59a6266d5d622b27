//! Images in NumPy arrays: `.npz` with `x` (or `images`, `data`) and `y` (or `labels`), or `.npy`.
//!
//! `uint8` arrays are pixels and are preprocessed; float arrays are taken as preprocessed already and are fed as
//! they are. Shapes `[N, C, H, W]`, `[N, H, W, C]` and `[N, H, W]`, C = 1, 3 or 4.

use std::path::Path;

use ndarray::{ArrayD, ArrayViewD, Axis, Ix3};

use super::super::CalibrationError;
use super::super::classes::Classes;
use super::super::decode::Pixels;
use super::array_file::Named;
use super::files::file_name;
use super::{Opened, Picture, Planes, Source, labels};
use crate::engine::Tensor;

/// Axes of an array of images.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Axes {
    ChannelsFirst,
    ChannelsLast,
    Gray,
}

struct Arrays {
    file: String,
    images: Images,
    axes: Axes,
    labels: Option<Vec<usize>>,
}

/// Names of the array of images in a `.npz`, in the order of preference.
pub(super) const IMAGE_KEYS: [&str; 4] = ["x", "images", "data", "arr_0"];

/// Arrays of images by their element type.
enum Images {
    /// Pixels.
    Bytes(ArrayD<u8>),
    /// Preprocessed values.
    Floats(ArrayD<f32>),
}

impl Images {
    #[allow(
        clippy::cast_possible_truncation,
        reason = "tensors are f32; what overflows becomes infinite and is refused"
    )]
    fn new(values: Tensor) -> Result<Self, String> {
        match values {
            Tensor::U8(images) => Ok(Self::Bytes(images)),
            Tensor::F32(images) => Ok(Self::Floats(images)),
            Tensor::F64(images) => Ok(Self::Floats(images.mapv(|value| value as f32))),
            Tensor::F16(images) => Ok(Self::Floats(images.mapv(half::f16::to_f32))),
            _ => Err("the elements are neither uint8 nor float32".to_owned()),
        }
    }

    fn shape(&self) -> &[usize] {
        match self {
            Self::Bytes(images) => images.shape(),
            Self::Floats(images) => images.shape(),
        }
    }
}

/// Whether an array can be images: pixels, or values that are preprocessed already.
pub(super) fn are_images(values: &Tensor) -> bool {
    let kind = matches!(values, Tensor::U8(_) | Tensor::F32(_) | Tensor::F64(_) | Tensor::F16(_));
    kind && axes(values.shape()).is_ok()
}

/// The array of images of a file.
pub(super) fn images(mut arrays: Vec<Named>) -> Result<Named, String> {
    let named = |key: &&str| arrays.iter().position(|own| own.name.eq_ignore_ascii_case(key));
    let only = arrays.iter().position(|own| own.name.is_empty());
    let at = IMAGE_KEYS.iter().find_map(named).or(only);
    let Some(at) = at else {
        let names: Vec<&str> = arrays.iter().map(|own| own.name.as_str()).collect();
        return Err(format!("it has no array `x`, `images` or `data`, only {}", names.join(", ")));
    };
    Ok(arrays.swap_remove(at))
}

/// Images of a file's arrays, with labels where there are some.
pub(super) fn open(path: &Path, mut arrays: Vec<Named>, classes: Option<Classes>) -> Result<Opened, CalibrationError> {
    let fail = |why: String| {
        let help = "give images [N, C, H, W], [N, H, W, C] or [N, H, W] as uint8 or float32, and N integer labels";
        CalibrationError::format(path, "", why, help)
    };
    let labels = labels::take(&mut arrays, &[]).map_err(fail)?;
    let found = images(arrays).map_err(fail)?;
    let at = if found.name.is_empty() { String::new() } else { format!("`{}`: ", found.name) };
    let images = Images::new(found.values).map_err(|why| fail(format!("{at}{why}")))?;
    let axes = axes(images.shape()).map_err(fail)?;
    let count = images.shape()[0];
    if count == 0 || images.shape().contains(&0) {
        let why = format!("the array of images has shape {:?}", images.shape());
        return Err(CalibrationError::Empty { path: path.display().to_string(), why });
    }
    if let Some(labels) = &labels
        && labels.len() != count
    {
        return Err(fail(format!("{} labels for {count} images", labels.len())));
    }
    let mut notes = Vec::new();
    if let Images::Floats(values) = &images {
        if let Some((at, value)) = values.indexed_iter().find(|(_, value)| !value.is_finite()) {
            return Err(fail(format!("image {} holds {value}", at[0])));
        }
        let (low, high) = values.iter().fold((f32::MAX, f32::MIN), |(a, b), &v| (a.min(v), b.max(v)));
        notes.push(format!("float values from {low} to {high} are taken as preprocessed and fed as they are"));
    }
    let source = Arrays { file: file_name(path), images, axes, labels };
    let class_names = classes.map(Classes::into_names).unwrap_or_default();
    Ok(Opened { source: Box::new(source), class_names, notes })
}

fn axes(shape: &[usize]) -> Result<Axes, String> {
    // A side of 4 is likelier a side than opacity where another axis has 1 or 3.
    let is_channels = |length: usize| matches!(length, 1 | 3);
    match *shape {
        [_, _, _] => Ok(Axes::Gray),
        [_, first, _, last] => match (is_channels(first), is_channels(last)) {
            (true, _) => Ok(Axes::ChannelsFirst),
            (false, true) => Ok(Axes::ChannelsLast),
            (false, false) if first == 4 => Ok(Axes::ChannelsFirst),
            (false, false) if last == 4 => Ok(Axes::ChannelsLast),
            (false, false) => Err(format!("of shape {shape:?} neither axis 1 nor axis 3 is 1, 3 or 4 channels")),
        },
        _ => Err(format!("the array of images has shape {shape:?}, which is {} axes", shape.len())),
    }
}

/// Image `i` as `[C, H, W]`.
fn planes<T: Clone>(images: &ArrayD<T>, axes: Axes, i: usize) -> Option<ndarray::ArrayView3<'_, T>> {
    let image: ArrayViewD<'_, T> = images.index_axis(Axis(0), i);
    let image = if axes == Axes::Gray { image.insert_axis(Axis(0)) } else { image };
    let image = image.into_dimensionality::<Ix3>().ok()?;
    Some(if axes == Axes::ChannelsLast { image.permuted_axes([2, 0, 1]) } else { image })
}

impl Source for Arrays {
    fn kind(&self) -> &'static str {
        "NumPy array"
    }

    fn len(&self) -> usize {
        self.images.shape()[0]
    }

    fn label(&self, i: usize) -> Option<usize> {
        self.labels.as_ref().and_then(|labels| labels.get(i).copied())
    }

    fn name(&self, i: usize) -> String {
        format!("{}[{i}]", self.file)
    }

    fn load(&self, i: usize) -> Result<Picture, String> {
        if i >= self.len() {
            return Err("there is no such image".to_owned());
        }
        let rank = "the array of images has an unexpected rank";
        match &self.images {
            Images::Bytes(images) => {
                let image = planes(images, self.axes, i).ok_or(rank)?;
                let (channels, height, width) = image.dim();
                let data = image.permuted_axes([1, 2, 0]).iter().copied().collect();
                Ok(Picture::Pixels(Pixels { width, height, channels, data }))
            }
            Images::Floats(images) => {
                let image = planes(images, self.axes, i).ok_or(rank)?;
                let (channels, height, width) = image.dim();
                Ok(Picture::Planes(Planes { channels, height, width, data: image.iter().copied().collect() }))
            }
        }
    }
}
