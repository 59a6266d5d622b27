//! What a model takes, and random values of that kind.

use std::collections::BTreeMap;
use std::sync::Arc;

use ndarray::{ArrayD, IxDyn};
use rand::RngExt as _;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use crate::engine::{Feed, Tensor};
use crate::model::{DataType, Model};
use crate::proto::onnx::tensor_shape_proto::dimension::Value as Size;
use crate::proto::onnx::type_proto::Value as Kind;

/// A true graph input (not a weight that is listed as one).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InputSpec {
    /// Name of the value.
    pub name: String,
    /// Element type.
    pub dtype: DataType,
    /// Sizes; `None` where symbolic.
    pub shape: Vec<Option<usize>>,
    /// Names of symbolic sizes.
    pub symbols: Vec<Option<String>>,
}

impl InputSpec {
    /// The shape with every size filled in: by `INPUT:AXIS` or the symbol's name, else `batch` first and 64 elsewhere.
    pub fn concrete(&self, sizes: &BTreeMap<String, usize>, batch: usize) -> Vec<usize> {
        self.shape
            .iter()
            .enumerate()
            .map(|(axis, size)| {
                let named = || sizes.get(&format!("{}:{axis}", self.name)).copied();
                let symbol = || self.symbols[axis].as_ref().and_then(|symbol| sizes.get(symbol)).copied();
                size.or_else(named).or_else(symbol).unwrap_or(if axis == 0 { batch } else { 64 })
            })
            .collect()
    }
}

/// The inputs that a caller must feed, in the file's order.
pub fn input_specs(model: &Model) -> Vec<InputSpec> {
    let graph = model.graph();
    graph
        .input
        .iter()
        .filter(|input| !graph.initializer.iter().any(|tensor| tensor.name() == input.name()))
        .filter_map(|input| {
            let Some(Kind::TensorType(tensor)) = input.r#type.as_ref()?.value.as_ref() else { return None };
            let dims = tensor.shape.as_ref().map(|shape| shape.dim.as_slice()).unwrap_or_default();
            let size = |size: &Option<Size>| match size {
                Some(Size::DimValue(size)) => usize::try_from(*size).ok().filter(|&size| size > 0),
                _ => None,
            };
            let symbol = |size: &Option<Size>| match size {
                Some(Size::DimParam(name)) => Some(name.clone()),
                _ => None,
            };
            Some(InputSpec {
                name: input.name().to_owned(),
                dtype: DataType::try_from(tensor.elem_type()).ok()?,
                shape: dims.iter().map(|dim| size(&dim.value)).collect(),
                symbols: dims.iter().map(|dim| symbol(&dim.value)).collect(),
            })
        })
        .collect()
}

/// Seeded values: floats about 0 with deviation 1 (a sum of uniforms), whole numbers 0 or 1, truths.
pub fn random_inputs(specs: &[InputSpec], sizes: &BTreeMap<String, usize>, batch: usize, seed: u64) -> Feed {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    specs
        .iter()
        .map(|spec| {
            let shape = IxDyn(&spec.concrete(sizes, batch));
            let mut normal = || (0..12).map(|_| rng.random::<f32>()).sum::<f32>() - 6.0;
            let tensor = match spec.dtype {
                DataType::Double => Tensor::F64(ArrayD::from_shape_simple_fn(shape, || f64::from(normal()))),
                DataType::Float16 => Tensor::F16(ArrayD::from_shape_simple_fn(shape, || half::f16::from_f32(normal()))),
                DataType::Int64 => Tensor::I64(ArrayD::from_shape_simple_fn(shape, || i64::from(normal() > 0.0))),
                DataType::Int32 => Tensor::I32(ArrayD::from_shape_simple_fn(shape, || i32::from(normal() > 0.0))),
                DataType::Uint8 => Tensor::U8(ArrayD::from_shape_simple_fn(shape, || u8::from(normal() > 0.0))),
                DataType::Int8 => Tensor::I8(ArrayD::from_shape_simple_fn(shape, || i8::from(normal() > 0.0))),
                DataType::Bool => Tensor::Bool(ArrayD::from_elem(shape, true)),
                _ => Tensor::F32(ArrayD::from_shape_simple_fn(shape, normal)),
            };
            (spec.name.clone(), Arc::new(tensor))
        })
        .collect()
}

/// Seeded values for several runs: the first of one image, the others of two, where the model leaves that open.
pub fn random_feeds(model: &Model, sizes: &BTreeMap<String, usize>, runs: u64, seed: u64) -> Vec<Feed> {
    let specs = input_specs(model);
    (0..runs).map(|number| random_inputs(&specs, sizes, 1 + usize::from(number > 0), seed + number)).collect()
}
