//! Every operator family alone, between two convolutions: what may be cut, and that the cut holds.

mod elementwise;
mod mixing;
mod movement;
mod statistics;

use onnx_prune::channels::{AnalyseOptions, analyse};
use onnx_prune::model::Model;

use crate::support::Builder;
use crate::{engine, survives};

/// What stands between the convolutions: reads `[1, 8, 6, 6]` and gives a value with its channels.
type Middle = fn(&mut Builder, &str) -> (String, usize);

enum Expect {
    /// The first convolution's channels can be cut, in so many pruning units.
    Free(usize),
    /// They stay, and the reason says this.
    Stays(&'static str),
}

use Expect::{Free, Stays};

fn model(middle: Middle, opset: i64) -> Model {
    let mut b = Builder::new(&[1, 4, 6, 6]);
    let first = b.conv("x", 4, 8, 1);
    let (last, channels) = middle(&mut b, &first);
    let second = b.conv(&last, channels, 5, 1);
    let pooled = b.node("GlobalAveragePool", &[&second], &[]);
    let mut model = b.model(&pooled);
    model.proto_mut().opset_import[0].version = Some(opset);
    if opset > 20 {
        model.proto_mut().ir_version = Some(10);
    }
    if model.graph().node.iter().any(|node| node.domain() == "com.microsoft") {
        let domain = Some("com.microsoft".to_owned());
        model.proto_mut().opset_import.push(onnx_prune::proto::onnx::OperatorSetIdProto { domain, version: Some(1) });
    }
    model
}

/// Why the case fails, if it does; `None` if the engine at hand does not know the operator.
fn judge(middle: Middle, opset: i64, expect: &Expect) -> Option<Result<(), String>> {
    let engine = engine();
    let model = model(middle, opset);
    let feed =
        onnx_prune::evaluate::random_inputs(&onnx_prune::evaluate::input_specs(&model), &Default::default(), 1, 1);
    if let Err(why) = crate::shapes(engine.as_ref(), &model, &feed) {
        return if engine.info().name == "tract" { None } else { Some(Err(format!("the graph itself: {why}"))) };
    }
    let channels = analyse(&model, &AnalyseOptions::default());
    let opaque = channels.opaque.iter().next().filter(|_| matches!(expect, Free(_)));
    if let Some((op, found)) = opaque {
        return Some(Err(format!("{op} is opaque: {}", found.why)));
    }
    let coupled: Vec<_> = (0..8).map(|index| channels.coupled(0, index).unwrap()).collect();
    match expect {
        Stays(why) => {
            let reasons: Vec<String> =
                coupled.iter().flat_map(|coupled| &coupled.reasons).map(ToString::to_string).collect();
            let said = reasons.iter().any(|reason| reason.contains(why));
            if !said || coupled.iter().all(|coupled| coupled.unit.is_some()) {
                return Some(Err(format!("expected to stay: {why}; found {reasons:?}")));
            }
        }
        Free(units) => {
            let found: std::collections::BTreeSet<_> = coupled.iter().filter_map(|coupled| coupled.unit).collect();
            if found.len() != *units {
                return Some(Err(format!("{} units, expected {units}: {:?}", found.len(), channels.protected)));
            }
            for coupled in coupled.iter().filter(|coupled| *units > 1 && coupled.unit.is_some()) {
                if let Err(why) = survives(engine.as_ref(), &model, &channels, &coupled.cut, 1) {
                    return Some(Err(why));
                }
            }
        }
    }
    Some(Ok(()))
}

/// Runs a table and reports every row that fails.
fn table(rows: &[(&str, i64, Middle, Expect)]) {
    let mut failed = Vec::new();
    for (name, opset, middle, expect) in rows {
        match judge(*middle, *opset, expect) {
            None => println!("skipped: {name}: the embedded engine does not run it"),
            Some(Err(why)) => failed.push(format!("{name}: {why}")),
            Some(Ok(())) => {}
        }
    }
    assert!(failed.is_empty(), "{} of {} rows:\n{}", failed.len(), rows.len(), failed.join("\n"));
}
