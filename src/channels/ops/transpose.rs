//! Permutations.
//!
//! <https://onnx.ai/onnx/operators/onnx__Transpose.html> (1, 13, 21),
//! <https://onnx.ai/onnx/operators/onnx__DepthToSpace.html> (1, 11, 13),
//! <https://onnx.ai/onnx/operators/onnx__SpaceToDepth.html> (1, 13)

use super::Rule;
use crate::channels::context::RuleContext;
use crate::channels::propagation::Protect;
use crate::model::axes::{is_permutation, sizes};

pub(super) struct Transpose;

impl Rule for Transpose {
    fn propagate(&self, ctx: &mut RuleContext<'_, '_>) -> Result<(), Protect> {
        let x = ctx.ids(0)?;
        let perm = match ctx.ints("perm") {
            Some(perm) => sizes(&perm).ok_or("its perm is negative")?,
            None => (0..x.rank()).rev().collect(),
        };
        if !is_permutation(&perm, x.rank()) {
            return Err("its perm is not a permutation".into());
        }
        ctx.set(0, x.transpose(&perm));
        Ok(())
    }
}

/// Both directions are a reshape, a transpose and a reshape.
pub(super) struct DepthToSpace;

impl Rule for DepthToSpace {
    fn propagate(&self, ctx: &mut RuleContext<'_, '_>) -> Result<(), Protect> {
        let x = ctx.ids(0)?;
        let block = usize::try_from(ctx.int("blocksize", 0)).ok().filter(|&b| b > 0).ok_or("blocksize is missing")?;
        let [n, c, h, w] = x.shape[..] else { return Err("its input is not an image".into()) };
        let result = if ctx.op() == "DepthToSpace" {
            let deep = c / (block * block);
            let crd = ctx.text("mode").is_some_and(|mode| mode == "CRD");
            let split = if crd { [n, deep, block, block, h, w] } else { [n, block, block, deep, h, w] };
            let perm = if crd { [0, 1, 4, 2, 5, 3] } else { [0, 3, 4, 1, 5, 2] };
            x.reshape(&split)?.transpose(&perm).reshape(&[n, deep, h * block, w * block])?
        } else {
            let split = [n, c, h / block, block, w / block, block];
            x.reshape(&split)?.transpose(&[0, 3, 5, 1, 2, 4]).reshape(&[n, c * block * block, h / block, w / block])?
        };
        ctx.set(0, result);
        Ok(())
    }
}
