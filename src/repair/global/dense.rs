//! The dense model's values: what there is to compare with, and the targets of a batch.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use ndarray::Axis;

use super::images::{Images, Pick};
use super::objective::Batch;
use super::ops::Array;
use super::program::Program;
use crate::engine::{CompileOptions, Engine, EngineError, Session, Tensor};
use crate::model::{DataType, Model};
use crate::proto::onnx::TensorProto;
use crate::proto::onnx::tensor_shape_proto::dimension::Value as Size;
use crate::proto::onnx::type_proto::Value as Kind;
use crate::repair::RepairError;

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

/// An axis and the indices along it that are left.
type Left = (usize, Vec<usize>);

/// The dense model, and what is left of its values in the pruned one.
#[derive(Debug, Clone)]
pub struct Teacher<'a> {
    /// The dense model.
    pub model: &'a Model,
    /// For values of the same name that lost channels: the axis, and the indices that are left in the pruned model's order.
    /// They are compared only where few values have kept their shape, as in networks without residual streams. May be
    /// empty.
    pub kept: BTreeMap<String, (usize, Vec<usize>)>,
    /// Values of the pruned model that are passed on in place of other values of the dense model, where a block is gone: they
    /// are compared under those names.
    pub passed_on: BTreeSet<String>,
}

/// If less than this part of what could be compared has kept its shape, cut values are compared too.
const FEW: f64 = 0.25;

/// A session that returns some values of the dense model.
pub(super) struct Dense {
    session: Box<dyn Session>,
    input: String,
    /// The values, as indices of the program.
    pub(super) targets: Vec<usize>,
    /// What is left of each.
    selections: Vec<Option<Left>>,
}

impl Dense {
    /// Compares with those of `candidates` that the dense model has too. `first` is a batch.
    pub(super) fn open(
        teacher: &Teacher<'_>,
        engine: &dyn Engine,
        program: &Program,
        candidates: &[usize],
        first: &Array,
    ) -> Result<Option<Self>, RepairError> {
        let dense = teacher.model;
        let Some((input, _)) = single_input(dense) else { return Ok(None) };
        let names: HashSet<&str> =
            dense.graph().node.iter().flat_map(|node| node.output.iter().map(String::as_str)).collect();
        let name = |value: usize| program.values[value].name.as_str();
        let shared: Vec<usize> = candidates
            .iter()
            .copied()
            .filter(|&value| names.contains(name(value)) && !teacher.passed_on.contains(name(value)))
            .collect();
        if shared.is_empty() {
            return Ok(None);
        }
        let compile = |values: &[usize]| -> Result<Box<dyn Session>, EngineError> {
            let options = CompileOptions {
                outputs: values.iter().map(|&value| name(value).to_owned()).collect(),
                input_shapes: BTreeMap::from([(input.clone(), first.shape().to_vec())]),
                ..CompileOptions::default()
            };
            engine.compile(dense, &options)
        };
        let found = compile(&shared)?.run(&[(&input, &Tensor::F32(first.clone()))])?;
        let mut usable: Vec<(usize, Option<Left>)> = Vec::new();
        for (&value, found) in shared.iter().zip(&found) {
            let shape = program.values[value].shape.as_slice();
            if found.shape() == shape {
                usable.push((value, None));
            } else if let Some(left) = teacher.kept.get(name(value)).filter(|left| leaves(found.shape(), left, shape)) {
                usable.push((value, Some(left.clone())));
            }
        }
        let whole = usable.iter().filter(|(_, left)| left.is_none()).count();
        if whole as f64 >= FEW * candidates.len() as f64 {
            usable.retain(|(_, left)| left.is_none());
        }
        if usable.is_empty() {
            return Ok(None);
        }
        let (targets, selections): (Vec<usize>, Vec<_>) = usable.into_iter().unzip();
        Ok(Some(Self { session: compile(&targets)?, input, targets, selections }))
    }

    /// Batches of `size` picked images with the dense model's values; images that do not fill a batch are left out.
    pub(super) fn batches(
        &mut self,
        images: &Images<'_>,
        picks: &[Pick],
        size: usize,
    ) -> Result<Vec<Batch>, RepairError> {
        picks
            .chunks_exact(size.max(1))
            .map(|picks| {
                let image = images.batch(picks);
                let found = self.session.run(&[(&self.input, &Tensor::F32(image.clone()))])?;
                let wanted = found.into_iter().zip(&self.selections).map(|(found, left)| {
                    let all = found.into_f32();
                    let own = if let Some((axis, indices)) = left { all.select(Axis(*axis), indices) } else { all };
                    if own.is_standard_layout() { own } else { own.as_standard_layout().into_owned() }
                });
                Ok(Batch { wanted: wanted.collect(), image })
            })
            .collect()
    }
}

/// Whether the indices that are left lead from one shape to the other.
fn leaves(from: &[usize], left: &Left, to: &[usize]) -> bool {
    let (axis, indices) = left;
    let Some(&size) = from.get(*axis).filter(|_| from.len() == to.len()) else { return false };
    let same = (0..from.len()).all(|other| other == *axis || from[other] == to[other]);
    same && to[*axis] == indices.len() && indices.iter().all(|&index| index < size)
}
