//! Values that only repeat numbers along an axis (zeros that widen a stream, a mask that is the same for every head): they
//! can be made shorter, by the shape that their maker reads.

use super::ids::Ids;
use super::propagation::Propagation;
use crate::ops::{Family, operator};

/// A value and an axis of it.
pub(super) type Axis = (String, usize);

/// A chain of nodes longer than this is not followed.
const LONGEST: usize = 16;

/// The nodes' results that would have to be shorter for `axis` of `name` to be: of `ConstantOfShape`, and of `Expand` along
/// axes that it makes. Empty if something else gives the axis its length.
pub(super) fn makers(run: &Propagation<'_>, name: &str, axis: usize) -> Vec<Axis> {
    let mut found = Vec::new();
    if follow(run, name, axis, &mut found, LONGEST) { found } else { Vec::new() }
}

/// Whether all that makes the axis as long as it is repeats numbers there.
fn follow(run: &Propagation<'_>, name: &str, axis: usize, found: &mut Vec<Axis>, left: usize) -> bool {
    let shape_of = |name: &str| run.values.get(name).and_then(|value| value.ids.as_ref()).map(|ids: &Ids| &ids.shape);
    let (Some(shape), Some(&index)) = (shape_of(name), run.makers.get(name)) else { return false };
    let node = &run.graph.node[index];
    let (Some(own), true) = (operator(node), left > 0 && shape.get(axis).is_some_and(|&size| size > 1)) else {
        return false;
    };
    let first = node.input.first().map(String::as_str).unwrap_or_default();
    match own.family {
        Family::ConstantOfShape => found.push((name.to_owned(), axis)),
        Family::Expand => {
            let Some(before) = shape_of(first) else { return false };
            let at = (axis + before.len()).checked_sub(shape.len());
            if let Some(at) = at.filter(|&at| before.get(at) == shape.get(axis)) {
                return follow(run, first, at, found, left - 1);
            }
            found.push((name.to_owned(), axis));
        }
        Family::Scalar | Family::Identity => return follow(run, first, axis, found, left - 1),
        Family::Broadcast => {
            // Operands that are as long there must follow.
            return node.input.iter().all(|operand| {
                let Some(own) = shape_of(operand) else { return false };
                let at = (axis + own.len()).checked_sub(shape.len()).filter(|&at| own.get(at) > Some(&1));
                at.is_none_or(|at| follow(run, operand, at, found, left - 1))
            });
        }
        Family::Transpose => {
            let reversed = || (0..shape.len()).rev().nth(axis);
            let from = match node.ints("perm") {
                Some(perm) => perm.get(axis).and_then(|&from| usize::try_from(from).ok()),
                None => reversed(),
            };
            return from.is_some_and(|from| follow(run, first, from, found, left - 1));
        }
        Family::Reshape | Family::Squeeze => {
            // The axis, where it is kept as it is: as long, behind as many elements.
            let Some(before) = shape_of(first) else { return false };
            let in_front = |shape: &[usize], axis: usize| shape[..axis].iter().product::<usize>();
            let same = |at: &usize| before[*at] == shape[axis] && in_front(before, *at) == in_front(shape, axis);
            return (0..before.len()).find(same).is_some_and(|at| follow(run, first, at, found, left - 1));
        }
        _ => return false,
    }
    true
}
