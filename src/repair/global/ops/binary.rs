//! Sums, differences, products and quotients of two arrays, either of which may be constant.
//!
//! <https://onnx.ai/onnx/operators/onnx__Add.html>, Sub, Mul, Div (opset 7, 13, 14)

use ndarray::{ArrayD, IxDyn};

use super::super::site::Site;
use super::{Array, At, Keeps, Made, Operator, array, elements};

pub(super) fn make(site: &Site<'_>) -> Option<Made> {
    let output = site.output_shape(0)?;
    let side = |input: usize| {
        let constant = site.floats(input);
        let shape = site.shape(input).or(constant.map(Array::shape))?;
        let map = if shape == output { None } else { Some(spread(shape, output)?) };
        Some(Side { constant: constant.cloned(), shape: shape.to_vec(), map })
    };
    let sides = [side(0)?, side(1)?];
    let inputs: Vec<usize> = (0..2).filter(|&input| sides[input].constant.is_none()).collect();
    let kind = match site.node.op_type() {
        "Add" => Kind::Sum(1.0),
        "Sub" => Kind::Sum(-1.0),
        "Mul" => Kind::Product,
        // A run-time divisor is rare.
        _ if sides[1].constant.is_some() => Kind::Quotient,
        _ => return None,
    };
    (!inputs.is_empty()).then(|| Made::new(Binary { kind, sides, output: output.to_vec() }, &inputs))
}

/// For every output the index of the operand that is spread to it.
fn spread(shape: &[usize], output: &[usize]) -> Option<Vec<u32>> {
    let count = u32::try_from(shape.iter().product::<usize>()).ok()?;
    let indices = ArrayD::from_shape_vec(IxDyn(shape), (0..count).collect()).ok()?;
    Some(indices.broadcast(IxDyn(output))?.iter().copied().collect())
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    /// The first plus this times the second.
    Sum(f32),
    Product,
    /// By a constant.
    Quotient,
}

struct Side {
    constant: Option<Array>,
    shape: Vec<usize>,
    map: Option<Vec<u32>>,
}

impl Side {
    /// The operand at an output.
    fn at(&self, values: &[f32], output: usize) -> f32 {
        match &self.map {
            None => values[output],
            Some(map) => values[map[output] as usize],
        }
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

struct Binary {
    kind: Kind,
    sides: [Side; 2],
    output: Vec<usize>,
}

impl Binary {
    /// Values of both operands; run-time ones are taken from `given` in order.
    fn both<'a>(&'a self, given: &[Option<&'a Array>]) -> [Option<&'a [f32]>; 2] {
        let mut given = given.iter();
        [0, 1].map(|side| match &self.sides[side].constant {
            Some(constant) => Some(elements(constant)),
            None => given.next().copied().flatten().map(elements),
        })
    }

    /// How much an output changes with one operand, output by output.
    fn slope(&self, side: usize, values: &[Option<&[f32]>; 2]) -> Option<Box<dyn Fn(usize) -> f32 + '_>> {
        let other = values[1 - side].map(<[f32]>::to_vec);
        Some(match (self.kind, side) {
            (Kind::Sum(_), 0) => Box::new(|_| 1.0),
            (Kind::Sum(sign), _) => Box::new(move |_| sign),
            (Kind::Product, _) => {
                let other = other?;
                Box::new(move |output| self.sides[1 - side].at(&other, output))
            }
            (Kind::Quotient, _) => {
                let other = other?;
                Box::new(move |output| 1.0 / self.sides[1].at(&other, output))
            }
        })
    }

    fn runtime(&self) -> impl Iterator<Item = usize> + '_ {
        (0..2).filter(|&side| self.sides[side].constant.is_none())
    }

    fn size(&self) -> usize {
        self.output.iter().product()
    }
}

impl Operator for Binary {
    fn keeps(&self) -> Keeps {
        let both = self.sides.iter().all(|side| side.constant.is_none());
        if self.kind == Kind::Product && both { Keeps::Inputs } else { Keeps::Nothing }
    }

    fn forward(&self, inputs: &[&Array], _numbers: &[f32]) -> Option<Array> {
        let given: Vec<Option<&Array>> = inputs.iter().copied().map(Some).collect();
        let [Some(a), Some(b)] = self.both(&given) else { return None };
        let [left, right] = &self.sides;
        if let (Kind::Sum(sign), None, None) = (self.kind, &left.map, &right.map) {
            return array(&self.output, a.iter().zip(b).map(|(a, b)| a + sign * b).collect());
        }
        let value = |output: usize| {
            let (a, b) = (left.at(a, output), right.at(b, output));
            match self.kind {
                Kind::Sum(sign) => a + sign * b,
                Kind::Product => a * b,
                Kind::Quotient => a / b,
            }
        };
        array(&self.output, (0..self.size()).map(value).collect())
    }

    fn jvp(&self, at: &At<'_>, tangents: &[Option<&Array>], _step: &[f32]) -> Option<Array> {
        let values = self.both(&at.inputs);
        let mut out: Option<Vec<f32>> = None;
        for (side, tangent) in self.runtime().zip(tangents) {
            let Some(tangent) = tangent.map(elements) else { continue };
            let own = &self.sides[side];
            if let (Kind::Sum(_), 0, None, None) = (self.kind, side, &own.map, &out) {
                out = Some(tangent.to_vec());
                continue;
            }
            let sums = out.get_or_insert_with(|| vec![0.0; self.size()]);
            match (self.kind, &own.map) {
                (Kind::Sum(sign), None) if side == 1 => {
                    sums.iter_mut().zip(tangent).for_each(|(sum, change)| *sum += sign * change);
                }
                _ => {
                    let slope = self.slope(side, &values)?;
                    sums.iter_mut()
                        .enumerate()
                        .for_each(|(output, sum)| *sum += slope(output) * own.at(tangent, output));
                }
            }
        }
        array(&self.output, out?)
    }

    fn vjp(&self, at: &At<'_>, cotangent: &Array, wanted: &[bool], _gradient: &mut [f32]) -> Vec<Option<Array>> {
        let (values, up) = (self.both(&at.inputs), elements(cotangent));
        self.runtime()
            .zip(wanted)
            .map(|(side, &wanted)| {
                if !wanted {
                    return None;
                }
                if let (Kind::Sum(_), 0, None) = (self.kind, side, &self.sides[side].map) {
                    return Some(cotangent.clone());
                }
                let slope = self.slope(side, &values)?;
                self.sides[side].collect(self.size(), |output| slope(output) * up[output])
            })
            .collect()
    }
}
