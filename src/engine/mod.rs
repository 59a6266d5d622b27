//! Inference engines behind one small trait: ONNX Runtime (loaded at run time) and the embedded tract.

mod blocks;
mod bound;
mod discover;
mod error;
pub mod feed;
mod integers;
mod library;
mod machine;
mod onnxruntime;
mod plug_in;
mod prepare;
mod processor;
mod profile;
mod providers;
mod setup;
mod tensor;
#[cfg(feature = "tract")]
mod tract;

use std::collections::BTreeMap;
use std::path::PathBuf;

pub use blocks::{Blocked, ChannelBlock, Convolutions, blocked, channel_block, shows_blocks};
pub(crate) use blocks::{cached_block, grouped_convolution, one_convolution};
pub use discover::Candidate;
pub use error::EngineError;
pub use feed::Feed;
pub use integers::{IntegerOperators, integer_operators};
pub use machine::Machine;
pub(crate) use machine::bytes_told;
pub use prepare::readable_outputs;
pub use profile::NodeTime;
pub use setup::{SetupReport, setup_report};
pub use tensor::Tensor;

use crate::explain::optional_path_text;
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

    /// The model as the engine optimises it, where the engine can show that. Its tensors may come without their numbers.
    fn optimised_model(&self, _model: &Model) -> Option<Result<Model, EngineError>> {
        None
    }

    /// Whether it is the engine that this program has in itself.
    fn is_embedded(&self) -> bool {
        false
    }

    /// What it runs on.
    fn machine(&self) -> Machine {
        Machine::here()
    }

    /// How long every node of the engine's own graph takes, over `runs` runs, where the engine can tell. One thread of
    /// control; operators as many as the engine was opened with.
    fn profile(
        &self,
        _model: &Model,
        _inputs: &[(&str, &Tensor)],
        _runs: usize,
    ) -> Option<Result<Vec<NodeTime>, EngineError>> {
        None
    }
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

    /// Runs once, and tells the shapes of the outputs; `None` for what is not a tensor.
    ///
    /// # Errors
    /// As [`Session::run`].
    fn shapes(&mut self, inputs: &[(&str, &Tensor)]) -> Result<Vec<Option<Vec<usize>>>, EngineError> {
        Ok(self.run(inputs)?.iter().map(|value| Some(value.shape().to_vec())).collect())
    }

    /// Puts the inputs where the engine reads them, for runs that are timed: nothing is copied between the program and
    /// the device then. An engine that cannot do so runs as ever.
    ///
    /// # Errors
    /// If an input is unusable, or the engine fails.
    fn bind<'a>(&'a mut self, inputs: &'a [(&'a str, &'a Tensor)]) -> Result<Box<dyn Bound + 'a>, EngineError> {
        Ok(Box::new(Unbound { session: self, inputs }))
    }
}

/// A session with its inputs in place. Outputs stay where the engine leaves them.
pub trait Bound {
    /// Runs once, and returns when the device is done.
    ///
    /// # Errors
    /// If the engine fails.
    fn run(&mut self) -> Result<(), EngineError>;
}

/// A session that takes its inputs anew in every run.
struct Unbound<'a, S: ?Sized> {
    session: &'a mut S,
    inputs: &'a [(&'a str, &'a Tensor)],
}

impl<S: Session + ?Sized> Bound for Unbound<'_, S> {
    fn run(&mut self) -> Result<(), EngineError> {
        self.session.run(self.inputs).map(|_| ())
    }
}

/// What an engine is; goes into every report.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
pub struct EngineInfo {
    /// `onnxruntime` or `tract`.
    pub name: String,
    /// Version of the library.
    pub version: String,
    /// Execution provider that runs: `cpu`, `cuda`, `openvino` and so on.
    pub provider: String,
    /// File of the loaded library, if it was loaded.
    #[serde(serialize_with = "optional_path_text")]
    #[schemars(with = "Option<PathBuf>")]
    pub library: Option<PathBuf>,
    /// Threads inside one operator.
    pub threads: usize,
}

impl EngineInfo {
    /// Whether it runs on the processor, by kernels that suit its vectors.
    pub fn on_processor(&self) -> bool {
        matches!(self.provider.as_str(), "cpu" | "openvino" | "xnnpack" | "acl")
    }

    /// Whether it runs models for others: a command that times does not.
    pub fn runs_models(&self) -> bool {
        self.threads > 0
    }

    /// Whether inputs and outputs lie in the memory of a GPU while it is timed.
    pub fn in_gpu_memory(&self) -> bool {
        matches!(self.provider.as_str(), "cuda" | "tensorrt")
    }

    /// For people: what ran, where, and with how many threads.
    pub fn describe(&self) -> String {
        format!("{}, threads {}", self.kind(), self.threads)
    }

    /// What ran, and where: what results depend on.
    pub fn kind(&self) -> String {
        format!("{} {} on {}", self.name, self.version, self.provider)
    }
}

/// How to compile a model.
#[derive(Debug, Clone, Default)]
pub struct CompileOptions {
    /// Values to return; empty: the graph's outputs. Any value of the main graph can be asked for.
    pub outputs: Vec<String>,
    /// Concrete shapes of inputs by name. tract needs them wherever a size is symbolic.
    pub input_shapes: BTreeMap<String, Vec<usize>>,
    /// Without optimisations of the graph, where the engine can do without.
    pub plain: bool,
}

/// Which engine to use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
pub enum EngineChoice {
    /// ONNX Runtime where a library is found, else tract.
    #[default]
    Auto,
    /// ONNX Runtime or an error.
    OnnxRuntime,
    /// The embedded engine.
    Tract,
}

/// Which execution provider of ONNX Runtime to use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
pub enum ProviderChoice {
    /// CUDA where it works, else the CPU.
    #[default]
    Auto,
    /// The CPU.
    Cpu,
    /// CUDA or an error.
    Cuda,
    /// TensorRT or an error.
    TensorRt,
    /// Intel's `OpenVINO` or an error.
    OpenVino,
    /// Apple's Core ML or an error.
    CoreMl,
    /// `DirectML` or an error.
    DirectMl,
    /// AMD's `MIGraphX` or an error.
    MiGraphX,
    /// Qualcomm's QNN or an error.
    Qnn,
    /// XNNPACK or an error.
    Xnnpack,
    /// The Arm Compute Library or an error.
    Acl,
    /// `WebGPU` or an error.
    WebGpu,
}

impl ProviderChoice {
    /// The name in flags and reports.
    pub fn name(self) -> &'static str {
        if self == Self::Auto { "auto" } else { providers::provider(self).name }
    }

    /// Whether it was asked for and is not what every library has.
    fn is_special(self) -> bool {
        !matches!(self, Self::Auto | Self::Cpu)
    }
}

/// What kind of hardware a device is (`OrtHardwareDeviceType`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum HardwareType {
    /// The processor.
    Cpu,
    /// A graphics processor.
    Gpu,
    /// A processor for neural networks.
    Npu,
}

impl HardwareType {
    /// In the order of ONNX Runtime.
    pub(crate) const ALL: [Self; 3] = [Self::Cpu, Self::Gpu, Self::Npu];

    /// The name in flags.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Gpu => "gpu",
            Self::Npu => "npu",
        }
    }
}

/// How to open an engine.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct EngineOptions {
    /// Engine.
    pub engine: EngineChoice,
    /// Execution provider.
    pub provider: ProviderChoice,
    /// What the provider is told, by its own names.
    pub provider_options: Vec<(String, String)>,
    /// A library to register that has an execution provider, of ONNX Runtime 1.22 or newer.
    pub provider_library: Option<PathBuf>,
    /// What the provider of a library is to run on; by default what it names first.
    pub provider_device: Option<HardwareType>,
    /// Number of the GPU.
    pub gpu: i32,
    /// Threads inside one operator; all cores by default. tract runs on one.
    pub threads: Option<usize>,
    /// The ONNX Runtime library to load.
    pub library: Option<PathBuf>,
    /// Folder in which TensorRT keeps built engines.
    pub tensorrt_cache: Option<PathBuf>,
    /// Let TensorRT use half precision.
    pub fp16: bool,
}

/// The command that installs ONNX Runtime.
const INSTALL: &str = "pip install onnxruntime";

/// An engine that is ready, and what was tried before it.
pub struct Opened {
    /// The engine.
    pub engine: Box<dyn Engine>,
    /// Fall-backs and why they were needed.
    pub notes: Vec<String>,
}

/// Opens the engine that the options ask for.
///
/// # Errors
/// If an engine or provider asked for by name is not available, or none is.
pub fn open(options: &EngineOptions) -> Result<Opened, EngineError> {
    let wants_runtime = options.engine != EngineChoice::Tract;
    let found = if wants_runtime { discover::candidates(options.library.as_deref()) } else { Vec::new() };
    let mut notes: Vec<String> = Vec::new();
    if let Some(candidate) = found.iter().find(|candidate| candidate.problem.is_none()) {
        let (engine, more) = onnxruntime::OnnxRuntime::open(candidate, options)?;
        notes.extend(more);
        return Ok(Opened { engine: Box::new(engine), notes });
    }
    for candidate in &found {
        let problem = candidate.problem.as_deref().unwrap_or_default();
        notes.push(format!("`{}` ({}) cannot be used: {problem}", candidate.path.display(), candidate.origin));
    }
    let needs_runtime = options.provider.is_special()
        || options.provider_library.is_some()
        || options.library.is_some()
        || options.engine == EngineChoice::OnnxRuntime;
    if wants_runtime && needs_runtime {
        let none = "no library was found in the Python environment, beside the binary or in the system folders";
        return Err(EngineError::Unavailable {
            engine: "ONNX Runtime".into(),
            why: if notes.is_empty() { none.into() } else { notes.join("; ") },
            help: format!("{INSTALL}, or `--engine tract` for the embedded engine"),
        });
    }
    if options.provider.is_special() || options.provider_library.is_some() {
        let engine = match &options.provider_library {
            Some(path) => format!("the provider in `{}`", path.display()),
            None => format!("the {} provider", options.provider.name()),
        };
        return Err(EngineError::Unavailable {
            engine,
            why: "the embedded engine runs on the CPU only".into(),
            help: "leave `--engine tract` away".into(),
        });
    }
    refuse_device_type(options, "the embedded engine runs on the CPU only")?;
    embedded(notes)
}

/// Refuses `--provider-device` where no provider of a library runs.
fn refuse_device_type(options: &EngineOptions, why: &str) -> Result<(), EngineError> {
    options.provider_device.map_or(Ok(()), |kind| {
        Err(EngineError::Unavailable {
            engine: format!("`--provider-device {}`", kind.name()),
            why: why.into(),
            help: "name a provider's library with `--provider-library`, or leave `--provider-device` away".into(),
        })
    })
}

#[cfg(feature = "tract")]
#[allow(clippy::unnecessary_wraps, reason = "the build without tract returns an error")]
fn embedded(notes: Vec<String>) -> Result<Opened, EngineError> {
    Ok(Opened { engine: Box::new(tract::Tract::open()), notes })
}

#[cfg(not(feature = "tract"))]
fn embedded(_notes: Vec<String>) -> Result<Opened, EngineError> {
    Err(EngineError::Unavailable {
        engine: "an inference engine".into(),
        why: "no ONNX Runtime library was found and the embedded engine is not built in".into(),
        help: INSTALL.into(),
    })
}
