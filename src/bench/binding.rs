//! What keeps the time of a model where its work fell.

use super::latency::LatencyChange;
use super::profile::Profile;
use crate::engine::EngineInfo;

/// A cut pays if this share of the saved work is saved of the time.
const PAYS: f64 = 0.5;

/// A cut that saves less of the work is no matter.
const LEAST_SAVED: f64 = 0.1;

/// Microseconds of an operator below which starting it is what takes the time: a few on a processor for every thread that
/// is woken, ten to twenty for a kernel of a GPU.
const SHORT_US: f64 = 30.0;

/// Threads from which on waking them is what takes the time of short operators.
const MANY_THREADS: usize = 4;

/// Share of the time without multiply-accumulates that is worth a word.
const OTHER_WORK: f64 = 0.4;

/// A pruned model as it was timed.
#[derive(Debug, Clone, Copy)]
pub struct TimedCut<'a> {
    /// Its time beside the dense model's.
    pub change: &'a LatencyChange,
    /// Multiply-accumulates that are left, as a share.
    pub macs: f64,
    /// Operators of its graph.
    pub operators: usize,
    /// Where the time goes, where that is known.
    pub profile: Option<&'a Profile>,
}

/// What binds, and what would help; `None` where the time followed the work.
pub fn binding(cut: TimedCut<'_>, engine: &EngineInfo) -> Option<String> {
    let TimedCut { change, macs, operators, profile } = cut;
    let saved = 1.0 - macs;
    if saved < LEAST_SAVED || 1.0 - change.ratio_low >= PAYS * saved {
        return None;
    }
    let each_us = 1e3 * change.after / operators.max(1) as f64;
    let why = if engine.in_gpu_memory() && each_us < SHORT_US {
        format!(
            "its {operators} operators take {each_us:.0} us each, about what it costs to start one on the GPU, however wide it \
             is; larger batches, `--provider-option enable_cuda_graph=1` or fewer blocks (`--depth N`) save time there"
        )
    } else if engine.on_processor() && engine.threads >= MANY_THREADS && each_us < SHORT_US {
        format!(
            "its {operators} operators take {each_us:.0} us each, too little to be worth waking {} threads; compare \
             `--threads 1`, or take blocks out (`--depth N`)",
            engine.threads
        )
    } else {
        other_work(profile?)?
    };
    Some(format!("latency x{:.2} at MACs x{macs:.2}: {why}", change.ratio))
}

/// That operators which no cut makes smaller take much of the time.
fn other_work(profile: &Profile) -> Option<String> {
    let total = profile.total_ms()[1];
    let mut by_op: Vec<(&str, f64)> = Vec::new();
    for (layer, cost) in profile.layers.iter().filter_map(|own| Some((own, own.after?))).filter(|own| own.1.macs == 0) {
        match by_op.iter_mut().find(|own| own.0 == layer.op) {
            Some(own) => own.1 += cost.ms,
            None => by_op.push((&layer.op, cost.ms)),
        }
    }
    let share: f64 = by_op.iter().map(|own| own.1).sum::<f64>() / total.max(f64::MIN_POSITIVE);
    by_op.sort_by(|a, b| b.1.total_cmp(&a.1));
    let named: Vec<String> = by_op.iter().take(3).map(|(op, ms)| format!("{op} {:.0} %", 100.0 * ms / total)).collect();
    (share >= OTHER_WORK).then(|| {
        format!(
            "{:.0} % of the time is in operators without multiply-accumulates ({})",
            100.0 * share,
            named.join(", ")
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::profile::{Layer, LayerCost};

    fn change(ms: f64, ratio: f64) -> LatencyChange {
        LatencyChange {
            before: ms / ratio,
            after: ms,
            before_p95: ms,
            after_p95: ms,
            before_tail: [ms; 2],
            after_tail: [ms; 2],
            ratio,
            ratio_low: ratio - 0.01,
            ratio_high: ratio + 0.01,
            pairs: 9,
            batch: 1,
        }
    }

    fn engine(provider: &str, threads: usize) -> EngineInfo {
        EngineInfo {
            name: "onnxruntime".into(),
            version: String::new(),
            provider: provider.into(),
            library: None,
            threads,
        }
    }

    fn said(ms: f64, ratio: f64, provider: &str, threads: usize, profile: Option<&Profile>) -> Option<String> {
        let change = change(ms, ratio);
        binding(TimedCut { change: &change, macs: 0.53, operators: 200, profile }, &engine(provider, threads))
    }

    #[test]
    fn a_model_whose_time_follows_its_work_needs_no_word() {
        assert_eq!(said(5.6, 0.7, "cuda", 16, None), None);
    }

    #[test]
    fn starting_operators_is_told_from_running_them() {
        let text = said(5.6, 1.0, "cuda", 16, None).unwrap();
        assert!(text.starts_with("latency x1.00 at MACs x0.53: its 200 operators take 28 us each"), "{text}");
        assert!(said(3.0, 1.04, "cpu", 16, None).unwrap().contains("waking 16 threads"));
        assert_eq!(said(3.0, 1.04, "cpu", 2, None), None);
        assert_eq!(said(60.0, 1.0, "cuda", 16, None), None);
    }

    #[test]
    fn what_no_cut_makes_smaller_is_named() {
        let layer = |op: &str, ms, macs| {
            let cost = LayerCost { ms, macs, bytes: 1, widths: None, blocked: None };
            Layer { name: op.into(), op: op.into(), before: None, after: Some(cost), note: None }
        };
        let layers = vec![layer("Conv", 1.0, 9), layer("Resize", 0.7, 0), layer("Softmax", 0.3, 0)];
        let profile = Profile { layers, convolutions: None };
        let text = said(60.0, 0.9, "cpu", 1, Some(&profile)).unwrap();
        assert!(
            text.ends_with("50 % of the time is in operators without multiply-accumulates (Resize 35 %, Softmax 15 %)")
        );
    }
}
