//! Nodes that a rewrite adds.
//!
//! Everything else goes by the index of a node in the original graph, so new nodes are appended until the end and put
//! in their places then.

use super::InputPlace;
use crate::model::{Model, TensorData};
use crate::proto::onnx::{AttributeProto, NodeProto, attribute_proto::AttributeType};
use crate::surgery::{Names, add_initializer};

/// Where a new node belongs, by the index of an original node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Side {
    Before(usize),
    After(usize),
}

/// What was appended so far.
pub(super) struct Added {
    count: usize,
    sides: Vec<Side>,
}

impl Added {
    /// Nothing yet.
    pub(super) fn to(model: &Model) -> Self {
        Self { count: model.graph().node.len(), sides: Vec::new() }
    }

    /// Adds a node in front of `node`; of several the first added comes first.
    pub(super) fn before(&mut self, model: &mut Model, node: usize, new: NodeProto) {
        self.sides.push(Side::Before(node));
        model.graph_mut().node.push(new);
    }

    /// Adds a node behind `node`; of several the last added comes first.
    fn after(&mut self, model: &mut Model, node: usize, new: NodeProto) {
        self.sides.push(Side::After(node));
        model.graph_mut().node.push(new);
    }

    /// Lets `node` read only `indices` along `axis` of an input.
    pub(super) fn gather_before(
        &mut self,
        model: &mut Model,
        place: InputPlace,
        axis: usize,
        indices: &[i64],
        names: &mut Names,
    ) {
        let InputPlace { node, input } = place;
        let read = model.graph().node[node].input[input].clone();
        let output = names.fresh(&format!("{read}_kept"));
        let gather = gather(model, &read, &output, axis, indices, names);
        model.graph_mut().node[node].input[input] = output;
        self.before(model, node, gather);
    }

    /// Lets the readers of the first output of `node` see only `indices` along `axis` of it.
    pub(super) fn gather_after(
        &mut self,
        model: &mut Model,
        node: usize,
        axis: usize,
        indices: &[i64],
        names: &mut Names,
    ) {
        let output = model.graph().node[node].output[0].clone();
        let made = names.fresh(&format!("{output}_whole"));
        let gather = gather(model, &made, &output, axis, indices, names);
        model.graph_mut().node[node].output[0] = made;
        self.after(model, node, gather);
    }

    /// Puts every node where it belongs.
    pub(super) fn place(self, model: &mut Model) {
        let nodes = &mut model.graph_mut().node;
        let new = nodes.split_off(self.count.min(nodes.len()));
        let mut placed: Vec<(usize, u8, usize, NodeProto)> = Vec::with_capacity(nodes.len() + new.len());
        placed.extend(nodes.drain(..).enumerate().map(|(index, node)| (index, 1, 0, node)));
        placed.extend(new.into_iter().zip(&self.sides).enumerate().map(|(number, (node, side))| match *side {
            Side::Before(at) => (at, 0, number, node),
            Side::After(at) => (at, 2, usize::MAX - number, node),
        }));
        placed.sort_by_key(|(at, side, number, _)| (*at, *side, *number));
        nodes.extend(placed.into_iter().map(|(.., node)| node));
    }
}

fn gather(model: &mut Model, input: &str, output: &str, axis: usize, indices: &[i64], names: &mut Names) -> NodeProto {
    let stored = names.fresh(&format!("{output}_indices"));
    add_initializer(model, &stored, &TensorData::from_i64(vec![indices.len()], indices));
    NodeProto {
        op_type: Some("Gather".into()),
        name: Some(names.fresh(&format!("{output}_gather"))),
        input: vec![input.to_owned(), stored],
        output: vec![output.to_owned()],
        attribute: vec![AttributeProto {
            name: Some("axis".into()),
            r#type: Some(AttributeType::Int.into()),
            i: i64::try_from(axis).ok(),
            ..AttributeProto::default()
        }],
        ..NodeProto::default()
    }
}
