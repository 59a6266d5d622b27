//! Recurrent layers: what feeds them can be cut, their own state stays.
//!
//! <https://onnx.ai/onnx/operators/onnx__LSTM.html> (1, 7, 14 `layout`, 22), `GRU` and `RNN` alike

use super::Rule;
use crate::channels::context::RuleContext;
use crate::channels::ids::Ids;
use crate::channels::indices::Role;
use crate::channels::propagation::{Dim, Protect};

/// `LSTM`, `GRU`, `RNN`: input `[seq, batch, features]`, weight `[directions, gates * hidden, features]`.
pub(super) struct Recurrent;

/// Why the state is not cut: a unit is spread over the gates of two weights, and every step reads all of them.
const STATE: &str = "every step of it reads its whole hidden state";

impl Rule for Recurrent {
    fn propagate(&self, ctx: &mut RuleContext<'_, '_>) -> Result<(), Protect> {
        let (x, w, r) = (ctx.ids(0)?, ctx.ids(1)?, ctx.ids(2)?);
        if x.rank() != 3 || w.rank() != 3 || r.rank() != 3 || x.shape[2] != w.shape[2] {
            return Err("its weight does not fit its input".into());
        }
        if !ctx.is_constant(1) {
            return Err("its weight is computed at run time".into());
        }
        let x = ctx.along_only(&x, 2, "it steps along this axis");
        let (features, summed) = (ctx.indices_along(&x, 2), ctx.indices_along(&w, 2));
        ctx.bind(features.as_deref(), summed.as_deref(), "its input features cannot be traced");
        ctx.mark(&w, 2, Role::Input);
        if summed.is_some() {
            ctx.contraction(0, 2, 1, 2);
        }
        let gates = ctx.indices_along(&w, 1);
        ctx.mark(&w, 1, Role::Output);
        ctx.protect(gates.unwrap_or_default(), STATE);
        ctx.protect_axis(&w, 0, STATE);
        ctx.protect_all(&r, STATE);
        for input in 3..ctx.node.input.len() {
            if ctx.has(input) {
                let other = ctx.ids(input)?;
                ctx.protect_all(&other, STATE);
            }
        }
        let steps = x.shape[0].saturating_mul(x.shape[1]);
        ctx.macs(&[steps], vec![Dim::of(&w, 0), Dim::of(&w, 1), Dim::of(&w, 2)]);
        ctx.macs(&[steps], vec![Dim::of(&r, 0), Dim::of(&r, 1), Dim::of(&r, 2)]);
        outputs(ctx, &x, w.shape[0], r.shape[2]);
        Ok(())
    }
}

fn outputs(ctx: &mut RuleContext<'_, '_>, x: &Ids, directions: usize, hidden: usize) {
    let batch_first = ctx.int("layout", 0) == 1;
    let (seq, batch) = if batch_first { (x.shape[1], x.shape[0]) } else { (x.shape[0], x.shape[1]) };
    let y = if batch_first { vec![batch, seq, directions, hidden] } else { vec![seq, directions, batch, hidden] };
    let state = if batch_first { vec![batch, directions, hidden] } else { vec![directions, batch, hidden] };
    for (output, shape) in [y, state.clone(), state].into_iter().enumerate() {
        let axes =
            if output == 0 { vec![if batch_first { 2 } else { 1 }, 3] } else { vec![usize::from(batch_first), 2] };
        let mut ids = Ids::plain(shape);
        for axis in axes {
            ctx.pinned_axis(&mut ids, axis, STATE);
        }
        ctx.set(output, ids);
    }
}
