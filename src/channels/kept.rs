//! What a cut leaves of every stored tensor, for programs that cut copies of the weights themselves.

use super::{Channels, Cut};
use crate::model::Model;

/// What a cut leaves of a stored tensor where one node reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptTensor {
    /// Index of the node.
    pub node: usize,
    /// Which of its inputs.
    pub input: usize,
    /// Name of that input.
    pub name: String,
    /// Indices that stay, axis by axis.
    pub kept: Vec<Vec<usize>>,
}

impl Channels {
    /// What a cut leaves of all stored tensors, in the order of the nodes. `model`: the one that was analysed.
    pub fn kept_tensors(&self, model: &Model, cut: &Cut) -> Vec<KeptTensor> {
        let mut found = Vec::new();
        for (index, node) in model.graph().node.iter().enumerate() {
            for (input, name) in node.input.iter().enumerate() {
                let Some(ids) = self.use_ids(index, input) else { continue };
                let kept = (0..ids.rank()).map(|axis| self.kept(cut, ids, axis)).collect();
                found.push(KeptTensor { node: index, input, name: name.clone(), kept });
            }
        }
        found
    }
}
