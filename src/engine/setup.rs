//! What is installed, what works, what is missing.

use super::discover::{self, Candidate, candidates};
use super::{Engine as _, EngineOptions, ProviderChoice, onnxruntime, providers};
use crate::model::Model;
use crate::proto::onnx::{
    GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorShapeProto, TypeProto, ValueInfoProto,
    tensor_proto::DataType, tensor_shape_proto, type_proto,
};

/// What `onnx-prune setup` says.
#[derive(Debug, Clone, serde::Serialize)]
pub struct SetupReport {
    /// ONNX Runtime libraries in the order of preference.
    pub libraries: Vec<Candidate>,
    /// Providers of the first usable library: name, and why it does not work (`None`: it works).
    pub providers: Vec<(String, Option<String>)>,
    /// Whether the embedded engine is built in.
    pub tract: bool,
    /// What to do, a command each.
    pub advice: Vec<String>,
}

/// Looks at everything an engine can come from.
pub fn setup_report(options: &EngineOptions) -> SetupReport {
    let libraries = candidates(options.library.as_deref());
    let mut working = Vec::new();
    let mut advice = Vec::new();
    match libraries.iter().find(|library| library.problem.is_none()) {
        Some(library) => {
            for (provider, own) in providers::providers() {
                // Of what the library does not have, only what people ask for is told.
                let usual = matches!(provider, ProviderChoice::Cpu | ProviderChoice::Cuda | ProviderChoice::TensorRt);
                let there = library.has(own.registered) || discover::plug_in(&library.path, own.name).is_some();
                if usual || there {
                    let options =
                        EngineOptions { provider, provider_library: None, provider_device: None, ..options.clone() };
                    working.push((own.name.to_owned(), opened(library, options).err()));
                }
            }
            if let Some(path) = &options.provider_library {
                let found = opened(library, options.clone());
                let name = found.as_ref().map_or_else(|_| path.display().to_string(), Clone::clone);
                working.push((name, found.err()));
            }
            if working.iter().all(|(name, problem): &(String, Option<String>)| name == "cpu" || problem.is_some()) {
                advice.push("GPU: pip install onnxruntime-gpu, with CUDA 12 and cuDNN 9".into());
            }
        }
        None => advice.push(format!("2-8 times faster than the embedded engine: {}", super::INSTALL)),
    }
    SetupReport { libraries, providers: working, tract: cfg!(feature = "tract"), advice }
}

/// What the provider that really works is called, or why it does not.
fn opened(library: &Candidate, options: EngineOptions) -> Result<String, String> {
    let options = EngineOptions { provider_options: Vec::new(), ..options };
    match onnxruntime::OnnxRuntime::open(library, &options) {
        Ok((engine, _)) => Ok(engine.info().provider.clone()),
        Err(error) => Err(crate::explain::Explain::why(&error).unwrap_or_else(|| error.to_string())),
    }
}

/// The smallest model an engine can run: one `Relu`.
pub(super) fn tiny_model() -> Model {
    let value = |name: &str| {
        let dim = tensor_shape_proto::Dimension {
            value: Some(tensor_shape_proto::dimension::Value::DimValue(1)),
            denotation: None,
        };
        let tensor = type_proto::Tensor {
            elem_type: Some(DataType::Float as i32),
            shape: Some(TensorShapeProto { dim: vec![dim] }),
        };
        let kind = TypeProto { value: Some(type_proto::Value::TensorType(tensor)), denotation: None };
        ValueInfoProto { name: Some(name.into()), r#type: Some(kind), ..Default::default() }
    };
    let node = NodeProto {
        op_type: Some("Relu".into()),
        input: vec!["x".into()],
        output: vec!["y".into()],
        ..NodeProto::default()
    };
    Model::from_proto(ModelProto {
        ir_version: Some(8),
        opset_import: vec![OperatorSetIdProto { domain: Some(String::new()), version: Some(13) }],
        graph: Some(GraphProto {
            name: Some("probe".into()),
            node: vec![node],
            input: vec![value("x")],
            output: vec![value("y")],
            ..GraphProto::default()
        }),
        ..ModelProto::default()
    })
}
