//! Reports for the tests of the formats.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::{
    AccuracyChange, Calibrated, Change, FileInfo, FloatProduct, GroupChange, LatencyChange, ProtectedChannels,
    QUANTIZE_SCHEMA_VERSION, QuantizeStep, QuantizeSummary, Quantized, Repair, RepairStage, Searched, StageError,
    Summary, Tried, Verified,
};
use crate::bench::latency::Interval;
use crate::channels::Scope;
use crate::engine::{EngineInfo, IntegerOperators};
use crate::evaluate::{
    Accuracy, Agreement, BoxForm, DetectionFigures, IntegerProof, MetricChange, OutputFigures, Paired,
};
use crate::plan::{Allocation, Rounding};
use crate::quantize::{Activations, Precision, Readied};
use crate::repair::{Method, Refit};

pub(super) fn file(path: &str) -> FileInfo {
    FileInfo { path: path.into(), sha256: "0".repeat(64) }
}

pub(super) fn group(name: &str, before: usize, after: usize) -> GroupChange {
    GroupChange {
        name: name.into(),
        scope: Scope::Inner,
        width_before: before,
        width_after: after,
        members: 3,
        scores: String::new(),
    }
}

pub(super) fn guarded(node: &str, reasons: &[&str]) -> ProtectedChannels {
    let reasons = reasons.iter().map(ToString::to_string).collect();
    ProtectedChannels { node: node.into(), op: "Gemm".into(), channels: 10, of: 10, reasons }
}

/// A run without images and timing.
pub(super) fn bare() -> Summary {
    Summary {
        classwise: None,
        schema_version: 1,
        tool_version: "0.1.0".into(),
        model: file("model.onnx"),
        output: file("model.pruned.onnx"),
        device: None,
        other_devices: Vec::new(),
        engine: EngineInfo {
            name: "tract".into(),
            version: "0.23.9".into(),
            provider: "cpu".into(),
            library: None,
            threads: 1,
        },
        macs: Change { before: 12_438_816, after: 6_210_888 },
        params: Change { before: 393_778, after: 201_946 },
        bytes: Change { before: 1_588_526, after: 821_174 },
        latency_ms: None,
        prepare_ms: None,
        session_bytes: None,
        samples: None,
        profile: None,
        accuracy: None,
        agreement: None,
        shift_consistency: None,
        detections: None,
        metric: None,
        outputs: Vec::new(),
        criterion: "l2".into(),
        budget: "MACs x0.5".into(),
        searched: None,
        allocation: Allocation::Uniform,
        rounding: Rounding { block: 1, multiple: 1 },
        blocks: Vec::new(),
        groups: vec![group("/stem/Conv", 24, 24), group("/blocks.0/a/Conv", 24, 11)],
        protected: vec![guarded("/head/Gemm", &["channels of the graph output `output`"])],
        calibration: None,
        verification: None,
        compensation: Repair::default(),
        quantized: None,
        warnings: Vec::new(),
        notes: Vec::new(),
        seed: 0,
        command: Vec::new(),
        timings_s: BTreeMap::from([("load".into(), 0.01), ("rewrite".into(), 0.02)]),
        peak_memory_bytes: None,
    }
}

fn searched() -> Searched {
    let timed = |macs, median: f64, accepted| Tried {
        budget: format!("MACs x{macs}"),
        macs,
        bytes: None,
        latency: Some(Interval { median, low: median - 0.01, high: median + 0.01 }),
        loss: None,
        metric: None,
        accepted,
    };
    let judged = |macs, lost, accepted| Tried {
        latency: None,
        loss: Some(Paired { images: 5000, lost, gained: 60 }.into()),
        ..timed(macs, 0.0, accepted)
    };
    Searched {
        goal: "latency x0.7, loss of at most 1 points".into(),
        candidates: vec![
            timed(0.7, 0.81, false),
            timed(0.52, 0.69, true),
            judged(0.95, 70, true),
            judged(0.9, 120, false),
        ],
    }
}

/// Detections of a model with boxes and scores.
pub(crate) fn detections() -> DetectionFigures {
    DetectionFigures {
        outputs: vec!["boxes".into(), "scores".into()],
        form: BoxForm::Xyxy,
        read: "boxes xyxy by their numbers; scores as they are, above 0.25; NMS at IoU 0.5".into(),
        threshold: 0.25,
        suppressed: true,
        inputs: 64,
        dense: 1042,
        kept: 1003,
        added: 37,
        score_change: Some(-0.0213),
    }
}

/// Everything a run can tell, with long words where users have them.
pub(super) fn full() -> Summary {
    Summary {
        device: None,
        other_devices: Vec::new(),
        engine: EngineInfo {
            name: "onnxruntime".into(),
            version: "1.23.2".into(),
            provider: "cpu".into(),
            library: Some(PathBuf::from("/opt/python/lib/onnxruntime/capi/libonnxruntime.so.1.23.2")),
            threads: 8,
        },
        latency_ms: Some(LatencyChange {
            before: 1.212,
            after: 0.853,
            before_p95: 1.791,
            after_p95: 1.294,
            before_tail: [1.52, 2.01],
            after_tail: [1.1, 1.41],
            ratio: 0.7091,
            ratio_low: 0.7062,
            ratio_high: 0.7119,
            pairs: 1304,
            batch: 1,
        }),
        prepare_ms: Some([2100.0, 1300.0]),
        session_bytes: Some([9_000_000, 7_000_000]),
        accuracy: Some(AccuracyChange {
            classes: Vec::new(),
            before: 91.7,
            after: 88.1,
            images: 1000,
            before_interval: Accuracy::new(917, 1000),
            after_interval: Accuracy::new(881, 1000),
            seen_in_calibration: false,
        }),
        agreement: Some(0.912),
        shift_consistency: Some(0.965),
        detections: Some(detections()),
        metric: Some(MetricChange {
            command: "python mean_ap.py {model} | tail -n 1".into(),
            lower_is_better: false,
            before: 0.412,
            after: 0.405_3,
        }),
        outputs: vec![OutputFigures {
            name: "scores".into(),
            error: 0.061,
            cosine: 0.998,
            psnr: None,
            agreement: None,
            mean_iou: None,
        }],
        searched: Some(searched()),
        allocation: Allocation::Sensitivity,
        rounding: Rounding { block: 16, multiple: 4 },
        groups: (0..20).map(|at| group(&format!("/layers/layers.{at}/conv/Conv"), 64, 32)).collect(),
        protected: vec![
            guarded("/head/Gemm", &["channels of the graph output `output`", "another"]),
            guarded(
                "/a/very/deep/path/of/modules/in/the/exported/graph/Conv",
                &["Softmax `cls/softmax` normalises over the channel axis, so that every channel changes the others"],
            ),
        ],
        calibration: Some(Calibrated {
            path: "calib".into(),
            source: "class folders".into(),
            images: 500,
            classes: 10,
            skipped: Vec::new(),
            preprocessing: "28x28 gray, short side 28, centre crop, v / 255, mean 0, std 1".into(),
        }),
        verification: Some(Verified { agreement: Agreement { max_error: 3.2e-7, tolerance: 1e-4 }, runs: 2 }),
        compensation: Repair {
            refined: None,
            stages: vec![StageError {
                stage: RepairStage::Local,
                before: 0.402,
                whole: 0.061,
                after: 0.061,
                layers: 3,
                rolled_back: Vec::new(),
            }],
            judged_on: 64,
            refit: Refit {
                consumers: vec![
                    ("a".into(), Method::Channel),
                    ("b".into(), Method::Channel),
                    ("c".into(), Method::Bias),
                    ("d".into(), Method::None),
                ],
                layers: Vec::new(),
            },
        },
        warnings: vec![
            "the budget of 6.22 M MACs cannot be reached: 7.10 M remain in protected channels and floors".into(),
        ],
        timings_s: [("time", 3.2), ("load", 0.01), ("calibrate", 2.4), ("score", 0.5), ("analyse", 0.06)]
            .map(|(name, seconds)| (name.to_owned(), seconds))
            .into(),
        peak_memory_bytes: Some(103_000_000),
        ..bare()
    }
}

/// A model in integers.
pub(super) fn quantized() -> Quantized {
    let step = |what: &str, error: f64, kept: bool| QuantizeStep { what: what.into(), error, kept };
    Quantized {
        precision: Precision::Int8,
        activations: Some(Activations::U8),
        weight_bits: 8,
        products: 20,
        float: vec![FloatProduct { name: "/head/Gemm".into(), why: "asked for".into() }],
        values: 31,
        ranges: Some("mse".into()),
        steps: vec![step("ranges by minmax", 4.1e-3, false), step("ranges by mse", 3.2e-3, true)],
        operators: Some(IntegerOperators { all: 27, integers: 24, conversions: 2, real_products: 1 }),
        proof: IntegerProof { operators: 24, steps: 1, ..IntegerProof::default() },
        readied: Readied::default(),
    }
}

/// The report of `onnx-prune quantize`.
pub(super) fn quantize_summary() -> QuantizeSummary {
    let Summary {
        tool_version, model, output, engine, bytes, latency_ms, accuracy, agreement, shift_consistency, ..
    } = full();
    QuantizeSummary {
        schema_version: QUANTIZE_SCHEMA_VERSION,
        tool_version,
        model,
        output,
        device: None,
        engine,
        bytes,
        latency_ms,
        accuracy,
        agreement,
        shift_consistency,
        outputs: Vec::new(),
        detections: None,
        quantized: quantized(),
        calibration: full().calibration.unwrap(),
        warnings: vec!["integers lose <much>".into()],
        notes: vec!["a note".into()],
        seed: 0,
        command: vec!["onnx-prune".into(), "quantize".into()],
        timings_s: BTreeMap::from([("quantize".into(), 2.5)]),
        peak_memory_bytes: Some(1 << 28),
    }
}
