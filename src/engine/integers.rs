//! How much of a model the engine computes on 8-bit integers, read from its own optimised graph.

use super::{Engine, EngineError};
use crate::model::Model;

/// Operators of a model as the engine runs them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
pub struct IntegerOperators {
    /// Products and other operators on integers.
    pub integers: usize,
    /// Conversions between integers and real numbers that are left.
    pub conversions: usize,
    /// Products in real numbers.
    pub real_products: usize,
    /// Operators in all.
    pub all: usize,
}

/// Counts the operators of the engine's optimised graph; `None` where it does not show that.
///
/// # Errors
/// If the engine refuses the model.
pub fn integer_operators(engine: &dyn Engine, model: &Model) -> Option<Result<IntegerOperators, EngineError>> {
    let saved = match engine.optimised_model(model)? {
        Ok(saved) => saved,
        Err(error) => return Some(Err(error)),
    };
    let mut count = IntegerOperators { all: saved.graph().node.len(), ..IntegerOperators::default() };
    for node in &saved.graph().node {
        match node.op_type() {
            "QuantizeLinear" | "DequantizeLinear" | "DynamicQuantizeLinear" => count.conversions += 1,
            op if op.starts_with("QLinear") || op.contains("Integer") || matches!(op, "QGemm" | "QAttention") => {
                count.integers += 1;
            }
            "Conv" | "FusedConv" | "Gemm" | "FusedGemm" | "MatMul" | "FusedMatMul" | "ConvTranspose" => {
                count.real_products += 1;
            }
            _ => {}
        }
    }
    Some(Ok(count))
}
