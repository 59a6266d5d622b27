//! Single edits: what they do, and that a refused one changes nothing.

use onnx_prune::Explain;
use onnx_prune::model::{DataType, LoadOptions, Model, SaveOptions, TensorData, TensorType};
use onnx_prune::proto::onnx::{GraphProto, TensorAnnotation};
use onnx_prune::surgery::{Graph, Node, NodeId, Reader, SurgeryError};

use crate::{agree, floats, model, operators, support};

fn relu(from: &str, to: &str) -> Node {
    Node::new("Relu").input(from).output(to)
}

fn opened(build: impl FnOnce(&mut Graph) -> Vec<&'static str>) -> Model {
    model(build)
}

/// x -> Relu a -> Neg b -> Relu y, and a stored tensor that is added on the way.
fn small() -> Model {
    opened(|graph| {
        graph.add_initializer("c", &TensorData::from_f32(vec![2], &[1.0, -2.0])).unwrap();
        graph.insert(relu("x", "a").named("first")).unwrap();
        graph.insert(Node::new("Neg").input("a").output("b")).unwrap();
        graph.insert(Node::new("Add").input("b").input("c").output("d")).unwrap();
        graph.insert(relu("d", "y")).unwrap();
        vec!["y"]
    })
}

/// Makes an edit that must fail, and checks that it left no trace.
fn refused(model: &mut Model, edit: impl FnOnce(&mut Graph) -> Result<(), SurgeryError>) -> SurgeryError {
    let before = model.to_bytes();
    let mut graph = Graph::of(model).unwrap();
    let error = edit(&mut graph).unwrap_err();
    graph.validate().unwrap();
    graph.finish();
    assert_eq!(model.to_bytes(), before);
    error
}

#[test]
fn renaming_and_inserting_keep_the_graph_valid() {
    let dense = support::small_model();
    let mut edited = dense.clone();
    let mut graph = Graph::of(&mut edited).unwrap();
    let first = graph.nodes().next().unwrap().1.output[0].clone();
    graph.rename(&first, "features").unwrap();
    let maker = graph.producer("features").unwrap();
    assert_eq!(graph.node(maker).unwrap().op_type(), "Conv");
    let node = Node::new("Identity").input("features").output("same");
    let at = graph.insert_after("features", node).unwrap();
    assert_eq!(graph.readers("features"), [Reader { node: at, input: Some(0) }]);
    let walk = graph.walk();
    assert_eq!(walk.iter().position(|id| *id == at), Some(1), "right behind the maker");
    graph.validate().unwrap();
    graph.finish();
    agree(&dense, &edited);
}

#[test]
fn a_model_without_an_edit_stays_byte_by_byte() {
    let folder = tempfile::tempdir().unwrap();
    let (path, copy) = (folder.path().join("a.onnx"), folder.path().join("b.onnx"));
    // A field order that encoding anew would not keep: the IR version comes last.
    let bytes = small().to_bytes();
    let moved = [&bytes[2..], &bytes[..2]].concat();
    std::fs::write(&path, &moved).unwrap();
    let mut model = Model::load(&path, &LoadOptions::default()).unwrap();
    let mut graph = Graph::of(&mut model).unwrap();
    assert!(graph.rename("a", "y").is_err());
    assert_eq!(graph.remove_unused(), 0);
    graph.finish();
    model.save(&copy, &SaveOptions::default()).unwrap();
    assert_eq!(std::fs::read(&copy).unwrap(), moved);
}

#[test]
fn edits_that_would_break_the_graph_are_refused() {
    use SurgeryError as E;
    let mut model = small();
    let ids: Vec<NodeId> = Graph::of(&mut model).unwrap().walk();
    let mut check = |edit: &dyn Fn(&mut Graph) -> Result<(), SurgeryError>| refused(&mut model, |graph| edit(graph));
    // Names.
    assert!(matches!(check(&|g| g.rename("a", "")), E::Empty { .. }));
    assert!(matches!(check(&|g| g.rename("a", "x")), E::Taken { .. }));
    assert!(matches!(check(&|g| g.rename("nothing", "z")), E::NoValue { .. }));
    assert!(matches!(check(&|g| g.rename("", "z")), E::NoValue { .. }));
    assert!(matches!(check(&|g| g.insert(relu("x", "a")).map(drop)), E::Taken { .. }));
    assert!(matches!(check(&|g| g.insert(relu("x", "z").output("z")).map(drop)), E::Taken { .. }));
    assert!(matches!(check(&|g| g.insert(relu("x", "z").named("first")).map(drop)), E::Taken { .. }));
    let one = TensorData::from_f32(vec![1], &[1.0]);
    assert!(matches!(check(&|g| g.add_initializer("c", &one)), E::Taken { .. }));
    assert!(matches!(check(&|g| g.add_initializer("", &one)), E::Empty { .. }));
    assert!(matches!(check(&|g| g.add_input("a", &floats(&[1]))), E::Taken { .. }));
    assert!(matches!(check(&|g| g.set_outputs(&["y", "y"])), E::Taken { .. }));
    // Reads.
    assert!(matches!(check(&|g| g.insert(relu("nothing", "z")).map(drop)), E::Undefined { .. }));
    assert!(matches!(check(&|g| g.insert_after("a", Node::new("Relu").input("a")).map(drop)), E::NoOutput { .. }));
    assert!(matches!(check(&|g| g.insert_after("a", relu("a", "")).map(drop)), E::NoOutput { .. }));
    assert!(matches!(check(&|g| g.set_input(ids[1], 0, "")), E::Missing { input: 0, .. }));
    assert!(matches!(
        check(&|g| g.insert(Node::new("Add").input("a").output("z")).map(drop)),
        E::Missing { input: 1, .. }
    ));
    assert!(matches!(
        check(&|g| g.insert(Node::new("Clip").input("a").input("").output("a")).map(drop)),
        E::Taken { .. }
    ));
    assert!(matches!(check(&|g| g.set_input(ids[1], 1, "a")), E::NoInput { input: 1, .. }));
    assert!(matches!(check(&|g| g.redirect("a", "nothing")), E::NoValue { .. }));
    // Cycles.
    assert!(matches!(check(&|g| g.set_input(ids[1], 0, "d")), E::Cycle { .. }));
    assert!(matches!(check(&|g| g.redirect("a", "y")), E::Cycle { .. }));
    assert!(matches!(check(&|g| g.insert(relu("z", "z")).map(drop)), E::Cycle { .. }));
    // What goes is still read.
    assert!(matches!(check(&|g| g.remove(ids[0]).map(drop)), E::Read { .. }));
    assert!(matches!(check(&|g| g.remove(ids[3]).map(drop)), E::Read { .. }), "a graph output");
    assert!(matches!(check(&|g| g.replace(ids[0], relu("x", "other"))), E::Read { .. }));
    assert!(matches!(check(&|g| g.replace(ids[3], relu("d", "y").output("b"))), E::Taken { .. }));
    assert!(matches!(check(&|g| g.remove_input("x")), E::Read { .. }));
    assert!(matches!(check(&|g| g.set_outputs(&[])), E::NoGraphOutput));
    // Data and types.
    let short = TensorData { bytes: vec![0; 3].into(), ..one.clone() };
    assert!(matches!(check(&|g| g.set_constant("c", &short)), E::Data { .. }));
    assert!(matches!(check(&|g| g.set_constant("a", &one)), E::NotStored { .. }));
    assert!(matches!(check(&|g| g.set_info("c", &floats(&[3]))), E::Type { .. }));
    // Several edits as one.
    let error = check(&|g| {
        g.atomically(|g| {
            g.rename("a", "renamed")?;
            g.insert_after("renamed", relu("renamed", "more"))?;
            g.add_initializer("stored", &TensorData::from_f32(vec![1], &[1.0]))?;
            g.rename("more", "x")
        })
    });
    assert!(matches!(error, E::Taken { .. }));
}

#[test]
fn errors_say_what_why_and_what_helps() {
    let mut model = small();
    let error = refused(&mut model, |graph| graph.remove(graph.named("first").unwrap()).map(drop));
    assert_eq!(error.to_string(), "`a` is still read");
    assert_eq!(error.why().unwrap(), "read by Neg `b`");
    assert!(error.help().unwrap().contains("`Graph::redirect`"));
    let id = Graph::of(&mut model).unwrap().named("first").unwrap();
    let error = refused(&mut model, |graph| graph.set_input(id, 0, "y"));
    assert_eq!(error.to_string(), "nodes depend on each other in a cycle");
    assert_eq!(error.why().unwrap(), "Relu `first`, Neg `b`, Add `d`, Relu `y`");
    let error = refused(&mut model, |graph| graph.set_input(id, 0, "z"));
    assert_eq!(
        (error.to_string(), error.location().unwrap()),
        ("Relu `first` reads `z`, which nothing makes".to_owned(), "Relu `first`".to_owned())
    );
}

#[test]
fn nodes_that_only_hand_on_are_bypassed() {
    let mut model = opened(|graph| {
        graph.insert(Node::new("Identity").input("x").output("same")).unwrap();
        graph.insert(relu("same", "h")).unwrap();
        graph.insert(Node::new("Neg").input("h").output("z")).unwrap();
        graph.insert(Node::new("Dropout").input("h").output("y").output("mask")).unwrap();
        vec!["y", "z"]
    });
    let dense = model.clone();
    let mut graph = Graph::of(&mut model).unwrap();
    for id in graph.walk() {
        if matches!(graph.node(id).unwrap().op_type(), "Identity" | "Dropout") {
            graph.bypass(id).unwrap();
        }
    }
    graph.validate().unwrap();
    assert_eq!(graph.outputs(), ["y", "z"]);
    graph.finish();
    assert_eq!(operators(&model), ["Relu", "Neg"]);
    assert_eq!(model.graph().node[0].output, ["y"], "the value before takes over the output's name");
    agree(&dense, &model);
    // Where the types differ, nothing can stand in.
    let mut cast = opened(|graph| {
        graph.insert(Node::new("Cast").input("x").output("whole").attr("to", DataType::Int32 as i32)).unwrap();
        graph.insert(Node::new("Cast").input("whole").output("y").attr("to", DataType::Float as i32)).unwrap();
        vec!["y"]
    });
    let error = refused(&mut cast, |graph| graph.bypass(graph.producer("whole").unwrap()).map(drop));
    assert_eq!(error.why().unwrap(), "its elements are Float, not Int32");
    // An input cannot take over the name of an output.
    let mut through = opened(|graph| {
        graph.insert(Node::new("Identity").input("x").output("y")).unwrap();
        vec!["y"]
    });
    let error = refused(&mut through, |graph| graph.bypass(graph.producer("y").unwrap()).map(drop));
    assert!(matches!(error, SurgeryError::NotComputed { .. }));
}

#[test]
fn what_nobody_reads_goes() {
    let mut model = support::small_model();
    let reference = model.clone();
    let mut graph = Graph::of(&mut model).unwrap();
    graph.add_initializer("unused", &TensorData::from_f32(vec![1], &[1.0])).unwrap();
    graph.insert(relu("x", "dead")).unwrap();
    graph.insert(relu("dead", "deader")).unwrap();
    assert_eq!(graph.remove_unused(), 3);
    graph.validate().unwrap();
    graph.finish();
    assert_eq!(model.graph(), reference.graph());
}

#[test]
fn before_ir_version_4_stored_tensors_come_and_go_with_the_inputs_that_list_them() {
    let mut model = small();
    model.proto_mut().ir_version = Some(3);
    assert!(matches!(Graph::of(&mut model), Err(SurgeryError::Invalid { .. })), "`c` is not listed");
    model.graph_mut().input.push(support::info("c", &[2]));
    let mut graph = Graph::of(&mut model).unwrap();
    assert_eq!(graph.inputs(), ["x"]);
    graph.add_initializer("new", &TensorData::from_vec(vec![3], &[1i64, 2, 3]).unwrap()).unwrap();
    assert!(graph.is_input("new"));
    assert_eq!(graph.remove_unused(), 1);
    assert!(!graph.is_input("new") && !graph.contains("new"), "no required input is left");
    graph.set_constant("c", &TensorData::from_f32(vec![1], &[3.0])).unwrap();
    graph.rename("c", "offset").unwrap();
    graph.validate().unwrap();
    graph.finish();
    let listed: Vec<(&str, TensorType)> = model
        .graph()
        .input
        .iter()
        .map(|info| (info.name(), floats(if info.name() == "x" { &[2] } else { &[1] })))
        .collect();
    assert_eq!(listed.iter().map(|(name, _)| *name).collect::<Vec<_>>(), ["x", "offset"]);
    let mut copy = model.clone();
    let graph = Graph::of(&mut copy).unwrap();
    listed.iter().for_each(|(name, kind)| assert_eq!(graph.info(name).as_ref(), Some(kind)));
}

/// A branch that reads the outer values `a` and `c`.
fn with_branch() -> Model {
    let mut model = small();
    let branch = |op: &str, name: &str| GraphProto {
        name: Some(op.into()),
        node: vec![Node::new(op).input("a").input("c").output(name)],
        output: vec![support::info(name, &[2])],
        ..Default::default()
    };
    let mut graph = Graph::of(&mut model).unwrap();
    graph.add_initializer("yes", &TensorData::from_vec(vec![], &[true]).unwrap()).unwrap();
    let node = Node::new("If").named("branch").input("yes").output("taken");
    let node = node.attr("then_branch", branch("Mul", "inner")).attr("else_branch", branch("Sub", "other"));
    let at = graph.insert_after("b", node).unwrap();
    assert_eq!(graph.readers("a").last(), Some(&Reader { node: at, input: None }));
    graph.validate().unwrap();
    graph.finish();
    model
}

#[test]
fn subgraphs_follow_the_values_that_they_read() {
    let dense = with_branch();
    let mut edited = dense.clone();
    let mut graph = Graph::of(&mut edited).unwrap();
    graph.rename("a", "features").unwrap();
    graph.rename("c", "offset").unwrap();
    graph.insert_after("features", Node::new("Identity").input("features").output("same")).unwrap();
    let branch = graph.node(graph.named("branch").unwrap()).unwrap();
    assert_eq!(branch.graph("then_branch").unwrap().node[0].input, ["same", "offset"]);
    graph.validate().unwrap();
    graph.finish();
    agree(&dense, &edited);
    // What a branch reads is read, its names are taken, and it cannot read what depends on it.
    let mut model = dense;
    let error = refused(&mut model, |graph| graph.remove(graph.named("first").unwrap()).map(drop));
    assert_eq!(error.why().unwrap(), "read by If `branch`, Neg `b`");
    assert!(matches!(refused(&mut model, |graph| graph.rename("d", "inner")), SurgeryError::Taken { .. }));
    assert!(matches!(
        refused(&mut model, |graph| graph.insert(relu("x", "other")).map(drop)),
        SurgeryError::Taken { .. }
    ));
    assert!(matches!(refused(&mut model, |graph| graph.redirect("a", "y")), SurgeryError::Cycle { .. }));
    assert_eq!(Graph::of(&mut model).unwrap().fresh_name("inner"), "inner_2");
}

#[test]
fn stored_tensors_come_as_typed_data_wherever_the_file_keeps_them() {
    let half = [1.5f32, -2.0].map(half::f16::from_f32);
    let mut model = opened(|graph| {
        graph.add_initializer("half", &TensorData::from_vec(vec![2], &half).unwrap()).unwrap();
        let data = TensorData::from_vec(vec![2], &[3i32, 4]).unwrap();
        graph.insert(Node::new("Constant").output("node").attr("value", data)).unwrap();
        graph.insert(Node::new("Constant").output("ints").attr("value_ints", [5, 6])).unwrap();
        graph.insert(Node::new("Constant").output("float").attr("value_float", 0.5)).unwrap();
        graph.insert(relu("x", "y")).unwrap();
        vec!["y"]
    });
    // `big` lies in another file, `listed` in a field of its type.
    let big: Vec<f32> = (0..1000u16).map(f32::from).collect();
    let mut listed = TensorData::from_i64(vec![2], &[0, 0]).to_proto("listed");
    (listed.raw_data, listed.int64_data) = (None, vec![7, 8]);
    model.graph_mut().initializer.push(TensorData::from_f32(vec![1000], &big).to_proto("big"));
    model.graph_mut().initializer.push(listed);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.onnx");
    let mut options = SaveOptions::default();
    options.external_data = true;
    model.save(&path, &options).unwrap();
    let mut model = Model::load(&path, &LoadOptions::default()).unwrap();
    assert!(model.has_external_data());
    let mut graph = Graph::of(&mut model).unwrap();
    assert_eq!(graph.constant("half").unwrap().to_vec::<half::f16>().unwrap(), half);
    assert_eq!(graph.constant("node").unwrap().to_vec::<i32>().unwrap(), [3, 4]);
    assert_eq!(graph.constant("ints").unwrap().to_vec::<i64>().unwrap(), [5, 6]);
    assert_eq!(graph.constant("float").unwrap().to_array::<f32>().unwrap().sum(), 0.5);
    assert_eq!(graph.constant("big").unwrap().to_vec::<f32>().unwrap(), big);
    assert_eq!(graph.constant("listed").unwrap().to_vec::<i64>().unwrap(), [7, 8]);
    assert!(graph.constant("half").unwrap().to_vec::<f32>().is_err());
    assert_eq!(graph.constant("y"), Err(SurgeryError::NotStored { value: "y".into() }));
    assert_eq!(graph.info("half").unwrap().to_string(), "Float16 [2]");
    // And back, to an initializer and to a node.
    let doubled: Vec<f32> = big.iter().map(|value| 2.0 * value).collect();
    graph.set_constant("big", &TensorData::from_vec(vec![10, 100], &doubled).unwrap()).unwrap();
    graph.set_constant("ints", &TensorData::from_vec(vec![1], &[9i64]).unwrap()).unwrap();
    assert_eq!(graph.constant("big").unwrap().to_array::<f32>().unwrap()[[9, 99]], 1998.0);
    assert_eq!(graph.constant("ints").unwrap().to_vec::<i64>().unwrap(), [9]);
    assert_eq!(graph.element_type("ints"), Some(DataType::Int64));
    graph.validate().unwrap();
}

#[test]
fn declarations_follow_the_edits() {
    let mut model = small();
    let mut graph = Graph::of(&mut model).unwrap();
    graph.set_info("a", &floats(&[2])).unwrap();
    graph.set_info("d", &floats(&[2])).unwrap();
    assert_eq!(graph.info("a"), Some(floats(&[2])));
    graph.rename("a", "features").unwrap();
    assert_eq!((graph.info("features"), graph.info("a")), (Some(floats(&[2])), None));
    assert_eq!((graph.info("b"), graph.element_type("b")), (None, Some(DataType::Float)));
    graph.set_outputs(&["b", "y"]).unwrap();
    assert_eq!(graph.info("b"), Some(TensorType::new(DataType::Float)));
    graph.set_outputs(&["y"]).unwrap();
    graph.forget_shapes("b").unwrap();
    assert_eq!((graph.info("features"), graph.info("d")), (Some(floats(&[2])), None));
    assert_eq!(graph.info("y").unwrap().to_string(), "Float [?]");
    // What is declared of a value that goes, goes.
    graph.set_outputs(&["features"]).unwrap();
    graph.set_info("y", &floats(&[2])).unwrap();
    graph.remove_unused();
    graph.validate().unwrap();
    graph.finish();
    assert!(model.graph().value_info.iter().all(|info| info.name() == "features"));
    assert_eq!(operators(&model), ["Relu"]);
}

#[test]
fn annotations_follow_the_names() {
    let mut model = small();
    let note = |name: &str| TensorAnnotation { tensor_name: Some(name.into()), ..Default::default() };
    model.graph_mut().quantization_annotation = vec![note("a"), note("c")];
    let mut graph = Graph::of(&mut model).unwrap();
    graph.rename("a", "features").unwrap();
    let failed: Result<(), SurgeryError> = graph.atomically(|graph| {
        graph.rename("c", "offset")?;
        graph.rename("offset", "")
    });
    assert!(failed.is_err());
    graph.set_outputs(&["features"]).unwrap();
    graph.remove_unused();
    graph.finish();
    assert_eq!(model.graph().quantization_annotation, [note("features")]);
}

#[test]
fn a_file_whose_nodes_are_not_in_order_is_put_in_order() {
    let mut model = small();
    let dense = model.clone();
    model.graph_mut().node.reverse();
    Graph::of(&mut model).unwrap().finish();
    assert_eq!(model.graph(), dense.graph());
    // A cycle, a name twice, a read of nothing: not opened.
    let broken = |change: &dyn Fn(&mut GraphProto)| {
        let mut model = small();
        change(model.graph_mut());
        Graph::of(&mut model).map(drop)
    };
    let invalid = |outcome| matches!(outcome, Err(SurgeryError::Invalid { .. }));
    assert!(invalid(broken(&|graph| graph.node[0].input[0] = "d".into())));
    assert!(invalid(broken(&|graph| graph.node[1].output[0] = "a".into())));
    assert!(invalid(broken(&|graph| graph.node[1].name = Some("first".into()))));
    assert!(invalid(broken(&|graph| graph.output.push(graph.output[0].clone()))));
    assert!(matches!(broken(&|graph| graph.node[0].input[0] = "z".into()), Err(SurgeryError::Undefined { .. })));
    assert!(matches!(broken(&|graph| graph.node[2].input[1].clear()), Err(SurgeryError::Missing { .. })));
}

#[test]
fn optional_inputs_may_be_left_out() {
    let mut model = opened(|graph| {
        graph.add_initializer("six", &TensorData::from_f32(vec![], &[6.0])).unwrap();
        graph.insert(Node::new("Clip").named("clip").input("x").input("six").input("six").output("y")).unwrap();
        vec!["y"]
    });
    let mut graph = Graph::of(&mut model).unwrap();
    let clip = graph.named("clip").unwrap();
    graph.set_input(clip, 1, "").unwrap();
    graph.insert_before(clip, 2, Node::new("Identity").input("six").output("most")).unwrap();
    graph.validate().unwrap();
    assert_eq!(graph.node(clip).unwrap().input, ["x", "", "most"]);
    graph.update(clip, |node| node.input.truncate(1)).unwrap();
    assert_eq!(graph.remove_unused(), 2);
    assert_eq!(graph.node(clip).map(|node| node.input.len()), Some(1));
    let gone = graph.insert(relu("x", "z")).unwrap();
    graph.remove(gone).unwrap();
    assert_eq!(graph.node(gone), None);
    assert_eq!(graph.remove(gone), Err(SurgeryError::NoNode));
}
