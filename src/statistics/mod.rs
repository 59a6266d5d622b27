//! Statistics of streamed activations (`docs/method.md` section 1): pooled features, channel moments, kernel Gram
//! matrices.

mod classwise;
mod error;
mod features;
mod gram;
mod kernel;
mod linear;
mod moments;
mod normalise;
mod pool;
mod ranks;
mod shrinkage;
mod tiles;

pub use classwise::{Centring, ClassGram, Contributions};
pub use error::StatisticsError;
pub use features::{FeatureCollector, FeatureLayout, InputFeatures};
pub use gram::{Blocks, GramStatistics, gram, stratified_blocks};
pub use kernel::Kernel;
pub use moments::ChannelMoments;
pub use normalise::{Normalisation, NormalisedGram, add_inputs, normalise};
pub use ranks::RankCollector;
pub use shrinkage::Estimate;
