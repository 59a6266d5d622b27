//! Random edits on random graphs: after each the graph is valid, after a refused one it is unchanged, and at the end
//! the engines and the checker of the `onnx` package take it.

use std::path::Path;
use std::process::Command;

use onnx_prune::engine::CompileOptions;
use onnx_prune::model::{DataType, Model, SaveOptions, TensorData};
use onnx_prune::proto::onnx::GraphProto;
use onnx_prune::surgery::{Graph, Node, NodeId, Pattern, SurgeryError};
use proptest::prelude::*;

use crate::support::problem::{cases, runner};
use crate::{engine, floats, support};

/// Every value is `[2, 3]` floats, but for scalars, a condition and masks.
const SHAPE: [usize; 2] = [2, 3];

/// Numbers that an edit is made of.
type Draw = (u8, u8, u8, u8);

fn pick<T: Clone>(list: &[T], number: u8) -> Option<T> {
    list.get(usize::from(number) % list.len().max(1)).cloned()
}

fn branch(op: &str, from: [&str; 2], made: &str) -> GraphProto {
    GraphProto {
        name: Some(op.into()),
        node: vec![Node::new(op).input(from[0]).input(from[1]).output(made)],
        output: vec![support::info(made, &SHAPE)],
        ..Default::default()
    }
}

/// A node that reads two values and makes one; `number` chooses the operator.
fn node(number: u8, from: [&str; 2], made: &str) -> Node {
    let unary = |op: &str| Node::new(op).input(from[0]).output(made);
    match number % 12 {
        0 => unary("Relu"),
        1 => unary("Neg"),
        2 => unary("Sigmoid"),
        3 => unary("Identity"),
        4 => unary("Dropout").output(&format!("{made}_mask")),
        5 => Node::new("Clip").input(from[0]).input("").input("most").output(made),
        6 => Node::new("Sum").input(from[0]).input(from[1]).input(from[0]).output(made),
        7 => Node::new("Constant").output(made).attr("value", TensorData::from_f32(SHAPE.to_vec(), &[0.5; 6])),
        8 => Node::new("If")
            .input("condition")
            .output(made)
            .attr("then_branch", branch("Add", from, &format!("{made}_then")))
            .attr("else_branch", branch("Mul", from, &format!("{made}_else"))),
        9 => Node::new("Mul").input(from[0]).input(from[1]).output(made),
        10 => Node::new("Add").input(from[0]).input(from[1]).output(made),
        _ => Node::new("Sub").input(from[1]).input(from[0]).output(made),
    }
}

fn graph_of(steps: &[Draw], old: bool) -> Model {
    let mut model = Model::new(17);
    if old {
        model.proto_mut().ir_version = Some(3);
    }
    let mut graph = Graph::of(&mut model).unwrap();
    graph.add_input("x", &floats(&SHAPE)).unwrap();
    graph.add_initializer("w", &TensorData::from_f32(SHAPE.to_vec(), &[1.0, -1.0, 2.0, 0.5, 0.0, 3.0])).unwrap();
    graph.add_initializer("most", &TensorData::from_f32(vec![], &[6.0])).unwrap();
    graph.add_initializer("condition", &TensorData::from_vec(vec![], &[true]).unwrap()).unwrap();
    let mut values = vec!["x".to_owned(), "w".to_owned()];
    for (at, &(op, first, second, named)) in steps.iter().enumerate() {
        let from = [first, second].map(|number| pick(&values, number).unwrap());
        let made = format!("v{at}");
        let mut node = node(op, [&from[0], &from[1]], &made);
        if named % 2 == 0 {
            node = node.named(&format!("node{at}"));
        }
        graph.insert(node).unwrap();
        values.push(made);
    }
    let last = graph.nodes().last().unwrap().1.output[0].clone();
    set_outputs(&mut graph, &[&last]).unwrap();
    graph.validate().unwrap();
    graph.finish();
    model
}

fn set_outputs(graph: &mut Graph, outputs: &[&str]) -> Result<(), SurgeryError> {
    graph.atomically(|graph| {
        graph.set_outputs(outputs)?;
        outputs
            .iter()
            .filter(|output| !graph.is_constant(output))
            .map(|output| (*output).to_owned())
            .collect::<Vec<_>>()
            .iter()
            .try_for_each(|output| graph.set_info(output, &floats(&SHAPE)))
    })
}

/// Values of `[2, 3]` floats, and a few names that are none.
fn values(graph: &Graph) -> Vec<String> {
    let made = graph.nodes().flat_map(|(_, node)| node.output.clone());
    let all = made.chain(["x".into(), "w".into()]).chain(graph.initializers().into_iter().map(str::to_owned));
    let fits = |value: &String| {
        let shape = graph.info(value).and_then(|kind| kind.shape);
        graph.element_type(value) == Some(DataType::Float) && shape.is_none_or(|shape| shape.len() == 2)
    };
    let mut values: Vec<String> = all.filter(fits).collect();
    values.push("nothing".into());
    values
}

/// One edit, drawn from all of them.
fn edit(graph: &mut Graph, ids: &mut Vec<NodeId>, (kind, a, b, c): Draw) -> Result<(), SurgeryError> {
    let values = values(graph);
    let value = |number: u8| pick(&values, number).unwrap();
    let id = pick(ids, a).unwrap();
    let (first, second) = (value(a), value(b));
    let name = if c % 8 == 0 { value(c / 8) } else { graph.fresh_name("n") };
    let new = node(c, [&first, &second], &name);
    match kind % 17 {
        0 => ids.push(graph.insert(new)?),
        1 => ids.push(graph.insert_after(&first, new)?),
        2 => {
            let at = usize::from(b % 2);
            // Only the first input of Clip and the inputs of what adds and multiplies are of the one shape.
            if graph.node(id).is_some_and(|node| node.op_type() == "If" || (node.op_type() == "Clip" && at > 0)) {
                return Ok(());
            }
            ids.push(graph.insert_before(id, at, new)?);
        }
        3 => {
            let made = graph.node(id).and_then(|node| node.output.first().cloned()).unwrap_or_default();
            graph.replace(id, node(c, [&first, &second], &made))?;
        }
        4 => graph.update(id, |node| node.set_name(&name))?,
        5 => {
            let to = if b % 5 == 0 { String::new() } else { second };
            // Other inputs of `Clip` are scalars, that of `If` is a condition.
            match graph.node(id).map(Node::op_type) {
                Some("Clip") if !to.is_empty() => graph.set_input(id, 0, &to)?,
                Some("If") if !to.is_empty() => {}
                _ => graph.set_input(id, usize::from(c % 3), &to)?,
            }
        }
        6 => drop(graph.remove(id)?),
        7 => drop(graph.bypass(id)?),
        8 => graph.rename(&first, if b % 9 == 0 { "" } else { &name })?,
        9 => graph.redirect(&first, &second)?,
        10 => graph.add_initializer(&name, &TensorData::from_f32(SHAPE.to_vec(), &[f32::from(a); 6]))?,
        11 => graph.set_constant(&first, &TensorData::from_f32(SHAPE.to_vec(), &[f32::from(b); 6]))?,
        12 => set_outputs(graph, &[&first, &second])?,
        13 => drop(graph.remove_unused()),
        14 => {
            let other = pick(ids, b).unwrap();
            let made: Vec<String> =
                [id, other].iter().filter_map(|id| graph.node(*id)?.output.first().cloned()).collect();
            let new = made.iter().map(|made| node(c, [&first, &second], made)).collect();
            ids.extend(graph.replace_nodes(&[id, other], new)?);
        }
        15 => {
            let pattern = Pattern::chain(&["Neg|Relu", "*"]);
            graph.replace_all(&pattern, |_, found| {
                Ok((a % 2 == 0).then(|| vec![node(c, [found.value("in"), "x"], found.value("out"))]))
            })?;
        }
        _ => graph.rename("most", &name).and_then(|()| graph.rename(&name, "most"))?,
    }
    Ok(())
}

trait SetName {
    fn set_name(&mut self, name: &str);
}

impl SetName for Node {
    fn set_name(&mut self, name: &str) {
        self.name = Some(name.to_owned());
    }
}

/// Makes the edits; returns how many were made and how many refused.
fn walk(model: &mut Model, edits: &[Draw]) -> (usize, usize) {
    let mut graph = Graph::of(model).unwrap();
    let mut ids = graph.walk();
    let (mut made, mut refused) = (0, 0);
    for &draw in edits {
        let before = graph.to_proto();
        match edit(&mut graph, &mut ids, draw) {
            Ok(()) => made += 1,
            Err(error) => {
                assert_eq!(graph.to_proto(), before, "{draw:?} was refused, but left a trace: {error}");
                refused += 1;
            }
        }
        if let Err(error) = graph.validate() {
            panic!("{draw:?} left an invalid graph: {error:?}");
        }
    }
    (made, refused)
}

/// Inputs without a stored tensor, which a caller must give.
fn required_inputs(model: &Model) -> Vec<&str> {
    let graph = model.graph();
    let stored: Vec<&str> = graph.initializer.iter().map(|tensor| tensor.name()).collect();
    graph.input.iter().map(|input| input.name()).filter(|name| !stored.contains(name)).collect()
}

#[test]
fn random_edits_leave_valid_graphs() {
    let folder = tempfile::tempdir().unwrap();
    let draws = |most: usize| prop::collection::vec(any::<Draw>(), 1..most);
    let (made, refused, count) = (std::cell::Cell::new(0), std::cell::Cell::new(0), std::cell::Cell::new(0));
    runner(cases("ONNX_PRUNE_EDITS", 120))
        .run(&(draws(12), draws(40), any::<bool>()), |(steps, edits, old)| {
            let mut model = graph_of(&steps, old);
            let (ok, no) = walk(&mut model, &edits);
            made.set(made.get() + ok);
            refused.set(refused.get() + no);
            prop_assert!(required_inputs(&model).len() <= 1, "{:?}", required_inputs(&model));
            let path = folder.path().join(format!("{}.onnx", count.get()));
            count.set(count.get() + 1);
            model.save(&path, &SaveOptions::default()).unwrap();
            let compiled = engine().compile(&model, &CompileOptions::default());
            prop_assert!(compiled.is_ok(), "{:?} at {}", compiled.err(), path.display());
            Ok(())
        })
        .unwrap();
    println!("{} edits made, {} refused", made.get(), refused.get());
    assert!(made.get() > refused.get() && refused.get() > made.get() / 10, "{} {}", made.get(), refused.get());
    if let Some(python) = support::python("random_edits_leave_valid_graphs", "onnx, onnxruntime") {
        check(python, folder.path());
    }
}

/// The checker of the `onnx` package, and ONNX Runtime.
fn check(python: &str, folder: &Path) {
    let program = "
import glob, sys, onnx, onnxruntime
onnxruntime.set_default_logger_severity(4)
files = sorted(glob.glob(sys.argv[1] + '/*.onnx'))
for file in files:
    try:
        onnx.checker.check_model(file)
        onnxruntime.InferenceSession(file, providers=['CPUExecutionProvider'])
    except Exception as error:
        print(onnx.printer.to_text(onnx.load(file)))
        sys.exit(f'{file}: {error}')
print(len(files), 'models are accepted')";
    let output = Command::new(python).args(["-c", program]).arg(folder).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
    println!("{}", text(&output.stdout));
}
