//! Every operator family alone, between two convolutions: what may be cut, and that the cut holds.

mod attention;
mod elementwise;
mod generated;
mod integers;
mod mixing;
mod movement;
mod statistics;

use std::collections::{BTreeMap, BTreeSet};

use onnx_prune::channels::{AnalyseOptions, analyse};
use onnx_prune::engine::Engine;
use onnx_prune::evaluate::{input_specs, random_inputs};
use onnx_prune::model::Model;

use crate::support::{Builder, Need, onnx_runtime, skip};
use crate::{embedded, survives};

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
    for domain in ["com.microsoft", "ai.onnx.ml"] {
        if model.graph().node.iter().any(|node| node.domain() == domain) {
            let domain = Some(domain.to_owned());
            let own = onnx_prune::proto::onnx::OperatorSetIdProto { domain, version: Some(1) };
            model.proto_mut().opset_import.push(own);
        }
    }
    model
}

/// A row of a table: name, opset, what stands between the convolutions, and what must come of it.
type Row = (&'static str, i64, Middle, Expect);

/// What an engine makes of a row.
enum Verdict {
    Holds,
    /// The engine does not run the graph as it is, and why.
    Refused(String),
    Fails(String),
}

fn verdict(engine: &dyn Engine, (_, opset, middle, expect): &Row) -> Verdict {
    let model = model(*middle, *opset);
    let feed = random_inputs(&input_specs(&model), &BTreeMap::new(), 1, 1);
    if let Err(why) = crate::shapes(engine, &model, &feed) {
        return Verdict::Refused(why);
    }
    match analysed(engine, &model, expect) {
        Ok(()) => Verdict::Holds,
        Err(why) => Verdict::Fails(why),
    }
}

/// Whether the analysis says what is expected, and every cut that it allows holds.
fn analysed(engine: &dyn Engine, model: &Model, expect: &Expect) -> Result<(), String> {
    let channels = analyse(model, &AnalyseOptions::default());
    let opaque = channels.opaque.iter().next().filter(|_| matches!(expect, Free(_)));
    if let Some((op, found)) = opaque {
        return Err(format!("{op} is opaque: {}", found.why));
    }
    let coupled: Vec<_> = (0..8).map(|index| channels.coupled(0, index).unwrap()).collect();
    match expect {
        Stays(why) => {
            let reasons: Vec<String> =
                coupled.iter().flat_map(|coupled| &coupled.reasons).map(ToString::to_string).collect();
            let said = reasons.iter().any(|reason| reason.contains(why));
            if !said || coupled.iter().all(|coupled| coupled.unit.is_some()) {
                return Err(format!("expected to stay: {why}; found {reasons:?}"));
            }
        }
        Free(units) => {
            let found: BTreeSet<_> = coupled.iter().filter_map(|coupled| coupled.unit).collect();
            if found.len() != *units {
                return Err(format!("{} units, expected {units}: {:?}", found.len(), channels.protected));
            }
            for coupled in coupled.iter().filter(|coupled| *units > 1 && coupled.unit.is_some()) {
                survives(engine, model, &channels, &coupled.cut, 1)?;
            }
        }
    }
    Ok(())
}

/// Runs a table on the embedded engine and on ONNX Runtime, which must run all of it, and reports every row that fails.
/// Where there is no ONNX Runtime, rows that the embedded engine refuses are skipped.
fn table(rows: &[Row]) {
    let (embedded, runtime) = (embedded(), onnx_runtime());
    let mut failed = Vec::new();
    for row in rows {
        let name = row.0;
        let refused = match verdict(embedded.as_ref(), row) {
            Verdict::Holds => None,
            Verdict::Refused(why) => Some(why),
            Verdict::Fails(why) => {
                failed.push(format!("{name} on the embedded engine: {why}"));
                None
            }
        };
        match (&runtime, refused) {
            (Ok(runtime), _) => match verdict(runtime.as_ref(), row) {
                Verdict::Holds => {}
                Verdict::Refused(why) => failed.push(format!("{name}: ONNX Runtime refuses the graph itself: {why}")),
                Verdict::Fails(why) => failed.push(format!("{name} on ONNX Runtime: {why}")),
            },
            (Err(_), Some(why)) => {
                let why = why.lines().next().unwrap_or_default();
                skip(
                    &format!("operators: {name}"),
                    Need::OnnxRuntime,
                    &format!("the embedded engine refuses it: {why}"),
                );
            }
            (Err(_), None) => {}
        }
    }
    assert!(failed.is_empty(), "{} of {} rows:\n{}", failed.len(), rows.len(), failed.join("\n"));
}
