//! Reductions and operators that normalise along an axis.
//!
//! <https://onnx.ai/onnx/operators/onnx__ReduceMean.html> and kin (axes: attribute, input since 13 or 18),
//! <https://onnx.ai/onnx/operators/onnx__Softmax.html> (1, 11, 13), <https://onnx.ai/onnx/operators/onnx__LRN.html>,
//! <https://onnx.ai/onnx/operators/onnx__LayerNormalization.html> (17)

use super::Rule;
use crate::channels::flow::Flow;
use crate::channels::numbers::resolve_axis;
use crate::channels::run::Protect;

pub(super) const REDUCTIONS: &[&str] = &[
    "ReduceL1",
    "ReduceL2",
    "ReduceLogSum",
    "ReduceLogSumExp",
    "ReduceMax",
    "ReduceMean",
    "ReduceMin",
    "ReduceProd",
    "ReduceSum",
    "ReduceSumSquare",
    "ArgMax",
    "ArgMin",
];

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
        for &axis in &axes {
            flow.protect_axis(&x, axis, "it reduces over this axis");
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
            "LayerNormalization" => (flow.axis(-1, x.rank())?..x.rank()).collect(),
            "CumSum" => (0..x.rank()).collect(),
            // Before opset 13 everything from `axis` on is one long vector.
            "LpNormalization" => vec![flow.axis(-1, x.rank())?],
            _ if flow.opset() < 13 => (flow.axis(1, x.rank())?..x.rank()).collect(),
            _ => vec![flow.axis(-1, x.rank())?],
        };
        for &axis in &axes {
            flow.protect_axis(&x, axis, "it normalises over this axis");
        }
        for output in 1..flow.node.output.len() {
            let statistics = x.reduce(&axes, true);
            flow.set(output, statistics);
        }
        flow.set(0, x);
        Ok(())
    }
}
