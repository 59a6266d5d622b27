//! Picking indices along axes.
//!
//! <https://onnx.ai/onnx/operators/onnx__Slice.html> (1 attributes, 10 inputs, 11, 13),
//! <https://onnx.ai/onnx/operators/onnx__Gather.html> (1, 11, 13)

use super::{Rewrite, Rule};
use crate::channels::context::RuleContext;
use crate::channels::ids::Ids;
use crate::channels::indices::Role;
use crate::channels::propagation::Protect;
use crate::model::axes::whole;
use crate::model::axes::{resolve_axis, slice_indices};

pub(super) struct Slice;

/// Start, end, axis and step of every sliced axis.
fn bounds(
    starts: &[i64],
    ends: &[i64],
    axes: Option<&[i64]>,
    steps: Option<&[i64]>,
    rank: usize,
) -> Option<Vec<(i64, i64, usize, i64)>> {
    (0..starts.len())
        .map(|number| {
            let axis = match axes {
                Some(axes) => resolve_axis(*axes.get(number)?, rank)?,
                None => number,
            };
            let step = steps.map_or(Some(1), |steps| steps.get(number).copied())?;
            Some((starts[number], *ends.get(number)?, axis, step))
        })
        .collect()
}

impl Rule for Slice {
    fn propagate(&self, ctx: &mut RuleContext<'_, '_>) -> Result<(), Protect> {
        let mut x = ctx.ids(0)?;
        let starts = ctx.operand(1, "starts")?.ok_or("its starts are missing")?;
        let ends = ctx.operand(2, "ends")?.ok_or("its ends are missing")?;
        let axes = ctx.operand(3, "axes")?;
        let steps = ctx.operand(4, "steps")?;
        let bounds = bounds(&starts, &ends, axes.as_deref(), steps.as_deref(), x.rank())
            .ok_or("its bounds do not fit each other")?;
        for (start, end, axis, step) in bounds {
            let size = *x.shape.get(axis).ok_or("its axis is out of range")?;
            let indices = slice_indices(start, end, step, size).ok_or("its step is zero")?;
            x = x.select(axis, &indices);
        }
        ctx.set(0, x);
        Ok(())
    }

    fn rewrite(&self, rewrite: &mut Rewrite<'_>) {
        let before = rewrite.old_in(0);
        let (Some(mut starts), Some(mut ends)) = (rewrite.operand(1, "starts"), rewrite.operand(2, "ends")) else {
            return;
        };
        let (axes, mut steps) = (rewrite.operand(3, "axes"), rewrite.operand(4, "steps"));
        let Some(bounds) = bounds(&starts, &ends, axes.as_deref(), steps.as_deref(), before.len()) else { return };
        let mut changed = false;
        for (number, (start, end, axis, step)) in bounds.into_iter().enumerate() {
            let kept = rewrite.kept_in(0, axis);
            if kept.len() == before[axis] {
                continue;
            }
            let taken = slice_indices(start, end, step, before[axis]).unwrap_or_default();
            if let (Some(steps), true) = (&mut steps, step != 1) {
                // What is left of a regular choice is irregular: the axis passes whole, and is picked from behind.
                let left = taken.iter().filter_map(|index| kept.binary_search(index).ok()).collect::<Vec<_>>();
                (starts[number], ends[number], steps[number]) = (0, i64::MAX, 1);
                rewrite.picks.push((axis, whole(&left)));
                changed = true;
                continue;
            }
            let first = taken.first().copied().unwrap_or(before[axis]);
            let last = taken.last().map_or(first, |last| last + 1);
            starts[number] = whole(&[kept.iter().filter(|&&index| index < first).count()])[0];
            ends[number] = whole(&[kept.iter().filter(|&&index| index < last).count()])[0];
            changed = true;
        }
        if changed {
            rewrite.set_operand(1, "starts", starts);
            rewrite.set_operand(2, "ends", ends);
            if let Some(steps) = steps {
                rewrite.set_operand(4, "steps", steps);
            }
        }
    }
}

pub(super) struct Gather;

/// One index of an axis: the axis must stay as long as it is.
fn single(ctx: &mut RuleContext<'_, '_>, x: &Ids, axis: usize, index: usize, shape: &[usize]) -> Result<Ids, Protect> {
    let (wide, alone): (Vec<_>, Vec<_>) =
        x.factors.iter().filter(|factor| factor.axes.contains(&axis)).cloned().partition(|f| f.axes.len() > 1);
    for factor in wide {
        // Where channel indices vary along other axes too (query, key and value of every head), those can be cut: each of
        // their indices for all of this axis.
        let table = Ids { shape: x.shape.clone(), factors: vec![factor.clone()], lost: Vec::new() };
        let first = table.select(axis, &[0]);
        for other in 1..x.shape[axis] {
            ctx.unite_all(&first, &table.select(axis, &[other]));
        }
    }
    let taken = Ids { shape: x.shape.clone(), factors: alone, lost: Vec::new() };
    let channel_indices = taken.columns(axis).map(|columns| columns[index].clone()).unwrap_or_default();
    ctx.protect(channel_indices, "it takes this one channel");
    let one = x.select(axis, &[index]);
    Ok(Ids { shape: shape.to_vec(), factors: one.reshape(shape)?.factors, lost: Vec::new() })
}

impl Rule for Gather {
    fn propagate(&self, ctx: &mut RuleContext<'_, '_>) -> Result<(), Protect> {
        let x = ctx.ids(0)?;
        let axis = ctx.axis(0, x.rank())?;
        let indices_shape = ctx.ids(1)?.shape;
        let size = i64::try_from(x.shape[axis]).map_err(|_| "its input is too large")?;
        let known = ctx.numbers(1).and_then(|indices| {
            indices
                .into_iter()
                .map(|index| usize::try_from(if index < 0 { index + size } else { index }).ok())
                .collect::<Option<Vec<_>>>()
                .filter(|indices| indices.iter().all(|&index| index < x.shape[axis]))
        });
        let mut shape = x.shape[..axis].to_vec();
        shape.extend(&indices_shape);
        shape.extend(&x.shape[axis + 1..]);
        if ctx.is_constant(0) && !ctx.is_constant(1) {
            // A table of vectors makes channels, as the weight of a product with one-hot rows does.
            for other in (0..x.rank()).filter(|&other| other != axis) {
                ctx.mark(&x, other, Role::Output);
            }
        }
        let picked = match known {
            Some(indices) if indices_shape.len() == 1 => x.select(axis, &indices),
            Some(indices) if indices_shape.is_empty() => single(ctx, &x, axis, indices[0], &shape)?,
            Some(indices) => x.select(axis, &indices).reshape(&shape)?,
            None => {
                ctx.protect_axis(&x, axis, "its indices depend on the data");
                let mut spread = x.reduce(&[axis], true);
                spread.shape[axis] = indices_shape.iter().product();
                spread.reshape(&shape)?
            }
        };
        ctx.set(0, picked);
        Ok(())
    }

    fn rewrite(&self, rewrite: &mut Rewrite<'_>) {
        let before = rewrite.old_in(0);
        let Some(axis) = resolve_axis(rewrite.node.int("axis").unwrap_or(0), before.len()) else { return };
        let kept = rewrite.kept_in(0, axis);
        if kept.len() == before[axis] {
            return;
        }
        let size = whole(&[before[axis]])[0];
        let Some(indices) = rewrite.operand(1, "") else { return };
        let after: Vec<i64> = indices
            .into_iter()
            .map(|index| if index < 0 { index + size } else { index })
            .filter_map(|index| kept.iter().position(|&k| whole(&[k])[0] == index))
            .map(|position| whole(&[position])[0])
            .collect();
        let rank = rewrite.old_in(1).len();
        if rank > 1 {
            // The indices are a table: the axes of the output that stand for it shrink with the channels.
            let shape = rewrite.new_out(0).get(axis..axis + rank).map(<[usize]>::to_vec);
            rewrite.shapes.extend(shape.map(|shape| (1, shape)));
        }
        rewrite.operands.push((1, after));
    }
}
