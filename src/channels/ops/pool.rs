//! Pools: every channel on its own.
//!
//! <https://onnx.ai/onnx/operators/onnx__MaxPool.html> (1, 8, 10, 11, 12, 22),
//! <https://onnx.ai/onnx/operators/onnx__AveragePool.html> (1, 7, 10, 11, 19, 22),
//! <https://onnx.ai/onnx/operators/onnx__GlobalAveragePool.html> (1, 22)

use super::Rule;
use super::spatial::Window;
use crate::channels::flow::Flow;
use crate::channels::run::Protect;

pub(super) struct Pool;

impl Rule for Pool {
    fn flow(&self, flow: &mut Flow<'_, '_>) -> Result<(), Protect> {
        let x = flow.ids(0)?;
        if x.rank() < 3 {
            return Err("its input has no spatial axes".into());
        }
        let spatial: Vec<usize> = (2..x.rank()).collect();
        let x = flow.along_channels(&x, "it mixes positions");
        let mut result = x.reduce(&spatial, true);
        if !flow.op().starts_with("Global") {
            let sizes = Window::of(flow, None)?.output(&x.shape[2..])?;
            result.shape[2..].copy_from_slice(&sizes);
        }
        if flow.node.output.len() > 1 {
            flow.protect_all(&x, "its indices count channels");
            flow.set(1, result.clone());
        }
        flow.set(0, result);
        Ok(())
    }
}
