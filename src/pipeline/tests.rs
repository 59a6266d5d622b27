//! Searches with a simulated clock, pinned: what they choose may change only in a commit that says why.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use sha2::{Digest, Sha256};

use super::timing::simulated;
use super::{Criteria, Goals, LatencyTarget, ModelOptions, PruneOptions, Silent, prune};
use crate::engine::{EngineChoice, EngineOptions};
use crate::plan::{Budget, Target};
use crate::report::Summary;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn digest(path: &Path) -> String {
    Sha256::digest(std::fs::read(path).unwrap()).iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

/// Prunes a model of `models/` by its norms to a latency; digests of plan and model, and the report.
fn to_latency(model: &str, target: LatencyTarget) -> (String, String, Summary) {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("out.onnx");
    let options = PruneOptions {
        model: ModelOptions { path: root().join("models").join(model), ..ModelOptions::default() },
        criteria: Criteria { budget: Budget::Macs(Target::Share(1.0)), ..Criteria::default() },
        goals: Goals { latency: Some(target), ..Goals::default() },
        engine: EngineOptions { engine: EngineChoice::Tract, ..EngineOptions::default() },
        output: Some(output.clone()),
        ..PruneOptions::default()
    };
    simulated::hold(true);
    let summary = prune(&options, &Silent, &AtomicBool::new(false)).unwrap();
    simulated::hold(false);
    (digest(&output.with_extension("plan.json")), digest(&output), summary)
}

/// Every plan that was timed: its budget, its ratio and whether it was taken.
fn tried(summary: &Summary) -> Vec<String> {
    let searched = summary.searched.as_ref().unwrap();
    let line = |own: &crate::report::Tried| {
        format!(
            "{} {:.4}{}",
            own.budget,
            own.latency.map_or(f64::NAN, |own| own.median),
            if own.accepted { " *" } else { "" }
        )
    };
    searched.candidates.iter().map(line).collect()
}

#[test]
fn a_latency_is_searched_as_pinned() {
    let plans = vec!["MACs x0.585 0.6344", "MACs x0.4939 0.5500", "MACs x0.5317 0.5781 *"];
    for (model, target, plan, output, plans) in
        [("fashion_resnet.onnx", 0.6, "254abaafe9f5683c", "ca8f5572d8cd9747", plans)]
    {
        let (found_plan, found_model, summary) = to_latency(model, LatencyTarget::Share(target));
        assert_eq!((found_plan.as_str(), found_model.as_str()), (plan, output), "{:?}", tried(&summary));
        assert_eq!(tried(&summary), plans);
        assert_eq!(summary.warnings, Vec::<String>::new());
        assert!(summary.latency_ms.unwrap().ratio <= target);
    }
}
