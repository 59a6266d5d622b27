//! Models as engines want them: self-contained bytes with the outputs that were asked for.

use bytes::Bytes;

use super::EngineError;
use crate::model::{DataType, Model};
use crate::proto::onnx::ValueInfoProto;
use crate::proto::onnx::type_proto::Value as Kind;

/// Names of a model's outputs that hold numbers, in order: texts, sequences and maps beside them are not read. All of them
/// if none does.
pub fn readable_outputs(model: &Model) -> Vec<String> {
    let outputs = &model.graph().output;
    let numbers = |output: &&ValueInfoProto| match output.r#type.as_ref().and_then(|kind| kind.value.as_ref()) {
        Some(Kind::TensorType(tensor)) => tensor.elem_type() != DataType::String as i32,
        Some(_) => false,
        None => true,
    };
    let name = |output: &ValueInfoProto| output.name().to_owned();
    let readable: Vec<String> = outputs.iter().filter(numbers).map(name).collect();
    if readable.is_empty() { outputs.iter().map(name).collect() } else { readable }
}

/// The encoded model with `outputs` as its graph outputs (the graph's own that can be read if empty), and their names.
pub(super) fn prepare(engine: &str, model: &Model, outputs: &[String]) -> Result<(Bytes, Vec<String>), EngineError> {
    let fail = |why: String| EngineError::Compile { engine: engine.to_owned(), why };
    let own: Vec<String> = model.graph().output.iter().map(|output| output.name().to_owned()).collect();
    let inlined = model.inlined().map_err(|error| fail(error.to_string()))?;
    let readable = if outputs.is_empty() { readable_outputs(model) } else { Vec::new() };
    let outputs = if outputs.is_empty() { &readable } else { outputs };
    if outputs == own {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::TensorType;
    use crate::proto::onnx::{GraphProto, ModelProto, NodeProto};

    #[test]
    fn texts_beside_numbers_are_not_read() {
        let (text, number) = (TensorType::new(DataType::String), TensorType::new(DataType::Float));
        let graph = GraphProto {
            node: vec![NodeProto::new("Split").input("x").output("label").output("score")],
            output: vec![text.declare("label"), number.declare("score")],
            ..GraphProto::default()
        };
        let mut model = Model::from_proto(ModelProto { graph: Some(graph), ..ModelProto::default() });
        assert_eq!(readable_outputs(&model), ["score"]);
        assert_eq!(prepare("engine", &model, &[]).unwrap().1, ["score"]);
        model.graph_mut().output.pop();
        assert_eq!(readable_outputs(&model), ["label"]);
    }
}
