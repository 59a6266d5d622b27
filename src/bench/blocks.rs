//! What single blocks take of the time of a run.

use std::collections::BTreeMap;

use crate::channels::{Block, Channels, Cut};
use crate::model::Model;
use crate::rewrite::{self, RewriteError};

/// What makes two blocks take the same time: operators, work, shape of the result.
type Kind<'a> = (Vec<&'a str>, u64, Option<&'a [usize]>);

/// What a block takes at least, as a share of the time: less cannot be told from nothing.
const LEAST: f64 = 0.002;

/// Share of the dense model's time that goes with each block alone. Blocks of the same operators, work and shape are timed once.
/// `ratio` times a model as a share of the dense one's time.
///
/// # Errors
/// The first error of `ratio`, or if a block cannot be left out.
pub fn block_times<E: From<RewriteError>>(
    model: &Model,
    channels: &Channels,
    mut ratio: impl FnMut(&Model) -> Result<f64, E>,
) -> Result<Vec<f64>, E> {
    let mut known: BTreeMap<Kind<'_>, f64> = BTreeMap::new();
    let kind = |block: &Block| -> Kind<'_> {
        let nodes = block.nodes.iter().map(|&node| model.graph().node[node].op_type());
        (nodes.collect::<Vec<_>>(), block.macs, channels.shape(&block.output))
    };
    let mut times = Vec::new();
    for (at, block) in channels.blocks.iter().enumerate() {
        let kind = kind(block);
        if !known.contains_key(&kind) {
            let without = rewrite::slice(model, channels, &Cut::block(channels, at))?;
            known.insert(kind.clone(), (1.0 - ratio(&without)?).max(LEAST));
        }
        times.push(known[&kind]);
    }
    Ok(times)
}
