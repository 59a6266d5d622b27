//! A node with what is known of its operands.

use std::collections::{HashMap, HashSet};

use ndarray::ArrayD;

use crate::engine::Tensor;
use crate::model::{DataType, TensorData};
use crate::proto::onnx::NodeProto;

/// Stored tensors and values that the graph computes without the images, by name.
#[derive(Default)]
pub(super) struct Constants {
    pub(super) floats: HashMap<String, ArrayD<f32>>,
    pub(super) integers: HashMap<String, (Vec<usize>, Vec<i64>)>,
    /// Names of those that the file holds, or whose numbers it holds in another form.
    pub(super) adjustable: HashSet<String>,
    types: HashMap<String, DataType>,
}

impl Constants {
    /// Element type of a stored tensor.
    pub(super) fn type_of(&self, name: &str) -> Option<DataType> {
        self.types.get(name).copied()
    }

    pub(super) fn add_stored(&mut self, name: &str, data: &TensorData) {
        self.types.insert(name.to_owned(), data.dtype);
        if let Some(values) = data.to_f32() {
            if let Ok(array) = ArrayD::from_shape_vec(data.dims.clone(), values) {
                self.floats.insert(name.to_owned(), array);
            }
        } else if let Some(values) = data.to_i64() {
            self.integers.insert(name.to_owned(), (data.dims.clone(), values));
        }
    }

    pub(super) fn add_computed(&mut self, name: &str, tensor: &Tensor) {
        match tensor {
            Tensor::F32(_) | Tensor::F64(_) | Tensor::F16(_) => {
                self.floats.insert(name.to_owned(), tensor.to_f32().as_standard_layout().into_owned());
            }
            Tensor::I64(array) => {
                self.integers.insert(name.to_owned(), (array.shape().to_vec(), array.iter().copied().collect()));
            }
            Tensor::I32(array) => {
                let values = array.iter().map(|&value| i64::from(value)).collect();
                self.integers.insert(name.to_owned(), (array.shape().to_vec(), values));
            }
            Tensor::Bool(array) => {
                let values = array.iter().map(|&value| i64::from(value)).collect();
                self.integers.insert(name.to_owned(), (array.shape().to_vec(), values));
            }
            _ => {}
        }
    }
}

/// A node, the shapes of its run-time values for one batch, and the constants.
pub(super) struct Site<'a> {
    pub(super) node: &'a NodeProto,
    /// Version of the standard's operator set.
    pub(super) opset: i64,
    /// Shapes of run-time values by name.
    pub(super) shapes: &'a HashMap<String, Vec<usize>>,
    pub(super) constants: &'a Constants,
}

impl<'a> Site<'a> {
    /// Name of an input; `None` if it is left out.
    pub(super) fn name(&self, input: usize) -> Option<&'a str> {
        self.node.input.get(input).map(String::as_str).filter(|name| !name.is_empty())
    }

    /// Shape of an input that is computed from the images.
    pub(super) fn shape(&self, input: usize) -> Option<&'a [usize]> {
        self.shapes.get(self.name(input)?).map(Vec::as_slice)
    }

    pub(super) fn output_shape(&self, output: usize) -> Option<&'a [usize]> {
        self.shapes.get(self.node.output.get(output)?).map(Vec::as_slice)
    }

    /// A constant operand of floats.
    pub(super) fn floats(&self, input: usize) -> Option<&'a ArrayD<f32>> {
        self.constants.floats.get(self.name(input)?)
    }

    /// A constant operand of whole numbers.
    pub(super) fn integers(&self, input: usize) -> Option<&'a [i64]> {
        self.constants.integers.get(self.name(input)?).map(|(_, values)| values.as_slice())
    }

    /// A constant operand of whole numbers or truths, with its shape.
    pub(super) fn whole(&self, input: usize) -> Option<(&'a [usize], &'a [i64])> {
        let (shape, values) = self.constants.integers.get(self.name(input)?)?;
        Some((shape, values))
    }

    /// Whole numbers that are an attribute in old operator sets and an input in new ones; the default if they are left out,
    /// `None` if they are not constant.
    pub(super) fn listed(&self, attribute: &str, input: usize, default: impl FnOnce() -> Vec<i64>) -> Option<Vec<i64>> {
        match (self.ints(attribute), self.name(input)) {
            (Some(values), _) => Some(values),
            (None, None) => Some(default()),
            (None, Some(_)) => self.integers(input).map(<[i64]>::to_vec),
        }
    }

    pub(super) fn int(&self, name: &str) -> Option<i64> {
        self.node.int(name)
    }

    pub(super) fn ints(&self, name: &str) -> Option<Vec<i64>> {
        self.node.ints(name).map(<[i64]>::to_vec)
    }

    pub(super) fn float(&self, name: &str) -> Option<f32> {
        self.node.float(name)
    }

    pub(super) fn text(&self, name: &str) -> Option<&'a str> {
        self.node.text(name)
    }
}
