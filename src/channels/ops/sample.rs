//! Operators that read every channel at places that another input gives.
//!
//! <https://onnx.ai/onnx/operators/onnx__RoiAlign.html> (10, 16, 22),
//! <https://onnx.ai/onnx/operators/onnx__GridSample.html> (16, 20, 22)

use super::Rule;
use crate::channels::context::RuleContext;
use crate::channels::ids::Ids;
use crate::channels::propagation::Protect;

/// `RoiAlign`: `[N, C, H, W]` and regions `[R, 4]` give `[R, C, height, width]`.
pub(super) struct RoiAlign;

impl Rule for RoiAlign {
    fn propagate(&self, ctx: &mut RuleContext<'_, '_>) -> Result<(), Protect> {
        let (x, regions) = (ctx.ids(0)?, ctx.ids(1)?);
        let side = |name: &str| usize::try_from(ctx.int(name, 1)).map_err(|_| "its output would be empty");
        let (height, width) = (side("output_height")?, side("output_width")?);
        if x.rank() != 4 || regions.rank() != 2 {
            return Err("its inputs are not an image and regions".into());
        }
        let shape = vec![regions.shape[0], x.shape[1], height, width];
        pass(ctx, &x, &shape, &[1, 2]);
        Ok(())
    }
}

/// `GridSample`: `[N, C, ...]` and a grid `[N, ..., rank]` give `[N, C, ...]` with the grid's sizes.
pub(super) struct GridSample;

impl Rule for GridSample {
    fn propagate(&self, ctx: &mut RuleContext<'_, '_>) -> Result<(), Protect> {
        let (x, grid) = (ctx.ids(0)?, ctx.ids(1)?);
        if x.rank() < 3 || grid.rank() != x.rank() {
            return Err("its inputs are not an image and a grid".into());
        }
        let mut shape = vec![x.shape[0], x.shape[1]];
        shape.extend(&grid.shape[1..grid.rank() - 1]);
        pass(ctx, &x, &shape, &[1]);
        Ok(())
    }
}

/// Hands the channels on; what the places are computed from must stay.
fn pass(ctx: &mut RuleContext<'_, '_>, x: &Ids, shape: &[usize], places: &[usize]) {
    for &input in places {
        if let Ok(place) = ctx.ids(input) {
            ctx.protect_all(&place, "it reads places from this input");
        }
    }
    let x = ctx.along_only(x, 1, "it mixes positions");
    let channel_indices = ctx.indices_along(&x, 1);
    let result = channel_indices
        .map_or_else(|| Ids::plain(shape.to_vec()), |channel_indices| Ids::along(shape.to_vec(), 1, channel_indices));
    ctx.set(0, result);
}
