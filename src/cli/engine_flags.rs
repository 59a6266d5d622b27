//! Which engine runs the models.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::parse;
use crate::engine::{EngineChoice, EngineOptions, HardwareType, ProviderChoice};

#[derive(Debug, Args)]
pub(super) struct EngineFlags {
    /// Inference engine
    #[arg(long, value_enum, default_value = "auto", help_heading = "Engine")]
    engine: EngineFlag,
    /// Execution provider of ONNX Runtime
    #[arg(long, value_enum, default_value = "auto", help_heading = "Engine")]
    provider: ProviderFlag,
    /// What the provider is told, by its own names, KEY=VALUE; may be repeated
    #[arg(long, value_name = "KEY=VALUE", value_parser = parse::provider_option, help_heading = "Engine")]
    provider_option: Vec<(String, String)>,
    /// Library of an execution provider to register, for ONNX Runtime 1.22 or newer
    #[arg(long, value_name = "FILE", help_heading = "Engine")]
    provider_library: Option<PathBuf>,
    /// What the provider of a library runs on [default: what it names first]
    #[arg(long, value_enum, value_name = "TYPE", help_heading = "Engine")]
    provider_device: Option<HardwareFlag>,
    /// Number of the GPU
    #[arg(long, value_name = "N", default_value_t = 0, help_heading = "Engine")]
    gpu: i32,
    /// Threads inside one operator [default: all cores]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..), help_heading = "Engine")]
    threads: Option<u16>,
    /// The ONNX Runtime library to load
    #[arg(long, value_name = "FILE", help_heading = "Engine")]
    onnxruntime: Option<PathBuf>,
    /// Folder in which TensorRT keeps built engines
    #[arg(long, value_name = "DIR", help_heading = "Engine")]
    tensorrt_cache: Option<PathBuf>,
    /// Let TensorRT use half precision
    #[arg(long, help_heading = "Engine")]
    fp16: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum EngineFlag {
    Auto,
    #[value(name = "onnxruntime")]
    OnnxRuntime,
    Tract,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum ProviderFlag {
    Auto,
    Cpu,
    Cuda,
    #[value(name = "tensorrt")]
    TensorRt,
    #[value(name = "openvino")]
    OpenVino,
    #[value(name = "coreml")]
    CoreMl,
    #[value(name = "directml")]
    DirectMl,
    #[value(name = "migraphx")]
    MiGraphX,
    Qnn,
    Xnnpack,
    Acl,
    #[value(name = "webgpu")]
    WebGpu,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum HardwareFlag {
    Cpu,
    Gpu,
    Npu,
}

impl EngineFlags {
    pub(super) fn options(&self) -> EngineOptions {
        EngineOptions {
            engine: match self.engine {
                EngineFlag::Auto => EngineChoice::Auto,
                EngineFlag::OnnxRuntime => EngineChoice::OnnxRuntime,
                EngineFlag::Tract => EngineChoice::Tract,
            },
            provider: match self.provider {
                ProviderFlag::Auto => ProviderChoice::Auto,
                ProviderFlag::Cpu => ProviderChoice::Cpu,
                ProviderFlag::Cuda => ProviderChoice::Cuda,
                ProviderFlag::TensorRt => ProviderChoice::TensorRt,
                ProviderFlag::OpenVino => ProviderChoice::OpenVino,
                ProviderFlag::CoreMl => ProviderChoice::CoreMl,
                ProviderFlag::DirectMl => ProviderChoice::DirectMl,
                ProviderFlag::MiGraphX => ProviderChoice::MiGraphX,
                ProviderFlag::Qnn => ProviderChoice::Qnn,
                ProviderFlag::Xnnpack => ProviderChoice::Xnnpack,
                ProviderFlag::Acl => ProviderChoice::Acl,
                ProviderFlag::WebGpu => ProviderChoice::WebGpu,
            },
            provider_options: self.provider_option.clone(),
            provider_library: self.provider_library.clone(),
            provider_device: self.provider_device.map(|own| match own {
                HardwareFlag::Cpu => HardwareType::Cpu,
                HardwareFlag::Gpu => HardwareType::Gpu,
                HardwareFlag::Npu => HardwareType::Npu,
            }),
            gpu: self.gpu,
            threads: self.threads.map(usize::from),
            library: self.onnxruntime.clone(),
            tensorrt_cache: self.tensorrt_cache.clone(),
            fp16: self.fp16,
        }
    }
}
