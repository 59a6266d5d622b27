//! Normalisation with stored or per-channel statistics.
//!
//! <https://onnx.ai/onnx/operators/onnx__BatchNormalization.html> (1, 6, 7, 9, 14, 15),
//! <https://onnx.ai/onnx/operators/onnx__InstanceNormalization.html> (1, 6, 22)

use super::Rule;
use crate::channels::flow::Flow;
use crate::channels::lanes::Role;
use crate::channels::run::Protect;

pub(super) struct BatchNormalization;

impl Rule for BatchNormalization {
    fn flow(&self, flow: &mut Flow<'_, '_>) -> Result<(), Protect> {
        if flow.int("training_mode", 0) == 1 {
            return Err("it is in training mode".into());
        }
        per_channel(flow, 4)
    }
}

/// Each channel is normalised by its own statistics, so that cutting another changes nothing.
pub(super) struct InstanceNormalization;

impl Rule for InstanceNormalization {
    fn flow(&self, flow: &mut Flow<'_, '_>) -> Result<(), Protect> {
        per_channel(flow, 2)
    }
}

fn per_channel(flow: &mut Flow<'_, '_>, parameters: usize) -> Result<(), Protect> {
    let x = flow.ids(0)?;
    if x.rank() < 2 {
        return Err("its input has no channel axis".into());
    }
    let lanes = flow.lanes_along(&x, 1);
    for input in 1..=parameters {
        let parameter = flow.ids(input)?;
        let own = flow.lanes_along(&parameter, 0);
        flow.bind(lanes.as_deref(), own.as_deref(), "its input channels have no lanes");
        flow.mark(own.as_deref(), Role::Parameter);
    }
    flow.set(0, x);
    Ok(())
}
