//! Statistics of streamed activations (`method.md` section 1): pooled features, channel moments, kernel Gram matrices.

mod error;
mod features;
mod moments;
mod pool;

pub use error::StatisticsError;
pub use features::{FeatureCollector, TapFeatures, TapLayout};
pub use moments::ChannelMoments;
