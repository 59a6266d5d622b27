//! The analysis: run, close, group; and what it knows afterwards.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use super::blocks::{self, Block, BlockKind};
use super::cost::{AxisSize, CostModel, Product};
use super::cut::Cut;
use super::groups::{self, Group, GroupId, Protected};
use super::ids::Ids;
use super::indices::{ChannelIndex, ChannelIndices, Reason, Role};
use super::propagation::{ConstantId, Dim, MacTerm, Opaque, Propagation, Restriction, Use, operator_reason};
use super::sizes::{Sizes, is_open_in_batch_only};
use crate::model::Model;
use crate::model::node::node_name;
use crate::proto::onnx::NodeProto;

/// How to analyse a model.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct AnalyseOptions {
    /// Sizes of symbolic dims, by name of the dim or by `INPUT:AXIS`.
    pub sizes: BTreeMap<String, usize>,
    /// Size of a first axis that is symbolic.
    pub batch: usize,
    /// Size of any other symbolic axis.
    pub other: usize,
    /// Names or glob patterns of nodes whose channels stay.
    pub ignore: Vec<glob::Pattern>,
    /// Shapes of values that the file does not declare, by the name of the value: those of a run of the model. They count
    /// where an operator is not analysed.
    pub shapes: BTreeMap<String, Vec<usize>>,
}

impl Default for AnalyseOptions {
    fn default() -> Self {
        Self { sizes: BTreeMap::new(), batch: 1, other: 64, ignore: Vec::new(), shapes: BTreeMap::new() }
    }
}

/// Contents of small values that depend on shapes only, with the given sizes of symbolic dims.
pub(crate) fn small_values(model: &Model, options: &AnalyseOptions) -> HashMap<String, Vec<i64>> {
    let run = Propagation::new(model, &Sizes::new(options));
    run.values.into_iter().filter_map(|(name, value)| Some((name, value.numbers?.to_i64()))).collect()
}

/// Conditions of `If` nodes that come out the same whatever the batch: value names with their truth.
///
/// Only for models whose sizes are given but for the first axis of an input; with other open sizes a condition may turn
/// at some size that nobody tried.
pub fn decided_conditions(model: &Model, options: &AnalyseOptions) -> HashMap<String, bool> {
    let conditions: Vec<&String> =
        model.graph().node.iter().filter(|node| node.op_type() == "If").filter_map(|node| node.input.first()).collect();
    if conditions.is_empty() || !is_open_in_batch_only(model) {
        return HashMap::new();
    }
    let mut decided: Option<HashMap<String, Vec<i64>>> = None;
    for batch in [1, 2, 3, 8] {
        let (sizes, shapes) = (BTreeMap::new(), BTreeMap::new());
        let values = small_values(model, &AnalyseOptions { sizes, batch, shapes, ..options.clone() });
        let known = |name: &&&String| values.get(**name).cloned();
        let here: HashMap<String, Vec<i64>> =
            conditions.iter().filter_map(|name| Some(((*name).clone(), known(&name)?))).collect();
        decided = Some(match decided {
            None => here,
            Some(mut before) => {
                before.retain(|name, value| here.get(name) == Some(value));
                before
            }
        });
    }
    let truth = |(name, value): (String, Vec<i64>)| Some((name, *value.first()? != 0));
    decided.unwrap_or_default().into_iter().filter_map(truth).collect()
}

/// What is known of a value after the run.
#[derive(Debug, Clone)]
struct ClassContext {
    ids: Ids,
    /// Its content, if it is small and depends on shapes only.
    numbers: Option<Vec<i64>>,
    /// Whether that is whole numbers which nodes compute.
    computed: bool,
}

/// Everything the dependency propagation found.
#[derive(Debug, Clone)]
pub struct Channels {
    /// Coupled channels that can be cut, in the order in which the graph makes them.
    pub groups: Vec<Group>,
    /// Channels that cannot, with reasons.
    pub protected: Vec<Protected>,
    /// Parts of the graph that can be left out whole, in the order of the graph.
    pub blocks: Vec<Block>,
    /// Operator types that were not understood, with the number of nodes.
    pub opaque: BTreeMap<String, Opaque>,
    /// Nodes whose multiply-accumulates are not counted, since a shape is not known.
    pub uncounted: Vec<String>,
    /// Values whose shape is not known, or guessed from sizes that the file leaves open.
    unknown: Vec<String>,
    opaque_nodes: HashSet<usize>,
    /// How the model was analysed.
    pub(crate) options: AnalyseOptions,
    pub(crate) channel_indices: ChannelIndices,
    roots: Vec<ChannelIndex>,
    values: HashMap<String, ClassContext>,
    uses: Vec<Use>,
    uses_at: HashMap<(usize, usize), usize>,
    macs: Vec<MacTerm>,
    restrictions: Vec<Restriction>,
}

/// Finds which channels of `model` go together, which may be cut, and why the others may not.
///
/// The run covers the main graph; nodes with subgraphs and model-local functions protect what they read.
pub fn analyse(model: &Model, options: &AnalyseOptions) -> Channels {
    let mut run = Propagation::new(model, &Sizes::new(options));
    ignore(&mut run, &options.ignore);
    close(&mut run);
    let (groups, protected) = groups::build(&run);
    let roots = (0..run.channel_indices.len())
        .map(|channel_index| {
            #[allow(clippy::cast_possible_truncation, reason = "channel_indices are numbered by u32")]
            run.channel_indices.find(ChannelIndex(channel_index as u32))
        })
        .collect();
    let made = run.graph.node.iter().flat_map(|node| &node.output).filter(|name| !name.is_empty());
    let open = |name: &&String| run.values.get(*name).is_none_or(|value| value.ids.is_none());
    let unknown = made.filter(open).chain(&run.guessed).collect::<BTreeSet<_>>().into_iter().cloned().collect();
    let values = run
        .values
        .into_iter()
        .filter_map(|(name, value)| {
            let whole = value.numbers.as_ref().is_some_and(|numbers| numbers.integer);
            let computed = whole && value.source.is_none();
            let numbers = value.numbers.map(|numbers| numbers.to_i64());
            Some((name, ClassContext { ids: value.ids?, numbers, computed }))
        })
        .collect();
    let uses_at = run.uses.iter().enumerate().map(|(id, read)| ((read.node, read.input), id)).collect();
    let mut channels = Channels {
        groups,
        protected,
        blocks: Vec::new(),
        opaque: run.opaque,
        uncounted: run.uncounted,
        unknown,
        opaque_nodes: run.opaque_nodes,
        options: options.clone(),
        channel_indices: run.channel_indices,
        roots,
        values,
        uses: run.uses,
        uses_at,
        macs: run.macs,
        restrictions: run.restrictions,
    };
    channels.blocks = blocks::find(model, &channels);
    channels
}

/// Pins what the user wants to keep.
fn ignore(run: &mut Propagation<'_>, patterns: &[glob::Pattern]) {
    for (index, node) in run.graph.node.iter().enumerate() {
        let name = node_name(node);
        if !patterns.iter().any(|pattern| pattern.matches(&name)) {
            continue;
        }
        let reason: Reason = operator_reason(node, "it is to be ignored");
        let made: Vec<ChannelIndex> = run
            .channel_indices
            .sites()
            .iter()
            .filter(|site| site.role.is_some_and(|(role, by)| by == index && role != Role::Input))
            .flat_map(|site| (site.first.0..).take(site.len).map(ChannelIndex))
            .collect();
        for channel_index in made {
            run.channel_indices.pin(channel_index, &reason);
        }
    }
}

/// Makes every cut leave rectangles: where channel indices vary along several axes of a value, whole slices along one axis
/// must go together. Of the possible axes the one that leaves most pruning units is taken.
fn close(run: &mut Propagation<'_>) {
    let mut names: Vec<&String> = run.values.keys().collect();
    names.sort_unstable();
    let ids: Vec<Ids> = names
        .into_iter()
        .filter_map(|name| run.values[name].ids.clone())
        .chain(run.uses.iter().map(|read| read.ids.clone()))
        .filter(|ids| ids.factors.iter().any(|factor| factor.axes.len() > 1))
        .collect();
    loop {
        let mut changed = false;
        for (ids, factor) in ids.iter().flat_map(|ids| ids.factors.iter().map(move |factor| (ids, factor))) {
            if factor.axes.len() < 2 {
                continue;
            }
            let sizes: Vec<usize> = factor.axes.iter().map(|&axis| ids.shape[axis]).collect();
            let classes: Vec<ChannelIndex> =
                factor.ids.iter().map(|&channel_index| run.channel_indices.find(channel_index)).collect();
            let best = (0..sizes.len()).map(|p| slices(&classes, &sizes, p)).max_by_key(|unions| unions.0);
            for (a, b) in best.map(|(_, unions)| unions).unwrap_or_default() {
                changed |= run.channel_indices.unite(a, b);
            }
        }
        if !changed {
            return;
        }
    }
}

/// The unions that make every slice along position `p` one class, and how many classes they leave.
fn slices(classes: &[ChannelIndex], sizes: &[usize], p: usize) -> (usize, Vec<(ChannelIndex, ChannelIndex)>) {
    let inner: usize = sizes[p + 1..].iter().product();
    let mut first: Vec<Option<ChannelIndex>> = vec![None; sizes[p]];
    let mut unions = Vec::new();
    let mut parent: HashMap<ChannelIndex, ChannelIndex> = classes.iter().map(|&class| (class, class)).collect();
    let root = |parent: &HashMap<ChannelIndex, ChannelIndex>, mut at: ChannelIndex| {
        while parent[&at] != at {
            at = parent[&at];
        }
        at
    };
    let mut left = parent.len();
    for (at, &class) in classes.iter().enumerate() {
        match first[(at / inner) % sizes[p]] {
            None => first[(at / inner) % sizes[p]] = Some(class),
            Some(other) => {
                let (a, b) = (root(&parent, class), root(&parent, other));
                if a != b {
                    parent.insert(a.max(b), a.min(b));
                    unions.push((a, b));
                    left -= 1;
                }
            }
        }
    }
    (left, unions)
}

impl Channels {
    /// Representative of a channel index's class.
    pub(crate) fn root(&self, channel_index: ChannelIndex) -> ChannelIndex {
        self.roots[channel_index.index()]
    }

    /// Shape and channel indices of a value of the main graph.
    pub(crate) fn value_ids(&self, name: &str) -> Option<&Ids> {
        self.values.get(name).map(|known| &known.ids)
    }

    /// Shape of a value with the sizes given to symbolic dims, if it could be found.
    pub fn shape(&self, value: &str) -> Option<&[usize]> {
        self.value_ids(value).map(|ids| ids.shape.as_slice())
    }

    /// Values of the main graph whose shape is not known, or guessed from sizes that the file leaves open: a run of the model
    /// tells them ([`AnalyseOptions::shapes`]).
    pub fn unknown_shapes(&self) -> &[String] {
        &self.unknown
    }

    /// Content of a small value that does not depend on the data.
    pub(crate) fn numbers(&self, name: &str) -> Option<Vec<i64>> {
        self.values.get(name)?.numbers.clone()
    }

    /// Content of a value if it is whole numbers that nodes compute from shapes.
    pub(crate) fn computed_numbers(&self, name: &str) -> Option<&[i64]> {
        let known = self.values.get(name)?;
        known.numbers.as_deref().filter(|_| known.computed)
    }

    /// Shape and channel indices of a constant as its node sees it.
    pub(crate) fn use_ids(&self, node: usize, input: usize) -> Option<&Ids> {
        self.uses_at.get(&(node, input)).map(|&id| &self.uses[id].ids)
    }

    /// Channel indices of the weight at an input: those of the use of a stored tensor, or of the value that is made of one.
    pub(crate) fn weight_ids(&self, model: &Model, node: usize, input: usize) -> Option<&Ids> {
        let made = || self.value_ids(model.graph().node.get(node)?.input.get(input)?);
        self.use_ids(node, input).or_else(made)
    }

    /// Whether the node was understood and its results are known; nothing about others changes.
    pub(crate) fn understands(&self, index: usize, node: &NodeProto) -> bool {
        let known = |name: &String| name.is_empty() || self.values.contains_key(name);
        !self.opaque_nodes.contains(&index) && node.output.iter().all(known)
    }

    pub(crate) fn restrictions(&self) -> &[Restriction] {
        &self.restrictions
    }

    pub(crate) fn uses(&self) -> &[Use] {
        &self.uses
    }

    pub(crate) fn source(&self, node: usize, input: usize) -> Option<ConstantId> {
        self.uses_at.get(&(node, input)).map(|&id| self.uses[id].source)
    }

    /// Indices along an axis that `cut` leaves.
    pub(crate) fn kept(&self, cut: &Cut, ids: &Ids, axis: usize) -> Vec<usize> {
        match ids.columns(axis) {
            None => (0..ids.shape.get(axis).copied().unwrap_or(0)).collect(),
            Some(columns) => columns
                .iter()
                .enumerate()
                .filter(|(_, column)| !column.iter().all(|&channel_index| cut.removes(self, channel_index)))
                .map(|(index, _)| index)
                .collect(),
        }
    }

    /// A value and an axis of it of which `cut` leaves nothing; the first by name.
    pub(crate) fn emptied(&self, cut: &Cut) -> Option<(String, usize)> {
        let bare = |ids: &Ids| (0..ids.rank()).find(|&axis| ids.varies(axis) && self.kept(cut, ids, axis).is_empty());
        let left = |name: &&String| !cut.blocks().any(|block| self.blocks[block].made.contains(*name));
        let bared = |name: &String| Some((name.clone(), bare(&self.values[name].ids)?));
        self.values.keys().filter(left).filter_map(bared).min()
    }

    /// Multiply-accumulates of one run of the model (`Conv`, `ConvTranspose`, `Gemm`, `MatMul`), batch as analysed.
    pub fn macs(&self, cut: Option<&Cut>) -> u64 {
        self.macs_by_node(cut).into_iter().fold(0, |sum: u64, (_, macs)| sum.saturating_add(macs))
    }

    /// Multiply-accumulates per node index.
    pub fn macs_by_node(&self, cut: Option<&Cut>) -> Vec<(usize, u64)> {
        let left = |term: &&MacTerm| cut.is_none_or(|cut| !cut.removes_node(term.node));
        self.macs.iter().filter(left).map(|term| (term.node, self.term(term, cut))).collect()
    }

    /// Nodes whose multiply-accumulates fall when channels are cut, products of run-time values included.
    pub fn shrinking_nodes(&self) -> BTreeSet<usize> {
        let units = self.group_of_root();
        let free = |channel_index: ChannelIndex| units.contains_key(&self.root(channel_index));
        let shrinks = |dim: &Dim| dim.ids.columns(dim.axis).into_iter().flatten().flatten().any(free);
        self.macs.iter().filter(|term| term.dims.iter().any(shrinks)).map(|term| term.node).collect()
    }

    fn term(&self, term: &MacTerm, cut: Option<&Cut>) -> u64 {
        let size = |dim: &Dim| match cut {
            Some(cut) => self.kept(cut, &dim.ids, dim.axis).len() as u64,
            None => dim.size() as u64,
        };
        term.dims.iter().map(size).fold(term.constant, u64::saturating_mul)
    }

    /// The channels that go with a block because a `Concat` joins it no more.
    pub(super) fn roots_of_branch(&self, block: &Block) -> Vec<ChannelIndex> {
        let Some(ids) = self.value_ids(&block.shortcut).filter(|_| block.kind == BlockKind::Branch) else {
            return Vec::new();
        };
        ids.factors.iter().flat_map(|factor| factor.ids.iter()).map(|&channel| self.root(channel)).collect()
    }

    /// Groups of which nothing can be cut beside the layers that a cut leaves out: what such a layer reads is passed on in
    /// place of what it makes, channel by channel.
    pub fn whole_groups(&self, cut: &Cut) -> Vec<GroupId> {
        let group_of = self.group_of_root();
        let layers = cut.blocks().map(|block| &self.blocks[block]).filter(|block| block.kind == BlockKind::Layer);
        let ids = layers.flat_map(|block| [&block.shortcut, &block.output]).filter_map(|name| self.value_ids(name));
        let channels = ids.flat_map(|ids| ids.factors.iter().flat_map(|factor| factor.ids.iter()));
        let groups: BTreeSet<GroupId> =
            channels.filter_map(|&channel| group_of.get(&self.root(channel)).copied()).collect();
        groups.into_iter().collect()
    }

    /// Groups all of whose makers go with the blocks of a cut.
    pub fn gone_groups(&self, cut: &Cut) -> Vec<GroupId> {
        let gone = |group: &Group| group.producers.iter().all(|own| cut.removes_node(own.operator));
        (0..self.groups.len()).filter(|&group| cut.has_blocks() && gone(&self.groups[group])).collect()
    }

    /// Costs as polynomials in the widths of the groups.
    pub fn cost_model(&self) -> CostModel {
        let group_of = self.group_of_root();
        let form = |ids: &Ids, axis: usize| {
            let mut form = AxisSize { fixed: ids.shape[axis] as f64, per_unit: BTreeMap::new() };
            for column in ids.columns(axis).unwrap_or_default() {
                let root = self.root(column[0]);
                // An index where several pruning units meet goes only if all of them do.
                let alone = column.iter().all(|&channel_index| self.root(channel_index) == root);
                if let Some(&group) = group_of.get(&root).filter(|_| alone) {
                    form.fixed -= 1.0;
                    *form.per_unit.entry(group).or_insert(0.0) += 1.0 / self.groups[group].width() as f64;
                }
            }
            form
        };
        let macs = self
            .macs
            .iter()
            .map(|term| Product {
                nodes: BTreeSet::from([term.node]),
                constant: term.constant as f64,
                sizes: term.dims.iter().map(|dim| form(&dim.ids, dim.axis)).collect(),
            })
            .collect();
        let mut readers: HashMap<ConstantId, BTreeSet<usize>> = HashMap::new();
        for read in &self.uses {
            readers.entry(read.source).or_default().insert(read.node);
        }
        let mut counted = HashSet::new();
        let params = self
            .uses
            .iter()
            .filter(|read| counted.insert(read.source) && read.ids.elements() > 1)
            .map(|read| Product {
                nodes: readers.remove(&read.source).unwrap_or_default(),
                constant: 1.0,
                sizes: (0..read.ids.rank()).map(|axis| form(&read.ids, axis)).collect(),
            })
            .collect();
        CostModel::new(macs, params, self.groups.iter().map(Group::width).collect())
    }

    fn group_of_root(&self) -> HashMap<ChannelIndex, usize> {
        self.groups
            .iter()
            .enumerate()
            .flat_map(|(group, info)| info.roots.iter().map(move |&root| (root, group)))
            .collect()
    }
}
