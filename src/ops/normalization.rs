//! Normalisation by stored statistics as a scale and a shift of every channel.
//!
//! <https://onnx.ai/onnx/operators/onnx__BatchNormalization.html> (1, 6, 7, 9, 14, 15): `epsilon` 1e-5, `training_mode` 0.

use crate::proto::onnx::NodeProto;

/// `gamma (x - mean) / deviation + beta` is `scale x + shift`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Statistics {
    mean: Vec<f64>,
    /// Square root of variance plus epsilon.
    deviation: Vec<f64>,
}

/// Inputs of `BatchNormalization`.
pub(crate) const GAMMA: usize = 1;
pub(crate) const BETA: usize = 2;
const MEAN: usize = 3;
const VARIANCE: usize = 4;

impl Statistics {
    /// Statistics of a node in inference; `constant` gives the numbers of an input. `None` if they are not stored, do not fit
    /// each other, or the node learns them.
    pub(crate) fn of(node: &NodeProto, constant: impl Fn(usize) -> Option<Vec<f32>>) -> Option<Self> {
        let outputs = node.output.iter().filter(|name| !name.is_empty()).count();
        if node.op_type() != "BatchNormalization" || node.int("training_mode").unwrap_or(0) != 0 || outputs != 1 {
            return None;
        }
        let (mean, variance) = (constant(MEAN)?, constant(VARIANCE)?);
        let epsilon = f64::from(node.float("epsilon").unwrap_or(1e-5));
        let deviation: Vec<f64> = variance.iter().map(|own| (f64::from(*own) + epsilon).sqrt()).collect();
        let usable = mean.len() == deviation.len() && deviation.iter().all(|own| own.is_finite() && *own > 0.0);
        usable.then(|| Self { mean: mean.into_iter().map(f64::from).collect(), deviation })
    }

    /// Channels.
    pub(crate) fn len(&self) -> usize {
        self.mean.len()
    }

    /// Scale and shift from gamma and beta; `None` if those are of another size.
    pub(crate) fn fold(&self, gamma: &[f32], beta: &[f32]) -> Option<[Vec<f64>; 2]> {
        if gamma.len() != self.len() || beta.len() != self.len() {
            return None;
        }
        let scale: Vec<f64> = gamma.iter().zip(&self.deviation).map(|(g, d)| f64::from(*g) / d).collect();
        let shift = beta.iter().zip(&self.mean).zip(&scale).map(|((b, m), s)| f64::from(*b) - m * s).collect();
        Some([scale, shift])
    }

    /// Gamma and beta from scale and shift.
    pub(crate) fn unfold(&self, scale: &[f32], shift: &[f32]) -> [Vec<f64>; 2] {
        let gamma = scale.iter().zip(&self.deviation).map(|(s, d)| f64::from(*s) * d).collect();
        let moved = |((b, m), s): ((&f32, &f64), &f32)| f64::from(*b) + m * f64::from(*s);
        [gamma, shift.iter().zip(&self.mean).zip(scale).map(moved).collect()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folding_and_unfolding_are_inverse() {
        let node =
            NodeProto { op_type: Some("BatchNormalization".into()), output: vec!["y".into()], ..NodeProto::default() };
        let numbers = |input: usize| Some(if input == MEAN { vec![1.0, -2.0] } else { vec![4.0, 0.25] });
        let own = Statistics::of(&node, numbers).unwrap();
        let [scale, shift] = own.fold(&[2.0, 3.0], &[0.5, 1.0]).unwrap();
        assert!((scale[0] - 1.0).abs() < 1e-5 && (shift[0] + 0.5).abs() < 1e-5, "{scale:?} {shift:?}");
        #[allow(clippy::cast_possible_truncation, reason = "small numbers")]
        let single = |values: &[f64]| values.iter().map(|value| *value as f32).collect::<Vec<_>>();
        let [gamma, beta] = own.unfold(&single(&scale), &single(&shift));
        let near = |found: &[f64], wanted: &[f64]| found.iter().zip(wanted).all(|(a, b)| (a - b).abs() < 1e-5);
        assert!(near(&gamma, &[2.0, 3.0]) && near(&beta, &[0.5, 1.0]), "{gamma:?} {beta:?}");
        assert!(own.fold(&[2.0], &[0.5]).is_none());
    }

    #[test]
    fn statistics_that_are_learned_or_missing_are_none() {
        let node = NodeProto { op_type: Some("BatchNormalization".into()), ..NodeProto::default() };
        assert!(Statistics::of(&node, |_| Some(vec![1.0])).is_none());
        let node = NodeProto { output: vec!["y".into()], ..node };
        assert!(Statistics::of(&node, |input| (input != MEAN).then(|| vec![1.0])).is_none());
        assert!(Statistics::of(&node, |input| Some(vec![-1.0; input])).is_none());
    }
}
