//! What ONNX Runtime's optimiser writes in place of several ONNX operators.
//!
//! <https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md>, domain `com.microsoft`

use super::conv::convolve;
use super::elementwise::Variadic;
use super::gemm::{product_of_matrices, sum_of_products};
use super::{Rewrite, Rule};
use crate::channels::flow::Flow;
use crate::channels::run::Protect;

/// `FusedConv`: a convolution, a sum with the fourth input if it is there, an activation.
pub(super) struct FusedConv;

impl Rule for FusedConv {
    fn flow(&self, flow: &mut Flow<'_, '_>) -> Result<(), Protect> {
        let mut result = convolve(flow)?;
        if flow.has(3) {
            let summand = flow.ids(3)?;
            result = flow.elementwise(&[result, summand])?;
        }
        flow.set(0, result);
        Ok(())
    }

    fn rewrite(&self, rewrite: &mut Rewrite<'_>) {
        super::conv::Conv.rewrite(rewrite);
    }
}

/// `FusedGemm`: `Gemm` and an activation.
pub(super) struct FusedGemm;

impl Rule for FusedGemm {
    fn flow(&self, flow: &mut Flow<'_, '_>) -> Result<(), Protect> {
        let result = sum_of_products(flow)?;
        flow.set(0, result);
        Ok(())
    }
}

/// `FusedMatMul`: scaled, its matrices transposed if asked.
pub(super) struct FusedMatMul;

impl Rule for FusedMatMul {
    fn flow(&self, flow: &mut Flow<'_, '_>) -> Result<(), Protect> {
        if flow.int("transBatchA", 0) == 1 || flow.int("transBatchB", 0) == 1 {
            return Err("it transposes its batch".into());
        }
        let result = product_of_matrices(flow, flow.int("transA", 0) == 1, flow.int("transB", 0) == 1)?;
        flow.set(0, result);
        Ok(())
    }
}

/// `Gelu`, `QuickGelu`; `BiasGelu` and `FastGelu` add a bias along the last axis first.
pub(super) struct BiasedActivation;

impl Rule for BiasedActivation {
    fn flow(&self, flow: &mut Flow<'_, '_>) -> Result<(), Protect> {
        if flow.has(1) {
            return Variadic.flow(flow);
        }
        let x = flow.ids(0)?;
        flow.set(0, x);
        Ok(())
    }
}
