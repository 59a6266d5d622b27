//! `QuantizeLinear` and `DequantizeLinear` one behind the other: rounding to a grid. Its derivative is that of the identity
//! within the grid's range (the straight-through estimator, Bengio et al. 2013, arXiv:1308.3432).
//!
//! <https://onnx.ai/onnx/operators/onnx__QuantizeLinear.html> (opset 10, 13, 19, 21)

use super::super::site::Site;
use super::{Array, At, Keeps, Made, Operator, array, elements};
use crate::model::DataType;
use crate::model::axes::resolve_axis;
use crate::ops::quantised::range;

pub(super) fn make(site: &Site<'_>) -> Option<Made> {
    let shape = site.shape(0)?.to_vec();
    let scales = elements(site.floats(1)?).to_vec();
    let zeros = site.whole(2).map_or_else(|| vec![0], |(_, values)| values.to_vec());
    let (low, high) = range(site.name(2).and_then(|name| site.constants.type_of(name)).unwrap_or(DataType::Uint8))?;
    let axis = resolve_axis(site.int("axis").unwrap_or(1), shape.len()).unwrap_or(0);
    let inner = shape.get(axis + 1..).unwrap_or_default().iter().product::<usize>().max(1);
    if scales.is_empty() || zeros.is_empty() || scales.len() != zeros.len() && zeros.len() != 1 {
        return None;
    }
    #[allow(clippy::cast_precision_loss, reason = "8 and 16 bits")]
    let grid = |at: usize| {
        let index = at / inner % scales.len();
        let (scale, zero) = (scales[index], zeros[index % zeros.len()]);
        Grid { scale, low: (low - zero) as f32, high: (high - zero) as f32 }
    };
    let grids = (0..inner * scales.len()).step_by(inner).map(grid).collect();
    Some(Made::new(Rounding { grids, inner, shape }, &[0]))
}

/// Multiples of a scale.
#[derive(Debug, Clone, Copy)]
struct Grid {
    scale: f32,
    low: f32,
    high: f32,
}

struct Rounding {
    /// One for all, or one per index of an axis.
    grids: Vec<Grid>,
    /// Numbers of one index of that axis.
    inner: usize,
    shape: Vec<usize>,
}

impl Rounding {
    fn grid(&self, at: usize) -> Grid {
        self.grids[at / self.inner % self.grids.len()]
    }

    fn within(&self, at: &At<'_>, change: &Array) -> Option<Array> {
        let x = elements(at.input(0)?);
        let passed = |(at, (x, change)): (usize, (&f32, &f32))| {
            let Grid { scale, low, high } = self.grid(at);
            if (low..=high).contains(&(x / scale)) { *change } else { 0.0 }
        };
        array(&self.shape, x.iter().zip(elements(change)).enumerate().map(passed).collect())
    }
}

impl Operator for Rounding {
    fn keeps(&self) -> Keeps {
        Keeps::Inputs
    }

    fn forward(&self, inputs: &[&Array], _numbers: &[f32]) -> Option<Array> {
        let rounded = |(at, x): (usize, &f32)| {
            let Grid { scale, low, high } = self.grid(at);
            (x / scale).round_ties_even().clamp(low, high) * scale
        };
        array(&self.shape, elements(inputs.first()?).iter().enumerate().map(rounded).collect())
    }

    fn jvp(&self, at: &At<'_>, tangents: &[Option<&Array>], _step: &[f32]) -> Option<Array> {
        self.within(at, tangents.first().copied().flatten()?)
    }

    fn vjp(&self, at: &At<'_>, cotangent: Array, wanted: &[bool], _gradient: &mut [f32]) -> Vec<Option<Array>> {
        vec![if wanted == [true] { self.within(at, &cotangent) } else { None }]
    }
}
