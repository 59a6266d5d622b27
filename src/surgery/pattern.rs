//! Parts of a graph found by their operators, and replaced.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::index::NodeId;
use super::{Graph, SurgeryError};
use crate::proto::onnx::NodeProto;

/// A connected part of a graph, described by operators and the values between them.
///
/// Values are variables: the same variable is the same value. Values between the nodes of a match are read by nodes of
/// the match alone and are no graph outputs, so that the match can be replaced; [`Pattern::shared`] lifts that for one.
///
/// ```
/// use onnx_prune::surgery::Pattern;
/// // A convolution, a normalization, an activation.
/// let chain = Pattern::chain(&["Conv", "BatchNormalization", "Relu|Clip"]);
/// // x * sigmoid(x): the two inputs of Mul in any order.
/// let swish = Pattern::new()
///     .node("Sigmoid", &["x"], &["gate"])
///     .node("Mul", &["x", "gate"], &["y"])
///     .in_any_order();
/// ```
#[derive(Default)]
pub struct Pattern {
    nodes: Vec<Step>,
    shared: BTreeSet<String>,
    constant: BTreeSet<String>,
}

/// A condition on a node.
type Test = Box<dyn Fn(&NodeProto) -> bool>;

struct Step {
    operators: Vec<String>,
    inputs: Vec<String>,
    outputs: Vec<String>,
    any_order: bool,
    tests: Vec<Test>,
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let steps = self.nodes.iter().map(|step| (&step.operators, &step.inputs, &step.outputs));
        f.debug_list().entries(steps).finish()
    }
}

/// A part of a graph that a [`Pattern`] describes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Match {
    nodes: Vec<NodeId>,
    values: BTreeMap<String, String>,
}

impl Match {
    /// The nodes, in the order in which the pattern lists them.
    pub fn nodes(&self) -> &[NodeId] {
        &self.nodes
    }

    /// Name of the value that a variable stands for; empty for a variable that the pattern does not have.
    ///
    /// In a chain `in` is the first input of the first node and `out` the first output of the last.
    pub fn value(&self, variable: &str) -> &str {
        self.values.get(variable).map_or("", String::as_str)
    }
}

impl Pattern {
    /// A pattern without nodes.
    pub fn new() -> Self {
        Self::default()
    }

    /// Operators one after another, each reading the first output of the one before as its first input.
    pub fn chain(operators: &[&str]) -> Self {
        let value = |at: usize| match at {
            0 => "in".to_owned(),
            at if at == operators.len() => "out".to_owned(),
            at => format!("{at}"),
        };
        let step = |pattern: Self, (at, op): (usize, &&str)| pattern.node(op, &[&value(at)], &[&value(at + 1)]);
        operators.iter().enumerate().fold(Self::new(), step)
    }

    /// Adds a node: its operator (`A|B` for one of several, `*` for any), and variables for its first inputs and
    /// outputs. `_` stands for any value or none; inputs and outputs that are not listed may be anything.
    ///
    /// List producers before readers: all nodes but the last must make something that a later one reads.
    #[must_use]
    pub fn node(mut self, operator: &str, inputs: &[&str], outputs: &[&str]) -> Self {
        let own = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        self.nodes.push(Step {
            operators: operator.split('|').map(str::to_owned).collect(),
            inputs: own(inputs),
            outputs: own(outputs),
            any_order: false,
            tests: Vec::new(),
        });
        self
    }

    /// The last node also satisfies a condition, on an attribute for instance.
    #[must_use]
    pub fn when(mut self, test: impl Fn(&NodeProto) -> bool + 'static) -> Self {
        if let Some(step) = self.nodes.last_mut() {
            step.tests.push(Box::new(test));
        }
        self
    }

    /// The first two inputs of the last node may also be the other way round, as for `Add` and `Mul`.
    #[must_use]
    pub fn in_any_order(mut self) -> Self {
        if let Some(step) = self.nodes.last_mut() {
            step.any_order = true;
        }
        self
    }

    /// The value may have other readers, or be a graph output. It must then still be made by the replacement.
    #[must_use]
    pub fn shared(mut self, variable: &str) -> Self {
        self.shared.insert(variable.to_owned());
        self
    }

    /// The value is an initializer or the output of a `Constant` node.
    #[must_use]
    pub fn constant(mut self, variable: &str) -> Self {
        self.constant.insert(variable.to_owned());
        self
    }

    /// The match whose last node is this one.
    fn at(&self, graph: &Graph<'_>, last: NodeId) -> Option<Match> {
        let step = self.nodes.len().checked_sub(1)?;
        let start = Partial { nodes: vec![None; self.nodes.len()], values: BTreeMap::new() };
        let found = self.extend(graph, start.with(step, last), vec![step])?;
        let nodes = found.nodes.into_iter().collect::<Option<Vec<_>>>()?;
        let found = Match { nodes, values: found.values };
        self.is_closed(graph, &found).then_some(found)
    }

    /// Binds the values of the nodes in `open`, goes to those that make them, and so on.
    fn extend(&self, graph: &Graph<'_>, partial: Partial, mut open: Vec<usize>) -> Option<Partial> {
        let Some(at) = open.pop() else { return Some(partial) };
        let step = &self.nodes[at];
        let node = graph.node(partial.nodes[at]?)?;
        let right = step.operators.iter().any(|op| op == "*" || op == node.op_type());
        if !right || !step.tests.iter().all(|test| test(node)) {
            return None;
        }
        let mut swapped = node.input.clone();
        if swapped.len() > 1 {
            swapped.swap(0, 1);
        }
        let orders = [Some(&node.input), Some(&swapped).filter(|_| step.any_order)];
        orders.into_iter().flatten().find_map(|inputs| {
            let mut next = partial.clone();
            next.bind(&step.inputs, inputs)?;
            next.bind(&step.outputs, &node.output)?;
            let mut open = open.clone();
            for variable in &step.inputs {
                let Some(maker) = self.nodes.iter().position(|step| step.outputs.contains(variable)) else { continue };
                let producer = graph.producer(next.values.get(variable)?)?;
                match next.nodes[maker] {
                    Some(known) if known == producer => {}
                    None if !next.nodes.contains(&Some(producer)) => {
                        next.nodes[maker] = Some(producer);
                        open.push(maker);
                    }
                    _ => return None,
                }
            }
            self.extend(graph, next, open)
        })
    }

    /// Whether nothing outside reads what is between the nodes, and constants are constants.
    fn is_closed(&self, graph: &Graph<'_>, found: &Match) -> bool {
        let inside = |value: &str| {
            !graph.is_output(value) && graph.readers(value).iter().all(|reader| found.nodes.contains(&reader.node))
        };
        let shared: BTreeSet<&str> = self.shared.iter().map(|variable| found.value(variable)).collect();
        let (_, before) = found.nodes.split_last().unwrap_or((&NodeId(0), &[]));
        let made = before.iter().filter_map(|id| graph.node(*id)).flat_map(|node| &node.output);
        made.filter(|name| !name.is_empty()).all(|name| shared.contains(name.as_str()) || inside(name))
            && self.constant.iter().all(|variable| graph.is_constant(found.value(variable)))
    }
}

/// A match that is being made.
#[derive(Clone)]
struct Partial {
    nodes: Vec<Option<NodeId>>,
    values: BTreeMap<String, String>,
}

impl Partial {
    fn with(mut self, step: usize, node: NodeId) -> Self {
        self.nodes[step] = Some(node);
        self
    }

    /// Lets variables stand for values; `None` if one stands for another value already, or there is no value.
    fn bind(&mut self, variables: &[String], names: &[String]) -> Option<()> {
        for (at, variable) in variables.iter().enumerate().filter(|(_, variable)| *variable != "_") {
            let name = names.get(at).filter(|name| !name.is_empty())?;
            if self.values.entry(variable.clone()).or_insert_with(|| name.clone()) != name {
                return None;
            }
        }
        Some(())
    }
}

impl Graph<'_> {
    /// All parts of the graph that a pattern describes, in the order of their last nodes. They may overlap.
    pub fn find(&self, pattern: &Pattern) -> Vec<Match> {
        self.walk().into_iter().filter_map(|id| pattern.at(self, id)).collect()
    }

    /// The part of the graph that a pattern describes and whose last node this is.
    pub fn find_at(&self, pattern: &Pattern, last: NodeId) -> Option<Match> {
        self.node(last).and_then(|_| pattern.at(self, last))
    }

    /// Replaces parts of the graph that a pattern describes. For every match `replacement` gives the new nodes, or
    /// `None` to leave it; it may edit the graph, to store a constant for instance. Returns how many were replaced.
    ///
    /// Matches are tried in topological order of their last nodes, each on the graph as it is then. The new nodes are
    /// not searched again.
    ///
    /// ```
    /// # use onnx_prune::surgery::{Graph, Node, Pattern, SurgeryError};
    /// # fn demo(graph: &mut Graph) -> Result<(), SurgeryError> {
    /// let swish = Pattern::new()
    ///     .node("Sigmoid", &["x"], &["gate"])
    ///     .node("Mul", &["x", "gate"], &["y"])
    ///     .in_any_order();
    /// graph.replace_all(&swish, |_, found| {
    ///     Ok(Some(vec![Node::new("Swish").input(found.value("x")).output(found.value("y"))]))
    /// })?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// The first error of `replacement`, or of putting its nodes in place. No match is replaced then.
    pub fn replace_all(
        &mut self,
        pattern: &Pattern,
        mut replacement: impl FnMut(&mut Self, &Match) -> Result<Option<Vec<NodeProto>>, SurgeryError>,
    ) -> Result<usize, SurgeryError> {
        self.atomically(|graph| {
            let mut count = 0;
            for last in graph.walk() {
                let Some(found) = pattern.at(graph, last) else { continue };
                if let Some(nodes) = replacement(graph, &found)? {
                    graph.replace_nodes(&found.nodes, nodes)?;
                    count += 1;
                }
            }
            Ok(count)
        })
    }
}
