//! The channel block of the engine: at which widths convolutions cost no more than the ones below.
//!
//! ONNX Runtime's CPU convolutions run in a blocked layout. Nothing is timed: one-convolution models are optimised
//! and saved, and the saved weight shows the padded width, the node's domain whether the layout was taken.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;

use super::setup::tiny_model;
use super::{Engine, EngineError};
use crate::model::{Model, TensorData};
use crate::proto::onnx::{NodeProto, tensor_shape_proto, type_proto};

/// Widths that suit an engine on this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
pub struct ChannelBlock {
    /// Convolutions cost as much as at the next multiple of this.
    pub block: usize,
    /// Counts that are not a multiple of this leave the blocked layout.
    pub multiple: usize,
}

/// Engines whose cost grows smoothly with the width.
const SMOOTH: ChannelBlock = ChannelBlock { block: 1, multiple: 1 };

/// Widths that are looked at; blocks of up to half of it are found.
const WIDTHS: [usize; 12] = [33, 34, 35, 36, 38, 40, 42, 44, 46, 48, 52, 56];

/// Finds the channel block in the engine's optimised graph, or reads it from the cache of an earlier call.
///
/// If the engine does not show its optimised model, any width is as good as another.
pub fn channel_block(engine: &dyn Engine) -> ChannelBlock {
    if engine.info().provider != "cpu" {
        // GPU kernels work on tiles of 8 channels at least.
        return ChannelBlock { block: 8, multiple: 8 };
    }
    let found = cached_block(engine, "v3", || find(engine).ok_or(()));
    found.unwrap_or(SMOOTH)
}

/// Whether an engine's graph is that of ONNX Runtime's own kernels, which tells their blocks.
pub fn shows_blocks(engine: &dyn Engine) -> bool {
    let info = engine.info();
    info.name == "onnxruntime" && info.provider == "cpu"
}

/// What an earlier call kept under this name for the engine and its machine, else what is found now.
pub(crate) fn cached_block<E>(
    engine: &dyn Engine,
    name: &str,
    find: impl FnOnce() -> Result<ChannelBlock, E>,
) -> Result<ChannelBlock, E> {
    let info = engine.info();
    let provider = &info.provider;
    let cache = cache_file(&format!("{name}-{}-{}-{provider}-{}", info.name, info.version, engine.machine().key()));
    let known = cache.as_ref().and_then(|path| std::fs::read_to_string(path).ok());
    if let Some(block) = known.and_then(|text| serde_json::from_str(&text).ok()) {
        return Ok(block);
    }
    let block = find()?;
    if let (Some(path), Ok(text)) = (cache, serde_json::to_string(&block)) {
        // A cache that cannot be written costs a few seconds next time and nothing else.
        let _ = path.parent().map(std::fs::create_dir_all);
        let _ = std::fs::write(path, text);
    }
    Ok(block)
}

fn find(engine: &dyn Engine) -> Option<ChannelBlock> {
    let mut blocked = Vec::new();
    for width in WIDTHS {
        let saved = engine.optimised_model(&one_convolution(width, 8))?.ok()?;
        let graph = saved.graph();
        let in_layout = graph.node.iter().any(|node| node.domain() == BLOCKED_DOMAIN);
        let padded = graph.initializer.iter().find(|tensor| tensor.dims.len() == 4).map(|tensor| tensor.dims[0]);
        if let (true, Some(padded)) = (in_layout, padded.and_then(|size| usize::try_from(size).ok())) {
            blocked.push((width, padded));
        }
    }
    if blocked.is_empty() {
        return Some(SMOOTH);
    }
    let multiple = blocked.iter().fold(0, |all, &(width, _)| gcd(all, width));
    let block = blocked.iter().fold(0, |all, &(_, padded)| gcd(all, padded));
    Some(ChannelBlock { block: block.max(1), multiple: multiple.clamp(1, block.max(1)) })
}

/// Convolutions as the engine runs them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blocked {
    /// How many, and how many of them in the blocked layout.
    pub count: Convolutions,
    /// Whether a convolution is in the blocked layout, by its name in the engine's optimised graph.
    pub of: BTreeMap<String, bool>,
}

/// Which convolutions of a model the engine runs in its blocked layout, read from its optimised graph. `None` where it does
/// not show that.
///
/// # Errors
/// If the engine refuses the model.
pub fn blocked(engine: &dyn Engine, model: &Model) -> Option<Result<Blocked, EngineError>> {
    let saved = match engine.optimised_model(model)? {
        Ok(saved) => saved,
        Err(error) => return Some(Err(error)),
    };
    let convolution = |node: &&NodeProto| node.op_type().ends_with("Conv");
    let of: BTreeMap<String, bool> = (saved.graph().node.iter().filter(convolution))
        .map(|node| (node.name().to_owned(), node.domain() == BLOCKED_DOMAIN))
        .collect();
    let count = Convolutions { blocked: of.values().filter(|&&blocked| blocked).count(), all: of.len() };
    Some(Ok(Blocked { count, of }))
}

/// Domain of the operators in the blocked layout.
const BLOCKED_DOMAIN: &str = "com.microsoft.nchwc";

/// Convolutions of a model as the engine runs them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
pub struct Convolutions {
    /// In the engine's blocked layout.
    pub blocked: usize,
    /// In all.
    pub all: usize,
}

fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// `[1, width, size, size] -> Conv 3x3 -> [1, width, size, size]`: inside a network a width is an output of one convolution and an
/// input of the next, and both must suit the layout.
pub(crate) fn one_convolution(width: usize, size: usize) -> Model {
    grouped_convolution(width, size, 1)
}

/// The same in so many groups.
pub(crate) fn grouped_convolution(width: usize, size: usize, groups: usize) -> Model {
    let mut model = tiny_model();
    let graph = model.graph_mut();
    let dims = [1, width, size, size].map(|size| i64::try_from(size).unwrap_or(1));
    for info in graph.input.iter_mut().chain(&mut graph.output) {
        if let Some(type_proto::Value::TensorType(tensor)) = info.r#type.as_mut().and_then(|kind| kind.value.as_mut()) {
            tensor.shape.get_or_insert_default().dim = dims
                .iter()
                .map(|&size| tensor_shape_proto::Dimension {
                    value: Some(tensor_shape_proto::dimension::Value::DimValue(size)),
                    denotation: None,
                })
                .collect();
        }
    }
    let groups = groups.max(1);
    let node = NodeProto::new("Conv").input("x").input("w").output("y").attr("pads", [1; 4]);
    graph.node = vec![node.attr("group", i64::try_from(groups).unwrap_or(1))];
    // Zero weights would be folded away by no optimiser that we know of, but equal ones cost nothing either.
    let inputs = width / groups;
    let weight = TensorData::from_f32(vec![width, inputs, 3, 3], &vec![0.01; width * inputs * 9]);
    graph.initializer = vec![weight.to_proto("w")];
    model
}

fn cache_file(key: &str) -> Option<PathBuf> {
    let base = caches(std::env::consts::OS, |name| std::env::var_os(name))?;
    let name: String = key.chars().map(|c| if c.is_ascii_alphanumeric() || c == '.' { c } else { '_' }).collect();
    Some(base.join("onnx-prune").join(format!("block-{name}.json")))
}

/// The user's folder for what can be made again.
fn caches(os: &str, variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let folder = |name: &str| variable(name).filter(|path| !path.is_empty()).map(PathBuf::from);
    let usual = || if os == "windows" { folder("LOCALAPPDATA") } else { Some(folder("HOME")?.join(".cache")) };
    folder("XDG_CACHE_HOME").or_else(usual)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cache_lies_where_the_system_keeps_caches() {
        let with = |os: &str, set: &[(&str, &str)]| {
            let value = |name: &str| set.iter().find(|own| own.0 == name).map(|own| own.1.into());
            caches(os, value)
        };
        let home = [("HOME", "home"), ("LOCALAPPDATA", "local")];
        assert_eq!(with("linux", &home), Some(PathBuf::from("home").join(".cache")));
        assert_eq!(with("macos", &home), Some(PathBuf::from("home").join(".cache")));
        assert_eq!(with("windows", &home), Some("local".into()));
        assert_eq!(with("windows", &[("XDG_CACHE_HOME", "own"), ("LOCALAPPDATA", "local")]), Some("own".into()));
        assert_eq!(with("linux", &[("XDG_CACHE_HOME", ""), ("HOME", "")]), None);
    }
}
