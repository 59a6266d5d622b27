//! Operators that hand their input on.
//!
//! <https://onnx.ai/onnx/operators/onnx__Identity.html>, <https://onnx.ai/onnx/operators/onnx__Dropout.html> (the
//! identity at inference), <https://onnx.ai/onnx/operators/onnx__Cast.html>, `CastLike` (15)

use super::Rule;
use crate::channels::context::RuleContext;
use crate::channels::propagation::Protect;

pub(super) struct Passing;

impl Rule for Passing {
    fn propagate(&self, ctx: &mut RuleContext<'_, '_>) -> Result<(), Protect> {
        // A stored tensor behind Identity is read by its consumers as if it were their own: exporters merge equal
        // tensors of unrelated layers this way.
        let stored = ctx.node.input.first().and_then(|name| ctx.run.values.get(name)).filter(|v| v.source.is_some());
        if let (Some(value), false) = (stored, ctx.op().starts_with("Cast")) {
            let value = value.clone();
            if let Some(name) = ctx.node.output.first() {
                ctx.run.values.insert(name.clone(), value);
            }
            return Ok(());
        }
        let x = ctx.ids(0)?;
        if ctx.node.output.len() > 1 {
            ctx.set(1, x.clone());
        }
        ctx.set(0, x);
        Ok(())
    }
}
