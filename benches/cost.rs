//! What scoring costs: seconds and peak memory of statistics and full path, and how they grow.
//!
//!     cargo bench --bench cost [-- CASE]        CASE: c512 c2048 outputs512 outputs2048 growth calibration
//!
//! `calibration` compares the pass over the images, statistics included, with a pass that fetches the same intermediate
//! values and drops them, on the same engine and threads, and with plain inference.

#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::panic, reason = "a benchmark prints its figures")]

use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use faer::Mat;
use ndarray::{Array2, Array3};
use onnx_prune::Error;
use onnx_prune::calibration::{
    Dataset, DatasetOptions, Inputs, PipelineOptions, PreprocessOptions, for_each_batch, sample,
};
use onnx_prune::channels::{AnalyseOptions, analyse};
use onnx_prune::engine::feed::pairs;
use onnx_prune::engine::{CompileOptions, EngineOptions, open};
use onnx_prune::evaluate::input_specs;
use onnx_prune::model::{LoadOptions, Model};
use onnx_prune::pipeline::{Criteria, DataOptions, ModelOptions, PruneOptions, Silent, score};
use onnx_prune::repair::{Compensation, MomentOptions, Moments, Products};
use onnx_prune::report::peak_memory_bytes;
use onnx_prune::score::relatedness::Relatedness;
use onnx_prune::score::responses::Responses;
use onnx_prune::score::{Criterion as _, GroupInput, LassoOptions, Response, StlpIb};
use onnx_prune::statistics::{Blocks, Centring, Contributions, InputFeatures, Kernel, gram};

const IMAGES: usize = 1000;

fn main() {
    let chosen: Vec<String> = std::env::args().skip(1).filter(|own| !own.starts_with('-')).collect();
    let wanted = |name: &str| chosen.is_empty() || chosen.iter().any(|own| own == name);
    for (name, channels, classes) in [("c512", 512, 10), ("c2048", 2048, 100)] {
        if wanted(name) {
            labels(channels, classes);
        }
    }
    for (name, channels, classes) in [("outputs512", 512, 10), ("outputs2048", 2048, 20)] {
        if wanted(name) {
            outputs(channels, classes);
        }
    }
    if wanted("growth") {
        growth();
    }
    if wanted("calibration") {
        calibration();
    }
}

/// Noise in [-1, 1) from an integer, the same on every platform.
#[allow(clippy::cast_possible_truncation, reason = "24 bits")]
fn noise(index: usize) -> f32 {
    let mixed = (index as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    ((mixed ^ (mixed >> 29)).wrapping_mul(0xBF58_476D_1CE4_E5B9) >> 40) as f32 / (1 << 23) as f32 - 1.0
}

/// Features that follow a few latent directions of the classes.
fn features(images: usize, channels: usize, classes: usize, depth: usize) -> Array3<f32> {
    Array3::from_shape_fn((images, channels, depth), |(image, channel, feature)| {
        let latent = noise((image % classes) * 7919 + channel % 37);
        latent + 0.8 * noise((image * channels + channel) * depth + feature)
    })
}

fn peak() -> String {
    peak_memory_bytes()
        .map_or_else(|| "unknown".into(), |bytes| format!("{:.2} GiB", bytes as f64 / f64::from(1 << 30)))
}

/// Statistics and full path on pooled features, sixteen for each channel.
fn labels(channels: usize, classes: usize) {
    let consumer_inputs = [InputFeatures { features: features(IMAGES, channels, classes, 16) }];
    let given: Vec<usize> = (0..IMAGES).map(|image| image % classes).collect();
    let responses = Responses::from_labels(&given, classes).unwrap();
    let scores = Array2::from_shape_fn((IMAGES, classes), |(image, class)| {
        f32::from(u8::from(image % classes == class)) * 4.0 + noise(image * classes + class)
    });
    let related = Relatedness::from_outputs(scores.view());
    let weights = Array2::from_shape_fn((channels, 64), |(channel, output)| noise(channel * 64 + output));
    let energy = LassoOptions { response: Response::Labels, ..LassoOptions::default() };
    for (name, options) in [("energy, linear kernel", energy), ("literal, Gaussian kernel", LassoOptions::literal())] {
        let input = GroupInput {
            consumer_inputs: &consumer_inputs,
            responses: Some(&responses),
            relatedness: Some(&related),
            name: "group",
            width: channels,
            consumer_weights: vec![weights.view()],
            ..GroupInput::default()
        };
        let begin = Instant::now();
        let found = StlpIb { options }.score(&input).unwrap();
        let path = found.path.unwrap();
        println!(
            "labels, {name}: n = {IMAGES}, c = {channels}, K = {classes}: {:.1} s, peak {}, {} lambdas, {} sweeps, residual {:.1e}",
            begin.elapsed().as_secs_f64(),
            peak(),
            path.lambdas.len(),
            path.sweeps,
            path.residual
        );
    }
}

/// Statistics and full path of the class-conditional form, forty rows for each image.
#[allow(clippy::cast_possible_truncation, reason = "weights are single precision")]
fn outputs(channels: usize, classes: usize) {
    const ROWS: usize = 40;
    let weights = Mat::from_fn(channels, 64, |channel, output| f64::from(noise(channel * 64 + output)));
    let square = &weights * weights.transpose();
    let single = Mat::from_fn(channels, channels, |a, b| square[(a, b)] as f32);
    let related = Relatedness::from_outputs(
        Array2::from_shape_fn((100, classes), |(row, class)| {
            noise(row * classes + class) + noise(row * 31 + class / 3)
        })
        .view(),
    );
    let begin = Instant::now();
    let mut sums = Contributions::new(classes, channels, channels);
    for class in 0..classes {
        let count = IMAGES * ROWS / classes;
        let rows = Mat::from_fn(count, channels, |row, channel| {
            f64::from(
                noise(class * 7919 + channel % 37 + row % 11) + 0.8 * noise((class * count + row) * channels + channel),
            )
        });
        let totals: Vec<f64> = rows.col_iter().map(|column| column.iter().sum()).collect();
        sums.add(class, count, (rows.transpose() * &rows).as_ref(), single.as_ref(), &totals);
    }
    let units: Vec<Vec<usize>> = (0..channels).map(|channel| vec![channel]).collect();
    let contributions = [sums.finish(weights.as_ref(), &units, Centring::Class).unwrap()];
    drop(sums);
    let gathered = begin.elapsed().as_secs_f64();
    let input = GroupInput {
        name: "group",
        width: channels,
        contributions: &contributions,
        relatedness: Some(&related),
        ..GroupInput::default()
    };
    let path = StlpIb::default().score(&input).unwrap().path.unwrap();
    println!(
        "outputs class by class: n = {IMAGES}, c = {channels}, K = {classes}: statistics {gathered:.1} s, with path {:.1} s, peak {}, {} lambdas, {} sweeps, residual {:.1e}",
        begin.elapsed().as_secs_f64(),
        peak(),
        path.lambdas.len(),
        path.sweeps,
        path.residual
    );
}

/// Seconds of the statistics over sizes, and the exponents of a least-squares fit.
fn growth() {
    let time = |images: usize, channels: usize, blocks: &Blocks| {
        let features = features(images, channels, 10, 16);
        let labels: Vec<usize> = (0..images).map(|image| image % 10).collect();
        let responses = Responses::from_labels(&labels, 10).unwrap();
        let begin = Instant::now();
        gram(features.view(), responses.classes(), Kernel::Gaussian, blocks, None).unwrap();
        begin.elapsed().as_secs_f64()
    };
    let slope = |points: &[(f64, f64)]| {
        let logs: Vec<(f64, f64)> = points.iter().map(|(x, y)| (x.ln(), y.ln())).collect();
        let n = logs.len() as f64;
        let (mx, my) = (logs.iter().map(|p| p.0).sum::<f64>() / n, logs.iter().map(|p| p.1).sum::<f64>() / n);
        logs.iter().map(|p| (p.0 - mx) * (p.1 - my)).sum::<f64>() / logs.iter().map(|p| (p.0 - mx).powi(2)).sum::<f64>()
    };
    let by_channels: Vec<(f64, f64)> = [128, 256, 512, 1024].map(|c| (c as f64, time(500, c, &Blocks::All))).to_vec();
    let by_images: Vec<(f64, f64)> = [250, 500, 1000, 2000].map(|n| (n as f64, time(n, 256, &Blocks::All))).to_vec();
    println!("exact Gaussian statistics, n = 500: {by_channels:.2?} s, exponent of c {:.2}", slope(&by_channels));
    println!("exact Gaussian statistics, c = 256: {by_images:.2?} s, exponent of n {:.2}", slope(&by_images));
    let inside = |n: usize| {
        let labels: Vec<usize> = (0..n).map(|image| image % 10).collect();
        Blocks::Inside(onnx_prune::statistics::stratified_blocks(&labels, 50))
    };
    let by_images: Vec<(f64, f64)> = [250, 500, 1000, 2000].map(|n| (n as f64, time(n, 256, &inside(n)))).to_vec();
    println!("block HSIC of 50, c = 256: {by_images:.2?} s, exponent of n {:.2}", slope(&by_images));
}

fn calibration() {
    let shared = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared");
    let cifar = PreprocessOptions {
        mean: Some(vec![0.485, 0.456, 0.406]),
        std: Some(vec![0.229, 0.224, 0.225]),
        ..PreprocessOptions::default()
    };
    let imagenet = PreprocessOptions {
        scale: Some(1.0),
        mean: Some(vec![128.0; 3]),
        std: Some(vec![128.0; 3]),
        ..PreprocessOptions::default()
    };
    for (model, data, classes, preprocess) in [
        ("cifar10_resnet20", "cifar10_sample/train", None, &cifar),
        ("cifar10_resnet56", "cifar10_sample/train", None, &cifar),
        ("imagenet_mobilenet_v2", "imagenette_train", Some("imagenet_wnids.txt"), &imagenet),
    ] {
        let path = shared.join("models").join(format!("{model}.onnx"));
        let data = DataOptions {
            data: Some(shared.join("data").join(data)),
            classes: classes.map(|file| shared.join("data").join(file)),
            preprocess: preprocess.clone(),
            samples: Some(300),
            ..DataOptions::default()
        };
        if !path.is_file() {
            println!("calibration of {model}: skipped, it is not there");
            continue;
        }
        let (dropped, plain) = (pass(&path, &data, true), pass(&path, &data, false));
        for (name, response) in [("labels", Response::Labels), ("outputs", Response::Outputs)] {
            let lasso = LassoOptions { response, ..LassoOptions::default() };
            let options = PruneOptions {
                model: ModelOptions { path: path.clone(), ..ModelOptions::default() },
                data: data.clone(),
                criteria: Criteria { criterion: Some("stlp-ib".into()), lasso, ..Criteria::default() },
                compensation: Compensation::None,
                ..PruneOptions::default()
            };
            let once = || score(&options, &Silent, &AtomicBool::new(false)).unwrap().timings_s["calibrate"];
            let own = once().min(once());
            println!(
                "calibration of {model}, response {name}: {own:.2} s, {:.2} times fetching and dropping ({dropped:.2} s), {:.2} times plain inference ({plain:.2} s)",
                own / dropped,
                own / plain
            );
        }
    }
}

/// Seconds of a pass over the images, fetching what the consumers read or only the first output; the better of two.
fn pass(path: &Path, data: &DataOptions, fetch: bool) -> f64 {
    let model = Model::load(path, &LoadOptions::default()).unwrap();
    let channels = analyse(&model, &AnalyseOptions::default());
    let options = MomentOptions {
        images: 1,
        seed: 0,
        products: Products::Means,
        classes: None,
        weighted: false,
        memory: u64::MAX,
    };
    let mut names = vec![model.graph().output[0].name().to_owned()];
    if fetch {
        names.extend(Moments::new(&model, &channels, options).wants());
    }
    let engine = open(&EngineOptions::default()).unwrap().engine;
    let known = DatasetOptions { classes: data.classes.clone(), inputs: Vec::new(), strict: false };
    let once = || {
        let begin = Instant::now();
        let dataset = Dataset::open(data.data.as_deref().unwrap(), &known).unwrap();
        let specs = input_specs(&model);
        let inputs = Inputs::resolve(&dataset, &specs, &data.preprocess).unwrap();
        let outputs = CompileOptions { outputs: names.clone(), ..CompileOptions::default() };
        let mut session = engine.compile(&model, &outputs).unwrap();
        let small = specs[0].shape[2].is_some_and(|side| side < 96);
        let batch = if small { 32 } else { 8 };
        let batch = specs[0].shape[0].unwrap_or(batch);
        let pipeline = PipelineOptions { batch, strict: false };
        let indices = sample(&dataset, data.samples, 0);
        for_each_batch(&dataset, &indices, &inputs, &pipeline, &AtomicBool::new(false), |batch| {
            session.run(&pairs(&batch.inputs)).map_err(Error::from)?;
            Ok::<(), Error>(())
        })
        .unwrap();
        begin.elapsed().as_secs_f64()
    };
    once().min(once())
}
