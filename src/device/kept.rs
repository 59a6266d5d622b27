//! Tensors that are others without some of their indices: that is how pruned models are sent.

use ndarray::{ArrayViewD, Axis};

use crate::model::TensorData;

/// The indices that are kept along every axis, ascending; `None`: all.
pub(super) type Kept = Vec<Option<Vec<usize>>>;

/// How `part` follows from `whole`, if it does so along two axes at most: the numbers alone say it, for trained weights hardly
/// ever repeat.
pub(super) fn kept(part: &TensorData, whole: &TensorData) -> Option<Kept> {
    let size = TensorData::element_size(part.dtype)?;
    let fits =
        part.dims.len() == whole.dims.len() && part.dims.iter().zip(&whole.dims).all(|(part, whole)| part <= whole);
    if part.dtype != whole.dtype || !fits {
        return None;
    }
    let (small, large) = (viewed(part, size)?, viewed(whole, size)?);
    let cut: Vec<usize> = (0..part.dims.len()).filter(|&axis| part.dims[axis] < whole.dims[axis]).collect();
    let mut found: Kept = vec![None; part.dims.len()];
    match cut[..] {
        [] if small == large => {}
        [axis] => found[axis] = Some(along(&small, &large, axis)?),
        [first, second] => {
            let (rows, columns) = along_both(&small, &large, first, second)?;
            (found[first], found[second]) = (Some(rows), Some(columns));
        }
        _ => return None,
    }
    Some(found)
}

/// The tensor at some indices; `None` if there are no such indices, or they do not ascend.
pub(super) fn taken(whole: &TensorData, kept: &Kept) -> Option<TensorData> {
    if kept.len() != whole.dims.len() {
        return None;
    }
    let mut found = whole.clone();
    for (axis, indices) in kept.iter().enumerate() {
        let Some(indices) = indices else { continue };
        if !indices.is_sorted_by(|a, b| a < b) {
            return None;
        }
        found = found.select(axis, indices)?;
    }
    Some(found)
}

/// Bytes of a tensor with the bytes of an element as last axis.
fn viewed(tensor: &TensorData, size: usize) -> Option<ArrayViewD<'_, u8>> {
    let shape: Vec<usize> = tensor.dims.iter().copied().chain([size]).collect();
    ArrayViewD::from_shape(shape, &tensor.bytes).ok()
}

/// Indices of `large` along an axis at which `small` is, one after the other: the first that fit.
fn along(small: &ArrayViewD<'_, u8>, large: &ArrayViewD<'_, u8>, axis: usize) -> Option<Vec<usize>> {
    let mut at = 0;
    let mut found = Vec::new();
    for own in small.axis_iter(Axis(axis)) {
        while large.len_of(Axis(axis)) > at && large.index_axis(Axis(axis), at) != own {
            at += 1;
        }
        if at == large.len_of(Axis(axis)) {
            return None;
        }
        found.push(at);
        at += 1;
    }
    Some(found)
}

/// The same along two axes: one index of the first says which of the second stay, and these say it of the first.
fn along_both(
    small: &ArrayViewD<'_, u8>,
    large: &ArrayViewD<'_, u8>,
    first: usize,
    second: usize,
) -> Option<(Vec<usize>, Vec<usize>)> {
    if small.len_of(Axis(first)) == 0 {
        return None;
    }
    let own = small.index_axis(Axis(first), 0);
    large.axis_iter(Axis(first)).find_map(|row| {
        let columns = along(&own, &row, second - 1)?;
        let narrowed = large.select(Axis(second), &columns);
        Some((along(small, &narrowed.view(), first)?, columns))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tensor(dims: &[usize]) -> TensorData {
        let count = dims.iter().product::<usize>();
        let values: Vec<f32> = (0..count).map(|at| ((at * 7919) % 1013) as f32).collect();
        TensorData::from_f32(dims.to_vec(), &values)
    }

    #[test]
    fn slices_are_found_and_made_again() {
        let whole = tensor(&[6, 5, 3, 3]);
        let (rows, columns) = (Some(vec![1, 2, 5]), Some(vec![0, 4]));
        for kept_there in [
            vec![None, None, None, None],
            vec![rows.clone(), None, None, None],
            vec![None, columns.clone(), None, None],
            vec![rows, columns, None, None],
        ] {
            let part = taken(&whole, &kept_there).unwrap();
            assert_eq!(kept(&part, &whole), Some(kept_there));
        }
        assert_eq!(kept(&tensor(&[6, 5, 3, 2]), &whole), None);
        assert_eq!(kept(&TensorData::from_f32(vec![2, 5, 3, 3], &[0.5; 90]), &whole), None);
    }

    #[test]
    fn equal_numbers_give_some_slice_that_is_the_same() {
        let whole = TensorData::from_f32(vec![4], &[1.0, 0.0, 0.0, 2.0]);
        let part = TensorData::from_f32(vec![2], &[0.0, 2.0]);
        assert_eq!(taken(&whole, &kept(&part, &whole).unwrap()), Some(part));
    }

    #[test]
    fn indices_that_are_not_there_are_refused() {
        let whole = tensor(&[3, 2]);
        for bad in [vec![Some(vec![3]), None], vec![Some(vec![1, 1]), None], vec![None], vec![Some(vec![2, 0]), None]] {
            assert_eq!(taken(&whole, &bad), None, "{bad:?}");
        }
        assert_eq!(taken(&whole, &vec![Some(Vec::new()), None]).map(|own| own.dims), Some(vec![0, 2]));
    }
}
