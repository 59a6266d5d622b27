//! Calibration images: where they lie, how they become input tensors, which of them are used.

mod arrays;
mod cifar;
mod classes;
mod dataset;
mod decode;
mod error;
mod folders;
mod pipeline;
mod preprocess;
mod presets;
mod resample;
mod sample;

pub use dataset::{Dataset, DatasetOptions};
pub use error::CalibrationError;
pub use pipeline::{Batch, PipelineOptions, Skipped, for_each_batch};
pub use preprocess::{Color, Crop, Layout, Preprocess, PreprocessOptions, Resize};
pub use resample::{Interpolation, Pixels};
pub use sample::sample;
