//! The dense model's values: what there is to compare with, and the targets of a batch.

use std::collections::{BTreeMap, HashSet};

use super::images::{Images, Pick};
use super::objective::Batch;
use super::ops::Array;
use super::program::Program;
use crate::Error;
use crate::engine::{CompileOptions, Engine, EngineError, Session, Tensor};
use crate::model::{DataType, Model};
use crate::proto::onnx::TensorProto;
use crate::proto::onnx::tensor_shape_proto::dimension::Value as Size;
use crate::proto::onnx::type_proto::Value as Kind;

/// The only graph input of a model: its name and the batch size that it fixes, if it does. `None` if there are several
/// or it does not take single-precision numbers.
pub(super) fn single_input(model: &Model) -> Option<(String, Option<usize>)> {
    let graph = model.graph();
    let stored: HashSet<&str> = graph.initializer.iter().map(TensorProto::name).collect();
    let mut inputs = graph.input.iter().filter(|input| !stored.contains(input.name()));
    let (only, None) = (inputs.next()?, inputs.next()) else { return None };
    let Some(Kind::TensorType(kind)) = only.r#type.as_ref()?.value.as_ref() else { return None };
    let first = kind.shape.as_ref().and_then(|shape| shape.dim.first()).and_then(|dim| dim.value.as_ref());
    let fixed = match first {
        Some(Size::DimValue(size)) => usize::try_from(*size).ok().filter(|&size| size > 0),
        _ => None,
    };
    (kind.elem_type() == DataType::Float as i32).then(|| (only.name().to_owned(), fixed))
}

/// A session that returns some values of the dense model.
pub(super) struct Dense {
    session: Box<dyn Session>,
    input: String,
    /// The values, as indices of the program.
    pub(super) targets: Vec<usize>,
}

impl Dense {
    /// Compares with those of `candidates` that the dense model has too, in the same shape. `first` is a batch.
    pub(super) fn open(
        dense: &Model,
        engine: &dyn Engine,
        program: &Program,
        candidates: &[usize],
        first: &Array,
    ) -> Result<Option<Self>, Error> {
        let Some((input, _)) = single_input(dense) else { return Ok(None) };
        let names: HashSet<&str> =
            dense.graph().node.iter().flat_map(|node| node.output.iter().map(String::as_str)).collect();
        let shared = candidates.iter().copied().filter(|&value| names.contains(program.values[value].name.as_str()));
        let shared: Vec<usize> = shared.collect();
        if shared.is_empty() {
            return Ok(None);
        }
        let compile = |values: &[usize]| -> Result<Box<dyn Session>, EngineError> {
            let options = CompileOptions {
                outputs: values.iter().map(|&value| program.values[value].name.clone()).collect(),
                input_shapes: BTreeMap::from([(input.clone(), first.shape().to_vec())]),
            };
            engine.compile(dense, &options)
        };
        let mut session = compile(&shared)?;
        let found = session.run(&[(&input, &Tensor::F32(first.clone()))])?;
        let same = shared.iter().zip(&found).filter(|(value, found)| found.shape() == program.values[**value].shape);
        let targets: Vec<usize> = same.map(|(&value, _)| value).collect();
        if targets.is_empty() {
            return Ok(None);
        }
        if targets.len() < shared.len() {
            session = compile(&targets)?;
        }
        Ok(Some(Self { session, input, targets }))
    }

    /// Batches of `size` picked images with the dense model's values; images that do not fill a batch are left out.
    pub(super) fn batches(&mut self, images: &Images<'_>, picks: &[Pick], size: usize) -> Result<Vec<Batch>, Error> {
        picks
            .chunks_exact(size.max(1))
            .map(|picks| {
                let image = images.batch(picks);
                let found = self.session.run(&[(&self.input, &Tensor::F32(image.clone()))])?;
                let wanted = found.iter().map(|found| found.to_f32().as_standard_layout().into_owned()).collect();
                Ok(Batch { image, wanted })
            })
            .collect()
    }
}
