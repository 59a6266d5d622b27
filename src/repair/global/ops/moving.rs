//! Operators that only move numbers: every output is one input or a constant.
//!
//! The rule of ONNX is carried out once, on indices; see <https://onnx.ai/onnx/operators/index.html>: Pad, Slice,
//! Transpose, Reshape, Flatten, Squeeze, Unsqueeze, Identity, Dropout, Expand, Split, Gather and Tile by constants,
//! `DepthToSpace`, `SpaceToDepth`, Cast between floats

use ndarray::{ArrayD, Axis, IxDyn};

use super::super::site::Site;
use super::{Array, At, Keeps, Made, Operator, array, elements};
use crate::model::axes::{is_permutation, resolve_axis, sizes, slice_indices, split_sizes};

/// The index that stands for a constant.
const CONSTANT: u32 = u32::MAX;

pub(super) fn make(site: &Site<'_>, output: usize) -> Option<Made> {
    let (input, shape) = (site.shape(0)?, site.output_shape(output)?);
    let count = u32::try_from(input.iter().product::<usize>()).ok().filter(|&count| count < CONSTANT)?;
    let operator = site.node.op_type();
    let mut fill = 0.0;
    let map = match operator {
        "Reshape" | "Flatten" | "Squeeze" | "Unsqueeze" | "Identity" | "Dropout" | "Cast" => None,
        _ => {
            let indices = ArrayD::from_shape_vec(IxDyn(input), (0..count).collect()).ok()?;
            let moved = match operator {
                "Transpose" => transpose(site, indices)?,
                "Slice" => slice(site, indices)?,
                "Expand" => indices.broadcast(IxDyn(shape))?.to_owned(),
                "Split" => split(site, &indices, output)?,
                "Gather" => gather(site, &indices)?,
                "Tile" => tile(site, &indices)?,
                "DepthToSpace" | "SpaceToDepth" => depth_to_space(site, indices)?,
                _ => {
                    fill = fill_value(site)?;
                    pad(site, &indices)?
                }
            };
            (moved.shape() == shape).then_some(())?;
            Some(moved.iter().copied().collect::<Vec<u32>>())
        }
    };
    if map.is_none() && shape.iter().product::<usize>() != input.iter().product::<usize>() {
        return None;
    }
    let way = map.map_or(Way::Same, Way::of);
    Some(Made::new(Moving { way, fill, input: input.to_vec(), output: shape.to_vec() }, &[0]))
}

fn transpose(site: &Site<'_>, indices: ArrayD<u32>) -> Option<ArrayD<u32>> {
    let rank = indices.ndim();
    let perm = match site.ints("perm") {
        None => (0..rank).rev().collect(),
        Some(perm) => sizes(&perm)?,
    };
    is_permutation(&perm, rank).then(|| indices.permuted_axes(IxDyn(&perm)))
}

fn slice(site: &Site<'_>, mut indices: ArrayD<u32>) -> Option<ArrayD<u32>> {
    let (starts, ends) = (site.listed("starts", 1, Vec::new)?, site.listed("ends", 2, Vec::new)?);
    let axes = site.listed("axes", 3, || (0..).take(starts.len()).collect())?;
    let steps = site.listed("steps", 4, || vec![1; starts.len()])?;
    for (((&start, &end), &axis), &step) in starts.iter().zip(&ends).zip(&axes).zip(&steps) {
        let axis = resolve_axis(axis, indices.ndim())?;
        let chosen = slice_indices(start, end, step, indices.shape()[axis])?;
        indices = indices.select(Axis(axis), &chosen);
    }
    Some(indices)
}

fn split(site: &Site<'_>, indices: &ArrayD<u32>, output: usize) -> Option<ArrayD<u32>> {
    let axis = resolve_axis(site.int("axis").unwrap_or(0), indices.ndim())?;
    let given = site.listed("split", 1, Vec::new)?;
    let given = Some(given.as_slice()).filter(|given| !given.is_empty());
    let parts = split_sizes(given, site.node.output.len(), indices.shape()[axis])?;
    let start: usize = parts.get(..output)?.iter().sum();
    let chosen: Vec<usize> = (start..start + parts.get(output)?).collect();
    (chosen.last().is_none_or(|last| *last < indices.shape()[axis])).then(|| indices.select(Axis(axis), &chosen))
}

fn gather(site: &Site<'_>, indices: &ArrayD<u32>) -> Option<ArrayD<u32>> {
    let axis = resolve_axis(site.int("axis").unwrap_or(0), indices.ndim())?;
    let (shape, chosen) = site.whole(1)?;
    let size = indices.shape()[axis];
    let chosen: Vec<usize> = chosen.iter().map(|&own| resolve_axis(own, size)).collect::<Option<_>>()?;
    let taken = indices.select(Axis(axis), &chosen);
    let shape = [&indices.shape()[..axis], shape, &indices.shape()[axis + 1..]].concat();
    ArrayD::from_shape_vec(IxDyn(&shape), taken.iter().copied().collect()).ok()
}

fn tile(site: &Site<'_>, indices: &ArrayD<u32>) -> Option<ArrayD<u32>> {
    let mut moved = indices.clone();
    for (axis, &times) in site.integers(1)?.iter().enumerate() {
        let size = *moved.shape().get(axis)?;
        let chosen: Vec<usize> = (0..size * usize::try_from(times).ok()?).map(|at| at % size.max(1)).collect();
        moved = moved.select(Axis(axis), &chosen);
    }
    Some(moved)
}

/// Blocks of channels become blocks of positions, or the other way.
fn depth_to_space(site: &Site<'_>, indices: ArrayD<u32>) -> Option<ArrayD<u32>> {
    let block = usize::try_from(site.int("blocksize")?).ok().filter(|&block| block > 0)?;
    let &[n, c, h, w] = indices.shape() else { return None };
    let square = block * block;
    let (apart, order, joined) = if site.node.op_type() == "SpaceToDepth" {
        let apart = vec![n, c, h / block, block, w / block, block];
        (apart, vec![0, 3, 5, 1, 2, 4], vec![n, c * square, h / block, w / block])
    } else {
        let joined = vec![n, c / square, h * block, w * block];
        match site.text("mode").unwrap_or("DCR") {
            "DCR" => (vec![n, block, block, c / square, h, w], vec![0, 3, 4, 1, 5, 2], joined),
            _ => (vec![n, c / square, block, block, h, w], vec![0, 1, 4, 2, 5, 3], joined),
        }
    };
    let moved = indices.into_shape_with_order(IxDyn(&apart)).ok()?.permuted_axes(IxDyn(&order));
    ArrayD::from_shape_vec(IxDyn(&joined), moved.iter().copied().collect()).ok()
}

/// What a constant padding is filled with.
fn fill_value(site: &Site<'_>) -> Option<f32> {
    if site.text("mode").unwrap_or("constant") != "constant" {
        return None;
    }
    match site.name(2) {
        Some(_) => site.floats(2)?.iter().next().copied(),
        None => Some(site.float("value").unwrap_or(0.0)),
    }
}

fn pad(site: &Site<'_>, indices: &ArrayD<u32>) -> Option<ArrayD<u32>> {
    let rank = indices.ndim();
    let pads = site.listed("pads", 1, Vec::new)?;
    let axes: Vec<usize> = match site.name(3) {
        Some(_) => site.integers(3)?.iter().map(|&axis| resolve_axis(axis, rank)).collect::<Option<_>>()?,
        None => (0..rank).collect(),
    };
    let mut moved = indices.clone();
    for (number, &axis) in axes.iter().enumerate() {
        let (before, after) = (*pads.get(number)?, *pads.get(axes.len() + number)?);
        let size = i64::try_from(moved.shape()[axis]).ok()?;
        let length = usize::try_from(size + before + after).ok()?;
        let mut shape = moved.shape().to_vec();
        shape[axis] = length;
        let mut padded = ArrayD::from_elem(IxDyn(&shape), CONSTANT);
        for (to, mut target) in padded.axis_iter_mut(Axis(axis)).enumerate() {
            let from = i64::try_from(to).ok()? - before;
            if (0..size).contains(&from) {
                target.assign(&moved.index_axis(Axis(axis), usize::try_from(from).ok()?));
            }
        }
        moved = padded;
    }
    Some(moved)
}

/// Where every output comes from.
enum Way {
    /// They are in the same order.
    Same,
    /// For every output the index of its input.
    Single(Vec<u32>),
    /// Neighbours that stay neighbours.
    Runs(Vec<Run>),
}

/// So many outputs and inputs, one after the other; what no run names is constant.
struct Run {
    output: usize,
    input: usize,
    count: usize,
}

/// Numbers of a run at least, on average, to move runs.
const WORTHWHILE: usize = 4;

impl Way {
    fn of(map: Vec<u32>) -> Self {
        let mut runs: Vec<Run> = Vec::new();
        for (output, &input) in map.iter().enumerate().filter(|(_, input)| **input != CONSTANT) {
            let input = input as usize;
            match runs.last_mut() {
                Some(last) if last.output + last.count == output && last.input + last.count == input => last.count += 1,
                _ => runs.push(Run { output, input, count: 1 }),
            }
            if runs.len() > map.len() / WORTHWHILE {
                return Self::Single(map);
            }
        }
        Self::Runs(runs)
    }
}

struct Moving {
    way: Way,
    fill: f32,
    input: Vec<usize>,
    output: Vec<usize>,
}

impl Moving {
    fn moved(&self, input: &Array, fill: f32) -> Option<Array> {
        let values = elements(input);
        (input.shape() == self.input).then_some(())?;
        let out = match &self.way {
            Way::Same => values.to_vec(),
            Way::Single(map) => map.iter().map(|&index| values.get(index as usize).copied().unwrap_or(fill)).collect(),
            Way::Runs(runs) => {
                let mut out = vec![fill; self.output.iter().product()];
                for run in runs {
                    out[run.output..][..run.count].copy_from_slice(&values[run.input..][..run.count]);
                }
                out
            }
        };
        array(&self.output, out)
    }

    /// The transpose: adds what every output has to its input.
    fn back(&self, up: &[f32]) -> Vec<f32> {
        let mut out = vec![0.0; self.input.iter().product()];
        match &self.way {
            Way::Same => out.copy_from_slice(up),
            Way::Single(map) => {
                for (&index, value) in map.iter().zip(up) {
                    if let Some(target) = out.get_mut(index as usize) {
                        *target += value;
                    }
                }
            }
            Way::Runs(runs) => {
                for run in runs {
                    let to = &mut out[run.input..][..run.count];
                    to.iter_mut().zip(&up[run.output..]).for_each(|(to, value)| *to += value);
                }
            }
        }
        out
    }
}

/// The same numbers in another shape; the array itself where it has another size.
fn shaped(shape: &[usize], input: Array) -> Result<Array, Array> {
    if shape.iter().product::<usize>() != input.len() || !input.is_standard_layout() {
        return Err(input);
    }
    input.into_shape_with_order(IxDyn(shape)).map_err(|_| Array::default(IxDyn(&[0])))
}

impl Operator for Moving {
    fn keeps(&self) -> Keeps {
        Keeps::Nothing
    }

    fn forward(&self, inputs: &[&Array], _numbers: &[f32]) -> Option<Array> {
        self.moved(inputs.first()?, self.fill)
    }

    fn overwrite(&self, input: Array) -> Result<Array, Array> {
        match self.way {
            Way::Same if input.shape() == self.input => shaped(&self.output, input),
            _ => Err(input),
        }
    }

    fn jvp(&self, _at: &At<'_>, tangents: &[Option<&Array>], _step: &[f32]) -> Option<Array> {
        self.moved(tangents.first().copied().flatten()?, 0.0)
    }

    fn vjp(&self, _at: &At<'_>, cotangent: Array, wanted: &[bool], _gradient: &mut [f32]) -> Vec<Option<Array>> {
        if wanted != [true] {
            return vec![None];
        }
        match self.way {
            Way::Same => vec![shaped(&self.input, cotangent).ok()],
            _ => vec![array(&self.input, self.back(elements(&cotangent)))],
        }
    }
}
