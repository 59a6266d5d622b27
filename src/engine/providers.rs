//! Execution providers of ONNX Runtime: what each is called, and how a session is given it.

use ort::ep::{self, ArbitrarilyConfigurableExecutionProvider, ExecutionProviderDispatch};

use super::{EngineOptions, ProviderChoice};

/// How a session is given a provider.
type Build = fn(&EngineOptions) -> Result<ExecutionProviderDispatch, String>;

/// One provider, a line of the table.
pub(super) struct Provider {
    choice: ProviderChoice,
    /// In flags and reports.
    pub(super) name: &'static str,
    /// In ONNX Runtime.
    pub(super) registered: &'static str,
    /// Where a library that has it comes from.
    pub(super) install: &'static str,
    /// Gives it to a session; none for what every session has.
    build: Option<Build>,
}

/// What helps where CUDA is in the library and does not start.
const CUDA: &str = "install the CUDA and cuDNN libraries that are named above, or use `--provider cpu`";

/// In the order in which flags name them.
const PROVIDERS: [Provider; 11] = [
    Provider {
        choice: ProviderChoice::Cpu,
        name: "cpu",
        registered: "CPUExecutionProvider",
        install: "pip install onnxruntime",
        build: None,
    },
    Provider {
        choice: ProviderChoice::Cuda,
        name: "cuda",
        registered: "CUDAExecutionProvider",
        install: "pip install onnxruntime-gpu",
        build: Some(|options| Ok(configured(ep::CUDA::default().with_device_id(options.gpu), options).into())),
    },
    Provider {
        choice: ProviderChoice::TensorRt,
        name: "tensorrt",
        registered: "TensorrtExecutionProvider",
        install: "pip install onnxruntime-gpu, and TensorRT",
        build: Some(|options| {
            let mut provider = ep::TensorRT::default().with_device_id(options.gpu).with_fp16(options.fp16);
            if let Some(folder) = &options.tensorrt_cache {
                provider = provider.with_engine_cache(true).with_engine_cache_path(folder.display());
            }
            Ok(configured(provider, options).into())
        }),
    },
    Provider {
        choice: ProviderChoice::OpenVino,
        name: "openvino",
        registered: "OpenVINOExecutionProvider",
        install: "pip install onnxruntime-openvino, or onnxruntime-ep-openvino beside ONNX Runtime 1.23 or newer",
        build: Some(|options| {
            Ok(configured(threaded(ep::OpenVINO::default(), "num_of_threads", options), options).into())
        }),
    },
    Provider {
        choice: ProviderChoice::CoreMl,
        name: "coreml",
        registered: "CoreMLExecutionProvider",
        install: "pip install onnxruntime on macOS",
        build: Some(|options| Ok(configured(ep::CoreML::default(), options).into())),
    },
    Provider {
        choice: ProviderChoice::DirectMl,
        name: "directml",
        registered: "DmlExecutionProvider",
        install: "pip install onnxruntime-directml on Windows",
        build: Some(|options| fixed(ep::DirectML::default().with_device_id(options.gpu), options)),
    },
    Provider {
        choice: ProviderChoice::MiGraphX,
        name: "migraphx",
        registered: "MIGraphXExecutionProvider",
        install: "ONNX Runtime built with MIGraphX, as AMD packages it",
        build: Some(|options| fixed(ep::MIGraphX::default().with_device_id(options.gpu), options)),
    },
    Provider {
        choice: ProviderChoice::Qnn,
        name: "qnn",
        registered: "QNNExecutionProvider",
        install: "pip install onnxruntime-qnn",
        build: Some(|options| Ok(configured(ep::QNN::default(), options).into())),
    },
    Provider {
        choice: ProviderChoice::Xnnpack,
        name: "xnnpack",
        registered: "XnnpackExecutionProvider",
        install: "ONNX Runtime built with `--use_xnnpack`",
        build: Some(|options| {
            Ok(configured(threaded(ep::XNNPACK::default(), "intra_op_num_threads", options), options).into())
        }),
    },
    Provider {
        choice: ProviderChoice::Acl,
        name: "acl",
        registered: "ACLExecutionProvider",
        install: "ONNX Runtime built with `--use_acl`",
        build: Some(|options| fixed(ep::ACL::default(), options)),
    },
    Provider {
        choice: ProviderChoice::WebGpu,
        name: "webgpu",
        registered: "WebGpuExecutionProvider",
        install: "pip install onnxruntime-webgpu, or onnxruntime-ep-webgpu beside ONNX Runtime 1.24 or newer",
        build: Some(|options| Ok(configured(ep::WebGPU::default(), options).into())),
    },
];

/// The line of a provider; of the CPU where none is named.
pub(super) fn provider(choice: ProviderChoice) -> &'static Provider {
    let [cpu, ..] = &PROVIDERS;
    PROVIDERS.iter().find(|own| own.choice == choice).unwrap_or(cpu)
}

/// All of them.
pub(super) fn providers() -> impl Iterator<Item = (ProviderChoice, &'static Provider)> {
    PROVIDERS.iter().map(|own| (own.choice, own))
}

impl Provider {
    /// As a session is given it; `None` for what every session has.
    ///
    /// # Errors
    /// If it takes none of the options that are given.
    pub(super) fn dispatch(&self, options: &EngineOptions) -> Result<Option<ExecutionProviderDispatch>, String> {
        match self.build {
            Some(build) => Ok(Some(build(options)?.error_on_failure())),
            None if options.provider_options.is_empty() => Ok(None),
            None => Err(no_options()),
        }
    }

    /// What helps where it does not start, given why.
    pub(super) fn hint(&self, why: &str) -> String {
        let absent = ["not enabled in this build", "not supported in this build", "was not found", "Failed to find"];
        if absent.iter().any(|text| why.contains(text)) || why.contains("Unknown provider") {
            return format!("this library does not have it: {}", self.install);
        }
        match self.choice {
            ProviderChoice::Cuda => CUDA.into(),
            ProviderChoice::TensorRt => {
                "install TensorRT and CUDA so that the loader finds them, or use `--provider cuda`".into()
            }
            _ => "see what is named above, or use `--provider cpu`".into(),
        }
    }
}

/// With threads of its own, not those of the session, by the option that says how many.
fn threaded<P: ArbitrarilyConfigurableExecutionProvider>(provider: P, key: &str, options: &EngineOptions) -> P {
    match options.threads {
        Some(threads) => provider.with_arbitrary_config(key, threads),
        None => provider,
    }
}

/// With the user's own options.
fn configured<P: ArbitrarilyConfigurableExecutionProvider>(provider: P, options: &EngineOptions) -> P {
    let own = options.provider_options.iter();
    own.fold(provider, |provider, (key, value)| provider.with_arbitrary_config(key, value))
}

/// A provider that takes no options by name.
fn fixed(
    provider: impl Into<ExecutionProviderDispatch>,
    options: &EngineOptions,
) -> Result<ExecutionProviderDispatch, String> {
    if options.provider_options.is_empty() { Ok(provider.into()) } else { Err(no_options()) }
}

fn no_options() -> String {
    "it takes no options (`--provider-option`)".into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_choice_has_its_line() {
        for (choice, own) in providers() {
            assert_eq!((provider(choice).name, choice.name()), (own.name, own.name));
        }
        assert_eq!(provider(ProviderChoice::Auto).name, "cpu");
    }
}
