//! Widths that suit the engine.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::engine::{ChannelBlock, Engine};

/// Channel counts that the engine runs without waste.
///
/// ONNX Runtime's CPU convolutions cost as much as the next multiple of a block (16 with AVX-512, 8 with AVX2) as
/// long as the count is a multiple of `multiple`; other counts leave the blocked layout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Rounding {
    /// Preferred step of a channel count.
    pub block: usize,
    /// Finest step that does not slow the engine down.
    pub multiple: usize,
}

impl Rounding {
    /// Any width.
    pub const NONE: Self = Self { block: 1, multiple: 1 };

    /// Step of a group in pruning units, for a group of `width` pruning units of `channels_per_unit` channels each. A group narrower
    /// than two blocks falls back to half of it, and so on down to [`Rounding::multiple`].
    pub fn step(&self, width: usize, channels_per_unit: usize) -> usize {
        let in_units = |channels: usize| (channels / gcd(channels, channels_per_unit.max(1))).max(1);
        let mut block = self.block.max(1);
        while block > self.multiple.max(1) && in_units(block) * 2 > width {
            block = (block / 2).max(self.multiple.max(1));
        }
        let step = in_units(block);
        if step * 2 > width { 1 } else { step }
    }
}

/// Steps of widths.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RoundTo {
    /// The channel block of the engine that times; where that is the embedded one, which is seldom the one that deploys,
    /// widths that suit any.
    #[default]
    Auto,
    /// Multiples of this.
    Multiple(usize),
    /// Widths that suit this engine.
    For(Deployed),
}

/// Engines that models are deployed with, where they are not the one that prunes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deployed {
    /// ONNX Runtime on a processor.
    OnnxRuntimeCpu,
    /// TensorRT.
    TensorRt,
    /// `OpenVINO` on a processor.
    OpenVino,
    /// Whatever it is.
    Any,
}

impl Deployed {
    /// Processors: blocks of 16 channels with 512-bit vectors, and none left that four do not divide. Tensor cores: eight.
    fn rounding(self) -> Rounding {
        match self {
            Self::OnnxRuntimeCpu | Self::OpenVino => Rounding { block: 16, multiple: 4 },
            Self::TensorRt | Self::Any => Rounding { block: 16, multiple: 8 },
        }
    }
}

/// Widths that suit an engine's kernels for integers: products of 16 outputs at a time, none saved below.
pub fn integer_kernels(engine: &dyn Engine) -> Rounding {
    // Kernels of other machines are narrower: eight channels of tensor cores, four of ARM's dot products.
    let step = if engine.info().on_processor() && engine.machine().is_x86() { 16 } else { 8 };
    Rounding { block: step, multiple: step }
}

impl RoundTo {
    /// Whether widths suit engines in general, since the one that times is seldom the one that deploys.
    pub fn assumed(self, engine: &dyn Engine) -> bool {
        self == Self::Auto && engine.is_embedded()
    }

    /// The rounding for an engine with this channel block.
    pub fn rounding(self, engine: &dyn Engine, block: ChannelBlock) -> Rounding {
        match self {
            Self::Multiple(step) => Rounding { block: step.max(1), multiple: step.max(1) },
            Self::For(deployed) => deployed.rounding(),
            Self::Auto if self.assumed(engine) => Deployed::Any.rounding(),
            Self::Auto => Rounding { block: block.block, multiple: block.multiple },
        }
    }
}

fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn narrow_groups_fall_back() {
        let rounding = Rounding { block: 16, multiple: 4 };
        assert_eq!(rounding.step(64, 1), 16);
        assert_eq!(rounding.step(32, 1), 16);
        assert_eq!(rounding.step(16, 1), 8);
        assert_eq!(rounding.step(8, 1), 4);
        assert_eq!(rounding.step(6, 1), 1);
        assert_eq!(rounding.step(8, 32), 1);
        assert_eq!(Rounding::NONE.step(64, 1), 1);
    }
}
