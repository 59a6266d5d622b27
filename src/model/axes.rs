//! Arithmetic of axes and shapes as the operators of the specification define it: negative axes, `Reshape`, `Squeeze`,
//! `Slice`, `Split`.

/// Axis counted from the front; `None` if out of range.
pub(crate) fn resolve_axis(axis: i64, rank: usize) -> Option<usize> {
    let rank = i64::try_from(rank).ok()?;
    let axis = if axis < 0 { axis + rank } else { axis };
    (0..rank).contains(&axis).then(|| usize::try_from(axis).ok()).flatten()
}

/// Non-negative sizes.
pub(crate) fn sizes(values: &[i64]) -> Option<Vec<usize>> {
    values.iter().map(|&value| usize::try_from(value).ok()).collect()
}

pub(crate) fn is_permutation(perm: &[usize], rank: usize) -> bool {
    let mut sorted = perm.to_vec();
    sorted.sort_unstable();
    sorted.into_iter().eq(0..rank)
}

/// Output shape of `Reshape` (0 copies unless `allow_zero`, -1 takes what is left).
pub(crate) fn resolve_reshape(shape: &[usize], target: &[i64], allow_zero: bool) -> Option<Vec<usize>> {
    let total = shape.iter().try_fold(1usize, |all, &size| all.checked_mul(size))?;
    let mut out = Vec::with_capacity(target.len());
    let mut rest = None;
    for (axis, &size) in target.iter().enumerate() {
        out.push(match size {
            -1 if rest.is_none() => {
                rest = Some(axis);
                1
            }
            0 if !allow_zero => *shape.get(axis)?,
            _ => usize::try_from(size).ok()?,
        });
    }
    if let Some(axis) = rest {
        let known: usize = out.iter().try_fold(1usize, |all, &size| all.checked_mul(size))?;
        out[axis] = total.checked_div(known).unwrap_or(0);
    }
    (out.iter().try_fold(1usize, |all, &size| all.checked_mul(size))? == total).then_some(out)
}

/// Output shape of `Unsqueeze`.
pub(crate) fn unsqueezed(shape: &[usize], axes: &[i64]) -> Option<Vec<usize>> {
    let rank = shape.len() + axes.len();
    let axes = axes.iter().map(|&axis| resolve_axis(axis, rank)).collect::<Option<Vec<_>>>()?;
    let mut rest = shape.iter();
    (0..rank).map(|axis| if axes.contains(&axis) { Some(1) } else { rest.next().copied() }).collect()
}

/// Output shape of `Squeeze`; without axes every axis of size 1 goes.
pub(crate) fn squeezed(shape: &[usize], axes: Option<&[i64]>) -> Option<Vec<usize>> {
    let gone: Vec<usize> = match axes {
        Some(axes) => axes.iter().map(|&axis| resolve_axis(axis, shape.len())).collect::<Option<_>>()?,
        None => (0..shape.len()).filter(|&axis| shape[axis] == 1).collect(),
    };
    if gone.iter().any(|&axis| shape[axis] != 1) {
        return None;
    }
    Some(shape.iter().enumerate().filter(|(axis, _)| !gone.contains(axis)).map(|(_, &size)| size).collect())
}

/// Indices that a `Slice` takes along an axis of `size`.
pub(crate) fn slice_indices(start: i64, end: i64, step: i64, size: usize) -> Option<Vec<usize>> {
    let n = i64::try_from(size).ok()?;
    let wrap = |value: i64| if value < 0 { value.saturating_add(n) } else { value };
    if step == 0 {
        return None;
    }
    let (start, end) = if step > 0 {
        (wrap(start).clamp(0, n), wrap(end).clamp(0, n))
    } else {
        (wrap(start).clamp(-1, n - 1), if end < -n { -1 } else { wrap(end).clamp(-1, n - 1) })
    };
    let mut indices = Vec::new();
    let mut at = start;
    while (step > 0 && at < end) || (step < 0 && at > end) {
        indices.push(usize::try_from(at).ok()?);
        at = at.checked_add(step)?;
    }
    Some(indices)
}

/// Sizes of the parts of a `Split`; without explicit sizes the parts are equal, the last one smaller if need be.
pub(crate) fn split_sizes(given: Option<&[i64]>, outputs: usize, size: usize) -> Option<Vec<usize>> {
    if let Some(given) = given.filter(|given| !given.is_empty()) {
        let parts = sizes(given)?;
        return (parts.iter().sum::<usize>() == size && parts.len() == outputs).then_some(parts);
    }
    if outputs == 0 {
        return None;
    }
    let each = size.div_ceil(outputs);
    Some((0..outputs).map(|part| each.min(size.saturating_sub(part * each))).collect())
}

/// Sizes as the integers that operands hold.
pub(crate) fn whole(sizes: &[usize]) -> Vec<i64> {
    sizes.iter().map(|&size| i64::try_from(size).unwrap_or(i64::MAX)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_follow_the_specification() {
        assert_eq!(slice_indices(1, i64::MAX, 2, 6), Some(vec![1, 3, 5]));
        assert_eq!(slice_indices(-1, i64::MIN, -1, 3), Some(vec![2, 1, 0]));
        assert_eq!(slice_indices(0, -1, 1, 3), Some(vec![0, 1]));
        assert_eq!(slice_indices(5, 2, 1, 3), Some(vec![]));
    }

    #[test]
    fn uneven_split_has_a_smaller_last_part() {
        assert_eq!(split_sizes(None, 3, 13), Some(vec![5, 5, 3]));
        assert_eq!(split_sizes(Some(&[4, 9]), 2, 13), Some(vec![4, 9]));
        assert_eq!(split_sizes(Some(&[4, 4]), 2, 13), None);
    }

    #[test]
    fn reshape_targets() {
        assert_eq!(resolve_reshape(&[2, 3, 4], &[0, -1], false), Some(vec![2, 12]));
        assert_eq!(resolve_reshape(&[2, 3], &[4, -1], false), None);
    }
}
