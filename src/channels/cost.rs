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

/// Multiply-accumulates, parameters and time of a pruned model without building it.
#[derive(Debug, Clone)]
pub struct CostModel {
    macs: Vec<Product>,
    params: Vec<Product>,
    time: Vec<Product>,
    /// Pruning units per group before the cut.
    widths: Vec<usize>,
    /// Each measure of the dense model.
    dense: [f64; 3],
}

/// What a budget counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Measure {
    /// Multiply-accumulates.
    Macs,
    /// Stored parameters.
    Params,
    /// Milliseconds of one run, where every layer's time falls as its multiply-accumulates do; those themselves as long as
    /// nobody gave times ([`CostModel::with_times`]).
    Time,
}

impl CostModel {
    pub(crate) fn new(macs: Vec<Product>, params: Vec<Product>, widths: Vec<usize>) -> Self {
        let dense = [total(&macs, &widths), total(&params, &widths), total(&macs, &widths)];
        Self { time: macs.clone(), macs, params, widths, dense }
    }

    /// With the time that every node of the dense model takes, by its place in the graph, in milliseconds. What a node without
    /// multiply-accumulates takes stays as it is until the node goes with a block.
    #[must_use]
    pub fn with_times(mut self, ms: &BTreeMap<usize, f64>) -> Self {
        let mut macs: BTreeMap<usize, f64> = BTreeMap::new();
        for own in &self.macs {
            for &node in &own.nodes {
                *macs.entry(node).or_insert(0.0) += own.at(&self.widths);
            }
        }
        let ms_of = |node: &usize| ms.get(node).zip(macs.get(node)).map_or(0.0, |(ms, macs)| ms / macs.max(1.0));
        self.time.clone_from(&self.macs);
        for own in &mut self.time {
            own.constant *= own.nodes.iter().map(ms_of).sum::<f64>();
        }
        let fixed = ms.iter().filter(|(node, _)| !macs.contains_key(node));
        self.time.extend(fixed.map(|(&node, &constant)| Product {
            nodes: BTreeSet::from([node]),
            constant,
            sizes: Vec::new(),
        }));
        self.dense[2] = total(&self.time, &self.widths);
        self
    }

    /// Whether nodes of the graph count in the multiply-accumulates.
    pub fn counts(&self, node: usize) -> bool {
        self.macs.iter().any(|own| own.nodes.contains(&node))
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
        Self { macs: left(&self.macs), params: left(&self.params), time: left(&self.time), ..self.clone() }
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
            Measure::Time => self.dense[2],
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
            Measure::Time => &self.time,
        }
    }
}

fn total(products: &[Product], widths: &[usize]) -> f64 {
    products.iter().map(|own| own.at(widths)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_falls_with_the_work_of_each_layer() {
        let axis = |group: Option<GroupId>, size: f64| AxisSize {
            fixed: if group.is_some() { 0.0 } else { size },
            per_unit: group.into_iter().map(|group| (group, 1.0)).collect(),
        };
        let product = |node, group, fixed| Product {
            nodes: BTreeSet::from([node]),
            constant: 1.0,
            sizes: vec![axis(Some(group), 0.0), axis(None, fixed)],
        };
        let cost = CostModel::new(vec![product(0, 0, 30.0), product(2, 1, 10.0)], Vec::new(), vec![4, 8]);
        // As the multiply-accumulates, until there are times.
        for measure in [Measure::Macs, Measure::Time] {
            assert!((cost.at(measure, &[2, 8]) - 140.0).abs() < 1e-9);
        }
        let cost = cost.with_times(&BTreeMap::from([(0, 2.0), (1, 0.5), (2, 6.0)]));
        assert!((cost.dense(Measure::Time) - 8.5).abs() < 1e-9);
        assert!((cost.at(Measure::Time, &[2, 8]) - 7.5).abs() < 1e-9);
        assert!((cost.at(Measure::Time, &[4, 2]) - 4.0).abs() < 1e-9);
        assert!((cost.marginal(Measure::Time, &[4, 2], 1) - 0.75).abs() < 1e-9);
        assert!((cost.at(Measure::Macs, &[4, 2]) - 140.0).abs() < 1e-9);
        assert!(cost.counts(2) && !cost.counts(1));
    }
}
