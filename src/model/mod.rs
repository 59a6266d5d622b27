//! The model: a decoded ONNX file, its weights and its external data.

mod error;
mod file;
mod tensor;

pub use error::ModelError;
pub use file::{LoadOptions, Model, SaveOptions};
pub use tensor::{DataType, TensorData};
