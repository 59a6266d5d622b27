//! What ONNX Runtime's optimiser writes in place of several ONNX operators.
//!
//! <https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md>, domain `com.microsoft`

use super::conv::convolve;
use super::elementwise::Variadic;
use super::gemm::{product_of_matrices, sum_of_products};
use super::{Rewrite, Rule};
use crate::channels::context::RuleContext;
use crate::channels::propagation::Protect;

/// `FusedConv`: a convolution, a sum with the fourth input if it is there, an activation.
pub(super) struct FusedConv;

impl Rule for FusedConv {
    fn propagate(&self, ctx: &mut RuleContext<'_, '_>) -> Result<(), Protect> {
        let mut result = convolve(ctx, 1, Some(2))?;
        if ctx.has(3) {
            let summand = ctx.ids(3)?;
            result = ctx.elementwise(&[result, summand])?;
        }
        ctx.set(0, result);
        Ok(())
    }

    fn rewrite(&self, rewrite: &mut Rewrite<'_>) {
        super::conv::Conv.rewrite(rewrite);
    }
}

/// `FusedGemm`: `Gemm` and an activation.
pub(super) struct FusedGemm;

impl Rule for FusedGemm {
    fn propagate(&self, ctx: &mut RuleContext<'_, '_>) -> Result<(), Protect> {
        let result = sum_of_products(ctx, [0, 1, 2])?;
        ctx.set(0, result);
        Ok(())
    }
}

/// `FusedMatMul`: scaled, its matrices transposed if asked.
pub(super) struct FusedMatMul;

impl Rule for FusedMatMul {
    fn propagate(&self, ctx: &mut RuleContext<'_, '_>) -> Result<(), Protect> {
        if ctx.int("transBatchA", 0) == 1 || ctx.int("transBatchB", 0) == 1 {
            return Err("it transposes its batch".into());
        }
        let result = product_of_matrices(ctx, [0, 1], [ctx.int("transA", 0) == 1, ctx.int("transB", 0) == 1])?;
        ctx.set(0, result);
        Ok(())
    }
}

/// `Gelu`, `QuickGelu`; `BiasGelu` and `FastGelu` add a bias along the last axis first.
pub(super) struct BiasedActivation;

impl Rule for BiasedActivation {
    fn propagate(&self, ctx: &mut RuleContext<'_, '_>) -> Result<(), Protect> {
        if ctx.has(1) {
            return Variadic.propagate(ctx);
        }
        let x = ctx.ids(0)?;
        ctx.set(0, x);
        Ok(())
    }
}
