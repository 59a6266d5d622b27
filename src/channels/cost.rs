//! Costs as functions of the groups' widths.

use std::collections::{BTreeMap, BTreeSet};

use super::cut::Cut;
use super::groups::GroupId;

/// Size of an axis: a fixed part and a share of every group that contributes to it.
#[derive(Debug, Clone)]
pub(crate) struct AxisSize {
    pub(crate) fixed: f64,
    pub(crate) per_unit: BTreeMap<GroupId, f64>,
}

/// `constant * product of sizes`, as long as one of some nodes is there.
#[derive(Debug, Clone)]
pub(crate) struct Product {
    pub(crate) nodes: BTreeSet<usize>,
    pub(crate) constant: f64,
    pub(crate) sizes: Vec<AxisSize>,
}

impl Product {
    fn at(&self, widths: &[usize]) -> f64 {
        let size =
            |size: &AxisSize| size.fixed + size.per_unit.iter().map(|(&g, each)| each * widths[g] as f64).sum::<f64>();
        self.constant * self.sizes.iter().map(size).product::<f64>()
    }

    fn touches(&self, group: GroupId) -> bool {
        self.sizes.iter().any(|size| size.per_unit.contains_key(&group))
    }
}

/// Multiply-accumulates and parameters of a pruned model without building it.
#[derive(Debug, Clone)]
pub struct CostModel {
    macs: Vec<Product>,
    params: Vec<Product>,
    /// Pruning units per group before the cut.
    widths: Vec<usize>,
    /// Multiply-accumulates and parameters of the dense model.
    dense: [f64; 2],
}

/// What a budget counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Measure {
    /// Multiply-accumulates.
    Macs,
    /// Stored parameters.
    Params,
}

impl CostModel {
    pub(crate) fn new(macs: Vec<Product>, params: Vec<Product>, widths: Vec<usize>) -> Self {
        let all = |products: &[Product]| products.iter().map(|own| own.at(&widths)).sum();
        let dense = [all(&macs), all(&params)];
        Self { macs, params, widths, dense }
    }

    /// The costs of the model without the blocks of a cut, with which the channels of the groups `gone` go; shares are still
    /// of the dense model.
    #[must_use]
    pub fn without_blocks(&self, cut: &Cut, gone: &[GroupId]) -> Self {
        let stays = |own: &&Product| !own.nodes.iter().all(|&node| cut.removes_node(node));
        let left = |products: &[Product]| -> Vec<Product> {
            let mut left: Vec<Product> = products.iter().filter(stays).cloned().collect();
            for size in left.iter_mut().flat_map(|own| &mut own.sizes) {
                size.per_unit.retain(|group, _| !gone.contains(group));
            }
            left
        };
        Self { macs: left(&self.macs), params: left(&self.params), ..self.clone() }
    }

    /// Whether blocks are left out.
    pub fn is_cut(&self) -> bool {
        self.at(Measure::Macs, self.full()) < self.dense(Measure::Macs)
    }

    /// The measure of the dense model.
    pub fn dense(&self, measure: Measure) -> f64 {
        match measure {
            Measure::Macs => self.dense[0],
            Measure::Params => self.dense[1],
        }
    }

    /// Widths before the cut.
    pub fn full(&self) -> &[usize] {
        &self.widths
    }

    /// The measure at the given widths (pruning units kept per group).
    pub fn at(&self, measure: Measure, widths: &[usize]) -> f64 {
        self.products(measure).iter().map(|product| product.at(widths)).sum()
    }

    /// What one more pruning unit of `group` costs at the given widths.
    pub fn marginal(&self, measure: Measure, widths: &[usize], group: GroupId) -> f64 {
        let mut more = widths.to_vec();
        more[group] += 1;
        self.products(measure)
            .iter()
            .filter(|product| product.touches(group))
            .map(|product| product.at(&more) - product.at(widths))
            .sum()
    }

    /// What everything costs that has channels of `group` in it.
    pub fn involved(&self, measure: Measure, widths: &[usize], group: GroupId) -> f64 {
        self.products(measure).iter().filter(|product| product.touches(group)).map(|product| product.at(widths)).sum()
    }

    fn products(&self, measure: Measure) -> &[Product] {
        match measure {
            Measure::Macs => &self.macs,
            Measure::Params => &self.params,
        }
    }
}
