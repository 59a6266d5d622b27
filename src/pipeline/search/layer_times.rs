//! What every layer of the dense model takes on the devices that time: a budget of time counts layers by that.

use std::collections::{BTreeMap, HashMap};

use super::planner::Planner;
use crate::bench::latency::Device;
use crate::bench::profile::{layer_times, profiled};
use crate::channels::CostModel;
use crate::engine::Feed;
use crate::error::Error;
use crate::model::Model;
use crate::model::node::node_name;

/// Share of a device's time that is to be known of layers with multiply-accumulates.
const ENOUGH: f64 = 0.5;

/// Costs with the layers' times, where devices tell them: each as a share of its device's time, the mean over the devices.
pub(super) fn with_times(planner: &mut Planner<'_>, feed: &Feed) -> Result<CostModel, Error> {
    let session = planner.session;
    let dense = planner.as_written(session.model.clone())?;
    let places: HashMap<String, usize> =
        session.model.graph().node.iter().enumerate().map(|(at, node)| (node_name(node), at)).collect();
    let others = session.other_devices().map(|own| own.0);
    let mut times: BTreeMap<usize, f64> = BTreeMap::new();
    let mut silent = Vec::new();
    for device in std::iter::once(session.device()).chain(others) {
        let shares =
            planner.record.timed(session, "time", |_| Ok(shares(device, &dense, feed, &places, &session.cost)))?;
        match shares {
            Some(shares) => shares.into_iter().for_each(|(place, share)| *times.entry(place).or_insert(0.0) += share),
            None => silent.push(device.name().map_or_else(|| device.engine().info().describe(), str::to_owned)),
        }
    }
    if !silent.is_empty() {
        let how = if times.is_empty() { "by their multiply-accumulates" } else { "by their time on the other devices" };
        planner
            .record
            .notes
            .push(format!("what each layer takes is not known of {}: layers count {how}", silent.join(", ")));
    }
    Ok(if times.is_empty() { session.cost.clone() } else { session.cost.clone().with_times(&times) })
}

/// What the nodes of the dense model take on a device as shares of the whole, by their places; `None` where it cannot tell.
fn shares(
    device: &dyn Device,
    dense: &Model,
    feed: &Feed,
    places: &HashMap<String, usize>,
    cost: &CostModel,
) -> Option<Vec<(usize, f64)>> {
    let engine = device.engine();
    // Kernels of a GPU run on after the node that started them.
    if !engine.info().runs_models() || engine.info().in_gpu_memory() {
        return None;
    }
    let nodes = profiled(engine, dense, feed)?.ok()?;
    let whole: f64 = nodes.iter().map(|own| own.ms).sum();
    let of_layers = layer_times(dense, &nodes);
    let found = of_layers.into_iter().filter_map(|(name, ms)| Some((*places.get(&name)?, ms / whole)));
    let found: Vec<(usize, f64)> = found.collect();
    let counted: f64 = found.iter().filter(|own| cost.counts(own.0)).map(|own| own.1).sum();
    (counted >= ENOUGH).then_some(found)
}
