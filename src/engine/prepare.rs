//! Models as engines want them: self-contained bytes with the outputs that were asked for.

use bytes::Bytes;

use super::EngineError;
use crate::model::Model;
use crate::proto::onnx::ValueInfoProto;

/// The encoded model with `outputs` as its graph outputs (the graph's own if empty), and their names.
pub(super) fn prepare(engine: &str, model: &Model, outputs: &[String]) -> Result<(Bytes, Vec<String>), EngineError> {
    let fail = |why: String| EngineError::Compile { engine: engine.to_owned(), why };
    let own: Vec<String> = model.graph().output.iter().map(|output| output.name().to_owned()).collect();
    let inlined = model.inlined().map_err(|error| fail(error.to_string()))?;
    if outputs.is_empty() || outputs == own {
        return Ok((inlined.to_bytes(), own));
    }
    let mut copy = inlined.into_owned();
    let graph = copy.graph_mut();
    let missing = |name: &&String| {
        !graph.node.iter().any(|node| node.output.contains(name))
            && !graph.input.iter().any(|input| input.name() == **name)
    };
    if let Some(name) = outputs.iter().find(missing) {
        return Err(fail(format!("it has no value `{name}`")));
    }
    graph.output = outputs
        .iter()
        .map(|name| {
            let declared = graph.output.iter().chain(&graph.value_info).find(|info| info.name() == name);
            declared.cloned().unwrap_or_else(|| ValueInfoProto { name: Some(name.clone()), ..Default::default() })
        })
        .collect();
    Ok((copy.to_bytes(), outputs.to_vec()))
}
