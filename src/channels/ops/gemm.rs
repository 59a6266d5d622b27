//! Matrix products.
//!
//! <https://onnx.ai/onnx/operators/onnx__Gemm.html> (1, 6, 7, 9, 11, 13),
//! <https://onnx.ai/onnx/operators/onnx__MatMul.html> (1, 9, 13)

use super::Rule;
use super::product::{Label, Operand, product};
use crate::channels::context::RuleContext;
use crate::channels::ids::Ids;
use crate::channels::indices::Role;
use crate::channels::propagation::Protect;

/// `Gemm`: `[M, K] x [K, N] + C`.
pub(super) struct Gemm;

impl Rule for Gemm {
    fn propagate(&self, ctx: &mut RuleContext<'_, '_>) -> Result<(), Protect> {
        let result = sum_of_products(ctx, [0, 1, 2])?;
        ctx.set(0, result);
        Ok(())
    }
}

/// Shape and channel indices of `Gemm` with A, B and C at these inputs.
pub(super) fn sum_of_products(ctx: &mut RuleContext<'_, '_>, inputs: [usize; 3]) -> Result<Ids, Protect> {
    const M: Label = 0;
    const K: Label = 1;
    const N: Label = 2;
    let [first, second, third] = inputs;
    let (a, b) = (ctx.ids(first)?, ctx.ids(second)?);
    if a.rank() != 2 || b.rank() != 2 {
        return Err("its operands are not matrices".into());
    }
    let left = if ctx.int("transA", 0) == 1 { vec![K, M] } else { vec![M, K] };
    let right = if ctx.int("transB", 0) == 1 { vec![N, K] } else { vec![K, N] };
    let a = Operand { input: first, ids: a, labels: left };
    let b = Operand { input: second, ids: b, labels: right };
    let product = product(ctx, a, b, &[M, N])?;
    if ctx.has(third) {
        let c = ctx.ids(third)?;
        for axis in 0..c.rank() {
            ctx.mark(&c, axis, Role::Parameter);
        }
        return ctx.elementwise(&[product, c]);
    }
    Ok(product)
}

/// `MatMul`: the last two axes are matrices, the others broadcast; a vector is a matrix that loses its axis.
pub(super) struct MatMul;

impl Rule for MatMul {
    fn propagate(&self, ctx: &mut RuleContext<'_, '_>) -> Result<(), Protect> {
        let result = product_of_matrices(ctx, [0, 1], [false; 2])?;
        ctx.set(0, result);
        Ok(())
    }
}

/// Shape and channel indices of `MatMul` of the matrices at these inputs, each transposed if asked.
pub(super) fn product_of_matrices(
    ctx: &mut RuleContext<'_, '_>,
    inputs: [usize; 2],
    transposed: [bool; 2],
) -> Result<Ids, Protect> {
    const K: Label = 0;
    const ROW: Label = 1;
    const COLUMN: Label = 2;
    const BATCH: Label = 3;
    let (a, b) = (ctx.ids(inputs[0])?, ctx.ids(inputs[1])?);
    if a.rank() == 0 || b.rank() == 0 {
        return Err("it multiplies a scalar".into());
    }
    // Batch axes are counted from the last one, so that they broadcast.
    let batch = |rank: usize| -> Vec<Label> {
        (0..rank.saturating_sub(2)).rev().map(|axis| BATCH + Label::try_from(axis).unwrap_or(Label::MAX)).collect()
    };
    let (row, column) =
        (if a.rank() > 1 { vec![ROW] } else { vec![] }, if b.rank() > 1 { vec![COLUMN] } else { vec![] });
    let matrix = |rows: &[Label], columns: &[Label], transposed: bool| {
        if transposed { [columns, rows].concat() } else { [rows, columns].concat() }
    };
    let left = [batch(a.rank()), matrix(&row, &[K], transposed[0])].concat();
    let right = [batch(b.rank()), matrix(&[K], &column, transposed[1])].concat();
    let out = [batch(a.rank().max(b.rank())), row, column].concat();
    let a = Operand { input: inputs[0], ids: a, labels: left };
    let b = Operand { input: inputs[1], ids: b, labels: right };
    product(ctx, a, b, &out)
}
