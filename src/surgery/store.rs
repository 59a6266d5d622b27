//! The opened graph: its lists, the index and the order, changed in steps that can be taken back.
//!
//! An edit changes entries and settles: what it touched is checked, and if a check fails every entry is put back.

use std::collections::HashSet;

use super::SurgeryError;
use super::find::{captured, topological_order};
use super::index::{Index, Item, sparse_name};
use super::order::{Edges, Order};
use super::rules;
use crate::model::Model;
use crate::proto::onnx::{GraphProto, NodeProto, TensorProto, ValueInfoProto};

#[derive(Debug)]
pub(super) struct Store {
    pub(super) graph: GraphProto,
    pub(super) index: Index,
    pub(super) order: Order,
    /// Before IR version 4 initializers are listed as graph inputs.
    pub(super) listed: bool,
    /// Entries as they were before, for going back.
    log: Vec<(usize, Item)>,
    /// Whether the nodes of the file stood in another order.
    pub(super) sorted: bool,
}

/// A place in the log to go back to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mark {
    entries: usize,
    labels: usize,
}

/// The edges that the index knows.
struct Known<'s> {
    graph: &'s GraphProto,
    index: &'s Index,
}

impl Known<'_> {
    fn inputs(&self, node: usize) -> impl Iterator<Item = usize> {
        let node = &self.graph.node[node];
        let names: HashSet<String> = node.input.iter().cloned().chain(captured(node)).collect();
        let mut producers: Vec<usize> = names.iter().filter_map(|name| self.index.value(name)?.producer).collect();
        producers.sort_unstable();
        producers.into_iter()
    }
}

impl Edges for Known<'_> {
    fn successors(&self, node: usize) -> Vec<usize> {
        let made = self.graph.node[node].output.iter().filter_map(|name| self.index.value(name));
        made.flat_map(|value| value.readers.iter().map(|reader| reader.node.0)).collect()
    }

    fn predecessors(&self, node: usize) -> Vec<usize> {
        self.inputs(node).collect()
    }
}

impl Store {
    pub(super) fn of(model: &Model) -> Result<Self, SurgeryError> {
        let mut graph = model.graph().clone();
        let listed = model.proto().ir_version() < 4;
        let order = topological_order(&graph);
        let sorted = !order.iter().copied().eq(0..graph.node.len());
        if sorted {
            graph.node = order.iter().map(|&at| std::mem::take(&mut graph.node[at])).collect();
        }
        rules::check(&graph, listed)?;
        let (mut index, order) = (Index::default(), Order::of(graph.node.len()));
        let mut store = Self { graph, index: Index::default(), order, listed, log: Vec::new(), sorted };
        for (at, item) in store.items() {
            index.link(at, &item)?;
        }
        index.tidy();
        store.index = index;
        Ok(store)
    }

    /// All entries, as far as the index looks at them: of stored tensors their names.
    fn items(&self) -> impl Iterator<Item = (usize, Item)> {
        let graph = &self.graph;
        let named = |tensor: &TensorProto| TensorProto { name: tensor.name.clone(), ..TensorProto::default() };
        let nodes = graph.node.iter().cloned().map(Item::Node).enumerate();
        let inputs = graph.input.iter().cloned().map(Item::Input).enumerate();
        let outputs = graph.output.iter().cloned().map(Item::Output).enumerate();
        let infos = graph.value_info.iter().cloned().map(Item::Info).enumerate();
        let stored = graph.initializer.iter().map(named).map(Item::Initializer).enumerate();
        let sparse = graph.sparse_initializer.iter().cloned().map(Box::new).map(Item::Sparse).enumerate();
        nodes.chain(inputs).chain(outputs).chain(infos).chain(stored).chain(sparse)
    }

    /// Steps of bookkeeping so far.
    #[cfg(test)]
    pub(super) fn steps(&self) -> usize {
        self.index.steps + self.order.steps
    }

    /// The graph as it is saved: without gaps, nodes in order.
    pub(super) fn compacted(&self) -> GraphProto {
        let mut graph = GraphProto { node: Vec::new(), ..self.graph.clone() };
        graph.node = self.order.iter().map(|at| self.graph.node[at].clone()).collect();
        graph.input.retain(|info| !info.name().is_empty());
        graph.output.retain(|info| !info.name().is_empty());
        // Of two declarations of a value the first counts.
        let counts = |at: usize, name: &str| self.index.value(name).is_some_and(|value| value.info == Some(at));
        let infos = std::mem::take(&mut graph.value_info).into_iter().enumerate();
        graph.value_info = infos.filter(|(at, info)| counts(*at, info.name())).map(|(_, info)| info).collect();
        graph.initializer.retain(|tensor| !tensor.name().is_empty());
        graph.sparse_initializer.retain(|sparse| !sparse_name(sparse).is_empty());
        let known = |name: &str| self.index.value(name).is_some();
        graph.quantization_annotation.retain(|note| known(note.tensor_name()));
        graph
    }

    pub(super) fn node(&self, at: usize) -> Option<&NodeProto> {
        self.order.label(at).and_then(|_| self.graph.node.get(at))
    }

    /// Replaces the entry at a position; the position behind the last adds one.
    pub(super) fn put(&mut self, at: usize, item: Item) -> Result<(), SurgeryError> {
        let old = self.exchange(at, item.blank());
        self.index.unlink(at, &old);
        self.log.push((at, old));
        let linked = self.index.link(at, &item);
        self.exchange(at, item);
        linked
    }

    fn exchange(&mut self, at: usize, item: Item) -> Item {
        fn swap<T: Default>(list: &mut Vec<T>, at: usize, new: T) -> T {
            if at == list.len() {
                list.push(T::default());
            }
            std::mem::replace(&mut list[at], new)
        }
        let graph = &mut self.graph;
        match item {
            Item::Node(new) => Item::Node(swap(&mut graph.node, at, new)),
            Item::Initializer(new) => Item::Initializer(swap(&mut graph.initializer, at, new)),
            Item::Sparse(new) => Item::Sparse(Box::new(swap(&mut graph.sparse_initializer, at, *new))),
            Item::Input(new) => Item::Input(swap(&mut graph.input, at, new)),
            Item::Output(new) => Item::Output(swap(&mut graph.output, at, new)),
            Item::Info(new) => Item::Info(swap(&mut graph.value_info, at, new)),
            Item::Annotation(new) => Item::Annotation(Box::new(swap(&mut graph.quantization_annotation, at, *new))),
        }
    }

    /// Adds a node behind the last of those that make what it reads.
    pub(super) fn add_node(&mut self, node: NodeProto) -> Result<usize, SurgeryError> {
        let at = self.graph.node.len();
        self.put(at, Item::Node(node))?;
        let edges = Known { graph: &self.graph, index: &self.index };
        let last = edges.inputs(at).filter(|&other| other != at).max_by_key(|&other| self.order.label(other));
        self.order.place_after(at, last);
        Ok(at)
    }

    pub(super) fn remove_node(&mut self, at: usize) -> Result<(), SurgeryError> {
        self.order.remove(at);
        self.put(at, Item::Node(NodeProto::default()))
    }

    /// Puts a changed copy of a node in its place.
    pub(super) fn change_node(&mut self, at: usize, change: impl FnOnce(&mut NodeProto)) -> Result<(), SurgeryError> {
        let mut node = self.graph.node[at].clone();
        change(&mut node);
        self.put(at, Item::Node(node))
    }

    pub(super) fn mark(&self) -> Mark {
        Mark { entries: self.log.len(), labels: self.order.mark() }
    }

    /// Whether nothing changed since the log was last cleared.
    pub(super) fn is_unchanged(&self) -> bool {
        self.log.is_empty()
    }

    /// Makes what was changed final.
    pub(super) fn forget(&mut self) {
        self.log.clear();
        self.order.forget();
    }

    pub(super) fn undo(&mut self, mark: Mark) {
        for (at, old) in self.log.split_off(mark.entries).into_iter().rev() {
            let new = self.exchange(at, old.blank());
            self.index.unlink(at, &new);
            let linked = self.index.link(at, &old);
            self.exchange(at, old);
            debug_assert!(linked.is_ok(), "an entry that was there before goes back");
        }
        self.order.undo(mark.labels);
        self.index.tidy();
    }

    /// Checks everything that was touched since the last time, and puts nodes in order.
    pub(super) fn settle(&mut self) -> Result<(), SurgeryError> {
        self.drop_stale_infos()?;
        for &at in &self.index.touched_nodes {
            if let Some(node) = self.node(at) {
                rules::node(node)?;
            }
        }
        for name in &self.index.touched_values {
            self.check_value(name)?;
        }
        let touched: Vec<usize> = self.index.touched_nodes.iter().copied().collect();
        for at in touched {
            self.sort_around(at)?;
        }
        self.index.tidy();
        Ok(())
    }

    /// What was declared of values that are gone goes too.
    fn drop_stale_infos(&mut self) -> Result<(), SurgeryError> {
        let stale = |name: &String| {
            let value = self.index.value(name)?;
            value.info.filter(|_| !value.is_defined())
        };
        let stale: Vec<usize> = self.index.touched_values.iter().filter_map(stale).collect();
        stale.into_iter().try_for_each(|at| self.put(at, Item::Info(ValueInfoProto::default())))
    }

    fn check_value(&self, name: &str) -> Result<(), SurgeryError> {
        let Some(value) = self.index.value(name) else { return Ok(()) };
        if !value.is_defined() {
            let reader = self.index.readers_of(name, &self.graph.node).into_iter().next();
            return reader.map_or(Ok(()), |reader| Err(SurgeryError::Undefined { value: name.to_owned(), reader }));
        }
        if self.index.inner.contains_key(name) {
            return Err(SurgeryError::Taken { name: name.to_owned(), by: "a value of a subgraph".into() });
        }
        if self.listed && value.initializer.is_some() && value.input.is_none() {
            return Err(SurgeryError::Invalid { why: rules::unlisted(name) });
        }
        Ok(())
    }

    fn sort_around(&mut self, at: usize) -> Result<(), SurgeryError> {
        let edges = Known { graph: &self.graph, index: &self.index };
        if self.order.label(at).is_none() {
            return Ok(());
        }
        let before = edges.predecessors(at).into_iter().map(|other| (other, at));
        let behind = edges.successors(at).into_iter().map(|other| (at, other));
        let pairs: Vec<(usize, usize)> = before.chain(behind).collect();
        for (first, then) in pairs {
            self.order.ensure(first, then, &edges).map_err(|nodes| SurgeryError::Cycle {
                nodes: nodes.iter().map(|&at| rules::title(&self.graph.node[at])).collect(),
            })?;
        }
        Ok(())
    }
}

impl Store {
    /// Whether the index says what one built anew says.
    pub(super) fn index_holds(&self) -> bool {
        let mut fresh = Index::default();
        let linked = self.items().all(|(at, item)| fresh.link(at, &item).is_ok());
        fresh.tidy();
        fresh.values.remove("");
        linked
            && fresh.values == self.index.values
            && fresh.nodes == self.index.nodes
            && fresh.inner == self.index.inner
    }
}
