//! What `inspect` shows: groups, who protects what, and how much can be cut.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Serialize;

use super::terminal::{lines, protected};
use super::text::{plural, printable, shorten};
use super::{ProtectedChannels, Style, count};
use crate::channels::{Channels, Measure, Opaque, Scope};
use crate::model::Model;

/// A group as `inspect` shows it.
#[derive(Debug, Clone, Serialize)]
pub struct InspectedGroup {
    /// Name of the first node that makes the channels.
    pub name: String,
    /// Inner or stream.
    pub scope: Scope,
    /// Atoms.
    pub width: usize,
    /// Share of the model's MACs in operators that make or read the channels.
    pub macs_share: f64,
    /// Nodes that make the channels.
    pub producers: Vec<String>,
    /// Nodes that sum over them.
    pub consumers: Vec<String>,
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
    /// Groups.
    pub groups: Vec<InspectedGroup>,
    /// Channels that stay whole.
    pub protected: Vec<ProtectedChannels>,
    /// Operator types that are not analysed, with the number of nodes.
    pub opaque: BTreeMap<String, Opaque>,
}

impl Inspection {
    /// Collects what the analysis of `model` found.
    pub fn new(model: &Model, channels: &Channels) -> Self {
        let cost = channels.cost_model();
        let total = cost.at(Measure::Macs, cost.full()).max(1.0);
        let node = |index: usize| crate::channels::run::node_name(&model.graph().node[index]);
        let prunable: std::collections::BTreeSet<usize> = channels
            .groups
            .iter()
            .flat_map(|group| group.producers.iter().chain(&group.consumers))
            .map(|slices| slices.node)
            .collect();
        let share: u64 =
            channels.macs_by_node(None).iter().filter(|(node, _)| prunable.contains(node)).map(|(_, macs)| macs).sum();
        let groups = channels
            .groups
            .iter()
            .enumerate()
            .map(|(index, group)| InspectedGroup {
                name: group.name.clone(),
                scope: group.scope,
                width: group.width(),
                macs_share: cost.involved(Measure::Macs, cost.full(), index) / total,
                producers: group.producers.iter().map(|slices| node(slices.node)).collect(),
                consumers: group.consumers.iter().map(|slices| node(slices.node)).collect(),
            })
            .collect();
        Self {
            schema_version: 1,
            model_sha256: model.sha256().to_owned(),
            macs: channels.macs(None),
            prunable_macs_share: share as f64 / total,
            groups,
            protected: channels.protected.iter().map(ProtectedChannels::from).collect(),
            opaque: channels.opaque.clone(),
        }
    }

    /// The inspection as text.
    ///
    /// # Errors
    /// Never in practice: writing to a string.
    pub fn render(&self, style: Style) -> Result<String, std::fmt::Error> {
        let mut out = String::new();
        let title = format!(
            "{}, {} MACs, {:.1} % of them in operators with prunable channels",
            plural(self.groups.len(), "group"),
            count(self.macs as f64),
            100.0 * self.prunable_macs_share
        );
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
        }
        writeln!(out)?;
        protected(&mut out, &self.protected, style)?;
        for (op, Opaque { nodes, node, why }) in &self.opaque {
            let text = format!("{op}: {} not analysed; the channels they read stay whole", plural(*nodes, "node"));
            lines(&mut out, "  ", &text, 2)?;
            lines(&mut out, "    ", &format!("first `{}`: {}", shorten(&printable(node), 36), printable(why)), 4)?;
        }
        Ok(out)
    }
}
