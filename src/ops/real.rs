//! Weights as real numbers, through the operators between where they are stored and who reads them: `Identity`, `Cast`,
//! `Transpose`, and `DequantizeLinear` of stored integers.

use super::constant::{ConstantId, Constants, content, put, put_floats};
use super::quantised::Quantisation;
use crate::model::axes::{is_permutation, sizes};
use crate::model::node::is_onnx;
use crate::model::{DataType, Model, TensorData};

/// Longest way from a constant to its reader.
const MOST_STEPS: usize = 8;

/// A constant as its reader sees it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct RealWeight {
    id: ConstantId,
    /// From the reader back to the constant.
    via: Vec<Via>,
    /// Whether nobody else reads it, or what it is made of on the way.
    pub(crate) alone: bool,
    /// Element type of the value that is read.
    pub(crate) dtype: DataType,
    /// Shape and numbers of the value that is read.
    pub(crate) dims: Vec<usize>,
    pub(crate) values: Vec<f32>,
}

/// An operator on the way.
#[derive(Debug, Clone, PartialEq)]
enum Via {
    /// Another element type.
    Cast,
    /// Axes in another order.
    Transpose(Vec<usize>),
    /// Index of a `DequantizeLinear` node.
    Dequantize(usize),
}

/// The way from a reader back to the constant.
struct Way {
    id: ConstantId,
    via: Vec<Via>,
    own: bool,
    /// Element type that the last operator gives, if it gives another one.
    dtype: Option<DataType>,
}

impl Way {
    fn of(model: &Model, constants: &Constants, first: &str) -> Option<Self> {
        let (mut via, mut own, mut dtype, mut name) = (Vec::new(), true, None, first);
        loop {
            own &= name == first || constants.readers(name) == 1;
            if let Some(id) = constants.find(name) {
                return Some(Self { id, via, own, dtype });
            }
            let at = constants.made_by(name).filter(|_| via.len() < MOST_STEPS)?;
            let node = &model.graph().node[at];
            match node.op_type() {
                "Identity" => {}
                "Cast" => {
                    dtype = dtype.or(DataType::try_from(i32::try_from(node.int("to")?).ok()?).ok());
                    via.push(Via::Cast);
                }
                "Transpose" => {
                    let perm = node.ints("perm").map(<[i64]>::to_vec);
                    via.push(Via::Transpose(sizes(&perm.unwrap_or_default())?));
                }
                "DequantizeLinear" => {
                    let scale = constants.data(model, node.input.get(1)?)?;
                    dtype = dtype.or(Some(scale.dtype));
                    via.push(Via::Dequantize(at));
                }
                _ => return None,
            }
            name = node.input.first()?;
        }
    }
}

/// The permutation of a `Transpose`: without one the axes are reversed.
fn order(perm: &[usize], rank: usize) -> Vec<usize> {
    if perm.is_empty() { (0..rank).rev().collect() } else { perm.to_vec() }
}

impl RealWeight {
    /// The constant behind a value; `None` if it is computed otherwise, or not of numbers.
    pub(crate) fn of(model: &Model, constants: &Constants, name: &str) -> Option<Self> {
        let Way { id, via, own, dtype } = Way::of(model, constants, name)?;
        let stored = content(model, id).ok()??;
        let dtype = dtype.unwrap_or(stored.dtype);
        let alone = own && constants.readers(name) == 1;
        let mut weight = Self { id, via, alone, dtype, dims: stored.dims.clone(), values: Vec::new() };
        weight.values = match weight.via.last() {
            Some(Via::Dequantize(at)) => weight.quantisation(model, *at)?.real(&stored)?,
            _ => stored.to_f32()?,
        };
        for step in weight.via.clone().iter().rev() {
            if let Via::Transpose(perm) = step {
                weight.transpose(&order(perm, weight.dims.len()))?;
            }
        }
        Some(weight)
    }

    /// Whether there is a constant behind a value of which nobody else reads what is made of it on the way. The value
    /// itself may have several readers.
    pub(crate) fn is_own(model: &Model, constants: &Constants, name: &str) -> bool {
        Way::of(model, constants, name).is_some_and(|way| way.own)
    }

    /// Step of every element, and the largest integer in use, of a weight that is stored in 8-bit integers about zero and
    /// read as it is stored.
    pub(crate) fn grid(&self, model: &Model) -> Option<(Vec<f32>, f32)> {
        let &[Via::Dequantize(node)] = &self.via[..] else { return None };
        let stored = content(model, self.id).ok()??;
        let quantisation = self.quantisation(model, node)?;
        let centred =
            stored.dtype == DataType::Int8 && (0..stored.len()).all(|at| quantisation.zero(&self.dims, at) == 0);
        let most = stored.to_i64()?.into_iter().map(i64::abs).max().filter(|_| centred)?;
        #[allow(clippy::cast_precision_loss, reason = "8 bits")]
        let most = most.min(127) as f32;
        Some(((0..stored.len()).map(|at| quantisation.scale(&self.dims, at)).collect(), most))
    }

    fn quantisation(&self, model: &Model, node: usize) -> Option<Quantisation> {
        Quantisation::of(model, &model.graph().node[node], 0, self.dims.len())
    }

    fn transpose(&mut self, perm: &[usize]) -> Option<()> {
        let array = ndarray::ArrayD::from_shape_vec(self.dims.clone(), std::mem::take(&mut self.values)).ok()?;
        if !is_permutation(perm, array.ndim()) {
            return None;
        }
        let moved = array.permuted_axes(perm.to_vec());
        self.dims = moved.shape().to_vec();
        self.values = moved.iter().copied().collect();
        Some(())
    }

    /// Stores other numbers, as many as there are; false if that cannot be.
    pub(crate) fn put(&self, model: &mut Model, values: &[f32]) -> bool {
        let mut own = Self { values: values.to_vec(), ..self.clone() };
        if values.len() != self.values.len() {
            return false;
        }
        for step in &self.via {
            match step {
                Via::Cast => {}
                Via::Transpose(perm) => {
                    let mut back = vec![0; own.dims.len()];
                    order(perm, back.len()).iter().enumerate().for_each(|(to, &from)| back[from] = to);
                    if own.transpose(&back).is_none() {
                        return false;
                    }
                }
                Via::Dequantize(node) => return own.quantise(model, *node).is_some(),
            }
        }
        put_floats(model, self.id, &own.values)
    }

    /// Adds to the numbers.
    #[allow(clippy::cast_possible_truncation, reason = "weights are stored in single precision")]
    pub(crate) fn add<T: Copy + Into<f64>>(&self, model: &mut Model, more: &[T]) -> bool {
        let sum = self.values.iter().zip(more).map(|(value, more)| (f64::from(*value) + (*more).into()) as f32);
        let sum: Vec<f32> = sum.collect();
        sum.len() == self.values.len() && self.put(model, &sum)
    }

    /// Stores the numbers as integers. A scale that is too small for them, and that nobody else reads, grows.
    fn quantise(&self, model: &mut Model, node: usize) -> Option<()> {
        let old = content(model, self.id).ok()??;
        let mut quantisation = self.quantisation(model, node)?;
        let scale = model.graph().node[node].input.get(1)?.clone();
        let constants = Constants::of(model.graph());
        if let Some(id) = constants.read_once(&scale)
            && quantisation.widen(&self.dims, &self.values, old.dtype)
        {
            put_floats(model, id, quantisation.scales());
        }
        let data =
            TensorData { dims: self.dims.clone(), ..quantisation.integers(&self.dims, &self.values, old.dtype)? };
        put(model, self.id, &data);
        Some(())
    }
}

/// Whether a value may be a constant that is only stored in another way.
pub(super) fn passes(node: &crate::proto::onnx::NodeProto) -> bool {
    is_onnx(node) && matches!(node.op_type(), "Identity" | "Cast" | "Transpose" | "DequantizeLinear")
}
