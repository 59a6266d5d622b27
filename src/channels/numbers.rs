//! Contents of small tensors: shape arithmetic is evaluated during the dependency propagation.
//!
//! Exporters compute the targets of `Reshape`, the bounds of `Slice` and the amounts of `Pad` with chains of
//! `Shape`, `Gather`, `Concat` and their kin. Values are held as `f64`, exact for every size that occurs.

use ndarray::{ArrayD, Axis, IxDyn, concatenate};

use crate::model::axes::{
    is_permutation, resolve_axis, resolve_reshape, sizes, slice_indices, split_sizes, squeezed, unsqueezed,
};
use crate::model::{DataType, TensorData};

/// Tensors with more elements are data, not shape arithmetic.
const MOST_ELEMENTS: usize = 4096;

/// The known content of a small tensor.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Numbers {
    pub(crate) array: ArrayD<f64>,
    /// Whether division truncates.
    pub(crate) integer: bool,
}

impl Numbers {
    pub(crate) fn from_tensor(data: &TensorData) -> Option<Self> {
        if data.len() > MOST_ELEMENTS {
            return None;
        }
        #[allow(clippy::cast_precision_loss, reason = "sizes and indices are far below 2^53")]
        let (values, integer): (Vec<f64>, bool) = match data.to_i64() {
            Some(values) => (values.into_iter().map(|value| value as f64).collect(), true),
            None => (data.to_f32()?.into_iter().map(f64::from).collect(), data.dtype == DataType::Bool),
        };
        Some(Self { array: ArrayD::from_shape_vec(IxDyn(&data.dims), values).ok()?, integer })
    }

    /// A list of whole numbers.
    pub(crate) fn list(values: &[usize]) -> Self {
        Self {
            array: values.iter().map(|&value| value as f64).collect::<ndarray::Array1<_>>().into_dyn(),
            integer: true,
        }
    }

    /// The values as whole numbers in row-major order.
    #[allow(clippy::cast_possible_truncation, reason = "`as` saturates, as bounds like INT64_MAX want it")]
    pub(crate) fn to_i64(&self) -> Vec<i64> {
        self.array.iter().map(|&value| value as i64).collect()
    }

    fn map(&self, f: impl Fn(f64) -> f64) -> Self {
        Self { array: self.array.mapv(f), integer: self.integer }
    }
}

/// What evaluation needs to know of a node.
pub(crate) struct Call<'a> {
    pub(crate) op: &'a str,
    pub(crate) opset: i64,
    pub(crate) inputs: &'a [Option<Numbers>],
    /// Shape of the first input, where known.
    pub(crate) shape: Option<&'a [usize]>,
    pub(crate) int: &'a dyn Fn(&str) -> Option<i64>,
    pub(crate) ints: &'a dyn Fn(&str) -> Option<Vec<i64>>,
    /// The tensor attribute `value`.
    pub(crate) value: Option<Numbers>,
    /// Number of outputs of the node.
    pub(crate) outputs: usize,
}

impl Call<'_> {
    fn input(&self, index: usize) -> Option<&Numbers> {
        self.inputs.get(index)?.as_ref()
    }

    /// An operand that moved from an attribute to an input in some opset.
    fn list(&self, index: usize, attribute: &str) -> Option<Vec<i64>> {
        self.input(index).map(Numbers::to_i64).or_else(|| (self.ints)(attribute))
    }

    fn axis(&self, default: i64, rank: usize) -> Option<usize> {
        resolve_axis((self.int)("axis").unwrap_or(default), rank)
    }

    /// Contents of the outputs, or `None` where they are not known or not worth knowing.
    pub(crate) fn evaluate(&self) -> Option<Vec<Numbers>> {
        let outputs = match self.op {
            "Shape" => vec![self.shape_op()?],
            "Size" => vec![Numbers::scalar(self.shape?.iter().product::<usize>() as f64)],
            "ConstantOfShape" => vec![self.constant_of_shape()?],
            "Range" => vec![self.range()?],
            "Identity" | "Dropout" => vec![self.input(0)?.clone()],
            "Cast" => vec![self.cast()?],
            "Neg" | "Abs" | "Floor" | "Ceil" | "Sqrt" | "Round" | "Not" | "Sign" | "Reciprocal" => vec![self.unary()?],
            "Add" | "Sub" | "Mul" | "Div" | "Mod" | "Min" | "Max" | "Pow" | "Equal" | "Less" | "Greater"
            | "LessOrEqual" | "GreaterOrEqual" | "And" | "Or" => vec![self.binary()?],
            "Clip" => vec![self.clip()?],
            "Where" => vec![self.where_op()?],
            "Reshape" => vec![self.reshape()?],
            "Flatten" => vec![self.flatten()?],
            "Squeeze" | "Unsqueeze" => vec![self.squeeze()?],
            "Transpose" => vec![self.transpose()?],
            "Concat" => vec![self.concat()?],
            "Gather" => vec![self.gather()?],
            "Slice" => vec![self.slice()?],
            "Split" => self.split()?,
            "Expand" => vec![self.expand()?],
            "ReduceProd" | "ReduceSum" | "ReduceMax" | "ReduceMin" => vec![self.reduce()?],
            _ => return None,
        };
        outputs.iter().all(|numbers| numbers.array.len() <= MOST_ELEMENTS).then_some(outputs)
    }

    fn shape_op(&self) -> Option<Numbers> {
        let shape = self.shape?;
        let rank = i64::try_from(shape.len()).ok()?;
        let clamp = |value: i64| usize::try_from(if value < 0 { value + rank } else { value }.clamp(0, rank)).ok();
        let start = clamp((self.int)("start").unwrap_or(0))?;
        let end = clamp((self.int)("end").unwrap_or(rank))?;
        Some(Numbers::list(shape.get(start..end.max(start))?))
    }

    fn constant_of_shape(&self) -> Option<Numbers> {
        let shape: Vec<usize> = sizes(&self.input(0)?.to_i64())?;
        if shape.iter().try_fold(1usize, |all, &size| all.checked_mul(size))? > MOST_ELEMENTS {
            return None;
        }
        let (value, integer) = match &self.value {
            Some(numbers) => (*numbers.array.iter().next()?, numbers.integer),
            None => (0.0, false),
        };
        Some(Numbers { array: ArrayD::from_elem(IxDyn(&shape), value), integer })
    }

    fn range(&self) -> Option<Numbers> {
        let scalar = |index| self.input(index)?.array.iter().next().copied();
        let (start, limit, delta) = (scalar(0)?, scalar(1)?, scalar(2)?);
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "bounded just below")]
        let count = ((limit - start) / delta).ceil().clamp(0.0, MOST_ELEMENTS as f64 + 1.0) as usize;
        if count > MOST_ELEMENTS {
            return None;
        }
        let values: ndarray::Array1<f64> = (0..count).map(|i| start + delta * i as f64).collect();
        Some(Numbers { array: values.into_dyn(), integer: self.input(0)?.integer })
    }

    fn cast(&self) -> Option<Numbers> {
        let input = self.input(0)?;
        let to = DataType::try_from(i32::try_from((self.int)("to")?).ok()?).ok()?;
        let integer = !matches!(to, DataType::Float | DataType::Double | DataType::Float16 | DataType::Bfloat16);
        let array = match to {
            DataType::Bool => input.array.mapv(|v| if v == 0.0 { 0.0 } else { 1.0 }),
            _ if integer => input.array.mapv(f64::trunc),
            _ => input.array.clone(),
        };
        Some(Numbers { array, integer })
    }

    fn unary(&self) -> Option<Numbers> {
        let input = self.input(0)?;
        Some(match self.op {
            "Neg" => input.map(|v| -v),
            "Abs" => input.map(f64::abs),
            "Floor" => input.map(f64::floor),
            "Ceil" => input.map(f64::ceil),
            "Sqrt" => input.map(f64::sqrt),
            "Round" => input.map(f64::round_ties_even),
            "Not" => input.map(|v| f64::from(v == 0.0)),
            "Sign" => input.map(|v| if v == 0.0 { 0.0 } else { v.signum() }),
            _ => input.map(f64::recip),
        })
    }

    fn binary(&self) -> Option<Numbers> {
        let mut result = self.input(0)?.clone();
        for index in 1..self.inputs.len() {
            let other = self.input(index)?;
            let shape = super::ids::broadcast_shape(&[result.array.shape(), other.array.shape()])?;
            let (a, b) = (result.array.broadcast(IxDyn(&shape))?, other.array.broadcast(IxDyn(&shape))?);
            let integer = result.integer && other.integer;
            let truth =
                matches!(self.op, "Equal" | "Less" | "Greater" | "LessOrEqual" | "GreaterOrEqual" | "And" | "Or");
            if integer && matches!(self.op, "Div" | "Mod") && b.iter().any(|&v| v == 0.0) {
                return None;
            }
            let f = |x: f64, y: f64| match self.op {
                "Add" => x + y,
                "Sub" => x - y,
                "Mul" => x * y,
                "Div" if integer => (x / y).trunc(),
                "Div" => x / y,
                "Mod" => x - (x / y).floor() * y,
                "Min" => x.min(y),
                "Max" => x.max(y),
                "Pow" => x.powf(y),
                "Equal" => f64::from((x - y).abs() < f64::EPSILON),
                "Less" => f64::from(x < y),
                "Greater" => f64::from(x > y),
                "LessOrEqual" => f64::from(x <= y),
                "GreaterOrEqual" => f64::from(x >= y),
                "And" => f64::from(x != 0.0 && y != 0.0),
                _ => f64::from(x != 0.0 || y != 0.0),
            };
            let array = ndarray::Zip::from(a).and(b).map_collect(|&x, &y| f(x, y));
            result = Numbers { array, integer: integer || truth };
        }
        Some(result)
    }

    /// Bounds are inputs since opset 11; before, they are attributes of floats, which no shape arithmetic uses.
    fn clip(&self) -> Option<Numbers> {
        let bound = |index: usize| self.input(index).and_then(|bound| bound.array.first().copied());
        let (low, high) = (bound(1).unwrap_or(f64::NEG_INFINITY), bound(2).unwrap_or(f64::INFINITY));
        (self.opset >= 11).then_some(())?;
        Some(self.input(0)?.map(|value| value.max(low).min(high)))
    }

    fn where_op(&self) -> Option<Numbers> {
        let (c, x, y) = (self.input(0)?, self.input(1)?, self.input(2)?);
        let shape = super::ids::broadcast_shape(&[c.array.shape(), x.array.shape(), y.array.shape()])?;
        let array = ndarray::Zip::from(c.array.broadcast(IxDyn(&shape))?)
            .and(x.array.broadcast(IxDyn(&shape))?)
            .and(y.array.broadcast(IxDyn(&shape))?)
            .map_collect(|&c, &x, &y| if c == 0.0 { y } else { x });
        Some(Numbers { array, integer: x.integer && y.integer })
    }

    fn reshape(&self) -> Option<Numbers> {
        let input = self.input(0)?;
        let target = self.list(1, "shape")?;
        let shape = resolve_reshape(input.array.shape(), &target, (self.int)("allowzero") == Some(1))?;
        input.reshaped(&shape)
    }

    fn flatten(&self) -> Option<Numbers> {
        let input = self.input(0)?;
        let shape = input.array.shape();
        let axis = (self.int)("axis").unwrap_or(1);
        let axis = if axis < 0 { axis + i64::try_from(shape.len()).ok()? } else { axis };
        let axis = usize::try_from(axis).ok().filter(|&axis| axis <= shape.len())?;
        input.reshaped(&[shape[..axis].iter().product(), shape[axis..].iter().product()])
    }

    fn squeeze(&self) -> Option<Numbers> {
        let input = self.input(0)?;
        let axes = self.list(1, "axes");
        let shape = match (self.op, axes) {
            ("Unsqueeze", Some(axes)) => unsqueezed(input.array.shape(), &axes)?,
            ("Squeeze", axes) => squeezed(input.array.shape(), axes.as_deref())?,
            _ => return None,
        };
        input.reshaped(&shape)
    }

    fn transpose(&self) -> Option<Numbers> {
        let input = self.input(0)?;
        let rank = input.array.ndim();
        let perm = match (self.ints)("perm") {
            Some(perm) => sizes(&perm)?,
            None => (0..rank).rev().collect(),
        };
        if !is_permutation(&perm, rank) {
            return None;
        }
        let array = input.array.view().permuted_axes(IxDyn(&perm)).as_standard_layout().to_owned();
        Some(Numbers { array, integer: input.integer })
    }

    fn concat(&self) -> Option<Numbers> {
        let parts: Option<Vec<&Numbers>> = (0..self.inputs.len()).map(|index| self.input(index)).collect();
        let parts = parts?;
        let rank = parts.first()?.array.ndim();
        let axis = self.axis(1, rank).filter(|_| parts.iter().all(|part| part.array.ndim() == rank))?;
        let views: Vec<_> = parts.iter().map(|part| part.array.view()).collect();
        Some(Numbers { array: concatenate(Axis(axis), &views).ok()?, integer: parts.iter().all(|part| part.integer) })
    }

    fn gather(&self) -> Option<Numbers> {
        let (input, indices) = (self.input(0)?, self.input(1)?);
        let axis = self.axis(0, input.array.ndim())?;
        let size = i64::try_from(input.array.shape()[axis]).ok()?;
        let picked = indices
            .to_i64()
            .into_iter()
            .map(|i| usize::try_from(if i < 0 { i + size } else { i }).ok().filter(|&i| i < input.array.shape()[axis]))
            .collect::<Option<Vec<_>>>()?;
        let selected = input.array.select(Axis(axis), &picked);
        let mut shape = input.array.shape()[..axis].to_vec();
        shape.extend(indices.array.shape());
        shape.extend(&input.array.shape()[axis + 1..]);
        Numbers { array: selected, integer: input.integer }.reshaped(&shape)
    }

    fn slice(&self) -> Option<Numbers> {
        let input = self.input(0)?;
        let (starts, ends) = (self.list(1, "starts")?, self.list(2, "ends")?);
        let axes = self.list(3, "axes").unwrap_or_else(|| (0..).take(starts.len()).collect());
        let steps = if self.opset >= 10 { self.input(4).map(Numbers::to_i64) } else { None };
        let mut array = input.array.clone();
        for (number, &axis) in axes.iter().enumerate() {
            let axis = resolve_axis(axis, array.ndim())?;
            let step = steps.as_ref().and_then(|steps| steps.get(number)).copied().unwrap_or(1);
            let picked = slice_indices(*starts.get(number)?, *ends.get(number)?, step, array.shape()[axis])?;
            array = array.select(Axis(axis), &picked);
        }
        Some(Numbers { array, integer: input.integer })
    }

    fn split(&self) -> Option<Vec<Numbers>> {
        let input = self.input(0)?;
        let axis = self.axis(0, input.array.ndim())?;
        let parts = split_sizes(self.list(1, "split").as_deref(), self.outputs, input.array.shape()[axis])?;
        let mut start = 0;
        let mut outputs = Vec::new();
        for size in parts {
            let picked: Vec<_> = (start..start + size).collect();
            outputs.push(Numbers { array: input.array.select(Axis(axis), &picked), integer: input.integer });
            start += size;
        }
        Some(outputs)
    }

    fn expand(&self) -> Option<Numbers> {
        let input = self.input(0)?;
        let target = sizes(&self.input(1)?.to_i64())?;
        let shape = super::ids::broadcast_shape(&[input.array.shape(), &target])?;
        if shape.iter().try_fold(1usize, |all, &size| all.checked_mul(size))? > MOST_ELEMENTS {
            return None;
        }
        Some(Numbers { array: input.array.broadcast(IxDyn(&shape))?.to_owned(), integer: input.integer })
    }

    fn reduce(&self) -> Option<Numbers> {
        let input = self.input(0)?;
        let keep = (self.int)("keepdims").unwrap_or(1) == 1;
        let all: Vec<i64> = (0..i64::try_from(input.array.ndim()).ok()?).collect();
        let axes = self.list(1, "axes").unwrap_or(all);
        let mut axes = axes.iter().map(|&a| resolve_axis(a, input.array.ndim())).collect::<Option<Vec<_>>>()?;
        axes.sort_unstable();
        axes.dedup();
        let mut array = input.array.clone();
        for &axis in axes.iter().rev() {
            let (start, f): (f64, fn(f64, f64) -> f64) = match self.op {
                "ReduceProd" => (1.0, |a, b| a * b),
                "ReduceSum" => (0.0, |a, b| a + b),
                "ReduceMax" => (f64::NEG_INFINITY, f64::max),
                _ => (f64::INFINITY, f64::min),
            };
            array = array.fold_axis(Axis(axis), start, |&a, &b| f(a, b));
            if keep {
                array = array.insert_axis(Axis(axis));
            }
        }
        Some(Numbers { array, integer: input.integer })
    }
}

impl Numbers {
    fn scalar(value: f64) -> Self {
        Self { array: ArrayD::from_elem(IxDyn(&[]), value), integer: true }
    }

    fn reshaped(&self, shape: &[usize]) -> Option<Self> {
        let values: Vec<f64> = self.array.iter().copied().collect();
        Some(Self { array: ArrayD::from_shape_vec(IxDyn(shape), values).ok()?, integer: self.integer })
    }
}
