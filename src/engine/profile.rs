//! How long every node of the engine's own graph takes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Time of one node as the engine runs it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NodeTime {
    /// Its name in the engine's optimised graph.
    pub name: String,
    /// Its operator type there.
    pub op: String,
    /// Execution provider that ran it.
    pub provider: String,
    /// Milliseconds of one run of the model: of the calmer half of the runs.
    pub ms: f64,
}

/// An event of ONNX Runtime's profile (its Chrome trace format).
#[derive(Deserialize)]
struct Event {
    #[serde(default)]
    cat: String,
    #[serde(default)]
    name: String,
    /// Microseconds.
    #[serde(default)]
    dur: f64,
    #[serde(default)]
    args: Arguments,
}

#[derive(Default, Deserialize)]
struct Arguments {
    #[serde(default)]
    op_name: String,
    #[serde(default)]
    provider: String,
}

/// What marks the event of a node's work, after the node's name.
const KERNEL: &str = "_kernel_time";

/// Node times out of the text of a profile over `runs` runs, the first `skipped` of which do not count; in the order in
/// which the nodes first ran.
///
/// # Errors
/// What is wrong with the text.
pub(super) fn node_times(text: &str, runs: usize, skipped: usize) -> Result<Vec<NodeTime>, String> {
    let events: Vec<Event> = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let mut order: Vec<(String, Arguments)> = Vec::new();
    let mut durations: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    for event in events {
        let Some(name) = event.name.strip_suffix(KERNEL).filter(|_| event.cat == "Node") else { continue };
        let own = durations.entry(name.to_owned()).or_default();
        if own.is_empty() {
            order.push((name.to_owned(), event.args));
        }
        own.push(event.dur);
    }
    let time = |(name, args): (String, Arguments)| {
        let ms = durations.get(&name).map_or(0.0, |own| calm(own, runs, skipped)) / 1e3;
        NodeTime { name, op: args.op_name, provider: args.provider, ms }
    };
    Ok(order.into_iter().map(time).collect())
}

/// Sum of a node's durations in one run, mean over the calmer half of the runs. A node inside a loop has several a run.
fn calm(durations: &[f64], runs: usize, skipped: usize) -> f64 {
    let each = (durations.len() / runs.max(1)).max(1);
    let mut sums: Vec<f64> = durations.chunks(each).skip(skipped).map(|run| run.iter().sum()).collect();
    if sums.is_empty() {
        sums = vec![durations.iter().sum::<f64>() / runs.max(1) as f64];
    }
    sums.sort_by(f64::total_cmp);
    let half = sums.len().div_ceil(2);
    sums[..half].iter().sum::<f64>() / half as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_calmer_half_of_the_runs_counts() {
        let event = |name: &str, dur: u32| {
            format!(
                r#"{{"cat":"Node","name":"{name}","dur":{dur},"args":{{"op_name":"Conv","provider":"CPUExecutionProvider"}}}}"#
            )
        };
        let mut events = vec![r#"{"cat":"Session","name":"model_run","dur":7}"#.to_owned()];
        for (a, b) in [(900, 9), (100, 1), (400, 9), (120, 3), (300, 9)] {
            events.extend([event("a_kernel_time", a), event("b_kernel_time", b), event("b_fence_before", 5)]);
        }
        let found = node_times(&format!("[{}]", events.join(",")), 5, 1).unwrap();
        let told: Vec<(&str, f64)> = found.iter().map(|own| (own.name.as_str(), own.ms)).collect();
        assert_eq!(told, [("a", 0.11), ("b", 0.002)]);
        assert_eq!((found[0].op.as_str(), found[0].provider.as_str()), ("Conv", "CPUExecutionProvider"));
    }

    #[test]
    fn nodes_of_a_loop_count_as_often_as_they_run() {
        assert!((calm(&[1.0, 2.0, 1.0, 2.0], 2, 0) - 3.0).abs() < 1e-12);
        assert!(node_times("[", 1, 0).is_err());
    }
}
