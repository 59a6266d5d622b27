//! Whether the engine computes what a model in QDQ form says, operator by operator.
//!
//! An optimised session computes on integers what an unoptimised one computes in real numbers between `DequantizeLinear` and
//! `QuantizeLinear`. Sums in another order may fall on the other side of a step, never further.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};

use super::EvaluateError;
use crate::engine::{CompileOptions, Engine, Feed, Tensor, feed};
use crate::model::Model;
use crate::model::node::node_name;
use crate::proto::onnx::NodeProto;
use crate::surgery::{Uses, extract};

/// Steps that an operator's integers may differ by.
const MOST_STEPS: u64 = 1;

/// What the comparison found.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
pub struct IntegerProof {
    /// Operators that were compared.
    pub operators: usize,
    /// Largest difference of an integer, in steps, among those that hold.
    pub steps: u64,
    /// Names of operators whose integers differ by more than one step.
    pub broken: Vec<String>,
}

/// An operator between integers.
struct Operator {
    name: String,
    inputs: BTreeSet<String>,
    output: String,
}

/// Compares every operator between integers on the values of one run.
///
/// # Errors
/// If the engine does not run the model, or on interruption. An operator that it does not run alone is left out.
pub fn prove_integers(
    engine: &dyn Engine,
    model: &Model,
    inputs: &Feed,
    cancel: &AtomicBool,
) -> Result<IntegerProof, EvaluateError> {
    let operators = operators(model);
    let names: BTreeSet<&String> = operators.iter().flat_map(|own| own.inputs.iter().chain([&own.output])).collect();
    let mut proof = IntegerProof::default();
    if names.is_empty() {
        return Ok(proof);
    }
    let outputs: Vec<String> = names.into_iter().cloned().collect();
    let options = CompileOptions { outputs: outputs.clone(), plain: true, ..CompileOptions::default() };
    let values = engine.compile(model, &options)?.run(&feed::pairs(inputs))?;
    let values: HashMap<&String, Tensor> = outputs.iter().zip(values).collect();
    for own in &operators {
        if cancel.load(Ordering::Relaxed) {
            return Err(EvaluateError::Interrupted);
        }
        let Some(steps) = difference(engine, model, own, &values) else { continue };
        proof.operators += 1;
        if steps > MOST_STEPS {
            proof.broken.push(own.name.clone());
        } else {
            proof.steps = proof.steps.max(steps);
        }
    }
    Ok(proof)
}

/// Nodes whose values all come of integers and go to integers.
fn operators(model: &Model) -> Vec<Operator> {
    let graph = model.graph();
    let uses = Uses::of(graph);
    let node = |value: &str| uses.maker(value).map(|index| &graph.node[index]);
    let of = |own: &NodeProto| -> Option<Operator> {
        if own.op_type().ends_with("quantizeLinear") || own.op_type() == "QuantizeLinear" {
            return None;
        }
        let mut inputs = BTreeSet::new();
        for value in own.input.iter().filter(|name| !name.is_empty()) {
            let Some(maker) = node(value) else { continue };
            match maker.op_type() {
                // What comes of stored integers alone is a weight.
                "DequantizeLinear" => inputs.extend(maker.input.first().filter(|name| node(name).is_some()).cloned()),
                "Constant" => {}
                _ => return None,
            }
        }
        let reader = uses.only(own.output.first()?).map(|index| &graph.node[index])?;
        let output = reader.output.first().filter(|_| reader.op_type() == "QuantizeLinear")?.clone();
        (!inputs.is_empty()).then(|| Operator { name: node_name(own), inputs, output })
    };
    graph.node.iter().filter_map(of).collect()
}

/// Largest difference of an operator's integers between an optimised session and given values; `None` where it does not
/// run alone.
fn difference(engine: &dyn Engine, model: &Model, own: &Operator, values: &HashMap<&String, Tensor>) -> Option<u64> {
    let inputs: Vec<&str> = own.inputs.iter().map(String::as_str).collect();
    let part = extract(model, &inputs, &[&own.output]).ok()?;
    let fed: Vec<(&str, &Tensor)> =
        own.inputs.iter().map(|name| Some((name.as_str(), values.get(name)?))).collect::<Option<_>>()?;
    let found = engine.compile(&part, &CompileOptions::default()).ok()?.run(&fed).ok()?;
    let far = |a: i64, b: i64| a.abs_diff(b);
    match (found.first()?, values.get(&own.output)?) {
        (Tensor::U8(a), Tensor::U8(b)) if a.shape() == b.shape() => {
            a.iter().zip(b).map(|(a, b)| far((*a).into(), (*b).into())).max()
        }
        (Tensor::I8(a), Tensor::I8(b)) if a.shape() == b.shape() => {
            a.iter().zip(b).map(|(a, b)| far((*a).into(), (*b).into())).max()
        }
        _ => None,
    }
}
