//! What values were on calibration inputs.

use std::borrow::Borrow;
use std::collections::BTreeMap;

use ndarray::ArrayD;
use rayon::prelude::*;

use super::ranges::{Histogram, Range, RangeMethod};

/// Steps between the ends of 8-bit integers.
const STEPS: u32 = 255;

/// A histogram for every value.
#[derive(Debug, Clone, Default)]
pub struct Histograms {
    names: Vec<String>,
    all: Vec<Histogram>,
}

impl Histograms {
    /// Of nothing yet.
    pub fn new(names: Vec<String>) -> Self {
        let all = vec![Histogram::default(); names.len()];
        Self { names, all }
    }

    /// Names of the values, in the order in which [`Histograms::add`] takes them.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Counts the values of one run.
    pub fn add(&mut self, values: &[impl Borrow<ArrayD<f32>> + Sync]) {
        self.all.par_iter_mut().zip(values).for_each(|(own, value)| {
            let value = value.borrow().as_standard_layout();
            own.add(value.as_slice().unwrap_or_default());
        });
    }

    /// Ranges by a method.
    pub fn ranges(&self, method: RangeMethod) -> BTreeMap<String, Range> {
        let ranges: Vec<Range> = self.all.par_iter().map(|own| own.range(method, STEPS)).collect();
        self.names.iter().cloned().zip(ranges).collect()
    }
}
