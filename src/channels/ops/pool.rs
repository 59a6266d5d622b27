//! Pools: every channel on its own.
//!
//! <https://onnx.ai/onnx/operators/onnx__MaxPool.html> (1, 8, 10, 11, 12, 22),
//! <https://onnx.ai/onnx/operators/onnx__AveragePool.html> (1, 7, 10, 11, 19, 22),
//! <https://onnx.ai/onnx/operators/onnx__GlobalAveragePool.html> (1, 22)

use super::Rule;
use crate::channels::context::RuleContext;
use crate::channels::propagation::Protect;
use crate::ops::window::Window;

pub(super) struct Pool;

impl Rule for Pool {
    fn propagate(&self, ctx: &mut RuleContext<'_, '_>) -> Result<(), Protect> {
        let x = ctx.ids(0)?;
        if x.rank() < 3 {
            return Err("its input has no spatial axes".into());
        }
        let spatial: Vec<usize> = (2..x.rank()).collect();
        let x = ctx.along_channels(&x, "it mixes positions");
        let mut result = x.reduce(&spatial, true);
        if !ctx.op().contains("Global") {
            let sizes = Window::of(ctx.node, None)?.output(&x.shape[2..])?;
            result.shape[2..].copy_from_slice(&sizes);
        }
        if ctx.node.output.len() > 1 {
            ctx.protect_all(&x, "its indices count channels");
            ctx.set(1, result.clone());
        }
        ctx.set(0, result);
        Ok(())
    }
}
