//! Labels in NumPy arrays.

use ndarray::ArrayD;

use super::array_file::Named;
use crate::engine::Tensor;

const LABEL_KEYS: [&str; 3] = ["y", "labels", "arr_1"];

/// Takes the array of labels out of a file's arrays; `taken`: names that mean something else here.
///
/// The error says what is wrong with it.
pub(super) fn take(arrays: &mut Vec<Named>, taken: &[&str]) -> Result<Option<Vec<usize>>, String> {
    let is = |own: &Named, key: &str| own.name.eq_ignore_ascii_case(key) && !taken.contains(&own.name.as_str());
    let at = LABEL_KEYS.iter().find_map(|key| arrays.iter().position(|own| is(own, key)));
    let Some(Named { name, values }) = at.map(|at| arrays.remove(at)) else { return Ok(None) };
    let found = match &values {
        Tensor::I64(values) => column(values),
        Tensor::I32(values) => column(values),
        Tensor::U8(values) => column(values),
        Tensor::I8(values) => column(values),
        _ => Err("labels must be integers".to_owned()),
    };
    found.map(Some).map_err(|why| format!("`{name}`: {why}"))
}

/// A vector or a single column of non-negative numbers.
fn column<T: Copy + std::fmt::Display + TryInto<usize>>(array: &ArrayD<T>) -> Result<Vec<usize>, String> {
    if !matches!(*array.shape(), [_] | [_, 1]) {
        return Err(format!("labels have shape {:?}, expected [N] of output indices", array.shape()));
    }
    let index = |(i, &value): (usize, &T)| value.try_into().map_err(|_| format!("label {i} is {value}"));
    array.iter().enumerate().map(index).collect()
}
