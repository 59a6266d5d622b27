//! Groups: pruning units with the same places, the unit that is scored, budgeted and reported.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::analysis::Channels;
use super::indices::{ChannelIndex, Place, Reason, Role, SiteId};
use super::propagation::{ConstantId, Contraction, Propagation};
use crate::model::node::node_name;

/// Number of a group in [`Channels::groups`].
pub type GroupId = usize;

/// Whether a group is made by one operator or carried by a residual stream that several add to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// One operator makes the channels.
    Inner,
    /// Several operators make them together (a residual stream).
    Stream,
}

/// Slices of one constant along one axis, for every pruning unit of a group.
#[derive(Debug, Clone)]
pub struct Slices {
    /// Index of the node whose channels these are: that which reads the constant, or the convolution behind a chain
    /// of nodes that prepare its weight.
    pub operator: usize,
    /// Index of the node that reads the constant.
    pub node: usize,
    /// Index of the constant among the node's inputs.
    pub input: usize,
    /// Axis of the constant.
    pub axis: usize,
    /// Indices along the axis, one list per pruning unit.
    pub indices: Vec<Vec<usize>>,
}

/// A value whose channels a group owns, where a node sums over them.
#[derive(Debug, Clone)]
pub struct ConsumerInput {
    /// Index of the node that reads the value.
    pub node: usize,
    /// Name of the value.
    pub value: String,
    /// Channel axis of the value.
    pub axis: usize,
    /// Size of that axis.
    pub size: usize,
    /// Index of the weight among the node's inputs, and its summed axis.
    pub weight: (usize, usize),
    /// Indices along the axis, one list per pruning unit.
    pub indices: Vec<Vec<usize>>,
}

/// Coupled channels.
#[derive(Debug, Clone)]
pub struct Group {
    /// Name for people: that of the first node that makes the channels.
    pub name: String,
    /// Whether it is a residual stream.
    pub scope: Scope,
    /// Weights that make the channels.
    pub producers: Vec<Slices>,
    /// Per-channel parameters: biases, normalisation, depthwise filters.
    pub parameters: Vec<Slices>,
    /// Weights that sum over the channels.
    pub consumers: Vec<Slices>,
    /// The values those weights read.
    pub consumer_inputs: Vec<ConsumerInput>,
    /// Sets of pruning units of which at least one must stay, since some value would be left without channels otherwise (the
    /// second half of a split, say). That one pruning unit of the group stays goes without saying.
    pub keep_sets: Vec<Vec<usize>>,
    /// Root channel index of every pruning unit.
    pub(crate) roots: Vec<ChannelIndex>,
}

impl Group {
    /// Number of pruning units: the units that can be kept or cut.
    pub fn width(&self) -> usize {
        self.roots.len()
    }

    /// A number of pruning units that suffices to leave every value some channels.
    pub fn least(&self) -> usize {
        self.keep_sets.len().clamp(1, self.width().max(1))
    }
}

/// Channels of one operator that may not be cut.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Protected {
    /// Index of the node that makes them.
    pub index: usize,
    /// Name of that node.
    pub node: String,
    /// Operator type of that node.
    pub op: String,
    /// How many of its channels are protected.
    pub channels: usize,
    /// How many it makes.
    pub of: usize,
    /// Who protects them and why.
    pub reasons: Vec<Reason>,
}

/// Builds the groups of a finished run.
pub(super) fn build(run: &Propagation<'_>) -> (Vec<Group>, Vec<Protected>) {
    let roots: Vec<ChannelIndex> =
        (0..run.channel_indices.len()).map(|channel_index| run.channel_indices.find(index_at(channel_index))).collect();
    let mut members: BTreeMap<ChannelIndex, Vec<ChannelIndex>> = BTreeMap::new();
    for (channel_index, &root) in roots.iter().enumerate() {
        members.entry(root).or_default().push(index_at(channel_index));
    }
    let mut reasons: BTreeMap<ChannelIndex, BTreeSet<&Reason>> = BTreeMap::new();
    for (channel_index, reason) in run.channel_indices.pinned() {
        reasons.entry(roots[channel_index.index()]).or_default().insert(reason);
    }
    let makes = |channel_index: &ChannelIndex| {
        run.channel_indices.sites()[run.channel_indices.site_of(*channel_index).0 as usize]
            .role
            .is_some_and(|(r, _)| r == Role::Output)
    };
    let fixed = |channel_index: &ChannelIndex| {
        run.channel_indices.sites()[run.channel_indices.site_of(*channel_index).0 as usize].place == Place::Fixed
    };
    // Pruning units with the same number of channel indices on the same sites form a group.
    let mut shapes: HashMap<Vec<(SiteId, usize)>, usize> = HashMap::new();
    let mut units: Vec<Vec<ChannelIndex>> = Vec::new();
    for (&root, channel_indices) in &members {
        if reasons.contains_key(&root) || !channel_indices.iter().any(makes) || channel_indices.iter().any(fixed) {
            continue;
        }
        let mut counts: BTreeMap<SiteId, usize> = BTreeMap::new();
        for &channel_index in channel_indices {
            *counts.entry(run.channel_indices.site_of(channel_index)).or_default() += 1;
        }
        let next = units.len();
        let group = *shapes.entry(counts.into_iter().collect()).or_insert(next);
        if group == next {
            units.push(Vec::new());
        }
        units[group].push(root);
    }
    let unit_of: HashMap<ChannelIndex, (usize, usize)> = units
        .iter()
        .enumerate()
        .flat_map(|(group, roots)| roots.iter().enumerate().map(move |(unit, &root)| (root, (group, unit))))
        .collect();
    let mut consumer_inputs: Vec<Vec<ConsumerInput>> = vec![Vec::new(); units.len()];
    for contraction in &run.contractions {
        for (group, consumer_input) in consumer_input(run, contraction, &roots, &unit_of, &units) {
            consumer_inputs[group].push(consumer_input);
        }
    }
    let mut groups: Vec<Group> = units
        .into_iter()
        .zip(consumer_inputs)
        .map(|(roots, consumer_inputs)| group(run, roots, &members, consumer_inputs))
        .collect();
    keep_set(run, &mut groups, &roots, &unit_of);
    (groups, protected(run, &roots, &reasons))
}

#[allow(clippy::cast_possible_truncation, reason = "channel_indices are numbered by u32")]
fn index_at(index: usize) -> ChannelIndex {
    ChannelIndex(index as u32)
}

fn group(
    run: &Propagation<'_>,
    roots: Vec<ChannelIndex>,
    members: &BTreeMap<ChannelIndex, Vec<ChannelIndex>>,
    consumer_inputs: Vec<ConsumerInput>,
) -> Group {
    let mut sites: BTreeMap<SiteId, Slices> = BTreeMap::new();
    for (unit, root) in roots.iter().enumerate() {
        for &channel_index in members.get(root).into_iter().flatten() {
            let site = run.channel_indices.site_of(channel_index);
            let info = &run.channel_indices.sites()[site.0 as usize];
            let Place::Constant { use_id, axis } = info.place else { continue };
            let read = &run.uses[use_id];
            let slices = sites.entry(site).or_insert_with(|| Slices {
                operator: info.role.map_or(read.node, |(_, node)| node),
                node: read.node,
                input: read.input,
                axis,
                indices: vec![Vec::new(); roots.len()],
            });
            slices.indices[unit].push(channel_index.index() - info.first.index());
        }
    }
    let role = |site: &SiteId| run.channel_indices.sites()[site.0 as usize].role;
    let of = |wanted: Role| -> Vec<Slices> {
        sites.iter().filter(|(site, _)| role(site).is_some_and(|(r, _)| r == wanted)).map(|(_, s)| s.clone()).collect()
    };
    let makers: BTreeSet<usize> =
        sites.keys().filter_map(role).filter(|(r, _)| *r == Role::Output).map(|(_, node)| node).collect();
    let first = makers.iter().next().map(|&node| node_name(&run.graph.node[node])).unwrap_or_default();
    Group {
        name: first,
        scope: if makers.len() > 1 { Scope::Stream } else { Scope::Inner },
        producers: of(Role::Output),
        parameters: of(Role::Parameter),
        consumers: of(Role::Input),
        consumer_inputs,
        keep_sets: Vec::new(),
        roots,
    }
}

/// Finds the axes that a cut could leave empty although every group keeps an pruning unit.
fn keep_set(
    run: &Propagation<'_>,
    groups: &mut [Group],
    roots: &[ChannelIndex],
    unit_of: &HashMap<ChannelIndex, (usize, usize)>,
) {
    let mut keep_sets: Vec<BTreeSet<Vec<usize>>> = vec![BTreeSet::new(); groups.len()];
    let values = run.values.values().filter_map(|value| value.ids.as_ref());
    for ids in values.chain(run.uses.iter().map(|read| &read.ids)) {
        for axis in 0..ids.rank() {
            let channel_indices = ids.columns(axis).unwrap_or_default().into_iter().flatten();
            let units: Option<BTreeSet<(usize, usize)>> =
                channel_indices.map(|channel_index| unit_of.get(&roots[channel_index.index()]).copied()).collect();
            let Some(units) = units.filter(|units| !units.is_empty()) else { continue };
            let mut by_group: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
            for (group, unit) in units {
                by_group.entry(group).or_default().push(unit);
            }
            if by_group.iter().any(|(&group, units)| units.len() == groups[group].width()) {
                continue;
            }
            if let Some((group, units)) = by_group.into_iter().max_by_key(|(_, units)| units.len()) {
                keep_sets[group].insert(units);
            }
        }
    }
    for (group, keep_sets) in groups.iter_mut().zip(keep_sets) {
        group.keep_sets = keep_sets.into_iter().collect();
    }
}

/// What a contraction reads of every group.
fn consumer_input(
    run: &Propagation<'_>,
    contraction: &Contraction,
    roots: &[ChannelIndex],
    unit_of: &HashMap<ChannelIndex, (usize, usize)>,
    units: &[Vec<ChannelIndex>],
) -> BTreeMap<usize, ConsumerInput> {
    let mut consumer_inputs = BTreeMap::new();
    let Some(ids) = run.values.get(&contraction.value).and_then(|value| value.ids.as_ref()) else {
        return consumer_inputs;
    };
    for (index, column) in ids.columns(contraction.axis).unwrap_or_default().into_iter().enumerate() {
        let Some(&(group, unit)) = column.first().and_then(|channel_index| unit_of.get(&roots[channel_index.index()]))
        else {
            continue;
        };
        let consumer_input = consumer_inputs.entry(group).or_insert_with(|| ConsumerInput {
            node: contraction.node,
            value: contraction.value.clone(),
            axis: contraction.axis,
            size: ids.shape[contraction.axis],
            weight: (contraction.weight, contraction.weight_axis),
            indices: vec![Vec::new(); units[group].len()],
        });
        consumer_input.indices[unit].push(index);
    }
    consumer_inputs
}

fn protected(
    run: &Propagation<'_>,
    roots: &[ChannelIndex],
    reasons: &BTreeMap<ChannelIndex, BTreeSet<&Reason>>,
) -> Vec<Protected> {
    let mut found = Vec::new();
    for site in run.channel_indices.sites() {
        let Some((Role::Output, node)) = site.role else { continue };
        let own: Vec<ChannelIndex> =
            (site.first.index()..site.first.index() + site.len).map(|channel_index| roots[channel_index]).collect();
        let pinned: Vec<_> = own.iter().filter_map(|root| reasons.get(root)).collect();
        if pinned.is_empty() {
            continue;
        }
        let why: BTreeSet<&Reason> = pinned.iter().flat_map(|set| set.iter().copied()).collect();
        found.push(Protected {
            index: node,
            node: node_name(&run.graph.node[node]),
            op: run.graph.node[node].op_type().to_owned(),
            channels: pinned.len(),
            of: site.len,
            reasons: why.into_iter().cloned().collect(),
        });
    }
    found
}

impl Channels {
    /// The stored tensor that `slices` cut.
    pub fn tensor_name(&self, model: &crate::model::Model, slices: &Slices) -> Option<String> {
        let name = model.graph().node.get(slices.node)?.input.get(slices.input)?;
        Some(match self.source(slices.node, slices.input)? {
            ConstantId::Initializer(index) => model.graph().initializer.get(index)?.name().to_owned(),
            ConstantId::Node(_) => name.clone(),
        })
    }
}
