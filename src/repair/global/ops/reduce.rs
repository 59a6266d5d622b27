//! Means, sums, norms and extremes over axes.
//!
//! <https://onnx.ai/onnx/operators/onnx__GlobalAveragePool.html>, `GlobalMaxPool`,
//! <https://onnx.ai/onnx/operators/onnx__ReduceMean.html> (opset 1, 11, 13, 18), `ReduceSum`, `ReduceMax`, `ReduceMin`, `ReduceL1`,
//! `ReduceL2`, `ReduceSumSquare`, `ReduceLogSumExp`

use super::super::site::Site;
use super::spread::{Runs, Spread, combine, run_length};
use super::{Array, At, Keeps, Made, Operator, array, elements};
use crate::model::axes::resolve_axis;
use crate::ops::vector;

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
    let run = run_length(&[&kept], input).max(1);
    let runs = Runs::new(&kept, input, run)?;
    let share = count as f32 / input.iter().product::<usize>().max(1) as f32;
    Some(Made::new(Reduce { runs, run, kind, share, input: input.to_vec(), output: output.to_vec() }, &[0]))
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
    /// How the output is spread to the input's shape.
    runs: Runs,
    /// Inputs of a run.
    run: usize,
    kind: Kind,
    /// Of one number in a mean.
    share: f32,
    input: Vec<usize>,
    output: Vec<usize>,
}

/// How much the outputs change with each number.
enum Slopes {
    All(f32),
    Each(Vec<f32>),
}

impl Reduce {
    fn sums(&self, terms: &[f32]) -> Vec<f32> {
        self.runs.sums(terms, self.run, self.output.iter().product())
    }

    /// A function of every number and the output that it goes into.
    fn beside(&self, x: &[f32], y: &[f32], f: impl Fn(f32, f32) -> f32 + Copy) -> Vec<f32> {
        let y = Spread { values: y, runs: Some(&self.runs) };
        combine([Spread::whole(x), y], (self.run, self.input.iter().product()), f)
    }

    /// For every output the index of the number that it takes.
    fn extremes(&self, sign: f32, x: &[f32]) -> Vec<usize> {
        let mut best = vec![usize::MAX; self.output.iter().product()];
        for (run, numbers) in x.chunks_exact(self.run).enumerate() {
            for (at, value) in numbers.iter().enumerate() {
                let own = &mut best[self.runs.place(run, at)];
                if *own == usize::MAX || sign * value > sign * x[*own] {
                    *own = run * self.run + at;
                }
            }
        }
        best
    }

    /// The largest (1) or smallest (-1) number of every output.
    fn extreme(&self, sign: f32, x: &[f32]) -> Vec<f32> {
        self.extremes(sign, x).iter().map(|&at| x.get(at).copied().unwrap_or(0.0)).collect()
    }

    fn values(&self, x: &[f32]) -> Vec<f32> {
        let squares = || self.sums(&vector::map(x, |x| x * x));
        match self.kind {
            Kind::Mean => vector::map(&self.sums(x), |sum| sum * self.share),
            Kind::Sum => self.sums(x),
            Kind::L1 => self.sums(&vector::map(x, f32::abs)),
            Kind::SumSquare => squares(),
            Kind::L2 => vector::map(&squares(), f32::sqrt),
            Kind::Extreme(sign) => self.extreme(sign, x),
            Kind::LogSumExp => {
                let most = self.extreme(1.0, x);
                let terms = self.beside(x, &most, |x, most| (x - most).exp());
                vector::zip(&self.sums(&terms), &most, |sum, most| sum.ln() + most)
            }
        }
    }

    /// `None` where the numbers are missing that say so.
    fn slopes(&self, x: Option<&[f32]>) -> Option<Slopes> {
        Some(Slopes::Each(match self.kind {
            Kind::Mean => return Some(Slopes::All(self.share)),
            Kind::Sum => return Some(Slopes::All(1.0)),
            Kind::L1 => vector::map(x?, |x| if x < 0.0 { -1.0 } else { 1.0 }),
            Kind::SumSquare => vector::map(x?, |x| 2.0 * x),
            Kind::L2 => self.beside(x?, &self.values(x?), |x, y| if y > 0.0 { x / y } else { 0.0 }),
            Kind::LogSumExp => self.beside(x?, &self.values(x?), |x, y| (x - y).exp()),
            Kind::Extreme(sign) => {
                let mut slopes = vec![0.0; x?.len()];
                for at in self.extremes(sign, x?) {
                    if let Some(slope) = slopes.get_mut(at) {
                        *slope = 1.0;
                    }
                }
                slopes
            }
        }))
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
        let sums = match self.slopes(at.input(0).map(elements))? {
            Slopes::All(slope) => vector::map(&self.sums(elements(tangent)), |sum| slope * sum),
            Slopes::Each(slopes) => self.sums(&vector::zip(elements(tangent), &slopes, |change, slope| change * slope)),
        };
        array(&self.output, sums)
    }

    fn vjp(&self, at: &At<'_>, cotangent: Array, wanted: &[bool], _gradient: &mut [f32]) -> Vec<Option<Array>> {
        let (up, slopes) = (elements(&cotangent), self.slopes(at.input(0).map(elements)));
        let (Some(slopes), [true]) = (slopes, wanted) else { return vec![None] };
        let out = match slopes {
            Slopes::All(slope) => {
                let up = Spread { values: up, runs: Some(&self.runs) };
                combine([up, up], (self.run, self.input.iter().product()), |up, _| slope * up)
            }
            Slopes::Each(slopes) => self.beside(&slopes, up, |slope, up| slope * up),
        };
        vec![array(&self.input, out)]
    }
}
