//! Groups: atoms with the same places, the unit that is scored, budgeted and reported.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::analysis::Channels;
use super::lanes::{LaneId, Place, Reason, Role, SiteId};
use super::run::{Contraction, Run, Source};
use crate::model::node::node_name;

/// Number of a group in [`Channels::groups`].
pub type GroupId = usize;

/// Whether a group is made by one operator or carried by a stream that several add to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// One operator makes the channels.
    Inner,
    /// Several operators make them together (a residual stream).
    Stream,
}

/// Slices of one constant along one axis, for every atom of a group.
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
    /// Indices along the axis, one list per atom.
    pub indices: Vec<Vec<usize>>,
}

/// A value whose channels a group owns, where a node sums over them.
#[derive(Debug, Clone)]
pub struct Tap {
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
    /// Indices along the axis, one list per atom.
    pub indices: Vec<Vec<usize>>,
}

/// Coupled channels.
#[derive(Debug, Clone)]
pub struct Group {
    /// Name for people: that of the first node that makes the channels.
    pub name: String,
    /// Whether it is a stream.
    pub scope: Scope,
    /// Weights that make the channels.
    pub producers: Vec<Slices>,
    /// Per-channel parameters: biases, normalisation, depthwise filters.
    pub parameters: Vec<Slices>,
    /// Weights that sum over the channels.
    pub consumers: Vec<Slices>,
    /// The values those weights read.
    pub taps: Vec<Tap>,
    /// Sets of atoms of which at least one must stay, since some value would be left without channels otherwise (the
    /// second half of a split, say). That one atom of the group stays goes without saying.
    pub covers: Vec<Vec<usize>>,
    /// Root lane of every atom.
    pub(crate) roots: Vec<LaneId>,
}

impl Group {
    /// Number of atoms: the units that can be kept or cut.
    pub fn width(&self) -> usize {
        self.roots.len()
    }

    /// A number of atoms that suffices to leave every value some channels.
    pub fn least(&self) -> usize {
        self.covers.len().clamp(1, self.width().max(1))
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
pub(super) fn build(run: &Run<'_>) -> (Vec<Group>, Vec<Protected>) {
    let roots: Vec<LaneId> = (0..run.lanes.len()).map(|lane| run.lanes.find(lane_at(lane))).collect();
    let mut members: BTreeMap<LaneId, Vec<LaneId>> = BTreeMap::new();
    for (lane, &root) in roots.iter().enumerate() {
        members.entry(root).or_default().push(lane_at(lane));
    }
    let mut reasons: BTreeMap<LaneId, BTreeSet<&Reason>> = BTreeMap::new();
    for (lane, reason) in run.lanes.frozen() {
        reasons.entry(roots[lane.index()]).or_default().insert(reason);
    }
    let makes = |lane: &LaneId| {
        run.lanes.sites()[run.lanes.site_of(*lane).0 as usize].role.is_some_and(|(r, _)| r == Role::Output)
    };
    let fixed = |lane: &LaneId| run.lanes.sites()[run.lanes.site_of(*lane).0 as usize].place == Place::Fixed;
    // Atoms with the same number of lanes on the same sites form a group.
    let mut shapes: HashMap<Vec<(SiteId, usize)>, usize> = HashMap::new();
    let mut atoms: Vec<Vec<LaneId>> = Vec::new();
    for (&root, lanes) in &members {
        if reasons.contains_key(&root) || !lanes.iter().any(makes) || lanes.iter().any(fixed) {
            continue;
        }
        let mut counts: BTreeMap<SiteId, usize> = BTreeMap::new();
        for &lane in lanes {
            *counts.entry(run.lanes.site_of(lane)).or_default() += 1;
        }
        let next = atoms.len();
        let group = *shapes.entry(counts.into_iter().collect()).or_insert(next);
        if group == next {
            atoms.push(Vec::new());
        }
        atoms[group].push(root);
    }
    let atom_of: HashMap<LaneId, (usize, usize)> = atoms
        .iter()
        .enumerate()
        .flat_map(|(group, roots)| roots.iter().enumerate().map(move |(atom, &root)| (root, (group, atom))))
        .collect();
    let mut taps: Vec<Vec<Tap>> = vec![Vec::new(); atoms.len()];
    for contraction in &run.contractions {
        for (group, tap) in tap(run, contraction, &roots, &atom_of, &atoms) {
            taps[group].push(tap);
        }
    }
    let mut groups: Vec<Group> =
        atoms.into_iter().zip(taps).map(|(roots, taps)| group(run, roots, &members, taps)).collect();
    cover(run, &mut groups, &roots, &atom_of);
    (groups, protected(run, &roots, &reasons))
}

#[allow(clippy::cast_possible_truncation, reason = "lanes are numbered by u32")]
fn lane_at(index: usize) -> LaneId {
    LaneId(index as u32)
}

fn group(run: &Run<'_>, roots: Vec<LaneId>, members: &BTreeMap<LaneId, Vec<LaneId>>, taps: Vec<Tap>) -> Group {
    let mut sites: BTreeMap<SiteId, Slices> = BTreeMap::new();
    for (atom, root) in roots.iter().enumerate() {
        for &lane in members.get(root).into_iter().flatten() {
            let site = run.lanes.site_of(lane);
            let info = &run.lanes.sites()[site.0 as usize];
            let Place::Constant { use_id, axis } = info.place else { continue };
            let read = &run.uses[use_id];
            let slices = sites.entry(site).or_insert_with(|| Slices {
                operator: info.role.map_or(read.node, |(_, node)| node),
                node: read.node,
                input: read.input,
                axis,
                indices: vec![Vec::new(); roots.len()],
            });
            slices.indices[atom].push(lane.index() - info.first.index());
        }
    }
    let role = |site: &SiteId| run.lanes.sites()[site.0 as usize].role;
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
        taps,
        covers: Vec::new(),
        roots,
    }
}

/// Finds the axes that a cut could leave empty although every group keeps an atom.
fn cover(run: &Run<'_>, groups: &mut [Group], roots: &[LaneId], atom_of: &HashMap<LaneId, (usize, usize)>) {
    let mut covers: Vec<BTreeSet<Vec<usize>>> = vec![BTreeSet::new(); groups.len()];
    let values = run.values.values().filter_map(|value| value.ids.as_ref());
    for ids in values.chain(run.uses.iter().map(|read| &read.ids)) {
        for axis in 0..ids.rank() {
            let lanes = ids.columns(axis).unwrap_or_default().into_iter().flatten();
            let atoms: Option<BTreeSet<(usize, usize)>> =
                lanes.map(|lane| atom_of.get(&roots[lane.index()]).copied()).collect();
            let Some(atoms) = atoms.filter(|atoms| !atoms.is_empty()) else { continue };
            let mut by_group: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
            for (group, atom) in atoms {
                by_group.entry(group).or_default().push(atom);
            }
            if by_group.iter().any(|(&group, atoms)| atoms.len() == groups[group].width()) {
                continue;
            }
            if let Some((group, atoms)) = by_group.into_iter().max_by_key(|(_, atoms)| atoms.len()) {
                covers[group].insert(atoms);
            }
        }
    }
    for (group, covers) in groups.iter_mut().zip(covers) {
        group.covers = covers.into_iter().collect();
    }
}

/// What a contraction reads of every group.
fn tap(
    run: &Run<'_>,
    contraction: &Contraction,
    roots: &[LaneId],
    atom_of: &HashMap<LaneId, (usize, usize)>,
    atoms: &[Vec<LaneId>],
) -> BTreeMap<usize, Tap> {
    let mut taps = BTreeMap::new();
    let Some(ids) = run.values.get(&contraction.value).and_then(|value| value.ids.as_ref()) else { return taps };
    for (index, column) in ids.columns(contraction.axis).unwrap_or_default().into_iter().enumerate() {
        let Some(&(group, atom)) = column.first().and_then(|lane| atom_of.get(&roots[lane.index()])) else { continue };
        let tap = taps.entry(group).or_insert_with(|| Tap {
            node: contraction.node,
            value: contraction.value.clone(),
            axis: contraction.axis,
            size: ids.shape[contraction.axis],
            weight: (contraction.weight, contraction.weight_axis),
            indices: vec![Vec::new(); atoms[group].len()],
        });
        tap.indices[atom].push(index);
    }
    taps
}

fn protected(run: &Run<'_>, roots: &[LaneId], reasons: &BTreeMap<LaneId, BTreeSet<&Reason>>) -> Vec<Protected> {
    let mut found = Vec::new();
    for site in run.lanes.sites() {
        let Some((Role::Output, node)) = site.role else { continue };
        let own: Vec<LaneId> = (site.first.index()..site.first.index() + site.len).map(|lane| roots[lane]).collect();
        let frozen: Vec<_> = own.iter().filter_map(|root| reasons.get(root)).collect();
        if frozen.is_empty() {
            continue;
        }
        let why: BTreeSet<&Reason> = frozen.iter().flat_map(|set| set.iter().copied()).collect();
        found.push(Protected {
            index: node,
            node: node_name(&run.graph.node[node]),
            op: run.graph.node[node].op_type().to_owned(),
            channels: frozen.len(),
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
            Source::Initializer(index) => model.graph().initializer.get(index)?.name().to_owned(),
            Source::Node(_) => name.clone(),
        })
    }
}
