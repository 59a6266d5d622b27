//! Quantisation: scales and zero points go with the axis that they are indexed by.
//!
//! <https://onnx.ai/onnx/operators/onnx__QuantizeLinear.html> (10, 13, 19, 21),
//! <https://onnx.ai/onnx/operators/onnx__DequantizeLinear.html> (10, 13, 19, 21)

use super::Rule;
use crate::channels::flow::Flow;
use crate::channels::lanes::Role;
use crate::channels::run::Protect;

pub(super) struct Quantize;

impl Rule for Quantize {
    fn flow(&self, flow: &mut Flow<'_, '_>) -> Result<(), Protect> {
        let x = flow.ids(0)?;
        if flow.int("block_size", 0) > 0 {
            return Err("blocked quantisation is not analysed".into());
        }
        for input in 1..=2 {
            if !flow.has(input) {
                continue;
            }
            let parameter = flow.ids(input)?;
            if parameter.rank() == 1 && parameter.shape[0] > 1 {
                let axis = flow.axis(1, x.rank())?;
                let (entries, lanes) = (flow.lanes_along(&parameter, 0), flow.lanes_along(&x, axis));
                flow.bind(entries.as_deref(), lanes.as_deref(), "its axis has no channels");
                flow.mark(&parameter, 0, Role::Parameter);
            }
        }
        flow.set(0, x);
        Ok(())
    }
}
