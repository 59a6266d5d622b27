//! Functions of one number: value, slope, and the range outside which differences of the input do not show.
//!
//! <https://onnx.ai/onnx/operators/index.html>; the defaults of attributes are the specification's.

use super::constant::Constants;
use super::vector;
use crate::model::Model;
use crate::model::node::is_onnx;
use crate::proto::onnx::NodeProto;

/// Range outside which a node hides differences of its input, with what the graph stores as its parameters.
pub(crate) fn bounds(model: &Model, constants: &Constants, node: &NodeProto) -> Option<(f32, f32)> {
    let scalar = |input: usize| constants.floats(model, node.input.get(input)?)?.first().copied();
    Function::of(node, scalar).filter(|_| is_onnx(node))?.bounds()
}

/// A function of one number.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Function {
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
    /// `x tanh(softplus(x))`.
    Mish,
    Erf,
    /// `x (1 + erf(x / sqrt(2))) / 2`.
    Gelu,
    /// Its approximation by a hyperbolic tangent.
    GeluTanh,
    Abs,
    Scale(f32),
    Sqrt,
    Exp,
    Log,
    Reciprocal,
    /// `gamma x` where it is positive, else `gamma alpha (exp(x) - 1)`: alpha, gamma.
    Selu(f32, f32),
    /// `max(0, x) + min(0, alpha (exp(x / alpha) - 1))`.
    Celu(f32),
    Softsign,
    /// The number above the threshold, else 0.
    Thresholded(f32),
    Sin,
    Cos,
}

fn softplus(x: f32) -> f32 {
    x.max(0.0) + (-x.abs()).exp().ln_1p()
}

/// Distribution function of the standard normal distribution.
fn normal(x: f32) -> f32 {
    0.5 * (1.0 + libm::erff(x * std::f32::consts::FRAC_1_SQRT_2))
}

/// Constants of the approximation (<https://onnx.ai/onnx/operators/onnx__Gelu.html>): `sqrt(2 / pi)`, and of the cube.
const GELU: [f32; 2] = [0.797_884_6, 0.044_715];

fn gelu_argument(x: f32) -> f32 {
    GELU[0] * (x + GELU[1] * x * x * x)
}

fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + (-x).exp())
}

impl Function {
    /// The function of a node; `constant` gives the number of a scalar input. `None` if the operator is none of these, or
    /// a parameter is not constant.
    pub(crate) fn of(node: &NodeProto, constant: impl Fn(usize) -> Option<f32>) -> Option<Self> {
        let float = |name: &str, default: f32| node.float(name).unwrap_or(default);
        // Bounds of `Clip` are attributes before opset 11 and inputs since.
        let bound = |attribute: &str, input: usize, default: f32| match node.input.get(input).filter(|n| !n.is_empty())
        {
            Some(_) => constant(input),
            None => Some(float(attribute, default)),
        };
        Some(match node.op_type() {
            "Relu" => Self::Leaky(0.0),
            "LeakyRelu" => Self::Leaky(float("alpha", 0.01)),
            "PRelu" => Self::Leaky(constant(1)?),
            "Clip" => Self::Clip(bound("min", 1, f32::NEG_INFINITY)?, bound("max", 2, f32::INFINITY)?),
            "Sigmoid" => Self::Sigmoid,
            "HardSigmoid" => Self::HardSigmoid(float("alpha", 0.2), float("beta", 0.5)),
            "HardSwish" => Self::HardSwish,
            "Swish" => Self::Swish(float("alpha", 1.0)),
            "Tanh" => Self::Tanh,
            "Elu" => Self::Elu(float("alpha", 1.0)),
            "Softplus" => Self::Softplus,
            "Abs" => Self::Abs,
            "Neg" => Self::Scale(-1.0),
            "Mish" => Self::Mish,
            "Erf" => Self::Erf,
            "Gelu" => match node.text("approximate") {
                Some("tanh") => Self::GeluTanh,
                _ => Self::Gelu,
            },
            "Sqrt" => Self::Sqrt,
            "Exp" => Self::Exp,
            "Log" => Self::Log,
            "Reciprocal" => Self::Reciprocal,
            "Selu" => Self::Selu(float("alpha", 1.673_263_2), float("gamma", 1.050_701)),
            "Celu" => Self::Celu(float("alpha", 1.0)),
            "Softsign" => Self::Softsign,
            "ThresholdedRelu" => Self::Thresholded(float("alpha", 1.0)),
            "Sin" => Self::Sin,
            "Cos" => Self::Cos,
            // <https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md>; with a bias they are two steps.
            "QuickGelu" => Self::Swish(float("alpha", 1.702)),
            "FastGelu" if node.input.get(1).is_none_or(String::is_empty) => Self::GeluTanh,
            _ => return None,
        })
    }

    /// Bounds below and above which all inputs give the same output, if there are any.
    pub(crate) fn bounds(self) -> Option<(f32, f32)> {
        match self {
            Self::Leaky(slope) if slope.to_bits() == 0.0_f32.to_bits() => Some((0.0, f32::INFINITY)),
            Self::Clip(low, high) => Some((low, high)),
            _ => None,
        }
    }

    /// Whether the slope can be told from the output.
    pub(crate) fn slope_follows_from_output(self) -> bool {
        match self {
            Self::Leaky(slope) => slope >= 0.0,
            // Inside the bounds a clipped number is itself.
            Self::Clip(..) => true,
            _ => false,
        }
    }
}

/// The number, or 0 outside.
fn inside(inside: bool, number: f32) -> f32 {
    if inside { number } else { 0.0 }
}

/// The expression, compiled anew for each function that takes less time than to choose among all.
macro_rules! chosen {
    ($function:expr, $own:ident => $result:expr) => {
        match $function {
            Function::Leaky(slope) => chosen!(Function::Leaky(slope), $own = $result),
            Function::Clip(low, high) => chosen!(Function::Clip(low, high), $own = $result),
            Function::HardSigmoid(a, b) => chosen!(Function::HardSigmoid(a, b), $own = $result),
            Function::HardSwish => chosen!(Function::HardSwish, $own = $result),
            Function::Abs => chosen!(Function::Abs, $own = $result),
            Function::Scale(a) => chosen!(Function::Scale(a), $own = $result),
            other => chosen!(other, $own = $result),
        }
    };
    ($function:expr, $own:ident = $result:expr) => {{
        // A closure, so that the function is known wherever it is called.
        let $own = move || $function;
        $result
    }};
}

impl Function {
    /// The value at `x`.
    #[allow(clippy::inline_always, reason = "loops are made for one function each")]
    #[inline(always)]
    pub(crate) fn value(self, x: f32) -> f32 {
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
            Self::Softplus => softplus(x),
            Self::Mish => x * softplus(x).tanh(),
            Self::Erf => libm::erff(x),
            Self::Gelu => x * normal(x),
            Self::GeluTanh => 0.5 * x * (1.0 + gelu_argument(x).tanh()),
            Self::Abs => x.abs(),
            Self::Scale(a) => a * x,
            Self::Sqrt => x.sqrt(),
            Self::Exp => x.exp(),
            Self::Log => x.ln(),
            Self::Reciprocal => 1.0 / x,
            Self::Selu(alpha, gamma) => gamma * (x.max(0.0) + alpha * x.min(0.0).exp_m1()),
            Self::Celu(alpha) => x.max(0.0) + alpha * (x.min(0.0) / alpha).exp_m1(),
            Self::Softsign => x / (1.0 + x.abs()),
            Self::Thresholded(alpha) => inside(x > alpha, x),
            Self::Sin => x.sin(),
            Self::Cos => x.cos(),
        }
    }

    /// The values at `xs`.
    pub(crate) fn values(self, xs: &[f32]) -> Vec<f32> {
        chosen!(self, own => vector::map(xs, |x| own().value(x)))
    }

    /// Every number becomes the value at it.
    pub(crate) fn apply(self, numbers: &mut [f32]) {
        chosen!(self, own => vector::replace(numbers, |x| own().value(x)));
    }

    /// Multiplies `changes` by the slopes at `xs`.
    pub(crate) fn multiply_by_slopes(self, changes: &mut [f32], xs: &[f32]) {
        chosen!(self, own => vector::update(changes, xs, |change, x| *change *= own().slope(x)));
    }

    /// The derivative at `x`; at a corner one of the two.
    #[allow(clippy::inline_always, reason = "loops are made for one function each")]
    #[inline(always)]
    pub(crate) fn slope(self, x: f32) -> f32 {
        match self {
            Self::Leaky(slope) => {
                if x > 0.0 {
                    1.0
                } else {
                    slope
                }
            }
            Self::Clip(low, high) => inside(x > low && x < high, 1.0),
            Self::Sigmoid => {
                let share = sigmoid(x);
                share * (1.0 - share)
            }
            Self::HardSigmoid(a, b) => inside((0.0..1.0).contains(&(a * x + b)), a),
            Self::HardSwish => {
                if x >= 3.0 {
                    1.0
                } else {
                    inside(x > -3.0, x / 3.0 + 0.5)
                }
            }
            Self::Swish(a) => {
                let share = sigmoid(a * x);
                share * (1.0 + a * x * (1.0 - share))
            }
            Self::Tanh => 1.0 - x.tanh().powi(2),
            Self::Elu(a) => {
                if x > 0.0 {
                    1.0
                } else {
                    a * x.exp()
                }
            }
            Self::Softplus => sigmoid(x),
            Self::Erf => std::f32::consts::FRAC_2_SQRT_PI * (-x * x).exp(),
            Self::Gelu => normal(x) + x * (-0.5 * x * x).exp() / std::f32::consts::TAU.sqrt(),
            Self::GeluTanh => {
                let tanh = gelu_argument(x).tanh();
                0.5 * (1.0 + tanh) + 0.5 * x * (1.0 - tanh * tanh) * GELU[0] * (1.0 + 3.0 * GELU[1] * x * x)
            }
            Self::Mish => {
                let tanh = softplus(x).tanh();
                tanh + x * (1.0 - tanh * tanh) * sigmoid(x)
            }
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
            Self::Log => 1.0 / x,
            Self::Reciprocal => -1.0 / (x * x),
            Self::Selu(alpha, gamma) => gamma * if x > 0.0 { 1.0 } else { alpha * x.exp() },
            Self::Celu(alpha) => (x.min(0.0) / alpha).exp(),
            Self::Softsign => (1.0 + x.abs()).powi(-2),
            Self::Thresholded(alpha) => inside(x > alpha, 1.0),
            Self::Sin => x.cos(),
            Self::Cos => -x.sin(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slopes_are_differences_of_values() {
        let all = [
            Function::Leaky(0.0),
            Function::Leaky(0.3),
            Function::Clip(-0.5, 1.5),
            Function::Sigmoid,
            Function::HardSigmoid(0.2, 0.5),
            Function::HardSwish,
            Function::Swish(1.3),
            Function::Tanh,
            Function::Elu(0.7),
            Function::Softplus,
            Function::Erf,
            Function::Gelu,
            Function::GeluTanh,
            Function::Mish,
            Function::Abs,
            Function::Scale(-1.0),
            Function::Exp,
            Function::Selu(1.7, 1.1),
            Function::Celu(0.6),
            Function::Softsign,
            Function::Thresholded(0.5),
            Function::Sin,
            Function::Cos,
        ];
        for function in all {
            // No corner lies within half a step of these.
            for x in [-4.03_f32, -1.21, -0.33, 0.27, 1.13, 2.41, 4.07] {
                let difference = (function.value(x + 0.01) - function.value(x - 0.01)) / 0.02;
                let slope = function.slope(x);
                assert!((difference - slope).abs() <= 2e-3 * slope.abs().max(1.0), "{function:?} at {x}: {slope}");
            }
        }
        assert!((Function::Sqrt.slope(4.0) - 0.25).abs() < 1e-6);
        assert!((Function::Log.slope(4.0) - 0.25).abs() < 1e-6);
        assert!((Function::Reciprocal.slope(2.0) + 0.25).abs() < 1e-6);
    }

    #[test]
    fn bounds_hide_what_is_outside() {
        for function in [Function::Leaky(0.0), Function::Clip(-0.5, 1.5)] {
            let (low, high) = function.bounds().unwrap();
            for (x, other) in [(low - 1.0, low - 3.0), (high + 1.0, high + 2.0)] {
                assert_eq!(function.value(x).to_bits(), function.value(other).to_bits());
            }
        }
        assert_eq!(Function::Leaky(0.1).bounds(), None);
        assert_eq!(Function::Tanh.bounds(), None);
    }
}
