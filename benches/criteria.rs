//! One table: criterion x model x share of the MACs kept, top-1 before and after the same compensation, worst class, times.
//!
//!     cargo bench --bench criteria -- [--models R20,R56,MBV2,VGG16] [--shares 0.7,0.5,0.3] [--seeds 3] [--eval 2000]
//!                                     [--criteria NAME,...] [--images 500] [--variants]
//!
//! `--variants` adds all settings of the lasso beside the defaults; single ones are named like `stlp-ib/labels`.
//!
//! Models and images are those of ../shared; `ONNX_PRUNE_CIFAR` names a folder with CIFAR-10 as `train` and `test` class
//! folders in place of its sample, `ONNX_PRUNE_VGG16` a CIFAR-10 VGG-16. One line per seed is printed as it comes, then the
//! table: mean (lowest..highest) over the seeds. A seed draws the calibration images and the positions.

#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::panic,
    clippy::expect_used,
    reason = "a benchmark prints its table"
)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use onnx_prune::calibration::PreprocessOptions;
use onnx_prune::pipeline::{
    Criteria, DataOptions, ModelOptions, PruneOptions, RoundTo, Silent, StudyBase, StudyEntry, StudyRow, study,
};
use onnx_prune::repair::Compensation;
use onnx_prune::score::{LassoOptions, Mixture, NAMES, Response};
use onnx_prune::statistics::{Centring, Normalisation};

fn main() {
    let flags: Vec<String> = std::env::args().skip(1).collect();
    let flag = |name: &str, default: &str| {
        let at = flags.iter().position(|own| own == name);
        at.and_then(|at| flags.get(at + 1)).cloned().unwrap_or_else(|| default.into())
    };
    let list = |name: &str, default: &str| -> Vec<String> {
        flag(name, default).split(',').filter(|own| !own.is_empty()).map(str::to_owned).collect()
    };
    let shares: Vec<f64> = list("--shares", "0.7,0.5,0.3").iter().map(|share| share.parse().unwrap()).collect();
    let (seeds, eval): (u64, usize) = (flag("--seeds", "3").parse().unwrap(), flag("--eval", "2000").parse().unwrap());
    let images: usize = flag("--images", "500").parse().unwrap();
    let wanted = list("--criteria", &NAMES.join(","));
    let known: Vec<StudyEntry> = NAMES.iter().map(|name| plain(name)).chain(variants()).collect();
    let all = flags.iter().any(|own| own == "--variants");
    let entries: Vec<StudyEntry> =
        known.into_iter().filter(|own| wanted.contains(&own.name) || all && own.name.contains('/')).collect();
    for model in list("--models", "R20,R56,MBV2,VGG16") {
        match options(&model, images, eval) {
            None => println!("{model}: skipped, the model or its images are not there"),
            Some(options) => table(&model, &options, &entries, &shares, seeds),
        }
    }
}

fn plain(name: &str) -> StudyEntry {
    let criteria = Criteria { criterion: Some(name.into()), round_to: RoundTo::Multiple(1), ..Criteria::default() };
    StudyEntry { name: name.into(), criteria }
}

/// What may be set otherwise: responses, kernel and normalisation, centring, mixtures, theta and rho of the graph.
fn variants() -> Vec<StudyEntry> {
    let with = |criterion: &str, name: &str, change: &dyn Fn(&mut Criteria)| {
        let mut entry = plain(criterion);
        change(&mut entry.criteria);
        StudyEntry { name: format!("{criterion}/{name}"), ..entry }
    };
    let labels = LassoOptions { response: Response::Labels, ..LassoOptions::default() };
    let mut all = vec![
        with("stlp-ib", "labels", &|own| own.lasso = labels),
        with("sglp-ib", "labels", &|own| own.lasso = labels),
        with("apib", "labels", &|own| own.lasso = labels),
        with("stlp-ib", "soft", &|own| own.lasso = LassoOptions { response: Response::Soft, ..labels }),
        with("stlp-ib", "literal", &|own| own.lasso = LassoOptions::literal()),
        with("sglp-ib", "literal", &|own| own.lasso = LassoOptions::literal()),
        with("stlp-ib", "frobenius", &|own| own.lasso.normalisation = Normalisation::Frobenius),
        with("stlp-ib", "global-centre", &|own| own.lasso.centring = Centring::Global),
        with("sglp-ib", "global-centre", &|own| own.lasso.centring = Centring::Global),
        with("stlp-obs", "exchange", &|own| own.mixture = Mixture::Exchange),
        with("sglp-obs", "exchange", &|own| own.mixture = Mixture::Exchange),
        with("stlp-obs", "global-centre", &|own| own.lasso.centring = Centring::Global),
    ];
    for (name, theta) in [("l1", 0.0), ("theta-0.3", 0.3), ("theta-3", 3.0)] {
        all.push(with("sglp-ib", name, &|own| own.lasso.theta = theta));
    }
    for (name, threshold) in [("rho-0.1", 0.1), ("rho-0.4", 0.4)] {
        all.push(with("sglp-ib", name, &|own| own.lasso.graph.threshold = threshold));
    }
    all
}

fn options(model: &str, images: usize, eval: usize) -> Option<PruneOptions> {
    let shared = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared");
    let cifar = std::env::var_os("ONNX_PRUNE_CIFAR").map_or_else(|| shared.join("data/cifar10_sample"), PathBuf::from);
    let cifar = |file: PathBuf| {
        let preprocess = PreprocessOptions {
            mean: Some(vec![0.485, 0.456, 0.406]),
            std: Some(vec![0.229, 0.224, 0.225]),
            ..PreprocessOptions::default()
        };
        (file, cifar.join("train"), cifar.join("test"), None, preprocess)
    };
    let (path, data, held_out, classes, preprocess) = match model {
        "R20" => cifar(shared.join("models/cifar10_resnet20.onnx")),
        "R20BN" => cifar(shared.join("models/cifar10_resnet20_bn.onnx")),
        "R56" => cifar(shared.join("models/cifar10_resnet56.onnx")),
        "VGG16" => cifar(PathBuf::from(std::env::var_os("ONNX_PRUNE_VGG16")?)),
        "MBV2" => {
            let preprocess = PreprocessOptions {
                scale: Some(1.0),
                mean: Some(vec![128.0; 3]),
                std: Some(vec![128.0; 3]),
                ..PreprocessOptions::default()
            };
            let data = shared.join("data");
            let classes = Some(data.join("imagenet_wnids.txt"));
            let file = shared.join("models/imagenet_mobilenet_v2.onnx");
            (file, data.join("imagenette_train"), data.join("imagenet_val"), classes, preprocess)
        }
        other => panic!("unknown model {other}"),
    };
    (path.is_file() && data.is_dir() && held_out.is_dir()).then(|| PruneOptions {
        model: ModelOptions { path, ..ModelOptions::default() },
        data: DataOptions {
            statistics: None,
            data: Some(data),
            eval: Some(held_out),
            classes,
            preprocess,
            samples: Some(images),
            eval_samples: Some(eval),
            eval_skip: 0,
            strict: false,
        },
        compensation: Compensation::Sequential,
        // Selection is compared, not what refinement makes of it.
        refine: Some(0.0),
        ..PruneOptions::default()
    })
}

/// Rows of all seeds by entry and share (in thousandths).
type Rows = BTreeMap<(usize, u64), Vec<(StudyRow, StudyRow)>>;

fn table(model: &str, options: &PruneOptions, entries: &[StudyEntry], shares: &[f64], seeds: u64) {
    let mut rows = Rows::new();
    let (mut dense, mut timings) = (None, BTreeMap::new());
    let place = |name: &str| entries.iter().position(|own| own.name == name).unwrap();
    for seed in 0..seeds {
        let options = PruneOptions { seed, ..options.clone() };
        let mut before = None;
        let mut each = |row: StudyRow| {
            if row.compensation == Compensation::None {
                before = Some(row);
            } else {
                let before: StudyRow = before.take().expect("every pair begins uncompensated");
                println!(
                    "{model} seed {seed} x{:.2} {:<28} {:6.2} -> {:6.2} worst {:5.1} -> {:5.1} MACs {:.4} agree {:.3}",
                    row.target,
                    row.name,
                    before.accuracy,
                    row.accuracy,
                    before.worst_class,
                    row.worst_class,
                    row.macs,
                    row.agreement
                );
                #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share in thousandths")]
                rows.entry((place(&row.name), (1000.0 * row.target).round() as u64)).or_default().push((before, row));
            }
        };
        let cancel = AtomicBool::new(false);
        let StudyBase { dense: own, timings: seconds } =
            study(&options, entries, shares, &mut each, &Silent, &cancel).unwrap();
        (dense, timings) = (Some(own), seconds);
    }
    let dense = dense.unwrap();
    println!("\n## {model}: dense {:.2} %, worst class {:.1} %, {seeds} seeds", dense.accuracy, dense.worst_class);
    println!("calibration with everything that any criterion needs: {:.1} s\n", timings["calibrate"]);
    println!("| criterion | kept | MACs | uncompensated | compensated | worst class | drop | score s | plan s |");
    println!("| --- | --- | --- | --- | --- | --- | --- | --- | --- |");
    for ((entry, share), seeds) in &rows {
        let of = |value: &dyn Fn(&(StudyRow, StudyRow)) -> f64| {
            let all: Vec<f64> = seeds.iter().map(value).collect();
            let mean = all.iter().sum::<f64>() / all.len() as f64;
            let (low, high) = all.iter().fold((f64::MAX, f64::MIN), |(low, high), &v| (low.min(v), high.max(v)));
            (mean, format!("{mean:.2} ({low:.1}..{high:.1})"))
        };
        let worst = of(&|own| own.1.worst_class);
        println!(
            "| {} | {:.2} | {:.4} | {} | {} | {} | {:.1} | {:.1} | {:.1} |",
            entries[*entry].name,
            *share as f64 / 1000.0,
            of(&|own| own.1.macs).0,
            of(&|own| own.0.accuracy).1,
            of(&|own| own.1.accuracy).1,
            worst.1,
            dense.worst_class - worst.0,
            of(&|own| own.1.seconds.0).0,
            of(&|own| own.1.seconds.1).0,
        );
    }
    println!();
}
