//! ONNX Runtime through `ort`, loaded at run time.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use ort::environment::Environment;
use ort::session::builder::{GraphOptimizationLevel, SessionBuilder};
use ort::session::{Session as OrtSession, SessionInputValue};
use ort::value::{TensorElementType, TensorRef, ValueType};

use super::bound::{BoundRun, Device};
use super::discover::{self, Candidate};
use super::plug_in::PlugIn;
use super::prepare::prepare;
use super::profile::{NodeTime, node_times};
use super::{
    Bound, CompileOptions, Engine, EngineError, EngineInfo, EngineOptions, ProviderChoice, Session, Tensor, providers,
};
use crate::model::{LoadOptions, Model};

pub(super) const NAME: &str = "onnxruntime";

/// One environment per process: the library refuses a second one.
static ENVIRONMENT: OnceLock<Result<Environment, String>> = OnceLock::new();

/// ONNX Runtime with one execution provider.
pub(super) struct OnnxRuntime {
    info: EngineInfo,
    options: EngineOptions,
    provider: Provider,
}

/// Where a session gets its provider from.
enum Provider {
    /// ONNX Runtime's library has it.
    BuiltIn(ProviderChoice),
    /// A library of its own has it.
    PlugIn(PlugIn),
}

impl Provider {
    fn name(&self) -> &str {
        match self {
            Self::BuiltIn(choice) => choice.name(),
            Self::PlugIn(device) => device.name(),
        }
    }
}

impl OnnxRuntime {
    /// Loads the library of `candidate` and finds a provider that really works.
    pub(super) fn open(candidate: &Candidate, options: &EngineOptions) -> Result<(Self, Vec<String>), EngineError> {
        let environment = environment(&candidate.path)?;
        let threads = options.threads.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from));
        let (provider, notes) = if let Some(library) = plug_in_for(candidate, options) {
            let provider = plugged_in(candidate, environment, &library, options)?;
            let own_threads =
                "the provider of a library has threads of its own: `--threads` is told to ONNX Runtime alone";
            let notes = options.threads.map(|_| own_threads.to_owned());
            (provider, notes.into_iter().collect())
        } else {
            super::refuse_device_type(
                options,
                "providers of ONNX Runtime's own library choose what they run on themselves",
            )?;
            built_in(options)?
        };
        let info = EngineInfo {
            name: NAME.into(),
            version: candidate.version.clone().unwrap_or_default(),
            provider: provider.name().into(),
            library: Some(candidate.path.clone()),
            threads,
        };
        Ok((Self { info, options: options.clone(), provider }, notes))
    }

    fn device(&self) -> Device {
        Device { gpu: self.info.in_gpu_memory(), number: self.options.gpu }
    }

    fn builder(&self) -> Result<SessionBuilder, String> {
        builder(&self.provider, &self.options, self.info.threads)
    }

    /// A builder that leaves the graph as it is, where that is asked for.
    fn builder_of(&self, options: &CompileOptions) -> Result<SessionBuilder, String> {
        let builder = self.builder()?;
        if !options.plain {
            return Ok(builder);
        }
        builder.with_optimization_level(GraphOptimizationLevel::Disable).map_err(|error| error.to_string())
    }

    fn profiled(&self, model: &Model, inputs: &[(&str, &Tensor)], runs: usize) -> Result<Vec<NodeTime>, EngineError> {
        let fail = |why: String| EngineError::Run { engine: NAME.into(), why };
        let (bytes, outputs) = prepare(NAME, model, &[])?;
        let folder = tempfile::tempdir().map_err(|error| fail(error.to_string()))?;
        let attempt = || -> Result<OrtSession, String> {
            let mut builder =
                self.builder()?.with_profiling(folder.path().join("profile")).map_err(|error| error.to_string())?;
            builder.commit_from_memory(&bytes).map_err(|error| error.to_string())
        };
        let session = attempt().map_err(|why| EngineError::Compile { engine: NAME.into(), why })?;
        let mut running = Running { session, outputs, device: self.device() };
        let skipped = runs.div_ceil(5);
        for _ in 0..runs + skipped {
            running.run(inputs)?;
        }
        let path = running.session.end_profiling().map_err(|error| fail(error.to_string()))?;
        let text = std::fs::read_to_string(path).map_err(|error| fail(error.to_string()))?;
        node_times(&text, runs + skipped, skipped).map_err(fail)
    }

    /// Saves the model as the engine optimises it.
    fn optimised(&self, model: &Model, path: &Path) -> Result<(), EngineError> {
        let (bytes, _) = prepare(NAME, model, &[])?;
        let attempt = || -> Result<(), String> {
            let mut builder = self.builder()?.with_optimized_model_path(path).map_err(|error| error.to_string())?;
            builder.commit_from_memory(&bytes).map_err(|error| error.to_string())?;
            Ok(())
        };
        attempt().map_err(|why| EngineError::Compile { engine: NAME.into(), why })
    }
}

impl Engine for OnnxRuntime {
    fn info(&self) -> &EngineInfo {
        &self.info
    }

    fn compile(&self, model: &Model, options: &CompileOptions) -> Result<Box<dyn Session>, EngineError> {
        let (bytes, outputs) = prepare(NAME, model, &options.outputs)?;
        let attempt = || -> Result<OrtSession, String> {
            self.builder_of(options)?.commit_from_memory(&bytes).map_err(|error| error.to_string())
        };
        let session = attempt().map_err(|why| EngineError::Compile { engine: NAME.into(), why })?;
        Ok(Box::new(Running { session, outputs, device: self.device() }))
    }

    fn profile(
        &self,
        model: &Model,
        inputs: &[(&str, &Tensor)],
        runs: usize,
    ) -> Option<Result<Vec<NodeTime>, EngineError>> {
        Some(self.profiled(model, inputs, runs))
    }

    fn optimised_model(&self, model: &Model) -> Option<Result<Model, EngineError>> {
        let folder = tempfile::tempdir().ok()?;
        let path = folder.path().join("optimised.onnx");
        if let Err(error) = self.optimised(model, &path) {
            return Some(Err(error));
        }
        let options = LoadOptions { allow_unknown_fields: true };
        // A file that is mapped cannot be removed on Windows, and the folder with it.
        let model = if cfg!(windows) {
            Model::from_bytes(std::fs::read(&path).ok()?.into(), &options)
        } else {
            Model::load(&path, &options)
        };
        model.ok().map(Ok)
    }
}

struct Running {
    session: OrtSession,
    outputs: Vec<String>,
    device: Device,
}

impl Running {
    /// Runs once, and gives what `f` makes of every output.
    fn each_output<T>(
        &mut self,
        inputs: &[(&str, &Tensor)],
        f: impl Fn(&ort::value::DynValue) -> Result<T, String>,
    ) -> Result<Vec<T>, EngineError> {
        let fail = |why: String| EngineError::Run { engine: NAME.into(), why };
        let views: Vec<(String, SessionInputValue<'_>)> = inputs
            .iter()
            .map(|(name, tensor)| Ok(((*name).to_owned(), view(tensor).map_err(|error| error.to_string())?)))
            .collect::<Result<_, String>>()
            .map_err(fail)?;
        let results = self.session.run(views).map_err(|error| fail(error.to_string()))?;
        self.outputs
            .iter()
            .map(|name| {
                let value = results.get(name).ok_or_else(|| fail(format!("no output `{name}`")))?;
                f(value).map_err(fail)
            })
            .collect()
    }
}

impl Session for Running {
    fn outputs(&self) -> &[String] {
        &self.outputs
    }

    fn run(&mut self, inputs: &[(&str, &Tensor)]) -> Result<Vec<Tensor>, EngineError> {
        self.each_output(inputs, extract)
    }

    fn shapes(&mut self, inputs: &[(&str, &Tensor)]) -> Result<Vec<Option<Vec<usize>>>, EngineError> {
        self.each_output(inputs, |value| Ok(sizes(value)))
    }

    fn bind<'a>(&'a mut self, inputs: &'a [(&'a str, &'a Tensor)]) -> Result<Box<dyn Bound + 'a>, EngineError> {
        let bound = BoundRun::new(&mut self.session, inputs, &self.outputs, self.device);
        let bound = bound.map_err(|error| EngineError::Run { engine: NAME.into(), why: error.to_string() })?;
        Ok(Box::new(bound))
    }
}

fn environment(path: &Path) -> Result<&'static Environment, EngineError> {
    let made = ENVIRONMENT.get_or_init(|| {
        let builder = ort::init_from(super::library::located(path)).map_err(|error| error.to_string())?;
        builder.with_telemetry(false).build().map_err(|error| error.to_string())
    });
    made.as_ref().map_err(|why| EngineError::Unavailable {
        engine: "ONNX Runtime".into(),
        why: format!("`{}`: {why}", path.display()),
        help: super::INSTALL.into(),
    })
}

/// The library that has the provider: the one that is given, or where ONNX Runtime does not have what is asked for, one that is
/// installed beside it.
fn plug_in_for(candidate: &Candidate, options: &EngineOptions) -> Option<PathBuf> {
    options.provider_library.clone().or_else(|| {
        let wanted = providers::provider(options.provider);
        if candidate.has(wanted.registered) { None } else { discover::plug_in(&candidate.path, wanted.name) }
    })
}

/// The provider of a library that is registered.
fn plugged_in(
    candidate: &Candidate,
    environment: &Environment,
    library: &Path,
    options: &EngineOptions,
) -> Result<Provider, EngineError> {
    let begin = || -> Result<Provider, String> {
        let provider = Provider::PlugIn(PlugIn::find(&candidate.path, environment, library, options)?);
        probe(&provider, options)?;
        Ok(provider)
    };
    begin().map_err(|why| EngineError::Unavailable {
        engine: format!("the provider in `{}`", library.display()),
        why,
        help: "`--provider-library` names the library that the package of a provider brings, `--provider` and \
               `--provider-device` which of what it has is meant"
            .into(),
    })
}

/// A provider of ONNX Runtime's own library, and what was tried before.
fn built_in(options: &EngineOptions) -> Result<(Provider, Vec<String>), EngineError> {
    let named = options.provider;
    if named == ProviderChoice::Auto {
        let (found, notes) = choose(options);
        return Ok((Provider::BuiltIn(found), notes));
    }
    let provider = Provider::BuiltIn(named);
    probe(&provider, options).map_err(|why| EngineError::Unavailable {
        engine: format!("the {} provider", named.name()),
        help: providers::provider(named).hint(&why),
        why,
    })?;
    Ok((provider, Vec::new()))
}

#[allow(clippy::result_large_err, reason = "the error of `ort` carries the builder")]
fn builder(provider: &Provider, options: &EngineOptions, threads: usize) -> Result<SessionBuilder, String> {
    let Some(Ok(environment)) = ENVIRONMENT.get() else { return Err("the library is not loaded".into()) };
    let text = |error: ort::Error<SessionBuilder>| error.to_string();
    let mut builder = OrtSession::builder(environment)
        .map_err(|error| error.to_string())?
        .with_intra_threads(threads)
        // Idle threads of one session that spin take the cores from the other session of a comparison, and from
        // decoding.
        .and_then(|builder| builder.with_intra_op_spinning(false))
        .and_then(|builder| builder.with_inter_threads(1))
        .and_then(|builder| builder.with_optimization_level(GraphOptimizationLevel::All))
        .and_then(|builder| builder.with_log_level(ort::logging::LogLevel::Fatal))
        .map_err(text)?;
    match provider {
        Provider::BuiltIn(choice) => {
            if let Some(dispatch) = providers::provider(*choice).dispatch(options)? {
                builder = builder.with_execution_providers([dispatch]).map_err(text)?;
            }
        }
        Provider::PlugIn(device) => device.append(environment, &mut builder, &options.provider_options)?,
    }
    Ok(builder)
}

/// A provider counts only if a session with it was really made.
fn probe(provider: &Provider, options: &EngineOptions) -> Result<(), String> {
    let model = super::setup::tiny_model();
    let bytes = model.to_bytes();
    builder(provider, options, 1)?.commit_from_memory(&bytes).map_err(|error| error.to_string())?;
    Ok(())
}

/// CUDA if it works, else the CPU; what was tried and why not goes into the notes.
fn choose(options: &EngineOptions) -> (ProviderChoice, Vec<String>) {
    match probe(&Provider::BuiltIn(ProviderChoice::Cuda), options) {
        Ok(()) => (ProviderChoice::Cuda, Vec::new()),
        // A library without the provider is the ordinary CPU build, not a fall-back worth a word.
        Err(why) if why.contains("not enabled in this build") => (ProviderChoice::Cpu, Vec::new()),
        Err(why) => {
            (ProviderChoice::Cpu, vec![format!("CUDA is in the library but cannot start: {why}; the CPU runs")])
        }
    }
}

fn view(tensor: &Tensor) -> ort::Result<SessionInputValue<'_>> {
    Ok(match tensor {
        Tensor::F32(array) => TensorRef::from_array_view(array.view())?.into(),
        Tensor::F64(array) => TensorRef::from_array_view(array.view())?.into(),
        Tensor::F16(array) => TensorRef::from_array_view(array.view())?.into(),
        Tensor::I64(array) => TensorRef::from_array_view(array.view())?.into(),
        Tensor::I32(array) => TensorRef::from_array_view(array.view())?.into(),
        Tensor::U8(array) => TensorRef::from_array_view(array.view())?.into(),
        Tensor::I8(array) => TensorRef::from_array_view(array.view())?.into(),
        Tensor::Bool(array) => TensorRef::from_array_view(array.view())?.into(),
    })
}

/// Shape of a value, if it is a tensor.
fn sizes(value: &ort::value::DynValue) -> Option<Vec<usize>> {
    let ValueType::Tensor { shape, .. } = value.dtype() else { return None };
    shape.iter().map(|&size| usize::try_from(size).ok()).collect()
}

fn extract(value: &ort::value::DynValue) -> Result<Tensor, String> {
    let ValueType::Tensor { ty, .. } = value.dtype() else { return Err("an output is not a tensor".into()) };
    let text = |error: ort::Error| error.to_string();
    Ok(match ty {
        TensorElementType::Float32 => Tensor::F32(value.try_extract_array::<f32>().map_err(text)?.to_owned()),
        TensorElementType::Float64 => Tensor::F64(value.try_extract_array::<f64>().map_err(text)?.to_owned()),
        TensorElementType::Float16 => Tensor::F16(value.try_extract_array::<half::f16>().map_err(text)?.to_owned()),
        TensorElementType::Int64 => Tensor::I64(value.try_extract_array::<i64>().map_err(text)?.to_owned()),
        TensorElementType::Int32 => Tensor::I32(value.try_extract_array::<i32>().map_err(text)?.to_owned()),
        TensorElementType::Uint8 => Tensor::U8(value.try_extract_array::<u8>().map_err(text)?.to_owned()),
        TensorElementType::Int8 => Tensor::I8(value.try_extract_array::<i8>().map_err(text)?.to_owned()),
        TensorElementType::Bool => Tensor::Bool(value.try_extract_array::<bool>().map_err(text)?.to_owned()),
        other => return Err(format!("an output has the element type {other:?}, which is not read")),
    })
}
