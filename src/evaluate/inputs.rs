//! Random values of the kind that a model takes.

use std::collections::BTreeMap;
use std::sync::Arc;

use ndarray::{ArrayD, IxDyn};
use rand::RngExt as _;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use crate::engine::{Feed, Tensor};
use crate::model::{DataType, InputSpec, Model, input_specs};

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
