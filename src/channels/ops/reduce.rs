//! Reductions and operators whose output at one index depends on all of an axis.
//!
//! <https://onnx.ai/onnx/operators/onnx__ReduceMean.html> and kin (axes: attribute, input since 13 or 18),
//! <https://onnx.ai/onnx/operators/onnx__Softmax.html> (1, 11, 13), <https://onnx.ai/onnx/operators/onnx__LRN.html>

use super::Rule;
use crate::channels::flow::Flow;
use crate::channels::run::Protect;
use crate::model::axes::resolve_axis;

/// Reductions whose result over the channels that are left means what it meant over all of them.
pub(super) const REDUCTIONS: &[&str] = &[
    "ReduceL1",
    "ReduceL2",
    "ReduceLogSumExp",
    "ReduceMax",
    "ReduceMean",
    "ReduceMin",
    "ReduceSum",
    "ReduceSumSquare",
];

/// Reductions that need every channel: indices count them, a product or the logarithm of a sum loses its scale.
pub(super) const WHOLE: &[&str] = &["ArgMax", "ArgMin", "ReduceLogSum", "ReduceProd"];

pub(super) struct Reduce;

impl Rule for Reduce {
    fn flow(&self, flow: &mut Flow<'_, '_>) -> Result<(), Protect> {
        let x = flow.ids(0)?;
        let keep = flow.int("keepdims", 1) == 1;
        let given =
            if flow.op().starts_with("Arg") { Some(vec![flow.int("axis", 0)]) } else { flow.operand(1, "axes")? };
        let axes: Vec<usize> = match given.filter(|axes| !axes.is_empty()) {
            Some(axes) => axes
                .iter()
                .map(|&axis| resolve_axis(axis, x.rank()).ok_or(Protect::from("its axis is out of range")))
                .collect::<Result<_, _>>()?,
            None if flow.int("noop_with_empty_axes", 0) == 1 => Vec::new(),
            None => (0..x.rank()).collect(),
        };
        let whole = WHOLE.contains(&flow.op());
        for &axis in axes.iter().filter(|&&axis| x.varies(axis)) {
            if whole {
                flow.protect_axis(&x, axis, "it needs every channel of this axis");
            } else if flow.lanes_along(&x, axis).is_some() {
                flow.restrict(vec![(0, axis)], None);
            }
        }
        flow.set(0, x.reduce(&axes, keep));
        Ok(())
    }
}

/// The output at one index depends on all indices of an axis.
pub(super) struct Normalising;

impl Rule for Normalising {
    fn flow(&self, flow: &mut Flow<'_, '_>) -> Result<(), Protect> {
        let x = flow.ids(0)?;
        let axes: Vec<usize> = match flow.op() {
            "LRN" => vec![1],
            "CumSum" => (0..x.rank()).collect(),
            // Before opset 13 everything from `axis` on is one long vector.
            _ if flow.opset() < 13 => (flow.axis(1, x.rank())?..x.rank()).collect(),
            _ => vec![flow.axis(-1, x.rank())?],
        };
        let why = if flow.op() == "LRN" { "it mixes neighbouring channels" } else { "it normalises over this axis" };
        for &axis in &axes {
            flow.protect_axis(&x, axis, why);
        }
        flow.set(0, x);
        Ok(())
    }
}
