//! Inference engines behind one small trait: ONNX Runtime (loaded at run time) and the embedded tract.

mod error;
mod tensor;

use std::collections::BTreeMap;
use std::path::PathBuf;

pub use error::EngineError;
pub use tensor::Tensor;

use crate::model::Model;

/// An inference engine.
pub trait Engine: Send + Sync {
    /// What runs: name, version, provider.
    fn info(&self) -> &EngineInfo;

    /// Prepares a model for running.
    ///
    /// # Errors
    /// If the engine does not accept the model or an output that was asked for does not exist.
    fn compile(&self, model: &Model, options: &CompileOptions) -> Result<Box<dyn Session>, EngineError>;
}

/// A compiled model.
pub trait Session: Send {
    /// Names of the outputs, in the order in which [`Session::run`] returns them.
    fn outputs(&self) -> &[String];

    /// Runs once. `inputs` are (name, value) pairs for every true graph input.
    ///
    /// # Errors
    /// If an input is missing or has the wrong shape or type, or the engine fails.
    fn run(&mut self, inputs: &[(&str, &Tensor)]) -> Result<Vec<Tensor>, EngineError>;
}

/// What an engine is; goes into every report.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct EngineInfo {
    /// `onnxruntime` or `tract`.
    pub name: String,
    /// Version of the library.
    pub version: String,
    /// Execution provider that runs: `cpu`, `cuda` or `tensorrt`.
    pub provider: String,
    /// File of the loaded library, if it was loaded.
    pub library: Option<PathBuf>,
    /// Threads inside one operator.
    pub threads: usize,
}

/// How to compile a model.
#[derive(Debug, Clone, Default)]
pub struct CompileOptions {
    /// Values to return; empty: the graph's outputs. Any value of the main graph can be asked for.
    pub outputs: Vec<String>,
    /// Concrete shapes of inputs by name. tract needs them wherever a size is symbolic.
    pub input_shapes: BTreeMap<String, Vec<usize>>,
}
