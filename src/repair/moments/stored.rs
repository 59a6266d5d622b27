//! Sums of moments as named lists of numbers: what is written, merged over machines, and read again.

use std::collections::BTreeMap;

use faer::Mat;

use super::{Classwise, Consumer, Extent, Moments, Pairs, Read, Weight};
use crate::channels::{Channels, ConsumerInput};
use crate::model::Model;
use crate::model::node::node_name;
use crate::number::whole_number;
use crate::ops::constant::Constants;

/// Sums, from which moments are made again.
pub trait StoredSums {
    /// Why there are none.
    type Error;

    /// The numbers of this name, if there are some.
    ///
    /// # Errors
    /// Why they cannot be read.
    fn sums(&self, name: &str) -> Result<Option<Vec<f64>>, Self::Error>;

    /// Says that numbers of this name are missing, or that there are more or fewer than there should be.
    fn lacks(&self, name: &str) -> Self::Error;
}

/// The lists of one consumer, by the name of its node.
fn named(node: &str, what: &str) -> String {
    format!("moments/{node}/{what}")
}

impl Moments {
    /// All sums by name. They add up: sums over two parts of the images are the sums over both.
    pub fn stored(&self, model: &Model) -> BTreeMap<String, Vec<f64>> {
        let mut all = BTreeMap::new();
        for (&node, consumer) in &self.consumers {
            let node = node_name(&model.graph().node[node]);
            let mut put = |what: &str, values: Vec<f64>| all.insert(named(&node, what), values);
            put("sums", consumer.sums.clone());
            put("count", vec![consumer.count as f64]);
            for (what, pairs) in [("pairs", &consumer.pairs), ("weighted", &consumer.weighted)] {
                if let Some(pairs) = pairs {
                    put(what, pairs.stored());
                }
            }
            if let Some(classwise) = &consumer.classwise {
                put("classes", classwise.sums.stored());
            }
        }
        all
    }

    /// Moments from sums of a model with the same channels; `classes`: how many were told apart.
    ///
    /// # Errors
    /// What `stored` says of what cannot be read, is missing or is of another length.
    pub fn from_stored<S: StoredSums>(
        model: &Model,
        channels: &Channels,
        classes: usize,
        stored: &S,
        options: super::MomentOptions,
    ) -> Result<Self, S::Error> {
        let inputs: BTreeMap<usize, &ConsumerInput> =
            channels.groups.iter().flat_map(|group| &group.consumer_inputs).map(|input| (input.node, input)).collect();
        let constants = Constants::of(model.graph());
        let mut consumers = BTreeMap::new();
        for (node, input) in inputs {
            let read = Read::new(model, channels, input);
            let name = node_name(&model.graph().node[node]);
            let consumer = Consumer::from_stored(model, &constants, input, read, (&name, classes), stored)?;
            consumers.insert(node, consumer);
        }
        Ok(Self { options, narrowed: 0, constants, consumers })
    }
}

impl Consumer {
    fn from_stored<S: StoredSums>(
        model: &Model,
        constants: &Constants,
        input: &ConsumerInput,
        read: Read,
        (node, classes): (&str, usize),
        stored: &S,
    ) -> Result<Self, S::Error> {
        let find = |what: &str| stored.sums(&named(node, what));
        let missing = |what: &str| stored.lacks(&named(node, what));
        let (pairs, weighted, classwise) = (find("pairs")?, find("weighted")?, find("classes")?);
        let (channels, kernel_size) = (input.size, read.kernel_size());
        let whole = Pairs::stored_length(channels * kernel_size);
        let extent = Extent {
            channels,
            kernel_size,
            windows: pairs.as_ref().is_some_and(|own| own.len() == whole),
            pairs: pairs.is_some(),
            weighted: weighted.is_some(),
            classes: if classwise.is_some() { classes } else { 0 },
        };
        let weight = (extent.classes > 0).then(|| Weight::of(model, constants, input)).flatten();
        let mut own = Self::new(weight, input, read, extent);
        own.sums = find("sums")?.filter(|sums| sums.len() == own.sums.len()).ok_or_else(|| missing("sums"))?;
        let count = find("count")?.ok_or_else(|| missing("count"))?;
        own.count = count.first().map_or(0, |&count| whole_number(count));
        for (what, place, values) in [("pairs", &mut own.pairs, pairs), ("weighted", &mut own.weighted, weighted)] {
            if let (Some(place), Some(values)) = (place, values) {
                place.fill(&values).ok_or_else(|| missing(what))?;
            }
        }
        if let Some(values) = classwise {
            let place = own.classwise.as_mut().ok_or_else(|| missing("classes"))?;
            place.fill(&values).ok_or_else(|| missing("classes"))?;
        }
        Ok(own)
    }
}

impl Classwise {
    fn fill(&mut self, values: &[f64]) -> Option<()> {
        self.sums.fill(values)
    }
}

impl Pairs {
    /// Rows, mass, sums of the columns, products: lower triangle row by row.
    fn stored(&self) -> Vec<f64> {
        let columns = self.sum.len();
        let mut all = Vec::with_capacity(Self::stored_length(columns));
        all.extend([self.rows as f64, self.mass]);
        all.extend(&self.sum);
        all.extend((0..columns).flat_map(|row| (0..=row).map(move |column| self.gram[(row, column)])));
        all
    }

    fn stored_length(columns: usize) -> usize {
        2 + columns + columns * (columns + 1) / 2
    }

    fn fill(&mut self, values: &[f64]) -> Option<()> {
        let columns = self.sum.len();
        let (&[rows, mass], rest) =
            values.split_first_chunk().filter(|_| values.len() == Self::stored_length(columns))?;
        let (sum, products) = rest.split_at(columns);
        (self.rows, self.mass) = (whole_number(rows), mass);
        self.sum = sum.to_vec();
        self.gram =
            Mat::from_fn(
                columns,
                columns,
                |row, column| {
                    if column <= row { products[row * (row + 1) / 2 + column] } else { 0.0 }
                },
            );
        Some(())
    }
}
