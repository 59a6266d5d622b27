//! What a rule sees and sets: one node during the dependency propagation.

use super::factor::is_tractable;
use super::ids::{Ids, unite_elementwise};
use super::indices::{ChannelIndex, Place, Role};
use super::propagation::{
    ConstantId, Contraction, Dim, MacTerm, Propagation, Protect, Restriction, Use, Value, distinct, operator_reason,
};
use crate::model::axes::resolve_axis;
use crate::model::{DataType, TensorData};
use crate::ops::operator;
use crate::proto::onnx::{NodeProto, TensorProto};

/// Shared weights with fewer elements than this are copied when their readers want different cuts: exporters merge equal
/// biases and normalisation parameters of unrelated layers.
const LEAST_TIED: usize = 1024;

/// One node during the run: what its rule sees and sets.
pub(crate) struct RuleContext<'a, 'm> {
    pub(crate) run: &'a mut Propagation<'m>,
    pub(crate) index: usize,
    pub(crate) node: &'m NodeProto,
}

impl RuleContext<'_, '_> {
    pub(crate) fn op(&self) -> &str {
        self.node.op_type()
    }

    pub(crate) fn opset(&self) -> i64 {
        self.run.opset
    }

    pub(crate) fn int(&self, name: &str, default: i64) -> i64 {
        self.node.int(name).unwrap_or(default)
    }

    pub(crate) fn ints(&self, name: &str) -> Option<Vec<i64>> {
        self.node.ints(name).map(<[i64]>::to_vec)
    }

    pub(crate) fn text(&self, name: &str) -> Option<String> {
        self.node.text(name).map(str::to_owned)
    }

    /// Whether the optional input is there.
    pub(crate) fn has(&self, input: usize) -> bool {
        self.node.input.get(input).is_some_and(|name| !name.is_empty())
    }

    /// Whether the input depends on constants only.
    pub(crate) fn is_constant(&self, input: usize) -> bool {
        self.node.input.get(input).and_then(|name| self.run.values.get(name)).is_some_and(|value| value.constant)
    }

    /// Shape and channel indices of an input. Reading a stored weight gives it channel indices of its own for this use.
    pub(crate) fn ids(&mut self, input: usize) -> Result<Ids, Protect> {
        let name = self.node.input.get(input).filter(|name| !name.is_empty()).ok_or("a required input is missing")?;
        let value = self.run.values.get(name).ok_or("an input that no node produces")?;
        let ids = value.ids.clone().ok_or("the shape of an input is not known")?;
        let Some(source) = value.source else { return Ok(ids) };
        if let Some(&known) = self.run.uses_at.get(&(self.index, input)) {
            return Ok(self.run.uses[known].ids.clone());
        }
        let kind = self.run.tensor(source).map(TensorProto::data_type).and_then(|kind| DataType::try_from(kind).ok());
        let sized = kind.is_some_and(|kind| TensorData::element_size(kind).is_some());
        if !sized || matches!(kind, Some(DataType::Int64 | DataType::Bool)) {
            return Ok(ids);
        }
        let use_id = self.run.uses.len();
        let mut ids = Ids::plain(ids.shape);
        for axis in 0..ids.rank() {
            if ids.shape[axis] > 1 {
                let channel_indices = self.run.channel_indices.site(Place::Constant { use_id, axis }, ids.shape[axis]);
                ids.set_axis(axis, channel_indices);
            }
        }
        self.tie(input, source, &ids);
        self.run.uses.push(Use { node: self.index, input, source, ids: ids.clone() });
        self.run.uses_at.insert((self.index, input), use_id);
        Ok(ids)
    }

    /// A large weight that several nodes of one kind read (a head over every level of a pyramid) is cut for all of them
    /// alike: a copy for each would make the file larger than it was.
    fn tie(&mut self, input: usize, source: ConstantId, ids: &Ids) {
        if ids.rank() < 2 || ids.elements() < LEAST_TIED {
            return;
        }
        let alike = |read: &&Use| {
            let node = &self.run.graph.node[read.node];
            read.source == source && read.input == input && node.op_type() == self.node.op_type()
        };
        let Some(other) = self.run.uses.iter().find(alike).map(|read| read.ids.clone()) else { return };
        self.unite_all(&other, ids);
    }

    /// Known whole numbers of an input.
    pub(crate) fn numbers(&self, input: usize) -> Option<Vec<i64>> {
        let name = self.node.input.get(input).filter(|name| !name.is_empty())?;
        Some(self.run.values.get(name)?.numbers.as_ref()?.to_i64())
    }

    /// Known numbers of an input.
    pub(crate) fn floats(&self, input: usize) -> Option<Vec<f64>> {
        let name = self.node.input.get(input).filter(|name| !name.is_empty())?;
        Some(self.run.values.get(name)?.numbers.as_ref()?.array.iter().copied().collect())
    }

    /// An operand that is an attribute in old opsets and an input in new ones. `Ok(None)`: not given at all.
    pub(crate) fn operand(&self, input: usize, attribute: &str) -> Result<Option<Vec<i64>>, Protect> {
        if !self.has(input) {
            return Ok(self.ints(attribute));
        }
        match self.numbers(input) {
            Some(values) => Ok(Some(values)),
            None => Err(Protect(format!("its input {input} (`{}`) depends on the data", self.node.input[input]))),
        }
    }

    pub(crate) fn axis(&self, default: i64, rank: usize) -> Result<usize, Protect> {
        resolve_axis(self.int("axis", default), rank).ok_or_else(|| "its axis is out of range".into())
    }

    pub(crate) fn set(&mut self, output: usize, mut ids: Ids) {
        let lost = std::mem::take(&mut ids.lost);
        if !lost.is_empty() {
            self.protect(lost, "it takes a single channel");
        }
        if let Some(name) = self.node.output.get(output).filter(|name| !name.is_empty()) {
            let ids = is_tractable(&ids.shape).then_some(ids);
            self.run.values.insert(name.clone(), Value { ids, ..Value::default() });
        }
    }

    /// Pins channel indices with this node's reason.
    pub(crate) fn protect(&mut self, channel_indices: Vec<ChannelIndex>, why: &str) {
        let reason = operator_reason(self.node, why);
        for channel_index in distinct(channel_indices) {
            let fixed = self.run.channel_indices.sites()[self.run.channel_indices.site_of(channel_index).0 as usize]
                .place
                == Place::Fixed;
            if !fixed {
                self.run.channel_indices.pin(channel_index, &reason);
            }
        }
    }

    /// Gives an axis that nobody may cut channel indices of its own, with this node's reason.
    pub(crate) fn pinned_axis(&mut self, ids: &mut Ids, axis: usize, why: &str) {
        let reason = operator_reason(self.node, why);
        let channel_indices = self.run.channel_indices.site(Place::Fixed, ids.shape[axis]);
        for &channel_index in &channel_indices {
            self.run.channel_indices.pin(channel_index, &reason);
        }
        ids.set_axis(axis, channel_indices);
    }

    pub(crate) fn protect_axis(&mut self, ids: &Ids, axis: usize, why: &str) {
        self.protect(ids.indices_on(axis), why);
    }

    pub(crate) fn protect_all(&mut self, ids: &Ids, why: &str) {
        self.protect(ids.channel_indices().collect(), why);
    }

    /// The value with channel indices along `axis` alone. What shares an index is united; what varies along other axes only is
    /// pinned, since the node mixes there.
    pub(crate) fn along_only(&mut self, ids: &Ids, axis: usize, why: &str) -> Ids {
        let stuck: Vec<ChannelIndex> =
            ids.factors.iter().filter(|f| !f.axes.contains(&axis)).flat_map(|f| f.ids.iter().copied()).collect();
        self.protect(stuck, why);
        let channel_indices = self.indices_along(ids, axis);
        channel_indices.map_or_else(
            || Ids::plain(ids.shape.clone()),
            |channel_indices| Ids::along(ids.shape.clone(), axis, channel_indices),
        )
    }

    /// As [`RuleContext::along_only`] for axis 1 of what works on every entry of the batch alone: channel indices along the batch (channels
    /// that were folded into it) stay where they are.
    pub(crate) fn along_channels(&mut self, ids: &Ids, why: &str) -> Ids {
        let (batch, rest): (Vec<_>, Vec<_>) = ids.factors.iter().cloned().partition(|factor| factor.axes == [0]);
        let rest = Ids { shape: ids.shape.clone(), factors: rest, lost: ids.lost.clone() };
        let mut result = self.along_only(&rest, 1, why);
        result.factors.extend(batch);
        result
    }

    /// One channel index per index along `axis`; `None` if nothing varies along it.
    pub(crate) fn indices_along(&mut self, ids: &Ids, axis: usize) -> Option<Vec<ChannelIndex>> {
        ids.axis_indices(&mut self.run.channel_indices, axis)
    }

    /// Unites index by index; a side without channel indices pins the other.
    pub(crate) fn bind(&mut self, a: Option<&[ChannelIndex]>, b: Option<&[ChannelIndex]>, why: &str) {
        match (a, b) {
            (Some(a), Some(b)) if a.len() == b.len() => {
                for (&a, &b) in a.iter().zip(b) {
                    self.run.channel_indices.unite(a, b);
                }
            }
            (a, b) => {
                let channel_indices = a.into_iter().chain(b).flatten().copied().collect();
                self.protect(channel_indices, why);
            }
        }
    }

    /// Unites what stands at the same place of two values of one shape and layout.
    pub(crate) fn unite_all(&mut self, a: &Ids, b: &Ids) {
        for (one, other) in a.factors.iter().zip(&b.factors) {
            for (&one, &other) in one.ids.iter().zip(other.ids.iter()) {
                self.run.channel_indices.unite(one, other);
            }
        }
    }

    /// Says what the node does along an axis, to every stored tensor that an index of it comes from.
    pub(crate) fn mark(&mut self, ids: &Ids, axis: usize, role: Role) {
        self.run.channel_indices.mark(&ids.indices_on(axis), role, self.index);
    }

    /// Combines inputs element by element.
    pub(crate) fn elementwise(&mut self, parts: &[Ids]) -> Result<Ids, Protect> {
        let reason = operator_reason(self.node, "its channels meet an axis of another operand that has none");
        let ids = unite_elementwise(&mut self.run.channel_indices, parts, |channel_indices, stuck| {
            for channel_index in distinct(stuck.to_vec()) {
                channel_indices.pin(channel_index, &reason);
            }
        })?;
        Ok(ids)
    }

    /// Says that the node sums over `axis` of an input and over `weight_axis` of the weight at input `weight`.
    pub(crate) fn contraction(&mut self, input: usize, axis: usize, weight: usize, weight_axis: usize) {
        self.run.contractions.push(Contraction {
            node: self.index,
            value: self.node.input[input].clone(),
            axis,
            weight,
            weight_axis,
        });
        if !self.run.uses_at.contains_key(&(self.index, weight)) {
            // The weight is computed from stored ones, which are not zero where it is.
            self.restrict(vec![(input, axis), (weight, weight_axis)], None);
        }
    }

    /// From now on the node works on the channels that are left along the axes (one per input) alone.
    pub(crate) fn restrict(&mut self, inputs: Vec<(usize, usize)>, output_axis: Option<usize>) {
        self.run.restrictions.push(Restriction { node: self.index, inputs, output_axis });
    }

    /// Asks that a value along whose `axis` nothing can be cut may be made shorter there, if it only repeats numbers.
    pub(crate) fn wish(&mut self, input: usize, axis: usize) {
        if let Some(name) = self.node.input.get(input) {
            let found = super::repeated::makers(self.run, name, axis);
            self.run.wishes.extend(found);
        }
    }

    /// [`RuleContext::wish`] for every axis of a value that keeps channels of another one from being cut.
    pub(crate) fn wish_where_held(&mut self, inputs: &[usize], parts: &[Ids]) {
        let rank = parts.iter().map(Ids::rank).max().unwrap_or(0);
        let from_behind = |part: &Ids, axis: usize| rank - part.rank() + axis;
        for (number, part) in parts.iter().enumerate() {
            let axes: Vec<usize> = part.factors.iter().flat_map(|factor| factor.axes.iter().copied()).collect();
            for axis in axes.into_iter().map(|axis| from_behind(part, axis)) {
                for (other, &input) in
                    parts.iter().zip(inputs).enumerate().filter(|(at, _)| *at != number).map(|(_, p)| p)
                {
                    let own = axis.checked_sub(rank - other.rank());
                    if let Some(own) = own.filter(|&own| other.shape[own] > 1 && !other.varies(own)) {
                        self.wish(input, own);
                    }
                }
            }
        }
    }

    /// The value that an output repeats numbers in, with channel indices along the axes for which readers asked.
    pub(crate) fn with_granted(&mut self, output: usize, mut ids: Ids) -> Ids {
        let Some(name) = self.node.output.get(output) else { return ids };
        for axis in 0..ids.rank() {
            if !ids.varies(axis) && ids.shape[axis] > 1 && self.run.granted.contains(&(name.clone(), axis)) {
                let channel_indices = self.run.channel_indices.site(Place::Padding, ids.shape[axis]);
                ids.set_axis(axis, channel_indices);
            }
        }
        ids
    }

    /// Multiply-accumulates: the product of `constants` times that of `dims`; of operators whose work counts.
    pub(crate) fn macs(&mut self, constants: &[usize], dims: Vec<Dim>) {
        if !operator(self.node).is_some_and(|own| own.macs) {
            return;
        }
        let constant = constants.iter().fold(1u64, |all, &size| all.saturating_mul(size as u64));
        self.run.macs.push(MacTerm { node: self.index, constant, dims });
    }
}
