//! How a model is written in integers.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What weights and activations are written as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Precision {
    /// 8-bit integers.
    #[default]
    Int8,
    /// Half precision: floating-point numbers of 16 bits.
    Fp16,
}

impl Precision {
    /// The name in flags, reports and files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Int8 => "int8",
            Self::Fp16 => "fp16",
        }
    }
}

/// Integers of activations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Activations {
    /// 0 to 255, with a zero point: what ONNX Runtime and OpenVINO fuse on x86.
    #[default]
    U8,
    /// -128 to 127 about zero: TensorRT, ARM.
    S8,
}

impl Activations {
    /// The name in flags and reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::U8 => "u8",
            Self::S8 => "s8",
        }
    }
}

/// The form that is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuantizeForm {
    /// Integers of activations.
    pub activations: Activations,
    /// Largest integer of a weight: 127, or 63 where a processor adds two products in 16 bits.
    pub largest: i8,
    /// Whether images of three channels get a fourth of zeros, which kernels of four channels want.
    pub pads_images: bool,
    /// Names of nodes that stay in real numbers.
    pub float: BTreeSet<String>,
}

/// Kernels that compute on integers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kernels {
    /// Those of an x86 processor.
    pub x86: bool,
    /// Whether the processor sums products of bytes in 32 bits (VNNI).
    pub sums_bytes: bool,
}

impl QuantizeForm {
    /// The form for some kernels.
    pub fn of(kernels: Kernels, activations: Option<Activations>) -> Self {
        let Kernels { x86, sums_bytes } = kernels;
        let activations = activations.unwrap_or(if x86 { Activations::U8 } else { Activations::S8 });
        let saturates = x86 && activations == Activations::U8 && !sums_bytes;
        Self {
            activations,
            largest: if saturates { 63 } else { 127 },
            pads_images: x86 && activations == Activations::U8,
            float: BTreeSet::new(),
        }
    }
}
