//! The model: a decoded ONNX file, its weights and its external data.

pub(crate) mod axes;
mod build;
mod check;
mod error;
mod external;
mod file;
mod inputs;
mod map;
pub(crate) mod node;
mod save;
mod tensor;
mod tensor_type;
mod typed;

pub use build::AttributeValue;
pub use error::ModelError;
pub(crate) use file::digest;
pub use file::{LoadOptions, Model};
pub use inputs::{InputSpec, input_specs};
pub use save::SaveOptions;
pub(crate) use save::{folder_of, reachable, replaceable, write_atomically};
pub use tensor::{DataType, TensorData};
pub use tensor_type::{Dimension, TensorType};
pub use typed::{Element, TypedError};
