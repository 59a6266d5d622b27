//! Masked = sliced: the sliced model must compute what the masked original computes.

use super::EvaluateError;
use crate::engine::{CompileOptions, Engine, Feed, Tensor, feed};
use crate::model::{DataType, Model};

/// How well two models agree.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
pub struct Agreement {
    /// Largest difference over all outputs, relative to the largest value of the output.
    pub max_error: f64,
    /// What is allowed for the model's element type.
    pub tolerance: f64,
}

/// Allowed relative difference: rounding of sums in another order, by the coarsest float type among the weights. Where
/// activations are quantised, a sum that falls on the other side of a rounding step moves by the whole step, of which
/// the 8-bit range has 255.
pub fn tolerance(model: &Model) -> f64 {
    let has = |kind: DataType| model.graph().initializer.iter().any(|tensor| tensor.data_type() == kind as i32);
    match () {
        () if has(DataType::Bfloat16) => 5e-2,
        () if model.graph().node.iter().any(|node| rounds(node.op_type())) => 2e-2,
        () if has(DataType::Float16) => 1e-2,
        () => 1e-4,
    }
}

/// Whether an operator rounds values to the steps of an integer.
fn rounds(op: &str) -> bool {
    ["QuantizeLinear", "DynamicQuantizeLinear", "QGemm"].contains(&op) || op.starts_with("QLinear")
}

/// Runs both models on every feed and compares all outputs.
///
/// # Errors
/// If a model does not run or the outputs differ by more than the tolerance.
pub fn compare(
    engine: &dyn Engine,
    masked: &Model,
    sliced: &Model,
    feeds: &[Feed],
) -> Result<Agreement, EvaluateError> {
    let tolerance = tolerance(masked);
    let mut a = engine.compile(masked, &CompileOptions::default()).map_err(EvaluateError::Pruned)?;
    let mut b = engine.compile(sliced, &CompileOptions::default()).map_err(EvaluateError::Pruned)?;
    let mut worst: f64 = 0.0;
    for feed in feeds {
        let inputs = feed::pairs(feed);
        let wanted = a.run(&inputs).map_err(EvaluateError::Pruned)?;
        let got = b.run(&inputs).map_err(EvaluateError::Pruned)?;
        for ((name, wanted), got) in a.outputs().iter().zip(&wanted).zip(&got) {
            let error = difference(wanted, got);
            // A NaN compares as not within the tolerance.
            if !error.is_some_and(|error| error <= tolerance) {
                let error = error.unwrap_or(f64::INFINITY);
                return Err(EvaluateError::Differs { output: name.clone(), error, tolerance });
            }
            worst = worst.max(error.unwrap_or(0.0));
        }
    }
    Ok(Agreement { max_error: worst, tolerance })
}

/// Largest difference relative to the largest finite value; `None` if the shapes differ. Equal non-finite values agree.
fn difference(wanted: &Tensor, got: &Tensor) -> Option<f64> {
    if wanted.shape() != got.shape() {
        return None;
    }
    let (wanted, got) = (wanted.to_f32(), got.to_f32());
    let scale = wanted.iter().filter(|v| v.is_finite()).fold(0.0_f32, |most, v| most.max(v.abs()));
    let mut worst = 0.0_f64;
    for (a, b) in wanted.iter().zip(&got) {
        if a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan()) {
            continue;
        }
        let gap = f64::from((a - b).abs()) / f64::from(scale.max(1e-12));
        if gap.is_nan() {
            return Some(f64::INFINITY);
        }
        worst = worst.max(gap);
    }
    Some(worst)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::arr1;

    #[test]
    fn a_nan_on_one_side_is_a_difference() {
        let a = Tensor::F32(arr1(&[1.0, 2.0]).into_dyn());
        let b = Tensor::F32(arr1(&[1.0, f32::NAN]).into_dyn());
        assert_eq!(difference(&a, &a), Some(0.0));
        assert_eq!(difference(&a, &b), Some(f64::INFINITY));
        assert_eq!(difference(&a, &Tensor::F32(arr1(&[1.0]).into_dyn())), None);
    }
}
