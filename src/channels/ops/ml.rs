//! Operators of classical machine learning.
//!
//! <https://onnx.ai/onnx/operators/onnx_aionnxml_Scaler.html> (1); `Normalizer` (1) is a normalisation,
//! `Binarizer` (1) a function of every element.

use super::{Rewrite, Rule};
use crate::channels::context::RuleContext;
use crate::channels::propagation::Protect;

/// `Scaler`: `(x - offset) * scale`, both one number or a list with one for every feature.
pub(super) struct Scaler;

impl Rule for Scaler {
    fn propagate(&self, ctx: &mut RuleContext<'_, '_>) -> Result<(), Protect> {
        let x = ctx.ids(0)?;
        ctx.set(0, x);
        Ok(())
    }

    fn rewrite(&self, rewrite: &mut Rewrite<'_>) {
        let before = rewrite.old_in(0);
        let Some(axis) = before.len().checked_sub(1) else { return };
        let kept = rewrite.kept_in(0, axis);
        if kept.len() == before[axis] {
            return;
        }
        for name in ["offset", "scale"] {
            let values = rewrite.node.floats(name).unwrap_or_default();
            if values.len() == before[axis] && values.len() > 1 {
                let left = kept.iter().map(|&index| values[index]).collect();
                rewrite.set_floats(name, left);
            }
        }
    }
}
