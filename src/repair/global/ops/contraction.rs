//! Products of two arrays over shared axes: `MatMul` of any ranks and `Einsum` of two values. A stored operand is a weight (`stacked.rs`).
//!
//! <https://onnx.ai/onnx/operators/onnx__MatMul.html>, <https://onnx.ai/onnx/operators/onnx__Einsum.html>

use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};
use ndarray::{ArrayD, IxDyn};

use super::super::site::Site;
use super::{Array, At, Keeps, Made, Operator, array, elements};

pub(super) fn make(site: &Site<'_>) -> Option<Made> {
    let [left, right, output] = [site.shape(0)?, site.shape(1)?, site.output_shape(0)?].map(<[usize]>::to_vec);
    let labels = Labels::of(site, [left.len(), right.len()])?;
    Some(Made::new(Contraction::new(&labels, &[left, right, output])?, &[0, 1]))
}

/// A label for every axis of the operands and the output.
pub(super) struct Labels {
    pub(super) left: Vec<u32>,
    pub(super) right: Vec<u32>,
    pub(super) output: Vec<u32>,
}

impl Labels {
    /// Those of a node whose operands have so many axes.
    pub(super) fn of(site: &Site<'_>, [left, right]: [usize; 2]) -> Option<Self> {
        match site.node.op_type() {
            "MatMul" => Self::of_product(left, right),
            "Einsum" if site.node.input.len() == 2 => Self::of_equation(site.text("equation")?),
            _ => None,
        }
    }

    /// Batch axes are counted from the end, and matrices multiplied.
    fn of_product(left: usize, right: usize) -> Option<Self> {
        if left < 2 || right < 2 {
            return None;
        }
        let batch = |rank: usize| (0..u32::try_from(rank).unwrap_or(0) - 2).rev().map(|axis| axis + 3);
        let with = |rank: usize, last: [u32; 2]| batch(rank).chain(last).collect::<Vec<u32>>();
        Some(Self { left: with(left, [0, 1]), right: with(right, [1, 2]), output: with(left.max(right), [0, 2]) })
    }

    /// `ij,jk->ik`; without ellipsis and without a label twice in one operand.
    fn of_equation(equation: &str) -> Option<Self> {
        let text: String = equation.chars().filter(|own| !own.is_whitespace()).collect();
        let (operands, output) = text.split_once("->")?;
        let (left, right) = operands.split_once(',')?;
        let labels = |part: &str| -> Option<Vec<u32>> {
            part.chars().map(|own| own.is_alphabetic().then_some(u32::from(own))).collect()
        };
        let labels = Self { left: labels(left)?, right: labels(right)?, output: labels(output)? };
        let once = |part: &[u32]| part.iter().enumerate().all(|(at, label)| !part[..at].contains(label));
        (once(&labels.left) && once(&labels.right) && once(&labels.output)).then_some(labels)
    }
}

/// Where the numbers of an array stand in `[batch, rows, columns]`.
pub(super) struct Placed {
    /// For every place the index of a number; `None` if they are in the same order.
    map: Option<Vec<u32>>,
    shape: Vec<usize>,
}

impl Placed {
    /// `axes`: labels of the array; `order`: labels and sizes of the places.
    fn new(shape: &[usize], axes: &[u32], order: &[(u32, usize)]) -> Option<Self> {
        if shape.len() != axes.len() {
            return None;
        }
        let count = u32::try_from(shape.iter().product::<usize>()).ok()?;
        let indices = ArrayD::from_shape_vec(IxDyn(shape), (0..count).collect()).ok()?;
        let present: Vec<usize> =
            order.iter().filter_map(|(label, _)| axes.iter().position(|own| own == label)).collect();
        if present.len() != axes.len() {
            return None;
        }
        let mut moved = indices.permuted_axes(IxDyn(&present));
        for (at, (label, _)) in order.iter().enumerate() {
            if !axes.contains(label) {
                moved = moved.insert_axis(ndarray::Axis(at));
            }
        }
        let sizes: Vec<usize> = order.iter().map(|&(_, size)| size).collect();
        let map: Vec<u32> = moved.broadcast(IxDyn(&sizes))?.iter().copied().collect();
        let same = map.len() == count as usize && map.iter().enumerate().all(|(at, &index)| at == index as usize);
        Some(Self { map: (!same).then_some(map), shape: shape.to_vec() })
    }

    pub(super) fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Index of the number at a place.
    pub(super) fn index(&self, place: usize) -> u32 {
        match &self.map {
            None => u32::try_from(place).unwrap_or(u32::MAX),
            Some(map) => map[place],
        }
    }

    pub(super) fn place<'a>(&self, values: &'a [f32]) -> std::borrow::Cow<'a, [f32]> {
        match &self.map {
            None => values.into(),
            Some(map) => map.iter().map(|&at| values[at as usize]).collect::<Vec<f32>>().into(),
        }
    }

    /// Sums of what the places give to the numbers.
    pub(super) fn collect(&self, placed: Vec<f32>) -> Option<Array> {
        let Some(map) = &self.map else { return array(&self.shape, placed) };
        let mut out = vec![0.0; self.shape.iter().product()];
        map.iter().zip(&placed).for_each(|(&at, value)| out[at as usize] += value);
        array(&self.shape, out)
    }
}

pub(super) struct Contraction {
    /// `[batch, m, k]`, `[batch, k, n]`, `[batch, m, n]`.
    pub(super) left: Placed,
    pub(super) right: Placed,
    pub(super) output: Placed,
    pub(super) batch: usize,
    pub(super) m: usize,
    pub(super) k: usize,
    pub(super) n: usize,
}

impl Contraction {
    pub(super) fn new(labels: &Labels, shapes: &[Vec<usize>; 3]) -> Option<Self> {
        let Labels { left, right, output } = labels;
        let size = |label: u32| {
            let of = |axes: &[u32], shape: &[usize]| {
                axes.iter().position(|own| *own == label).and_then(|at| shape.get(at).copied())
            };
            of(left, &shapes[0])
                .into_iter()
                .chain(of(right, &shapes[1]))
                .chain(of(output, &shapes[2]))
                .max()
                .unwrap_or(1)
        };
        let sized = |labels: Vec<u32>| labels.into_iter().map(|label| (label, size(label))).collect::<Vec<_>>();
        let (in_left, in_right) = (|label: &u32| left.contains(label), |label: &u32| right.contains(label));
        // A label of one operand alone that the output lacks would have to be summed before.
        let known = |label: &u32| output.contains(label) || in_left(label) && in_right(label);
        if !left.iter().chain(right).all(known) {
            return None;
        }
        let outputs = |wanted: &dyn Fn(&u32) -> bool| sized(output.iter().copied().filter(wanted).collect());
        let batch = outputs(&|label| in_left(label) && in_right(label));
        let rows = outputs(&|label| !in_right(label));
        let columns = outputs(&|label| !in_left(label));
        let summed = sized(left.iter().copied().filter(|label| !output.contains(label)).collect());
        let join = |parts: [&[(u32, usize)]; 3]| parts.concat();
        let product = |part: &[(u32, usize)]| part.iter().map(|&(_, size)| size).product::<usize>();
        let placed =
            |shape: &[usize], axes: &[u32], order: [&[(u32, usize)]; 3]| Placed::new(shape, axes, &join(order));
        Some(Self {
            left: placed(&shapes[0], left, [&batch, &rows, &summed])?,
            right: placed(&shapes[1], right, [&batch, &summed, &columns])?,
            output: placed(&shapes[2], output, [&batch, &rows, &columns])?,
            batch: product(&batch),
            m: product(&rows),
            k: product(&summed),
            n: product(&columns),
        })
    }

    /// Adds the products of all batches to `out`, `[batch, m, n]`.
    fn add(&self, left: &Array, right: &Array, out: &mut [f32]) {
        let (left, right) = (self.left.place(elements(left)), self.right.place(elements(right)));
        let Self { m, k, n, .. } = *self;
        for batch in 0..self.batch {
            let a = MatRef::from_row_major_slice(&left[batch * m * k..(batch + 1) * m * k], m, k);
            let b = MatRef::from_row_major_slice(&right[batch * k * n..(batch + 1) * k * n], k, n);
            let out = MatMut::from_row_major_slice_mut(&mut out[batch * m * n..(batch + 1) * m * n], m, n);
            matmul(out, Accum::Add, a, b, 1.0, Par::Seq);
        }
    }

    /// Numbers in the places of the output, put where they belong.
    pub(super) fn shaped(&self, placed: Vec<f32>) -> Option<Array> {
        self.output.collect(placed)
    }

    pub(super) fn zeros(&self) -> Vec<f32> {
        vec![0.0; self.batch * self.m * self.n]
    }
}

impl Operator for Contraction {
    fn keeps(&self) -> Keeps {
        Keeps::Inputs
    }

    fn forward(&self, inputs: &[&Array], _numbers: &[f32]) -> Option<Array> {
        let &[left, right] = inputs else { return None };
        let mut out = self.zeros();
        self.add(left, right, &mut out);
        self.shaped(out)
    }

    fn jvp(&self, at: &At<'_>, tangents: &[Option<&Array>], _step: &[f32]) -> Option<Array> {
        let &[left, right] = tangents else { return None };
        if left.is_none() && right.is_none() {
            return None;
        }
        let mut out = self.zeros();
        if let Some(left) = left {
            self.add(left, at.input(1)?, &mut out);
        }
        if let Some(right) = right {
            self.add(at.input(0)?, right, &mut out);
        }
        self.shaped(out)
    }

    fn vjp(&self, at: &At<'_>, cotangent: Array, wanted: &[bool], _gradient: &mut [f32]) -> Vec<Option<Array>> {
        let up = self.output.place(elements(&cotangent));
        let Self { m, k, n, .. } = *self;
        let back = |(side, &wanted): (usize, &bool)| {
            let (own, other) = if side == 0 { (&self.left, &self.right) } else { (&self.right, &self.left) };
            let values = other.place(elements(at.input(1 - side).filter(|_| wanted)?));
            let mut out = vec![0.0; self.batch * if side == 0 { m * k } else { k * n }];
            for batch in 0..self.batch {
                let up = MatRef::from_row_major_slice(&up[batch * m * n..(batch + 1) * m * n], m, n);
                if side == 0 {
                    let b = MatRef::from_row_major_slice(&values[batch * k * n..(batch + 1) * k * n], k, n);
                    let out = MatMut::from_row_major_slice_mut(&mut out[batch * m * k..(batch + 1) * m * k], m, k);
                    matmul(out, Accum::Replace, up, b.transpose(), 1.0, Par::Seq);
                } else {
                    let a = MatRef::from_row_major_slice(&values[batch * m * k..(batch + 1) * m * k], m, k);
                    let out = MatMut::from_row_major_slice_mut(&mut out[batch * k * n..(batch + 1) * k * n], k, n);
                    matmul(out, Accum::Replace, a.transpose(), up, 1.0, Par::Seq);
                }
            }
            own.collect(out)
        };
        wanted.iter().enumerate().map(back).collect()
    }
}
