//! Operators that hand their input on.
//!
//! <https://onnx.ai/onnx/operators/onnx__Identity.html>, <https://onnx.ai/onnx/operators/onnx__Dropout.html> (the
//! identity at inference), <https://onnx.ai/onnx/operators/onnx__Cast.html>, `CastLike` (15)

use super::Rule;
use crate::channels::flow::Flow;
use crate::channels::run::Protect;

pub(super) struct Passing;

impl Rule for Passing {
    fn flow(&self, flow: &mut Flow<'_, '_>) -> Result<(), Protect> {
        // A stored tensor behind Identity is read by its consumers as if it were their own: exporters merge equal
        // tensors of unrelated layers this way.
        let stored = flow.node.input.first().and_then(|name| flow.run.values.get(name)).filter(|v| v.source.is_some());
        if let (Some(value), false) = (stored, flow.op().starts_with("Cast")) {
            let value = value.clone();
            if let Some(name) = flow.node.output.first() {
                flow.run.values.insert(name.clone(), value);
            }
            return Ok(());
        }
        let x = flow.ids(0)?;
        if flow.node.output.len() > 1 {
            flow.set(1, x.clone());
        }
        flow.set(0, x);
        Ok(())
    }
}
