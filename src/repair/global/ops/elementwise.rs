//! Functions of several arrays at the same place, with broadcasting; any of them may be constant.
//!
//! <https://onnx.ai/onnx/operators/onnx__Add.html>, Sub, Mul, Div (opset 7, 13, 14), Pow, Max, Min, Sum, Mean, Where,
//! `PRelu`; broadcasting: <https://onnx.ai/onnx/repo-docs/Broadcasting.html>

use ndarray::{ArrayD, IxDyn};

use super::super::site::Site;
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
    let side = |&input: &usize| {
        let constant = site.floats(input);
        let shape = site.shape(input).or(constant.map(Array::shape))?;
        let map = if shape == output { None } else { Some(spread(shape, output)?) };
        Some(Side { constant: constant.cloned(), shape: shape.to_vec(), map })
    };
    let sides: Vec<Side> = operands.iter().map(side).collect::<Option<_>>()?;
    let inputs: Vec<usize> =
        operands.iter().zip(&sides).filter(|(_, side)| side.constant.is_none()).map(|(&input, _)| input).collect();
    (!inputs.is_empty()).then(|| Made::new(Elementwise { kind, sides, output: output.to_vec() }, &inputs))
}

/// The condition of `Where` for every output, where it does not depend on the images.
fn condition(site: &Site<'_>, output: &[usize]) -> Option<Vec<bool>> {
    let (shape, values) = site.whole(0)?;
    let values = ArrayD::from_shape_vec(IxDyn(shape), values.to_vec()).ok()?;
    Some(values.broadcast(IxDyn(output))?.iter().map(|&value| value != 0).collect())
}

/// For every output the index of the operand that is spread to it.
pub(super) fn spread(shape: &[usize], output: &[usize]) -> Option<Vec<u32>> {
    let count = u32::try_from(shape.iter().product::<usize>()).ok()?;
    let indices = ArrayD::from_shape_vec(IxDyn(shape), (0..count).collect()).ok()?;
    Some(indices.broadcast(IxDyn(output))?.iter().copied().collect())
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
    map: Option<Vec<u32>>,
}

impl Side {
    /// The operand at an output; 0 where its values were not kept, since the slope does not ask for them.
    fn at(&self, values: &[f32], output: usize) -> f32 {
        let index = self.map.as_ref().map_or(output, |map| map[output] as usize);
        values.get(index).copied().unwrap_or(0.0)
    }

    /// Sums of what the outputs give to each element of the operand.
    fn collect(&self, size: usize, give: impl Fn(usize) -> f32) -> Option<Array> {
        let Some(map) = &self.map else { return array(&self.shape, (0..size).map(give).collect()) };
        let mut out = vec![0.0; self.shape.iter().product()];
        for (index, &place) in map.iter().enumerate() {
            out[place as usize] += give(index);
        }
        array(&self.shape, out)
    }
}

struct Elementwise {
    kind: Kind,
    sides: Vec<Side>,
    output: Vec<usize>,
}

impl Elementwise {
    /// Values of all operands; run-time ones are taken from `given` in order, empty where they are missing.
    fn all<'a>(&'a self, given: &[Option<&'a Array>]) -> Vec<&'a [f32]> {
        let mut given = given.iter();
        let own = |side: &'a Side| match &side.constant {
            Some(constant) => Some(elements(constant)),
            None => given.next().copied().flatten().map(elements),
        };
        self.sides.iter().map(own).map(Option::unwrap_or_default).collect()
    }

    fn value(&self, all: &[&[f32]], output: usize) -> f32 {
        let at = |side: usize| self.sides[side].at(all[side], output);
        match &self.kind {
            Kind::Sum(factors) => factors.iter().enumerate().map(|(side, factor)| factor * at(side)).sum(),
            Kind::Product => at(0) * at(1),
            Kind::Quotient => at(0) / at(1),
            Kind::Power => at(0).powf(at(1)),
            Kind::Extreme(_) => at(self.extreme(all, output)),
            Kind::Chosen(condition) => at(usize::from(!condition[output])),
            Kind::Rectified => at(0) * if at(0) > 0.0 { 1.0 } else { at(1) },
        }
    }

    /// The operand that is the largest or smallest.
    fn extreme(&self, all: &[&[f32]], output: usize) -> usize {
        let Kind::Extreme(sign) = self.kind else { return 0 };
        let at = |side: usize| sign * self.sides[side].at(all[side], output);
        (1..self.sides.len()).fold(0, |best, side| if at(side) > at(best) { side } else { best })
    }

    /// How much an output changes with one operand.
    fn slope(&self, side: usize, all: &[&[f32]], output: usize) -> f32 {
        let at = |side: usize| self.sides[side].at(all[side], output);
        match (&self.kind, side) {
            (Kind::Sum(factors), _) => factors[side],
            (Kind::Product, _) => at(1 - side),
            (Kind::Quotient, 0) => 1.0 / at(1),
            (Kind::Quotient, _) => -at(0) / (at(1) * at(1)),
            (Kind::Power, 0) => at(1) * at(0).powf(at(1) - 1.0),
            (Kind::Power, _) => at(0).powf(at(1)) * at(0).ln(),
            (Kind::Extreme(_), _) => f32::from(u8::from(self.extreme(all, output) == side)),
            (Kind::Chosen(condition), _) => f32::from(u8::from(condition[output] == (side == 0))),
            (Kind::Rectified, 0) => {
                if at(0) > 0.0 {
                    1.0
                } else {
                    at(1)
                }
            }
            (Kind::Rectified, _) => at(0).min(0.0),
        }
    }

    /// The slopes times a change, where neither is spread; what networks do most is done without a look at each number.
    fn times_slope(&self, side: usize, all: &[&[f32]], change: &[f32]) -> Option<Vec<f32>> {
        let whole = |side: usize| self.sides[side].map.is_none();
        match &self.kind {
            Kind::Sum(factors) if whole(side) => {
                let factor = factors[side];
                Some(vector::map(change, |value| factor * value))
            }
            Kind::Product if whole(0) && whole(1) => {
                Some(vector::zip(change, all[1 - side], |value, other| value * other))
            }
            _ => None,
        }
    }

    /// The factors of the run-time operands, where it is a sum of which none is spread.
    fn plain_sum(&self) -> Option<Vec<f32>> {
        let Kind::Sum(factors) = &self.kind else { return None };
        let factor = |side: usize| self.sides[side].map.is_none().then_some(factors[side]);
        self.runtime().map(factor).collect()
    }

    fn runtime(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.sides.len()).filter(|&side| self.sides[side].constant.is_none())
    }

    fn size(&self) -> usize {
        self.output.iter().product()
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
        let all = self.all(&given);
        if let (Kind::Sum(factors), [left, right]) = (&self.kind, &self.sides[..])
            && left.map.is_none()
            && right.map.is_none()
        {
            let (first, second) = (factors[0], factors[1]);
            return array(&self.output, vector::zip(all[0], all[1], |a, b| first * a + second * b));
        }
        array(&self.output, (0..self.size()).map(|output| self.value(&all, output)).collect())
    }

    fn jvp(&self, at: &At<'_>, tangents: &[Option<&Array>], _step: &[f32]) -> Option<Array> {
        let all = self.all(&at.inputs);
        let mut out: Option<Vec<f32>> = None;
        for (side, tangent) in self.runtime().zip(tangents) {
            let Some(tangent) = tangent.map(elements) else { continue };
            let own = &self.sides[side];
            if let Some(part) = self.times_slope(side, &all, tangent) {
                match &mut out {
                    Some(sums) => vector::update(sums, &part, |sum, part| *sum += part),
                    None => out = Some(part),
                }
                continue;
            }
            let give = |output: usize| self.slope(side, &all, output) * own.at(tangent, output);
            match &mut out {
                Some(sums) => sums.iter_mut().enumerate().for_each(|(output, sum)| *sum += give(output)),
                None => out = Some((0..self.size()).map(give).collect()),
            }
        }
        array(&self.output, out?)
    }

    fn vjp(&self, at: &At<'_>, cotangent: Array, wanted: &[bool], _gradient: &mut [f32]) -> Vec<Option<Array>> {
        if let Some(factors) = self.plain_sum() {
            return shares(&factors, cotangent, wanted);
        }
        let (all, up) = (self.all(&at.inputs), elements(&cotangent));
        self.runtime()
            .zip(wanted)
            .map(|(side, &wanted)| {
                if let Some(part) = self.times_slope(side, &all, up).filter(|_| wanted) {
                    return array(&self.output, part);
                }
                let give = |output: usize| self.slope(side, &all, output) * up[output];
                if wanted { self.sides[side].collect(self.size(), give) } else { None }
            })
            .collect()
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
