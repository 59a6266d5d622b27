//! How samples of a data set become the inputs of a model.

use ndarray::ArrayD;

use super::source::convert::convert;
use super::{CalibrationError, Dataset, Layout, Preprocess, PreprocessOptions};
use crate::engine::Tensor;
use crate::model::{DataType, InputSpec};

/// From a sample to the inputs of a model.
#[derive(Debug, Clone)]
pub enum Inputs {
    /// Pictures become the only input.
    Pictures(PictureInput),
    /// Arrays are the inputs, as the model takes them.
    Arrays(ArrayInputs),
}

/// Inputs that are as the model takes them.
#[derive(Debug, Clone)]
pub struct ArrayInputs {
    /// What they are, in one line.
    pub described: String,
    /// Axis of the columns, where they were made from pictures.
    pub columns: Option<usize>,
}

/// An input that takes pictures.
#[derive(Debug, Clone)]
pub struct PictureInput {
    /// Its name.
    pub name: String,
    /// Its element type.
    pub element: DataType,
    /// From pixels to its values.
    pub preprocess: Preprocess,
}

impl PictureInput {
    /// Values `[N, ...]` in the element type of the input; the error names one that is none there.
    pub(super) fn encode(&self, values: ArrayD<f32>) -> Result<Tensor, String> {
        convert(Tensor::F32(values), self.element)
    }
}

impl Inputs {
    /// How the samples of `dataset` become `specs`.
    ///
    /// # Errors
    /// [`CalibrationError::Preprocess`] where pictures are to become several inputs, or the settings do not suit the input.
    pub fn resolve(
        dataset: &Dataset,
        specs: &[InputSpec],
        options: &PreprocessOptions,
    ) -> Result<Self, CalibrationError> {
        if dataset.is_inputs() {
            let inputs: Vec<String> = specs.iter().map(|spec| format!("{} {}", spec.name, spec.describe())).collect();
            let described = format!("arrays as they are: {}", inputs.join(", "));
            return Ok(Self::Arrays(ArrayInputs { described, columns: None }));
        }
        let [spec] = specs else {
            let names: Vec<String> = specs.iter().map(|spec| format!("{} {}", spec.name, spec.describe())).collect();
            return Err(CalibrationError::setting(
                "data",
                format!("pictures feed models with one input, this one has {}: {}", specs.len(), names.join(", ")),
                "give a .npz with one array for every input, by its name",
            ));
        };
        if spec.shape.len() != 4 {
            return Err(CalibrationError::setting(
                "data",
                format!("pictures do not fit the input `{}`, which takes {}", spec.name, spec.describe()),
                "give a .npy or .npz of arrays of that shape, first axis samples",
            ));
        }
        let preprocess =
            if is_float(spec.dtype) { Preprocess::resolve(&spec.shape, options)? } else { as_bytes(spec, options)? };
        Ok(Self::Pictures(PictureInput { name: spec.name.clone(), element: spec.dtype, preprocess }))
    }

    /// The settings in one line, for the user to check.
    pub fn describe(&self) -> String {
        match self {
            Self::Pictures(own) if is_float(own.element) => own.preprocess.describe(),
            Self::Pictures(own) => format!("{}, whole numbers as they are", own.preprocess.describe_size()),
            Self::Arrays(own) => own.described.clone(),
        }
    }

    /// Axis of the columns of pictures, along which mirror images are made.
    pub fn columns(&self) -> Option<usize> {
        match self {
            Self::Pictures(own) => Some(if own.preprocess.layout == Layout::Nhwc { 2 } else { 3 }),
            Self::Arrays(own) => own.columns,
        }
    }

    /// Height and width of pictures.
    pub fn size(&self) -> Option<(usize, usize)> {
        match self {
            Self::Pictures(own) => Some(own.preprocess.size),
            Self::Arrays(_) => None,
        }
    }
}

fn is_float(kind: DataType) -> bool {
    matches!(kind, DataType::Float | DataType::Double | DataType::Float16 | DataType::Bfloat16)
}

/// Pixels go into inputs of whole numbers as they are: mean and scale belong to such a model.
fn as_bytes(spec: &InputSpec, options: &PreprocessOptions) -> Result<Preprocess, CalibrationError> {
    let given = [("mean", options.mean.is_some()), ("std", options.std.is_some()), ("scale", options.scale.is_some())];
    if let Some((setting, _)) = given.iter().find(|(_, given)| *given) {
        return Err(CalibrationError::setting(
            setting,
            format!("the input `{}` takes {}: pixels go in as they are", spec.name, spec.describe()),
            "leave it out: mean and scale are part of such a model",
        ));
    }
    if !matches!(spec.dtype, DataType::Uint8 | DataType::Int32 | DataType::Int64) {
        return Err(CalibrationError::setting(
            "data",
            format!("pixels from 0 to 255 do not fit the input `{}`, which takes {}", spec.name, spec.describe()),
            "give a .npy or .npz of the values that it takes",
        ));
    }
    Preprocess::resolve(&spec.shape, &PreprocessOptions { scale: Some(1.0), ..options.clone() })
}
