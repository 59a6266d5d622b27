//! Calibration images: where they lie, how they become input tensors, which of them are used.

mod classes;
mod dataset;
mod decode;
mod error;
mod inputs;
mod pipeline;
mod preprocess;
mod preprocess_json;
mod preprocess_options;
mod resample;
mod resolve;
mod sampling;
mod shard;
mod source;
mod tensor;
#[cfg(test)]
#[allow(
    clippy::cast_possible_truncation,
    clippy::float_cmp,
    reason = "pictures hold small whole numbers, which floats hold exactly"
)]
mod tests;
mod text;

pub use dataset::{Dataset, DatasetOptions};
pub use error::CalibrationError;
pub use inputs::{ArrayInputs, Inputs, PictureInput};
pub use pipeline::{Batch, PipelineOptions, Skipped, for_each_batch};
pub use preprocess::{Color, Crop, Interpolation, Layout, Preprocess, Resize};
pub use preprocess_options::{PreprocessOptions, parse_size};
pub use sampling::sample;
pub use shard::{Shard, ShardPart};
