//! Functions of several arrays at the same place, with broadcasting; any of them may be constant.
//!
//! <https://onnx.ai/onnx/operators/onnx__Add.html>, Sub, Mul, Div (opset 7, 13, 14), Pow, Max, Min, Sum, Mean, Where,
//! `PRelu`; broadcasting: <https://onnx.ai/onnx/repo-docs/Broadcasting.html>

use ndarray::{ArrayD, IxDyn};

use super::super::site::Site;
use super::spread::{Runs, Spread, combine, run_length};
use super::{Array, At, Keeps, Made, Operator, array, elements};
use crate::ops::vector;

pub(super) fn make(site: &Site<'_>) -> Option<Made> {
    let output = site.output_shape(0)?;
    let count = site.node.input.len();
    let (kind, operands): (Kind, Vec<usize>) = match site.node.op_type() {
        "Add" => (Kind::Sum(vec![1.0; 2]), vec![0, 1]),
        "Sub" => (Kind::Sum(vec![1.0, -1.0]), vec![0, 1]),
        "Sum" => (Kind::Sum(vec![1.0; count]), (0..count).collect()),
        "Mean" => (Kind::Sum(vec![1.0 / count.max(1) as f32; count]), (0..count).collect()),
        "Mul" => (Kind::Product, vec![0, 1]),
        "Div" => (Kind::Quotient, vec![0, 1]),
        "Pow" => (Kind::Power, vec![0, 1]),
        "Max" => (Kind::Extreme(1.0), (0..count).collect()),
        "Min" => (Kind::Extreme(-1.0), (0..count).collect()),
        "PRelu" => (Kind::Rectified, vec![0, 1]),
        "Where" => (Kind::Chosen(condition(site, output)?), vec![1, 2]),
        _ => return None,
    };
    let shapes: Vec<&[usize]> = operands
        .iter()
        .map(|&input| site.shape(input).or(site.floats(input).map(Array::shape)))
        .collect::<Option<_>>()?;
    let run = run_length(&shapes, output).max(1);
    let side = |(&input, &shape): (&usize, &&[usize])| {
        let runs = if shape == output { None } else { Some(Runs::new(shape, output, run)?) };
        Some(Side { constant: site.floats(input).cloned(), shape: shape.to_vec(), runs })
    };
    let sides: Vec<Side> = operands.iter().zip(&shapes).map(side).collect::<Option<_>>()?;
    let inputs: Vec<usize> =
        operands.iter().zip(&sides).filter(|(_, side)| side.constant.is_none()).map(|(&input, _)| input).collect();
    (!inputs.is_empty()).then(|| Made::new(Elementwise { kind, sides, run, output: output.to_vec() }, &inputs))
}

/// The condition of `Where` for every output, where it does not depend on the images.
fn condition(site: &Site<'_>, output: &[usize]) -> Option<Vec<bool>> {
    let (shape, values) = site.whole(0)?;
    let values = ArrayD::from_shape_vec(IxDyn(shape), values.to_vec()).ok()?;
    Some(values.broadcast(IxDyn(output))?.iter().map(|&value| value != 0).collect())
}

#[derive(Debug, Clone, PartialEq)]
enum Kind {
    /// The operands with these factors.
    Sum(Vec<f32>),
    Product,
    Quotient,
    Power,
    /// The largest (1) or the smallest (-1); the first of equals.
    Extreme(f32),
    /// The first where it is true, else the second.
    Chosen(Vec<bool>),
    /// The first, times the second where it is negative.
    Rectified,
}

struct Side {
    constant: Option<Array>,
    shape: Vec<usize>,
    /// Where it is spread.
    runs: Option<Runs>,
}

struct Elementwise {
    kind: Kind,
    sides: Vec<Side>,
    /// Outputs of a run.
    run: usize,
    output: Vec<usize>,
}

/// How much the outputs change with one operand.
enum Slope<'a> {
    Factor(f32),
    Other(Spread<'a>),
    Each(Vec<f32>),
}

impl Elementwise {
    /// Values of all operands; run-time ones are taken from `given` in order, `None` where they were not kept, since no slope asks
    /// for them.
    fn all<'a>(&'a self, given: &[Option<&'a Array>]) -> Vec<Option<Spread<'a>>> {
        let mut given = given.iter();
        let values = |side: &'a Side| match &side.constant {
            Some(constant) => Some(elements(constant)),
            None => given.next().copied().flatten().map(elements),
        };
        let values: Vec<_> = self.sides.iter().map(values).collect();
        values.into_iter().zip(&self.sides).map(|(own, side)| Some(side.spread(own?))).collect()
    }

    /// A function of two operands at every output.
    fn combine(&self, left: Spread<'_>, right: Spread<'_>, f: impl Fn(f32, f32) -> f32 + Copy) -> Vec<f32> {
        combine([left, right], (self.run, self.size()), f)
    }

    /// An operand beside every output.
    fn expanded(&self, own: Spread<'_>) -> Vec<f32> {
        self.combine(own, own, |own, _| own)
    }

    fn values(&self, all: &[Spread<'_>]) -> Option<Vec<f32>> {
        let (&first, others) = all.split_first()?;
        let Some((&second, others)) = others.split_first() else { return self.alone(first) };
        Some(match &self.kind {
            Kind::Sum(factors) => {
                let (one, two) = (factors[0], factors[1]);
                let mut sums = self.combine(first, second, |a, b| one * a + two * b);
                for (&own, &factor) in others.iter().zip(&factors[2..]) {
                    sums = self.combine(Spread::whole(&sums), own, |sum, value| sum + factor * value);
                }
                sums
            }
            Kind::Product => self.combine(first, second, |a, b| a * b),
            Kind::Quotient => self.combine(first, second, |a, b| a / b),
            Kind::Power => self.combine(first, second, f32::powf),
            Kind::Extreme(sign) => {
                let better = |best: f32, own: f32| if sign * own > sign * best { own } else { best };
                let mut best = self.combine(first, second, better);
                for &own in others {
                    best = self.combine(Spread::whole(&best), own, better);
                }
                best
            }
            Kind::Chosen(condition) => self.chosen(condition, [first, second]),
            Kind::Rectified => self.combine(first, second, |a, b| if a > 0.0 { a } else { a * b }),
        })
    }

    /// The value of one operand alone: only some operators take so few.
    fn alone(&self, own: Spread<'_>) -> Option<Vec<f32>> {
        let mut values = self.expanded(own);
        match &self.kind {
            Kind::Sum(factors) => vector::replace(&mut values, |own| factors[0] * own),
            Kind::Extreme(_) => {}
            _ => return None,
        }
        Some(values)
    }

    fn chosen(&self, condition: &[bool], sides: [Spread<'_>; 2]) -> Vec<f32> {
        let [yes, no] = sides.map(|own| self.expanded(own));
        let pairs = yes.into_iter().zip(no).zip(condition);
        pairs.map(|((yes, no), &condition)| if condition { yes } else { no }).collect()
    }

    /// How much every output changes with one operand; `None` where an operand is missing that says so.
    fn slope<'a>(&self, side: usize, all: &[Option<Spread<'a>>]) -> Option<Slope<'a>> {
        let pair = |f: &dyn Fn(Spread<'a>, Spread<'a>) -> Vec<f32>| Some(Slope::Each(f(all[0]?, all[1]?)));
        match (&self.kind, side) {
            (Kind::Sum(factors), _) => Some(Slope::Factor(factors[side])),
            (Kind::Product, _) => Some(Slope::Other(all[1 - side]?)),
            (Kind::Quotient, 0) => {
                let below = all[1]?;
                Some(Slope::Each(self.combine(below, below, |own, _| 1.0 / own)))
            }
            (Kind::Quotient, _) => pair(&|a, b| self.combine(a, b, |a, b| -a / (b * b))),
            (Kind::Power, 0) => pair(&|a, b| self.combine(a, b, |a, b| b * a.powf(b - 1.0))),
            (Kind::Power, _) => pair(&|a, b| self.combine(a, b, |a, b| a.powf(b) * a.ln())),
            (Kind::Extreme(sign), _) => {
                let all: Vec<Spread<'_>> = all.iter().copied().collect::<Option<_>>()?;
                Some(Slope::Each(self.is_extreme(side, *sign, &all)))
            }
            (Kind::Chosen(condition), _) => {
                let own = |&condition: &bool| f32::from(u8::from(condition == (side == 0)));
                Some(Slope::Each(condition.iter().map(own).collect()))
            }
            (Kind::Rectified, 0) => pair(&|a, b| self.combine(a, b, |a, b| if a > 0.0 { 1.0 } else { b })),
            (Kind::Rectified, _) => pair(&|a, b| self.combine(a, b, |a, _| a.min(0.0))),
        }
    }

    /// 1 where an operand is the largest or smallest, the first of equals, else 0.
    fn is_extreme(&self, side: usize, sign: f32, all: &[Spread<'_>]) -> Vec<f32> {
        let mut found = vec![1.0; self.size()];
        for (other, &values) in all.iter().enumerate().filter(|(other, _)| *other != side) {
            let wins = |own: f32, other_value: f32| {
                let (own, other_value) = (sign * own, sign * other_value);
                f32::from(u8::from(own > other_value || side < other && own >= other_value))
            };
            let wins = self.combine(all[side], values, wins);
            vector::update(&mut found, &wins, |found, wins| *found *= wins);
        }
        found
    }

    /// What every output changes by with one operand's change.
    fn times_slope(&self, side: usize, all: &[Option<Spread<'_>>], change: Spread<'_>) -> Option<Vec<f32>> {
        Some(match self.slope(side, all)? {
            Slope::Factor(factor) => self.combine(change, change, |own, _| factor * own),
            Slope::Other(other) => self.combine(change, other, |own, other| own * other),
            Slope::Each(slopes) => self.combine(change, Spread::whole(&slopes), |own, slope| own * slope),
        })
    }

    /// The factors of the run-time operands, where it is a sum of which none is spread.
    fn plain_sum(&self) -> Option<Vec<f32>> {
        let Kind::Sum(factors) = &self.kind else { return None };
        let factor = |side: usize| self.sides[side].runs.is_none().then_some(factors[side]);
        self.runtime().map(factor).collect()
    }

    fn runtime(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.sides.len()).filter(|&side| self.sides[side].constant.is_none())
    }

    fn size(&self) -> usize {
        self.output.iter().product()
    }
}

impl Side {
    fn spread<'a>(&'a self, values: &'a [f32]) -> Spread<'a> {
        Spread { values, runs: self.runs.as_ref() }
    }

    /// Sums of what the outputs give to each element of the operand.
    fn collect(&self, given: Vec<f32>, run: usize) -> Option<Array> {
        let Some(runs) = &self.runs else { return array(&self.shape, given) };
        array(&self.shape, runs.sums(&given, run, self.shape.iter().product()))
    }
}

impl Operator for Elementwise {
    fn keeps(&self) -> Keeps {
        let others_constant = self.runtime().count() == 1;
        let linear = match self.kind {
            Kind::Sum(_) | Kind::Chosen(_) => true,
            Kind::Product => others_constant,
            Kind::Quotient => self.sides[1].constant.is_some(),
            Kind::Power | Kind::Extreme(_) | Kind::Rectified => false,
        };
        if linear { Keeps::Nothing } else { Keeps::Inputs }
    }

    fn forward(&self, inputs: &[&Array], _numbers: &[f32]) -> Option<Array> {
        let given: Vec<Option<&Array>> = inputs.iter().copied().map(Some).collect();
        let all: Vec<Spread<'_>> = self.all(&given).into_iter().collect::<Option<_>>()?;
        array(&self.output, self.values(&all)?)
    }

    fn jvp(&self, at: &At<'_>, tangents: &[Option<&Array>], _step: &[f32]) -> Option<Array> {
        let all = self.all(&at.inputs);
        let mut out: Option<Vec<f32>> = None;
        for (side, tangent) in self.runtime().zip(tangents) {
            let Some(tangent) = tangent.map(elements) else { continue };
            let part = self.times_slope(side, &all, self.sides[side].spread(tangent))?;
            match &mut out {
                Some(sums) => vector::update(sums, &part, |sum, part| *sum += part),
                None => out = Some(part),
            }
        }
        array(&self.output, out?)
    }

    fn vjp(&self, at: &At<'_>, cotangent: Array, wanted: &[bool], _gradient: &mut [f32]) -> Vec<Option<Array>> {
        if let Some(factors) = self.plain_sum() {
            return shares(&factors, cotangent, wanted);
        }
        let (all, up) = (self.all(&at.inputs), Spread::whole(elements(&cotangent)));
        let give = |(side, &wanted): (usize, &bool)| {
            let given = if wanted { self.times_slope(side, &all, up)? } else { return None };
            self.sides[side].collect(given, self.run)
        };
        self.runtime().zip(wanted).map(give).collect()
    }
}

/// The cotangent times every factor that is wanted; the last of them takes its memory.
fn shares(factors: &[f32], cotangent: Array, wanted: &[bool]) -> Vec<Option<Array>> {
    let last = wanted.iter().rposition(|&wanted| wanted);
    let mut left = Some(cotangent);
    let scaled = |mut own: Array, factor: f32| {
        if factor.to_bits() != 1.0f32.to_bits() {
            own.mapv_inplace(|value| factor * value);
        }
        own
    };
    let share = |(side, (&factor, &wanted)): (usize, (&f32, &bool))| {
        let own = if Some(side) == last { left.take() } else { left.as_ref().filter(|_| wanted).cloned() };
        own.map(|own| scaled(own, factor))
    };
    factors.iter().zip(wanted).enumerate().map(share).collect()
}
