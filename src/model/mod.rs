//! The model: a decoded ONNX file, its weights and its external data.

mod check;
mod error;
mod external;
mod file;
mod map;
mod save;
mod tensor;

pub use error::ModelError;
pub(crate) use file::digest;
pub use file::{LoadOptions, Model};
pub use save::SaveOptions;
pub(crate) use save::write_atomically;
pub use tensor::{DataType, TensorData};
