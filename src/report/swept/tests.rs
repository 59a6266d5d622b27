//! Tests on a made-up sweep.

use super::*;
use crate::evaluate::{Accuracy, MetricChange};
use crate::report::samples::{full, quantized};
use crate::report::{AccuracyChange, Change, FileInfo, LatencyChange, Style, Summary, sweep_html};

/// Shares with the latency and the images of 1,000 that are right; the model at x0.5 is dominated.
fn swept() -> Swept {
    let model = |(share, ratio, right): (f64, f64, usize)| {
        let base = full();
        let (latency, accuracy) = (base.latency_ms.unwrap(), base.accuracy.clone().unwrap());
        let after = Accuracy::new(right, 1000);
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "made-up costs")]
        let kept = |before: u64| Change { before, after: (before as f64 * share) as u64 };
        let summary = Summary {
            output: FileInfo { path: format!("model.x{share:.2}.onnx").into(), ..base.output.clone() },
            macs: kept(base.macs.before),
            bytes: kept(base.bytes.before),
            latency_ms: Some(LatencyChange { ratio, ratio_low: ratio - 0.01, ratio_high: ratio + 0.02, ..latency }),
            accuracy: Some(AccuracyChange { after: after.percent, after_interval: after, ..accuracy }),
            warnings: Vec::new(),
            ..base
        };
        SweptModel { share, name: None, summary }
    };
    let models = [(0.9, 0.93, 915), (0.7, 0.72, 890), (0.5, 0.75, 850), (0.3, 0.41, 610)].map(model).into();
    let warnings = vec!["x0.20 is the model of x0.30: floors leave no more to cut".into()];
    Swept { schema_version: SWEEP_SCHEMA_VERSION, models, warnings }
}

#[test]
fn the_front_leaves_out_what_another_model_beats() {
    let swept = swept();
    let front: Vec<bool> = swept.models.iter().map(|model| swept.on_front(model)).collect();
    assert_eq!(front, [true, true, false, true]);
}

#[test]
fn tables_of_a_sweep() {
    let shown = sweep_table(&swept(), Style::Plain).unwrap();
    assert!(shown.lines().all(|line| line.chars().count() <= 80), "{shown}");
    insta::assert_snapshot!("table", shown);
    insta::assert_snapshot!("csv", sweep_csv(&swept()).unwrap());
}

#[test]
fn the_picture_holds_every_model() {
    let text = sweep_svg(&swept()).unwrap().unwrap();
    assert_eq!(text.matches("<circle").count(), 5);
    assert!(text.starts_with("<svg") && text.ends_with("</svg>\n") && !text.contains("NaN"));
    insta::assert_snapshot!("picture", text);
}

#[test]
fn integers_stand_beside_real_numbers() {
    let mut own = swept();
    let faster = |model: &SweptModel, share: f64| {
        let mut model = model.clone();
        model.share = share;
        model.summary.quantized = Some(quantized());
        let latency = model.summary.latency_ms.as_mut().unwrap();
        (latency.ratio, latency.ratio_low, latency.ratio_high) =
            (0.4 * latency.ratio, 0.4 * latency.ratio_low, 0.4 * latency.ratio_high);
        model
    };
    let integers: Vec<SweptModel> = own.models.iter().map(|model| faster(model, model.share)).collect();
    own.models.insert(0, faster(&own.models[0], 1.0));
    own.models.extend(integers);
    let shown = sweep_table(&own, Style::Plain).unwrap();
    assert!(shown.lines().all(|line| line.chars().count() <= 80), "{shown}");
    insta::assert_snapshot!("integers_table", shown);
    let picture = sweep_svg(&own).unwrap().unwrap();
    assert!(picture.contains(">int8</text>") && picture.contains("class=\"on8\""));
    assert_eq!(sweep_csv(&own).unwrap().lines().filter(|line| line.ends_with(",int8")).count(), 5);
}

#[test]
fn a_metric_stands_where_there_is_no_accuracy() {
    let mut own = swept();
    for (model, after) in own.models.iter_mut().zip([0.91, 0.9, 0.8, 0.2]) {
        let command = "python mean_ap.py".into();
        model.summary.metric = Some(MetricChange { command, lower_is_better: false, before: 0.912, after });
    }
    // Beside the accuracy it stands below the table.
    let table = sweep_table(&own, Style::Plain).unwrap();
    assert!(table.contains("top-1") && table.contains("dense 0.912, x0.90 0.91, x0.70 0.9,"), "{table}");
    for model in &mut own.models {
        model.summary.accuracy = None;
    }
    let table = sweep_table(&own, Style::Plain).unwrap();
    assert!(table.contains("python mean_ap.py") && table.contains("0.912") && table.contains(" -0.112"), "{table}");
    assert!(table.lines().all(|line| line.chars().count() <= 80), "{table}");
    let front = |own: &Swept| own.models.iter().map(|model| own.on_front(model)).collect::<Vec<bool>>();
    assert_eq!(front(&own), [true, true, false, true]);
    let picture = sweep_svg(&own).unwrap().unwrap();
    assert!(picture.contains(">metric</text>") && picture.contains("python mean_ap.py"), "{picture}");
    let csv = sweep_csv(&own).unwrap();
    let last: Vec<&str> = csv.lines().filter_map(|line| line.rsplit(',').nth(1)).collect();
    assert_eq!(last, ["metric", "0.912", "0.91", "0.9", "0.8", "0.2"]);
    assert!(sweep_html(&own).unwrap().contains("<td class=\"n\">0.91</td>"));
    for model in &mut own.models {
        model.summary.metric.as_mut().unwrap().lower_is_better = true;
    }
    // Now every cut is better, and the dense model and the milder cuts are beaten.
    assert_eq!(front(&own), [false, false, false, true]);
}

#[test]
fn without_images_there_is_no_picture() {
    let mut bare = swept();
    for model in &mut bare.models {
        model.summary.accuracy = None;
        model.summary.agreement = None;
        model.summary.metric = None;
    }
    assert_eq!(sweep_svg(&bare).unwrap(), None);
    assert_eq!(sweep_csv(&bare).unwrap().lines().count(), 6);
}
