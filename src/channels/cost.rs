//! Costs as functions of the groups' widths.

use std::collections::BTreeMap;

use super::groups::GroupId;

/// Size of an axis: a fixed part and a share of every group that contributes to it.
#[derive(Debug, Clone)]
pub(crate) struct AxisSize {
    pub(crate) fixed: f64,
    pub(crate) per_unit: BTreeMap<GroupId, f64>,
}

/// `constant * product of sizes`.
#[derive(Debug, Clone)]
pub(crate) struct Product {
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
    pub(crate) macs: Vec<Product>,
    pub(crate) params: Vec<Product>,
    /// Pruning units per group before the cut.
    pub(crate) widths: Vec<usize>,
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
