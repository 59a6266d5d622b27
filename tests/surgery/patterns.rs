//! Parts found by their operators, and replaced.

use onnx_prune::model::{Model, TensorData};
use onnx_prune::surgery::{Graph, Node, Pattern, SurgeryError};

use crate::support::Builder;
use crate::{agree, model, operators};

/// Two convolutions with a normalization each; the second one's output is read twice.
fn normalized() -> Model {
    let mut b = Builder::new(&[1, 3, 6, 6]);
    let mut block = |x: &str, channels: usize| {
        let conv = b.conv(x, channels, 4, 1);
        let stored = [b.weight(&[4]), b.weight(&[4]), b.weight(&[4]), b.stored(&[4], &[0.5, 1.0, 1.5, 2.0])];
        let inputs: Vec<&str> = [conv.as_str()].into_iter().chain(stored.iter().map(String::as_str)).collect();
        let bn = b.node("BatchNormalization", &inputs, &[]);
        (conv, b.node("Relu", &[&bn], &[]))
    };
    let (_, first) = block("x", 3);
    let (conv, second) = block(&first, 4);
    let sum = b.node("Add", &[&conv, &second], &[]);
    b.model(&sum)
}

/// Folds the normalization of a match into its convolution's weight and bias.
fn fold(graph: &mut Graph, conv: &str, bn: &Node) -> Result<(), Box<dyn std::error::Error>> {
    let id = graph.producer(conv).ok_or("no convolution")?;
    let [weight, bias] = [1, 2].map(|input| graph.node(id).map_or("", |node| &node.input[input]).to_owned());
    let read = |name: &String| -> Result<Vec<f32>, Box<dyn std::error::Error>> { Ok(graph.constant(name)?.to_vec()?) };
    let (gamma, beta, mean, var) = (read(&bn.input[1])?, read(&bn.input[2])?, read(&bn.input[3])?, read(&bn.input[4])?);
    let scale: Vec<f32> = gamma.iter().zip(&var).map(|(gamma, var)| gamma / (var + 1e-5).sqrt()).collect();
    let mut w = graph.constant(&weight)?.to_array::<f32>()?;
    w.outer_iter_mut().zip(&scale).for_each(|(mut row, scale)| row *= *scale);
    let b = graph.constant(&bias)?.to_vec::<f32>()?;
    let b: Vec<f32> = (0..b.len()).map(|at| (b[at] - mean[at]) * scale[at] + beta[at]).collect();
    graph.set_constant(&weight, &TensorData::from_array(&w))?;
    graph.set_constant(&bias, &TensorData::from_vec(vec![b.len()], &b)?)?;
    Ok(())
}

#[test]
fn a_chain_is_replaced_where_nothing_else_reads_what_is_inside() {
    let dense = normalized();
    let mut edited = dense.clone();
    let mut graph = Graph::of(&mut edited).unwrap();
    let chain = Pattern::chain(&["Conv", "BatchNormalization", "Relu|Clip"]);
    assert_eq!(graph.find(&chain).len(), 1, "the second convolution is read by the sum, too");
    assert_eq!(graph.find(&Pattern::chain(&["BatchNormalization", "*"])).len(), 2);
    let replaced = graph.replace_all(&chain, |graph, found| {
        let nodes: Vec<Node> = found.nodes().iter().filter_map(|id| graph.node(*id).cloned()).collect();
        fold(graph, &nodes[0].output[0], &nodes[1]).unwrap();
        let conv = Node { output: vec!["folded".into()], ..nodes[0].clone() };
        let relu = Node { input: vec!["folded".into()], ..nodes[2].clone() };
        assert_eq!((found.value("in"), found.value("out")), ("x", nodes[2].output[0].as_str()));
        // In any order: the graph puts them into one.
        Ok(Some(vec![relu, conv]))
    });
    assert_eq!(replaced, Ok(1));
    graph.remove_unused();
    graph.validate().unwrap();
    graph.finish();
    assert_eq!(operators(&edited), ["Conv", "Relu", "Conv", "BatchNormalization", "Relu", "Add"]);
    agree(&dense, &edited);
}

fn swish() -> Model {
    model(|graph| {
        for (at, order) in [["x", "g0"], ["g1", "y0"]].into_iter().enumerate() {
            let from = if at == 0 { "x" } else { "y0" };
            graph.insert(Node::new("Sigmoid").input(from).output(&format!("g{at}"))).unwrap();
            graph.insert(Node::new("Mul").input(order[0]).input(order[1]).output(&format!("y{at}"))).unwrap();
        }
        vec!["y1"]
    })
}

#[test]
fn a_value_that_is_read_twice_is_one_variable() {
    let pattern = || Pattern::new().node("Sigmoid", &["x"], &["gate"]).node("Mul", &["x", "gate"], &["y"]);
    let dense = swish();
    let mut edited = dense.clone();
    let mut graph = Graph::of(&mut edited).unwrap();
    assert_eq!(graph.find(&pattern()).len(), 1, "inputs are in the order of the pattern");
    assert_eq!(graph.find(&pattern().in_any_order()).len(), 2);
    assert_eq!(graph.find(&pattern().in_any_order().constant("x")).len(), 0);
    assert_eq!(graph.find(&pattern().in_any_order().when(|node| node.name() == "none")).len(), 0);
    let count = graph.replace_all(&pattern().in_any_order(), |graph, found| {
        let half = graph.fresh_name("half");
        graph.add_initializer(&half, &TensorData::from_f32(vec![1], &[0.5]))?;
        let [scaled, turned, inner] = ["scaled", "turned", "inner"].map(|name| graph.fresh_name(name));
        // x * sigmoid(x) = x/2 * (1 + tanh(x/2))
        Ok(Some(vec![
            Node::new("Mul").input(found.value("x")).input(&half).output(&scaled),
            Node::new("Tanh").input(&scaled).output(&turned),
            Node::new("Mul").input(&scaled).input(&turned).output(&inner),
            Node::new("Add").input(&scaled).input(&inner).output(found.value("y")),
        ]))
    });
    assert_eq!(count, Ok(2));
    graph.validate().unwrap();
    graph.finish();
    agree(&dense, &edited);
}

#[test]
fn a_shared_value_must_still_be_made() {
    let mut edited = normalized();
    let before = edited.graph().clone();
    let mut graph = Graph::of(&mut edited).unwrap();
    let chain = Pattern::chain(&["Conv", "BatchNormalization"]).shared("1");
    assert_eq!(graph.find(&chain).len(), 2);
    let error = graph.replace_all(&chain, |_, found| {
        Ok(Some(vec![Node::new("Identity").input(found.value("in")).output(found.value("out"))]))
    });
    assert!(matches!(error, Err(SurgeryError::Read { .. })), "{error:?}");
    // The first match had been replaced; that is taken back, too.
    graph.validate().unwrap();
    graph.finish();
    assert_eq!(edited.graph(), &before);
}
