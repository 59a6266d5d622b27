//! Means, sums, norms and extremes over axes.
//!
//! <https://onnx.ai/onnx/operators/onnx__GlobalAveragePool.html>, `GlobalMaxPool`,
//! <https://onnx.ai/onnx/operators/onnx__ReduceMean.html> (opset 1, 11, 13, 18), `ReduceSum`, `ReduceMax`, `ReduceMin`, `ReduceL1`,
//! `ReduceL2`, `ReduceSumSquare`, `ReduceLogSumExp`

use ndarray::{ArrayD, IxDyn};

use super::super::site::Site;
use super::{Array, At, Keeps, Made, Operator, array, elements};
use crate::model::axes::resolve_axis;

pub(super) fn make(site: &Site<'_>) -> Option<Made> {
    let (input, output) = (site.shape(0)?, site.output_shape(0)?);
    let rank = input.len();
    let kind = match site.node.op_type() {
        "GlobalAveragePool" | "ReduceMean" => Kind::Mean,
        "ReduceSum" => Kind::Sum,
        "ReduceL1" => Kind::L1,
        "ReduceL2" => Kind::L2,
        "ReduceSumSquare" => Kind::SumSquare,
        "ReduceLogSumExp" => Kind::LogSumExp,
        "GlobalMaxPool" | "ReduceMax" => Kind::Extreme(1.0),
        "ReduceMin" => Kind::Extreme(-1.0),
        _ => return None,
    };
    let axes: Vec<usize> = if site.node.op_type().starts_with("Global") {
        (2..rank).collect()
    } else {
        let axes = site.listed("axes", 1, Vec::new)?;
        if axes.is_empty() && site.int("noop_with_empty_axes").unwrap_or(0) != 0 {
            return None;
        }
        let all = || (0..rank).collect();
        let given = || axes.iter().map(|&axis| resolve_axis(axis, rank)).collect::<Option<_>>();
        if axes.is_empty() { all() } else { given()? }
    };
    let kept: Vec<usize> = (0..rank).map(|axis| if axes.contains(&axis) { 1 } else { input[axis] }).collect();
    let count = output.iter().product::<usize>();
    if kept.iter().product::<usize>() != count || count == 0 {
        return None;
    }
    let numbers = ArrayD::from_shape_vec(IxDyn(&kept), (0..u32::try_from(count).ok()?).collect()).ok()?;
    let into: Vec<u32> = numbers.broadcast(IxDyn(input))?.iter().copied().collect();
    let share = count as f32 / into.len().max(1) as f32;
    Some(Made::new(Reduce { into, kind, share, input: input.to_vec(), output: output.to_vec() }, &[0]))
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    Mean,
    Sum,
    L1,
    L2,
    SumSquare,
    LogSumExp,
    /// The largest (1) or the smallest (-1); the first of equals.
    Extreme(f32),
}

struct Reduce {
    /// For every input the output that it goes into.
    into: Vec<u32>,
    kind: Kind,
    /// Of one number in a mean.
    share: f32,
    input: Vec<usize>,
    output: Vec<usize>,
}

impl Reduce {
    fn sums(&self, terms: impl Iterator<Item = f32>) -> Vec<f32> {
        let mut out = vec![0.0; self.output.iter().product()];
        for (value, &index) in terms.zip(&self.into) {
            out[index as usize] += value;
        }
        out
    }

    /// For every output the index of the number that it takes.
    fn extremes(&self, sign: f32, x: &[f32]) -> Vec<u32> {
        let mut best = vec![u32::MAX; self.output.iter().product()];
        for ((at, value), &index) in (0..).zip(x).zip(&self.into) {
            let own = &mut best[index as usize];
            if *own == u32::MAX || sign * value > sign * x[*own as usize] {
                *own = at;
            }
        }
        best
    }

    /// The largest (1) or smallest (-1) number of every output.
    fn extreme(&self, sign: f32, x: &[f32]) -> Vec<f32> {
        self.extremes(sign, x).iter().map(|&at| x.get(at as usize).copied().unwrap_or(0.0)).collect()
    }

    fn values(&self, x: &[f32]) -> Vec<f32> {
        match self.kind {
            Kind::Mean => self.sums(x.iter().map(|x| x * self.share)),
            Kind::Sum => self.sums(x.iter().copied()),
            Kind::L1 => self.sums(x.iter().map(|x| x.abs())),
            Kind::SumSquare => self.sums(x.iter().map(|x| x * x)),
            Kind::L2 => self.sums(x.iter().map(|x| x * x)).into_iter().map(f32::sqrt).collect(),
            Kind::Extreme(sign) => self.extreme(sign, x),
            Kind::LogSumExp => {
                let most = self.extreme(1.0, x);
                let terms = x.iter().zip(&self.into).map(|(x, &index)| (x - most[index as usize]).exp());
                self.sums(terms).iter().zip(&most).map(|(sum, most)| sum.ln() + most).collect()
            }
        }
    }

    /// How much the output changes with each number.
    fn slopes(&self, x: Option<&[f32]>) -> Option<Vec<f32>> {
        let share = |own: f32| vec![own; self.into.len()];
        let by_output = |slope: &dyn Fn(f32, f32) -> f32, x: &[f32]| -> Vec<f32> {
            let y = self.values(x);
            x.iter().zip(&self.into).map(|(x, &index)| slope(*x, y[index as usize])).collect()
        };
        Some(match self.kind {
            Kind::Mean => share(self.share),
            Kind::Sum => share(1.0),
            Kind::L1 => x?.iter().map(|x| if *x < 0.0 { -1.0 } else { 1.0 }).collect(),
            Kind::SumSquare => x?.iter().map(|x| 2.0 * x).collect(),
            Kind::L2 => by_output(&|x, y| if y > 0.0 { x / y } else { 0.0 }, x?),
            Kind::LogSumExp => by_output(&|x, y| (x - y).exp(), x?),
            Kind::Extreme(sign) => {
                let mut slopes = share(0.0);
                for at in self.extremes(sign, x?) {
                    if let Some(slope) = slopes.get_mut(at as usize) {
                        *slope = 1.0;
                    }
                }
                slopes
            }
        })
    }
}

impl Operator for Reduce {
    fn keeps(&self) -> Keeps {
        if matches!(self.kind, Kind::Mean | Kind::Sum) { Keeps::Nothing } else { Keeps::Inputs }
    }

    fn forward(&self, inputs: &[&Array], _numbers: &[f32]) -> Option<Array> {
        array(&self.output, self.values(elements(inputs.first()?)))
    }

    fn jvp(&self, at: &At<'_>, tangents: &[Option<&Array>], _step: &[f32]) -> Option<Array> {
        let tangent = tangents.first().copied().flatten()?;
        let slopes = self.slopes(at.input(0).map(elements))?;
        array(&self.output, self.sums(elements(tangent).iter().zip(&slopes).map(|(change, slope)| change * slope)))
    }

    fn vjp(&self, at: &At<'_>, cotangent: Array, wanted: &[bool], _gradient: &mut [f32]) -> Vec<Option<Array>> {
        let (up, slopes) = (elements(&cotangent), self.slopes(at.input(0).map(elements)));
        let (Some(slopes), [true]) = (slopes, wanted) else { return vec![None] };
        let out = slopes.iter().zip(&self.into).map(|(slope, &index)| slope * up[index as usize]).collect();
        vec![array(&self.input, out)]
    }
}
