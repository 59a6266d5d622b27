//! Matrix products.
//!
//! <https://onnx.ai/onnx/operators/onnx__Gemm.html> (1, 6, 7, 9, 11, 13),
//! <https://onnx.ai/onnx/operators/onnx__MatMul.html> (1, 9, 13)

use super::Rule;
use crate::channels::flow::Flow;
use crate::channels::identity::{Ids, broadcast_shape};
use crate::channels::lanes::Role;
use crate::channels::run::{Dim, Protect};

/// `Gemm`: `[M, K] x [K, N] + C`.
pub(super) struct Gemm;

impl Rule for Gemm {
    fn flow(&self, flow: &mut Flow<'_, '_>) -> Result<(), Protect> {
        let (a, b) = (flow.ids(0)?, flow.ids(1)?);
        if a.rank() != 2 || b.rank() != 2 {
            return Err("its operands are not matrices".into());
        }
        let (ta, tb) = (flow.int("transA", 0) == 1, flow.int("transB", 0) == 1);
        let (ak, bk) = (usize::from(!ta), usize::from(tb));
        let (am, bn) = (1 - ak, 1 - bk);
        if a.shape[ak] != b.shape[bk] {
            return Err("its operands do not fit each other".into());
        }
        let product = contract(flow, (&a, ak, am), (&b, bk, bn), vec![a.shape[am], b.shape[bn]]);
        let macs = vec![dim(flow, &a, ak, &b, bk), side(flow, &b, bn), side(flow, &a, am)];
        flow.macs(&[], macs);
        let result = if flow.has(2) {
            let c = flow.ids(2)?;
            for axis in 0..c.rank() {
                let lanes = flow.lanes_along(&c, axis);
                flow.mark(lanes.as_deref(), Role::Parameter);
            }
            flow.elementwise(&[product, c])?
        } else {
            product
        };
        flow.set(0, result);
        Ok(())
    }
}

/// `MatMul`: the last two axes are matrices, the others broadcast.
pub(super) struct MatMul;

impl Rule for MatMul {
    fn flow(&self, flow: &mut Flow<'_, '_>) -> Result<(), Protect> {
        let (a, b) = (flow.ids(0)?, flow.ids(1)?);
        if a.rank() < 2 || b.rank() < 2 {
            return Err("a vector operand is not analysed".into());
        }
        let (ak, am) = (a.rank() - 1, a.rank() - 2);
        let (bk, bn) = (b.rank() - 2, b.rank() - 1);
        if a.shape[ak] != b.shape[bk] {
            return Err("its operands do not fit each other".into());
        }
        let mut shape = broadcast_shape(&[&a.shape[..am], &b.shape[..bk]]).unwrap_or_default();
        if a.rank() == 2 && b.rank() == 2 {
            shape.clear();
        }
        let batch = shape.clone();
        shape.extend([a.shape[am], b.shape[bn]]);
        let product = contract(flow, (&a, ak, am), (&b, bk, bn), shape);
        let macs = vec![dim(flow, &a, ak, &b, bk), side(flow, &b, bn), side(flow, &a, am)];
        flow.macs(&batch, macs);
        flow.set(0, product);
        Ok(())
    }
}

/// Sums over axis `k` of both operands. Exactly one of them must be a constant matrix.
fn contract(
    flow: &mut Flow<'_, '_>,
    (a, ak, am): (&Ids, usize, usize),
    (b, bk, bn): (&Ids, usize, usize),
    shape: Vec<usize>,
) -> Ids {
    let (data, weight) = match (flow.is_constant(0), flow.is_constant(1)) {
        (false, true) => ((0, a, ak, am), (1, b, bk, bn)),
        (true, false) => ((1, b, bk, bn), (0, a, ak, am)),
        _ => {
            flow.protect_all(a, "both of its operands are computed at run time");
            flow.protect_all(b, "both of its operands are computed at run time");
            return Ids::plain(shape);
        }
    };
    let (data_input, x, xk, xm) = data;
    let (weight_input, w, wk, wn) = weight;
    if w.rank() != 2 {
        flow.protect_all(x, "its weight is a stack of matrices");
        flow.protect_all(w, "it is a stack of matrices");
        return Ids::plain(shape);
    }
    let (wi, wo) = (flow.lanes_along(w, wk), flow.lanes_along(w, wn));
    let xc = flow.lanes_along(x, xk);
    flow.bind(xc.as_deref(), wi.as_deref(), "its summed axis has no channels");
    flow.mark(wi.as_deref(), Role::Input);
    flow.mark(wo.as_deref(), Role::Output);
    if wi.is_some() {
        flow.contraction(data_input, xk, (weight_input, wk));
    }
    // The other axes of the data stay where they are; the weight's output axis takes its place.
    let (row, column) = (shape.len() - 2, shape.len() - 1);
    let (data_at, weight_at) = if data_input == 0 { (row, column) } else { (column, row) };
    let rest = x.reduce(&[xk], true);
    let moved = if xm == data_at { rest } else { rest.transpose(&swapped(x.rank(), xk, xm)) };
    let mut result = Ids { shape: shape.clone(), factors: moved.aligned(shape.len()).factors, lost: x.lost.clone() };
    if let Some(wo) = wo {
        result.set_axis(weight_at, wo);
    }
    result
}

fn swapped(rank: usize, a: usize, b: usize) -> Vec<usize> {
    let mut perm: Vec<_> = (0..rank).collect();
    perm.swap(a, b);
    perm
}

/// The summed axis, by the lanes of whichever operand has them.
fn dim(flow: &mut Flow<'_, '_>, a: &Ids, ak: usize, b: &Ids, bk: usize) -> Dim {
    let lanes = flow.lanes_along(b, bk).or_else(|| flow.lanes_along(a, ak));
    Dim { size: a.shape[ak], lanes }
}

fn side(flow: &mut Flow<'_, '_>, ids: &Ids, axis: usize) -> Dim {
    Dim { size: ids.shape[axis], lanes: flow.lanes_along(ids, axis) }
}
