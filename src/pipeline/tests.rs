//! Searches with a simulated clock, pinned: what they choose may change only in a commit that says why.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use super::commands::prune_watched;
use super::session::Watch;
use super::{Criteria, Goals, LatencyTarget, ModelOptions, PruneOptions, RoundTo, Silent};
use crate::bench::BenchError;
use crate::bench::latency::{Comparison, Device, Loaded, Prepared, TimingOptions};
use crate::channels::{AnalyseOptions, analyse};
use crate::engine::{
    CompileOptions, Engine, EngineChoice, EngineError, EngineInfo, EngineOptions, Feed, NodeTime, Session, Tensor, open,
};
use crate::model::{LoadOptions, Model};
use crate::plan::{Budget, Target};
use crate::proto::onnx::NodeProto;
use crate::report::Summary;

/// A device on which the time of a model is a staircase over its multiply-accumulates.
struct Staircase(Box<dyn Engine>);

impl Staircase {
    fn new() -> Self {
        Self(open(&tract()).unwrap().engine)
    }

    /// A tenth of the time is fixed, the rest goes with steps of a 32nd of `full` multiply-accumulates.
    fn ms(model: &Model, full: f64) -> f64 {
        let macs = analyse(model, &AnalyseOptions::default()).macs(None) as f64;
        4.0 * (0.1 + 0.9 * (32.0 * macs / full).ceil() / 32.0)
    }
}

impl Device for Staircase {
    fn engine(&self) -> &dyn Engine {
        self.0.as_ref()
    }

    fn load<'a>(&'a self, models: [&Model; 2], _feed: &Feed) -> Result<Box<dyn Loaded + 'a>, BenchError> {
        let macs = |model| analyse(model, &AnalyseOptions::default()).macs(None) as f64;
        let full = models.map(macs).into_iter().fold(0.0, f64::max);
        Ok(Box::new(Steps(models.map(|model| Self::ms(model, full)))))
    }
}

/// Two models on it.
struct Steps([f64; 2]);

impl Loaded for Steps {
    fn prepared(&self) -> Prepared {
        Prepared { ms: [1.0; 2], memory_bytes: None }
    }

    fn time(&mut self, options: &TimingOptions, _cancel: &AtomicBool) -> Result<(Comparison, f64), BenchError> {
        let Self([before, after]) = *self;
        let found = Comparison { parts: vec![4], before_ms: vec![before; 4], after_ms: vec![after; 4] };
        Ok((found, options.most_ms))
    }
}

fn tract() -> EngineOptions {
    EngineOptions { engine: EngineChoice::Tract, ..EngineOptions::default() }
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn digest(path: &Path) -> String {
    crate::model::digest(path).unwrap().1.chars().take(16).collect()
}

/// Prunes a model of `models/` by its norms to a latency; digests of plan and model, and the report.
fn to_latency(model: &str, target: LatencyTarget) -> (String, String, Summary) {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("out.onnx");
    let options = options(model, target, output.clone());
    let cancel = AtomicBool::new(false);
    let devices: [Box<dyn Device>; 1] = [Box::new(Staircase::new())];
    let watch = Watch { devices: &devices, ..Watch::new(&Silent, &cancel) };
    let summary = prune_watched(&options, watch).unwrap();
    (digest(&output.with_extension("plan.json")), digest(&output), summary)
}

fn options(model: &str, target: LatencyTarget, output: PathBuf) -> PruneOptions {
    PruneOptions {
        model: ModelOptions { path: root().join("models").join(model), ..ModelOptions::default() },
        criteria: Criteria {
            budget: Budget::Macs(Target::Share(1.0)),
            round_to: RoundTo::Multiple(1),
            ..Criteria::default()
        },
        goals: Goals { latency: Some(target), ..Goals::default() },
        engine: tract(),
        output: Some(output),
        ..PruneOptions::default()
    }
}

/// Every plan that was timed: its budget, its ratio and whether it was taken.
fn tried(summary: &Summary) -> Vec<String> {
    let searched = summary.searched.as_ref().unwrap();
    let line = |own: &crate::report::Tried| {
        let star = if own.accepted { " *" } else { "" };
        format!("{} {:.4}{star}", own.budget, own.latency.map_or(f64::NAN, |own| own.median))
    };
    searched.candidates.iter().map(line).collect()
}

#[test]
fn a_latency_is_searched_as_pinned() {
    let resnet = ["time x0.585 0.6344", "time x0.4939 0.5500", "time x0.5317 0.5781 *"];
    let plain = ["time x0.39 0.4656", "time x0.2633 0.3531", "time x0.3048 0.3812 *"];
    let cases = [
        ("fashion_resnet.onnx", 0.6, ("bf4b8757c9b5e639", "ca8f5572d8cd9747"), resnet),
        ("fashion_plain.onnx", 0.4, ("d4c23cdef5ddd630", "e7978097b17c9ffe"), plain),
    ];
    for (model, target, digests, plans) in cases {
        let (found_plan, found_model, summary) = to_latency(model, LatencyTarget::Share(target));
        assert_eq!((found_plan.as_str(), found_model.as_str()), digests, "{:?}", tried(&summary));
        assert_eq!(tried(&summary), plans);
        assert_eq!(summary.warnings, Vec::<String>::new());
        assert!(summary.latency_ms.unwrap().ratio <= target);
    }
}

/// A device on which one layer takes nearly all of the time.
struct OneHeavyLayer {
    inner: Box<dyn Engine>,
    heavy: String,
}

impl Engine for OneHeavyLayer {
    fn info(&self) -> &EngineInfo {
        self.inner.info()
    }

    fn compile(&self, model: &Model, options: &CompileOptions) -> Result<Box<dyn Session>, EngineError> {
        self.inner.compile(model, options)
    }

    fn profile(
        &self,
        model: &Model,
        _inputs: &[(&str, &Tensor)],
        _runs: usize,
    ) -> Option<Result<Vec<NodeTime>, EngineError>> {
        let time = |node: &NodeProto| NodeTime {
            name: node.name().to_owned(),
            op: node.op_type().to_owned(),
            provider: "cpu".into(),
            ms: if node.name() == self.heavy { 10.0 } else { 0.1 },
        };
        Some(Ok(model.graph().node.iter().filter(|node| node.op_type() == "Conv").map(time).collect()))
    }
}

impl Device for OneHeavyLayer {
    fn engine(&self) -> &dyn Engine {
        self
    }

    /// The time is that of the heavy layer alone.
    fn load<'a>(&'a self, models: [&Model; 2], _feed: &Feed) -> Result<Box<dyn Loaded + 'a>, BenchError> {
        let ms = |model: &Model| {
            let channels = analyse(model, &AnalyseOptions::default());
            let heavy = model.graph().node.iter().position(|node| node.name() == self.heavy).unwrap();
            let macs = channels.macs_by_node(None).into_iter().filter(|own| own.0 == heavy).map(|own| own.1);
            macs.sum::<u64>() as f64 / 1e6
        };
        Ok(Box::new(Steps(models.map(ms))))
    }
}

#[test]
fn channels_go_where_the_time_goes() {
    let model = "fashion_plain.onnx";
    let path = root().join("models").join(model);
    let dense = Model::load(&path, &LoadOptions::default()).unwrap();
    let convolutions: Vec<&str> =
        dense.graph().node.iter().filter(|node| node.op_type() == "Conv").map(NodeProto::name).collect();
    let kept = |heavy: &str| {
        let folder = tempfile::tempdir().unwrap();
        let mut options = options(model, LatencyTarget::Share(0.6), folder.path().join("out.onnx"));
        options.data.data = Some(root().join("calibration/train"));
        options.data.samples = Some(40);
        let cancel = AtomicBool::new(false);
        let inner = open(&tract()).unwrap().engine;
        let devices: [Box<dyn Device>; 1] = [Box::new(OneHeavyLayer { inner, heavy: heavy.into() })];
        let watch = Watch { devices: &devices, ..Watch::new(&Silent, &cancel) };
        let summary = prune_watched(&options, watch).unwrap();
        assert!(summary.latency_ms.unwrap().ratio <= 0.6);
        summary.macs.ratio()
    };
    // A layer in the middle takes the time: others keep what they can, and most of the work stays.
    let first = kept(convolutions[0]);
    assert!(first > 0.7, "{first} of the work is left where the first layer alone counts");
}
