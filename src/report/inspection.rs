//! What `inspect` shows: groups, who protects what, and how much can be cut.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use serde::Serialize;

use super::terminal::{lines, protected};
use super::text::{plural, printable, shorten};
use super::{ProtectedChannels, Style, count};
use crate::channels::{Block, BlockKind, Channels, GroupId, Measure, Opaque, Scope, Slices};
use crate::model::Model;
use crate::model::node::node_name;
use crate::ops::macs::left_out;

/// Below this share of the MACs a user should know first that there is little to prune.
const LITTLE: f64 = 0.5;

/// Whether the text names the members of every group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Members {
    /// Numbers only.
    #[default]
    Counted,
    /// Every node by name.
    Shown,
}

/// A group as `inspect` shows it.
#[derive(Debug, Clone, Serialize)]
pub struct InspectedGroup {
    /// Name of the first node that makes the channels.
    pub name: String,
    /// Inner or residual stream.
    pub scope: Scope,
    /// Pruning units.
    pub width: usize,
    /// Share of the model's MACs in operators that make or read the channels.
    pub macs_share: f64,
    /// Nodes that make the channels.
    pub producers: Vec<String>,
    /// Nodes with one parameter per channel.
    pub parameters: Vec<String>,
    /// Nodes that sum over them.
    pub consumers: Vec<String>,
}

/// A part of the graph that can be left out whole.
#[derive(Debug, Clone, Serialize)]
pub struct InspectedBlock {
    /// Name of the node behind it.
    pub name: String,
    /// What is there without it.
    pub kind: BlockKind,
    /// Number of nodes that go with the block.
    pub nodes: usize,
    /// Names of those that are among the operators with channels.
    pub operators: Vec<String>,
    /// Multiply-accumulates of those nodes.
    pub macs: u64,
    /// Stored parameters that only they read.
    pub params: u64,
    /// Share of the time of a run that goes with the block, if it was measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time_share: Option<f64>,
}

impl InspectedBlock {
    fn new(block: &Block, model: &Model, operators: &BTreeSet<&str>) -> Self {
        let names = block.nodes.iter().map(|&node| node_name(&model.graph().node[node]));
        Self {
            name: block.name.clone(),
            kind: block.kind,
            nodes: block.nodes.len(),
            operators: names.filter(|name| operators.contains(name.as_str())).collect(),
            macs: block.macs,
            params: block.params,
            time_share: None,
        }
    }
}

/// An operator with channels, in the order of the file.
#[derive(Debug, Clone, Serialize)]
pub struct InspectedOperator {
    /// Name of the node, or of its first output.
    pub name: String,
    /// Operator type.
    pub op: String,
    /// Multiply-accumulates of one run.
    pub macs: u64,
    /// Numbers of the groups whose channels it makes.
    pub makes: Vec<GroupId>,
    /// Numbers of the groups of which it has a parameter per channel.
    pub carries: Vec<GroupId>,
    /// Numbers of the groups that it sums over.
    pub sums: Vec<GroupId>,
    /// Whether its work falls when channels are cut.
    pub shrinks: bool,
    /// Why channels that it makes stay whole, or, if it makes none and none of it can be cut, those that it reads.
    pub protected: Vec<String>,
}

impl InspectedOperator {
    /// Whether some of its channels can be cut.
    pub fn is_prunable(&self) -> bool {
        self.shrinks || !(self.makes.is_empty() && self.carries.is_empty() && self.sums.is_empty())
    }
}

/// The whole analysis.
#[derive(Debug, Clone, Serialize)]
pub struct Inspection {
    /// Version of this form.
    pub schema_version: u32,
    /// SHA-256 of the file.
    pub model_sha256: String,
    /// Multiply-accumulates of one run.
    pub macs: u64,
    /// Share of them in operators with prunable channels.
    pub prunable_macs_share: f64,
    /// The same of convolutions alone; absent if the model has none.
    pub prunable_convolution_macs_share: Option<f64>,
    /// Groups.
    pub groups: Vec<InspectedGroup>,
    /// Blocks that can be left out whole.
    pub blocks: Vec<InspectedBlock>,
    /// Operators with channels: together with the groups, the dependency graph.
    pub operators: Vec<InspectedOperator>,
    /// Channels that stay whole.
    pub protected: Vec<ProtectedChannels>,
    /// Operator types that are not analysed, with the number of nodes.
    pub opaque: BTreeMap<String, Opaque>,
    /// Nodes whose multiply-accumulates are not counted, since a shape is not known.
    pub uncounted: Vec<String>,
    /// Operators that multiply but are not counted at all (`Einsum`, `Attention`), with the number of nodes.
    pub not_counted: BTreeMap<&'static str, usize>,
}

impl Inspection {
    /// Collects what the analysis of `model` found.
    pub fn new(model: &Model, channels: &Channels) -> Self {
        let cost = channels.cost_model();
        let total = cost.at(Measure::Macs, cost.full()).max(1.0);
        let names = |slices: &[Slices]| -> Vec<String> {
            let mut names: Vec<String> =
                slices.iter().map(|slices| node_name(&model.graph().node[slices.operator])).collect();
            names.dedup();
            names
        };
        let groups = channels
            .groups
            .iter()
            .enumerate()
            .map(|(index, group)| InspectedGroup {
                name: group.name.clone(),
                scope: group.scope,
                width: group.width(),
                macs_share: cost.involved(Measure::Macs, cost.full(), index) / total,
                producers: names(&group.producers),
                parameters: names(&group.parameters),
                consumers: names(&group.consumers),
            })
            .collect();
        let operators = operators(model, channels);
        let named: BTreeSet<&str> = operators.iter().map(|own| own.name.as_str()).collect();
        let share = |of: &dyn Fn(&InspectedOperator) -> bool| {
            let macs = |prunable: bool| -> f64 {
                let counted = operators.iter().filter(|op| of(op) && (!prunable || op.is_prunable()));
                counted.fold(0.0, |sum, op| sum + op.macs as f64)
            };
            (macs(false) > 0.0).then(|| macs(true) / macs(false))
        };
        Self {
            schema_version: 1,
            model_sha256: model.sha256().to_owned(),
            macs: channels.macs(None),
            prunable_macs_share: share(&|_| true).unwrap_or(0.0),
            prunable_convolution_macs_share: share(&|op| op.op.starts_with("Conv")),
            groups,
            blocks: channels.blocks.iter().map(|block| InspectedBlock::new(block, model, &named)).collect(),
            operators,
            protected: channels.protected.iter().map(ProtectedChannels::from).collect(),
            opaque: channels.opaque.clone(),
            uncounted: channels.uncounted.clone(),
            not_counted: left_out(model.graph()),
        }
    }

    /// What stands in the way where less than half of the work has prunable channels, by the work it holds.
    pub fn obstacles(&self) -> Vec<String> {
        if self.prunable_macs_share >= LITTLE {
            return Vec::new();
        }
        let mut held: BTreeMap<&str, u64> = BTreeMap::new();
        for operator in self.operators.iter().filter(|operator| !operator.is_prunable()) {
            let reason =
                operator.protected.first().map_or("its inputs cannot be cut, and it makes none", String::as_str);
            *held.entry(reason).or_default() += operator.macs;
        }
        let mut held: Vec<(&str, u64)> = held.into_iter().filter(|(_, macs)| *macs > 0).collect();
        held.sort_by_key(|&(_, macs)| std::cmp::Reverse(macs));
        let share = |macs: u64| 100.0 * macs as f64 / self.macs.max(1) as f64;
        let mut found: Vec<String> =
            held.iter().take(3).map(|(reason, macs)| format!("{:.0} % of the MACs: {reason}", share(*macs))).collect();
        let first = self.opaque.iter().map(|(op, opaque)| format!("{op} `{}`: {}", opaque.node, opaque.why));
        found.extend(first.take(3usize.saturating_sub(found.len())));
        found
    }

    /// The blocks, one line each.
    fn render_blocks(&self, out: &mut String, style: Style) -> std::fmt::Result {
        if self.blocks.is_empty() {
            return Ok(());
        }
        let share = |block: &InspectedBlock| 100.0 * block.macs as f64 / self.macs.max(1) as f64;
        let title = format!("{} that can be left out whole", plural(self.blocks.len(), "block"));
        writeln!(out, "{}\n", style.strong(&title))?;
        let timed = self.blocks.iter().any(|own| own.time_share.is_some());
        let time = if timed { "   time" } else { "" };
        let head = format!(
            "  {:<31} {:>6} {:>7} {:>10}{time}  {}",
            "block, by the node behind it", "nodes", "MACs", "parameters", "stays"
        );
        writeln!(out, "{}", style.faint(&head))?;
        for block in &self.blocks {
            let (name, params) = (shorten(&block.name, 31), count(block.params as f64));
            let kind = match block.kind {
                BlockKind::Residual => "shortcut",
                BlockKind::Stage => "own shortcut",
                BlockKind::Layer => "input",
                BlockKind::Branch => "others",
            };
            let time = block.time_share.map_or_else(String::new, |time| format!(" {:>5.1}%", 100.0 * time));
            writeln!(out, "  {name:<31} {:>6} {:>6.1}% {params:>10}{time}  {kind}", block.nodes, share(block))?;
        }
        writeln!(out)
    }

    /// The inspection as text.
    ///
    /// # Errors
    /// Never in practice: writing to a string.
    pub fn render(&self, style: Style, members: Members) -> Result<String, std::fmt::Error> {
        let mut out = String::new();
        let title = format!(
            "{}, {} MACs, {:.1} % of them in operators with prunable channels",
            plural(self.groups.len(), "group"),
            count(self.macs as f64),
            100.0 * self.prunable_macs_share
        );
        if self.prunable_macs_share < LITTLE {
            let what = if self.groups.is_empty() { "nothing can be pruned" } else { "little can be pruned" };
            writeln!(out, "{}", style.strong(what))?;
            for obstacle in self.obstacles() {
                lines(&mut out, "  ", &obstacle, 4)?;
            }
            writeln!(out)?;
        }
        writeln!(out, "{}\n", style.strong(&title))?;
        let head = format!("  {:<36} {:>6} {:>6} {:>7}  {}", "group", "kind", "width", "MACs", "made by -> read by");
        writeln!(out, "{}", style.faint(&head))?;
        for group in &self.groups {
            let kind = if group.scope == Scope::Inner { "inner" } else { "stream" };
            writeln!(
                out,
                "  {:<36} {kind:>6} {:>6} {:>6.1}%  {} -> {}",
                shorten(&group.name, 36),
                group.width,
                100.0 * group.macs_share,
                group.producers.len(),
                group.consumers.len()
            )?;
            if members == Members::Shown {
                let parts = [("made by", &group.producers), ("with", &group.parameters), ("read by", &group.consumers)];
                for (how, names) in parts.into_iter().filter(|(_, names)| !names.is_empty()) {
                    lines(&mut out, &format!("    {how:<8}"), &names.join(", "), 12)?;
                }
            }
        }
        writeln!(out)?;
        self.render_blocks(&mut out, style)?;
        protected(&mut out, &self.protected, style)?;
        for (op, Opaque { nodes, node, why }) in &self.opaque {
            let text = format!("{op}: {} not analysed; the channels they read stay whole", plural(*nodes, "node"));
            lines(&mut out, "  ", &text, 2)?;
            lines(&mut out, "    ", &format!("first `{}`: {}", shorten(&printable(node), 36), printable(why)), 4)?;
        }
        if !self.not_counted.is_empty() {
            let names: Vec<String> = self.not_counted.iter().map(|(op, nodes)| format!("{op} ({nodes})")).collect();
            lines(&mut out, "  ", &format!("not counted among the MACs: {}", names.join(", ")), 2)?;
        }
        if let Some(first) = self.uncounted.first() {
            let nodes = plural(self.uncounted.len(), "node");
            let text = format!("the MACs of {nodes} are not counted, since shapes are not known; first `{first}`");
            lines(&mut out, "  ", &printable(&text), 2)?;
        }
        Ok(out)
    }
}

fn operators(model: &Model, channels: &Channels) -> Vec<InspectedOperator> {
    let mut found: BTreeMap<usize, InspectedOperator> = BTreeMap::new();
    let entry = |found: &mut BTreeMap<usize, InspectedOperator>, index: usize, f: &dyn Fn(&mut InspectedOperator)| {
        let node = &model.graph().node[index];
        f(found.entry(index).or_insert_with(|| InspectedOperator {
            name: node_name(node),
            op: node.op_type().to_owned(),
            macs: 0,
            makes: Vec::new(),
            carries: Vec::new(),
            sums: Vec::new(),
            shrinks: false,
            protected: Vec::new(),
        }));
    };
    for (index, macs) in channels.macs_by_node(None) {
        entry(&mut found, index, &|operator| operator.macs += macs);
    }
    for index in channels.shrinking_nodes() {
        entry(&mut found, index, &|operator| operator.shrinks = true);
    }
    for (number, group) in channels.groups.iter().enumerate() {
        for slices in &group.producers {
            entry(&mut found, slices.operator, &|operator| operator.makes.push(number));
        }
        for slices in &group.parameters {
            entry(&mut found, slices.operator, &|operator| operator.carries.push(number));
        }
        for slices in &group.consumers {
            entry(&mut found, slices.operator, &|operator| operator.sums.push(number));
        }
    }
    for protected in &channels.protected {
        let reasons: Vec<String> = protected.reasons.iter().map(ToString::to_string).collect();
        entry(&mut found, protected.index, &|operator| operator.protected.extend(reasons.iter().cloned()));
    }
    for (&index, operator) in &mut found {
        if !operator.is_prunable() && operator.protected.is_empty() {
            operator.protected = channels.reasons_at(index).iter().map(ToString::to_string).collect();
            if operator.protected.is_empty() && channels.made_by(index) == 0 {
                operator.protected.push("its weight makes a single channel".into());
            }
        }
        for list in [&mut operator.makes, &mut operator.carries, &mut operator.sums] {
            list.dedup();
        }
    }
    found.into_values().collect()
}
