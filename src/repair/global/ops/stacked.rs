//! Products with stored matrices, one for every index of shared axes: `MatMul` with a weight of three or more axes (the
//! experts of a mixture), from either side, and `Einsum` with a weight.

use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, MatMut, MatRef, Par};

use super::super::blocks::{Affine, Layout, Stored, add_moments, kept_input};
use super::super::site::Site;
use super::contraction::{Contraction, Labels};
use super::{Array, At, Keeps, Made, Operator, elements};

pub(super) fn make(site: &Site<'_>) -> Option<Made> {
    let weight_input = (0..2).find(|&input| site.floats(input).is_some())?;
    let (weight, read) = (site.floats(weight_input)?, site.shape(1 - weight_input)?);
    let mut ranks = [read.len(); 2];
    ranks[weight_input] = weight.ndim();
    let Labels { left, right, output } = Labels::of(site, ranks)?;
    // The weight stands on the right; an axis along which it is the same for all is one of the other operand's rows.
    let (own, read_labels) = if weight_input == 1 { (right, left) } else { (left, right) };
    let spread = |label: &u32, size: usize| size == 1 && read_labels.contains(label) && output.contains(label);
    let axes = own.iter().zip(weight.shape()).filter(|&(label, &size)| !spread(label, size));
    let (own, shape): (Vec<u32>, Vec<usize>) = axes.map(|(&label, &size)| (label, size)).unzip();
    let labels = Labels { left: read_labels, right: own, output };
    let out = site.output_shape(0)?.to_vec();
    let product = Contraction::new(&labels, &[read.to_vec(), shape, out])?;
    let (groups, inputs, outputs) = (product.batch, product.k, product.n);
    if groups * inputs * outputs != weight.len() || weight.is_empty() {
        return None;
    }
    let place = |at: usize| {
        let (group, output, input) = (at / (inputs * outputs), at / inputs % outputs, at % inputs);
        product.right.index((group * inputs + input) * outputs + output)
    };
    let stored = Stored::Placed((0..weight.len()).map(place).collect());
    let layout = Layout { groups, outputs, inputs, bias: false };
    Some(Made::new(Stacked { product, layout, stored, weight_input }, &[1 - weight_input]))
}

struct Stacked {
    product: Contraction,
    layout: Layout,
    stored: Stored,
    weight_input: usize,
}

impl Stacked {
    /// Rows `[m, k]` of a group among what is read, in places.
    fn read<'a>(&self, placed: &'a [f32], group: usize) -> MatRef<'a, f32> {
        let Contraction { m, k, .. } = self.product;
        MatRef::from_row_major_slice(&placed[group * m * k..(group + 1) * m * k], m, k)
    }

    /// Rows `[m, n]` of a group among what is given.
    fn given<'a>(&self, placed: &'a [f32], group: usize) -> MatRef<'a, f32> {
        let Contraction { m, n, .. } = self.product;
        MatRef::from_row_major_slice(&placed[group * m * n..(group + 1) * m * n], m, n)
    }

    /// Adds the products with the matrices of all groups to `out`, in places.
    fn add(&self, read: &Array, numbers: &[f32], out: &mut [f32]) {
        let placed = self.product.left.place(elements(read));
        let Contraction { m, n, .. } = self.product;
        for group in 0..self.layout.groups {
            let out = MatMut::from_row_major_slice_mut(&mut out[group * m * n..(group + 1) * m * n], m, n);
            let matrix = self.layout.matrix(numbers, group).transpose();
            matmul(out, Accum::Add, self.read(&placed, group), matrix, 1.0, Par::Seq);
        }
    }

    fn fits(&self, read: &Array) -> bool {
        read.shape() == self.product.left.shape()
    }
}

impl Operator for Stacked {
    fn keeps(&self) -> Keeps {
        Keeps::Inputs
    }

    fn forward(&self, inputs: &[&Array], numbers: &[f32]) -> Option<Array> {
        let read = inputs.first().filter(|read| self.fits(read))?;
        let mut out = self.product.zeros();
        self.add(read, numbers, &mut out);
        self.product.shaped(out)
    }

    fn jvp(&self, at: &At<'_>, tangents: &[Option<&Array>], step: &[f32]) -> Option<Array> {
        let tangent = tangents.first().copied().flatten().filter(|tangent| self.fits(tangent));
        let read = kept_input(at).filter(|_| !step.is_empty());
        if tangent.is_none() && read.is_none() {
            return None;
        }
        let mut out = self.product.zeros();
        if let Some(tangent) = tangent {
            self.add(tangent, at.numbers, &mut out);
        }
        if let Some(read) = read {
            self.add(read, step, &mut out);
        }
        self.product.shaped(out)
    }

    fn vjp(&self, at: &At<'_>, cotangent: Array, wanted: &[bool], gradient: &mut [f32]) -> Vec<Option<Array>> {
        let up = self.product.output.place(elements(&cotangent));
        if let Some(read) = kept_input(at).filter(|_| !gradient.is_empty()) {
            let placed = self.product.left.place(elements(read));
            for group in 0..self.layout.groups {
                let own = &mut gradient[self.layout.range(group)];
                let sums = MatMut::from_row_major_slice_mut(own, self.layout.outputs, self.layout.inputs);
                let (up, read) = (self.given(&up, group), self.read(&placed, group));
                matmul(sums, Accum::Add, up.transpose(), read, 1.0, Par::Seq);
            }
        }
        if wanted != [true] {
            return vec![None];
        }
        let Contraction { batch, m, k, .. } = self.product;
        let mut out = vec![0.0; batch * m * k];
        for group in 0..batch {
            let out = MatMut::from_row_major_slice_mut(&mut out[group * m * k..(group + 1) * m * k], m, k);
            let matrix = self.layout.matrix(at.numbers, group);
            matmul(out, Accum::Replace, self.given(&up, group), matrix, 1.0, Par::Seq);
        }
        vec![self.product.left.collect(out)]
    }

    fn affine(&self) -> Option<&dyn Affine> {
        Some(self)
    }
}

impl Affine for Stacked {
    fn layout(&self) -> Layout {
        self.layout
    }

    fn stored(&self) -> &Stored {
        &self.stored
    }

    fn weight_input(&self) -> usize {
        self.weight_input
    }

    fn input_moments(&self, input: &Array, group: usize, moments: &mut Mat<f32>, sums: &mut [f32]) -> usize {
        let placed = self.product.left.place(elements(input));
        let rows = self.read(&placed, group);
        add_moments(moments, rows.transpose());
        sums.iter_mut().zip(rows.col_iter()).for_each(|(sum, column)| *sum += column.iter().sum::<f32>());
        rows.nrows()
    }

    fn output_moments(&self, cotangent: &Array, group: usize, moments: &mut Mat<f32>) {
        let placed = self.product.output.place(elements(cotangent));
        add_moments(moments, self.given(&placed, group).transpose());
    }
}
