//! Operators that multiply with a stored weight: how the weight is a matrix, and where a bias goes.
//!
//! `Conv`, `ConvTranspose`, `Gemm`, `MatMul` (ONNX; attributes with their defaults: `group` 1, `alpha` 1, `beta` 1,
//! `transA` 0, `transB` 0).

use super::constant::Constants;
use super::real::RealWeight;
use super::window::Window;
use crate::model::Model;
use crate::proto::onnx::NodeProto;

/// How a weight is a matrix `[O / groups, d]` for every group: `O` outputs, each with `d` columns (channels of its group
/// times kernel positions).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct MatrixLayout {
    pub(crate) groups: usize,
    /// Outputs of all groups.
    pub(crate) outputs: usize,
    /// Columns of an output.
    pub(crate) columns: usize,
    /// Kernel positions; columns of one channel lie side by side.
    pub(crate) kernel_size: usize,
    order: Order,
}

/// Order of the weight's elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    /// `[O, d]`: `Conv` `[O, C / groups, k...]`, `Gemm` with `transB`.
    OutputsFirst,
    /// `[d, O]`: `MatMul`, `Gemm`.
    ColumnsFirst,
    /// `[C, O / groups, k...]`: `ConvTranspose`.
    Transposed,
}

impl MatrixLayout {
    /// Place of a weight among the elements of its tensor; `output` counts within the group.
    pub(crate) fn at(&self, group: usize, output: usize, column: usize) -> usize {
        let each = self.outputs / self.groups;
        match self.order {
            Order::OutputsFirst => (group * each + output) * self.columns + column,
            Order::ColumnsFirst => column * self.outputs + output,
            Order::Transposed => {
                let channel = group * (self.columns / self.kernel_size) + column / self.kernel_size;
                (channel * each + output) * self.kernel_size + column % self.kernel_size
            }
        }
    }

    /// The matrices of all groups, each `[O / groups, d]` in row-major order, from the elements of the tensor.
    pub(crate) fn rows(&self, elements: &[f32]) -> Vec<f32> {
        match self.order {
            Order::OutputsFirst => elements.to_vec(),
            _ => self.places().map(|place| elements[place]).collect(),
        }
    }

    /// The elements of the tensor from the matrices of all groups.
    pub(crate) fn elements(&self, rows: &[f32]) -> Vec<f32> {
        let mut elements = vec![0.0; rows.len()];
        self.places().zip(rows).for_each(|(place, value)| elements[place] = *value);
        elements
    }

    fn places(&self) -> impl Iterator<Item = usize> + '_ {
        let each = self.outputs / self.groups;
        (0..self.outputs)
            .flat_map(move |output| (0..self.columns).map(move |column| self.at(output / each, output % each, column)))
    }

    /// Numbers in the weight.
    pub(crate) fn len(&self) -> usize {
        self.outputs * self.columns
    }

    /// Input channels of one group.
    pub(crate) fn channels(&self) -> usize {
        self.columns / self.kernel_size
    }

    /// The same weight when other outputs and channels are left.
    pub(crate) fn resized(&self, outputs: usize, channels: usize) -> Self {
        Self { outputs, columns: channels * self.kernel_size, ..*self }
    }
}

/// A node as a product with its weight at input 1: `alpha * W x + beta * bias`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct LinearMap {
    pub(crate) layout: MatrixLayout,
    /// Of a convolution; a matrix product reads the last axis.
    pub(crate) window: Option<Window>,
    pub(crate) alpha: f32,
    pub(crate) beta: f32,
    /// Whether the operator takes a bias at input 2.
    pub(crate) takes_bias: bool,
}

/// Input of the weight, and of the bias where there is one.
pub(crate) const WEIGHT: usize = 1;
pub(crate) const BIAS: usize = 2;

impl LinearMap {
    /// The node with a weight of shape `dims`; `None` if it is no such product.
    pub(crate) fn of(node: &NodeProto, dims: &[usize]) -> Option<Self> {
        let factor = |name: &str| node.float(name).unwrap_or(1.0);
        let layout = MatrixLayout::of(node, dims)?;
        let (alpha, beta) = if node.op_type() == "Gemm" { (factor("alpha"), factor("beta")) } else { (1.0, 1.0) };
        let window = match node.op_type() {
            "Conv" | "ConvTranspose" => Some(Window::of(node, Some(&dims[2..])).ok()?),
            _ => None,
        };
        Some(Self { layout, window, alpha, beta, takes_bias: node.op_type() != "MatMul" })
    }

    /// Whether a bias of this shape has a number for every output.
    pub(crate) fn is_per_output(&self, dims: &[usize]) -> bool {
        dims.last() == Some(&self.layout.outputs) && dims.iter().product::<usize>() == self.layout.outputs
    }

    /// Whether weight and bias are used as they are stored.
    pub(crate) fn is_plain(&self) -> bool {
        self.alpha.to_bits() == 1.0_f32.to_bits() && self.beta.to_bits() == 1.0_f32.to_bits()
    }

    /// Where a constant can be added to every output. A bias of another shape than `[O]` or `[1, O]`, which `Gemm`
    /// spreads over rows or over everything, is no such place.
    pub(crate) fn bias(&self, model: &Model, node: &NodeProto, constants: &Constants) -> Bias {
        match node.input.get(BIAS).filter(|name| !name.is_empty()) {
            Some(name) => {
                let own = RealWeight::of(model, constants, name).filter(|own| own.alone);
                if own.is_some_and(|own| self.is_per_output(&own.dims)) { Bias::Stored } else { Bias::Fixed }
            }
            None if self.takes_bias => Bias::Missing,
            None => Bias::Unsupported,
        }
    }
}

impl MatrixLayout {
    fn of(node: &NodeProto, dims: &[usize]) -> Option<Self> {
        let flag = |name: &str| node.int(name).unwrap_or(0) != 0;
        let groups = || usize::try_from(node.int("group").unwrap_or(1)).ok().filter(|&groups| groups > 0);
        let plain = |outputs, columns, order| Self { groups: 1, outputs, columns, kernel_size: 1, order };
        let layout = match (node.op_type(), dims) {
            ("Conv", &[outputs, channels, ref kernel @ ..]) if !kernel.is_empty() => {
                let (groups, kernel_size) = (groups()?, kernel.iter().product());
                Self { groups, outputs, columns: channels * kernel_size, kernel_size, order: Order::OutputsFirst }
            }
            ("ConvTranspose", &[channels, outputs, ref kernel @ ..]) if !kernel.is_empty() => {
                let (groups, kernel_size) = (groups()?, kernel.iter().product());
                let columns = channels / groups * kernel_size;
                Self { groups, outputs: outputs * groups, columns, kernel_size, order: Order::Transposed }
            }
            ("Gemm", _) if flag("transA") => return None,
            ("Gemm", &[outputs, columns]) if flag("transB") => plain(outputs, columns, Order::OutputsFirst),
            ("Gemm" | "MatMul", &[columns, outputs]) => plain(outputs, columns, Order::ColumnsFirst),
            _ => return None,
        };
        let whole = layout.outputs % layout.groups == 0 && layout.kernel_size > 0;
        (whole && dims.iter().product::<usize>() == layout.len()).then_some(layout)
    }
}

/// Where a constant for every output goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bias {
    /// Into the stored bias.
    Stored,
    /// Into an input that is not there yet.
    Missing,
    /// Nowhere: the bias is computed, or others read it too.
    Fixed,
    /// Nowhere: the operator has none.
    Unsupported,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::onnx::AttributeProto;

    fn map(op: &str, ints: &[(&str, i64)], dims: &[usize]) -> Option<LinearMap> {
        let attribute = |&(name, value): &(&str, i64)| AttributeProto {
            name: Some(name.into()),
            i: Some(value),
            ..AttributeProto::default()
        };
        let attribute = ints.iter().map(attribute).collect();
        LinearMap::of(&NodeProto { op_type: Some(op.into()), attribute, ..NodeProto::default() }, dims)
    }

    #[test]
    fn rows_and_elements_are_inverse() {
        for (op, ints, dims, row) in [
            ("Conv", vec![("group", 2)], vec![4, 3, 2], vec![0.0, 1.0, 2.0, 3.0, 4.0, 5.0]),
            ("Gemm", vec![("transB", 1)], vec![2, 3], vec![0.0, 1.0, 2.0]),
            ("Gemm", vec![], vec![3, 2], vec![0.0, 2.0, 4.0]),
            ("MatMul", vec![], vec![3, 2], vec![0.0, 2.0, 4.0]),
            // The first output of the first group reads channels 0 and 1: rows 0 and 1 of four, each [1 output, 2 positions].
            ("ConvTranspose", vec![("group", 2)], vec![4, 1, 2], vec![0.0, 1.0, 2.0, 3.0]),
        ] {
            let layout = map(op, &ints, &dims).unwrap().layout;
            let elements: Vec<f32> = (0..layout.len()).map(|at| at as f32).collect();
            let rows = layout.rows(&elements);
            assert_eq!(rows[..layout.columns], row, "{op}");
            assert_eq!(layout.elements(&rows), elements, "{op}");
        }
    }

    #[test]
    fn other_products_are_none() {
        assert!(map("Gemm", &[("transA", 1)], &[3, 2]).is_none());
        assert!(map("MatMul", &[], &[4, 3, 2]).is_none());
        assert!(map("Conv", &[("group", 3)], &[4, 3, 2]).is_none());
        assert!(map("Relu", &[], &[4, 3]).is_none());
    }
}
