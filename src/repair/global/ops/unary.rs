//! Functions of one number.
//!
//! <https://onnx.ai/onnx/operators/index.html>: `Relu`, `LeakyRelu`, `PRelu` with one slope, `Clip`, `Sigmoid`,
//! `HardSigmoid`, `HardSwish`, `Tanh`, `Elu`, `Softplus`, `Swish`, `Abs`, `Neg`, `Sqrt`, `Exp`

use super::super::site::Site;
use super::{Array, At, Keeps, Made, Operator, array, elements};

pub(super) fn make(site: &Site<'_>) -> Option<Made> {
    let shape = site.shape(0)?.to_vec();
    let float = |name: &str, default: f32| site.float(name).unwrap_or(default);
    let function = match site.node.op_type() {
        "Relu" => Function::Leaky(0.0),
        "LeakyRelu" => Function::Leaky(float("alpha", 0.01)),
        "PRelu" => Function::Leaky(site.floats(1).filter(|slope| slope.len() == 1)?.iter().next().copied()?),
        "Clip" => {
            let bound = |attribute: &str, input: usize, default: f32| match (site.name(input), site.float(attribute)) {
                (Some(_), _) => site.floats(input).and_then(|bound| bound.iter().next().copied()),
                (None, given) => Some(given.unwrap_or(default)),
            };
            Function::Clip(bound("min", 1, f32::NEG_INFINITY)?, bound("max", 2, f32::INFINITY)?)
        }
        "Sigmoid" => Function::Sigmoid,
        "HardSigmoid" => Function::HardSigmoid(float("alpha", 0.2), float("beta", 0.5)),
        "HardSwish" => Function::HardSwish,
        "Swish" => Function::Swish(float("alpha", 1.0)),
        "Tanh" => Function::Tanh,
        "Elu" => Function::Elu(float("alpha", 1.0)),
        "Softplus" => Function::Softplus,
        "Abs" => Function::Abs,
        "Neg" => Function::Scale(-1.0),
        "Sqrt" => Function::Sqrt,
        "Exp" => Function::Exp,
        _ => return None,
    };
    Some(Made::new(Unary { function, shape }, &[0]))
}

#[derive(Debug, Clone, Copy)]
enum Function {
    /// The number, times the slope where it is negative.
    Leaky(f32),
    Clip(f32, f32),
    Sigmoid,
    HardSigmoid(f32, f32),
    HardSwish,
    Swish(f32),
    Tanh,
    Elu(f32),
    Softplus,
    Abs,
    Scale(f32),
    Sqrt,
    Exp,
}

fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + (-x).exp())
}

impl Function {
    fn value(self, x: f32) -> f32 {
        match self {
            Self::Leaky(slope) => {
                if x > 0.0 {
                    x
                } else {
                    slope * x
                }
            }
            Self::Clip(low, high) => x.max(low).min(high),
            Self::Sigmoid => sigmoid(x),
            Self::HardSigmoid(a, b) => (a * x + b).clamp(0.0, 1.0),
            Self::HardSwish => x * (x / 6.0 + 0.5).clamp(0.0, 1.0),
            Self::Swish(a) => x * sigmoid(a * x),
            Self::Tanh => x.tanh(),
            Self::Elu(a) => {
                if x > 0.0 {
                    x
                } else {
                    a * x.exp_m1()
                }
            }
            Self::Softplus => x.max(0.0) + (-x.abs()).exp().ln_1p(),
            Self::Abs => x.abs(),
            Self::Scale(a) => a * x,
            Self::Sqrt => x.sqrt(),
            Self::Exp => x.exp(),
        }
    }

    fn slope(self, x: f32) -> f32 {
        let inside = |inside: bool, slope: f32| if inside { slope } else { 0.0 };
        match self {
            Self::Leaky(slope) => {
                if x > 0.0 {
                    1.0
                } else {
                    slope
                }
            }
            Self::Clip(low, high) => inside(x > low && x < high, 1.0),
            Self::Sigmoid => sigmoid(x) * (1.0 - sigmoid(x)),
            Self::HardSigmoid(a, b) => inside((0.0..1.0).contains(&(a * x + b)), a),
            Self::HardSwish => {
                if x >= 3.0 {
                    1.0
                } else {
                    inside(x > -3.0, x / 3.0 + 0.5)
                }
            }
            Self::Swish(a) => sigmoid(a * x) * (1.0 + a * x * (1.0 - sigmoid(a * x))),
            Self::Tanh => 1.0 - x.tanh().powi(2),
            Self::Elu(a) => {
                if x > 0.0 {
                    1.0
                } else {
                    a * x.exp()
                }
            }
            Self::Softplus => sigmoid(x),
            Self::Abs => {
                if x > 0.0 {
                    1.0
                } else {
                    -1.0
                }
            }
            Self::Scale(a) => a,
            Self::Sqrt => inside(x > 0.0, 0.5 / x.sqrt()),
            Self::Exp => x.exp(),
        }
    }
}

struct Unary {
    function: Function,
    shape: Vec<usize>,
}

impl Unary {
    /// `change` times the slope. The sign of a rectifier's output is that of its input.
    fn times_slope(&self, at: &At<'_>, change: &Array) -> Option<Array> {
        let kept = if self.keeps() == Keeps::Output { at.output? } else { at.input(0)? };
        let pairs = elements(change).iter().zip(elements(kept));
        let out = match self.function {
            Function::Leaky(slope) => {
                pairs.map(|(change, x)| if *x > 0.0 { *change } else { slope * change }).collect()
            }
            function => pairs.map(|(change, x)| change * function.slope(*x)).collect(),
        };
        array(&self.shape, out)
    }
}

impl Operator for Unary {
    fn keeps(&self) -> Keeps {
        match self.function {
            Function::Leaky(slope) if slope >= 0.0 => Keeps::Output,
            // Inside the bounds a clipped number is itself.
            Function::Clip(..) => Keeps::Output,
            _ => Keeps::Inputs,
        }
    }

    fn forward(&self, inputs: &[&Array], _numbers: &[f32]) -> Option<Array> {
        let values = elements(inputs.first()?);
        let out = match self.function {
            Function::Leaky(slope) => values.iter().map(|x| if *x > 0.0 { *x } else { slope * x }).collect(),
            function => values.iter().map(|x| function.value(*x)).collect(),
        };
        array(&self.shape, out)
    }

    fn jvp(&self, at: &At<'_>, tangents: &[Option<&Array>], _step: &[f32]) -> Option<Array> {
        self.times_slope(at, tangents.first().copied().flatten()?)
    }

    fn vjp(&self, at: &At<'_>, cotangent: &Array, wanted: &[bool], _gradient: &mut [f32]) -> Vec<Option<Array>> {
        vec![if wanted == [true] { self.times_slope(at, cotangent) } else { None }]
    }
}
