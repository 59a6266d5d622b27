//! Compensation on models built in memory: what can be restored is, layer by layer, whatever reads the channels.
#![allow(
    missing_docs,
    clippy::pedantic,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "tests"
)]

mod dense_outputs;
mod held_out;
mod never_harms;
mod random_graphs;
#[path = "../support/mod.rs"]
mod support;

use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;

use held_out::Repair;
use onnx_prune::channels::{AnalyseOptions, Channels, Cut, analyse};
use onnx_prune::engine::feed::pairs;
use onnx_prune::engine::{CompileOptions, Engine, EngineChoice, EngineOptions, Feed, open};
use onnx_prune::evaluate::{InputSpec, input_specs, random_inputs};
use onnx_prune::model::Model;
use onnx_prune::repair::{LayerFit, Reconstruction};
use onnx_prune::rewrite::slice;
use support::Builder;

fn engine() -> Box<dyn Engine> {
    open(&EngineOptions { engine: EngineChoice::Tract, ..EngineOptions::default() }).unwrap().engine
}

fn images(model: &Model, count: u64) -> Vec<Feed> {
    let specs = input_specs(model);
    (0..count).map(|seed| image(&specs, seed)).collect()
}

fn image(specs: &[InputSpec], seed: u64) -> Feed {
    random_inputs(specs, &BTreeMap::new(), 1, seed)
}

fn cut(channels: &Channels, kept: impl Fn(usize, usize) -> Vec<usize>) -> Cut {
    let kept: Vec<Vec<usize>> = channels.groups.iter().enumerate().map(|(at, own)| kept(at, own.width())).collect();
    Cut::new(channels, &kept)
}

fn walked(dense: &Model, channels: &Channels, cut: &Cut) -> (Model, Model, Vec<LayerFit>) {
    let sliced = slice(dense, channels, cut).unwrap();
    let mut pruned = sliced.clone();
    let (engine, cancel) = (engine(), AtomicBool::new(false));
    let batches = images(dense, 60);
    let walk = Reconstruction {
        dense,
        channels,
        cut,
        engine: engine.as_ref(),
        batches: &batches,
        mirrored: 0,
        memory: 1 << 30,
        images: usize::MAX,
        rows: 512 << 20,
        around: None,
        quick: false,
        seed: 0,
        cancel: &cancel,
    };
    let fits = walk.refit(&mut pruned, &mut |_| ()).unwrap().layers;
    (sliced, pruned, fits)
}

/// Squared error of the outputs on images that were not seen, relative to the dense outputs.
fn error(dense: &Model, other: &Model) -> f64 {
    let engine = engine();
    let run = |model: &Model| -> Vec<f32> {
        let mut session = engine.compile(model, &CompileOptions::default()).unwrap();
        let feed = |image: &Feed| session.run(&pairs(image)).unwrap()[0].to_f32();
        images(dense, 70)[60..].iter().map(feed).flat_map(|value| value.iter().copied().collect::<Vec<_>>()).collect()
    };
    let (a, b) = (run(dense), run(other));
    assert_eq!(a.len(), b.len());
    let squares = |values: &mut dyn Iterator<Item = f32>| values.map(|v| f64::from(v).powi(2)).sum::<f64>();
    squares(&mut a.iter().zip(&b).map(|(a, b)| a - b)) / squares(&mut a.iter().copied())
}

/// A weight whose second half of rows repeats the first.
fn twice(b: &mut Builder, dims: &[usize]) -> String {
    let half: Vec<usize> = [&[dims[0] / 2], &dims[1..]].concat();
    let name = b.weight(&half);
    let tensor = b.graph.initializer.pop().unwrap();
    let values = Model::from_proto(Default::default()).tensor(&tensor).unwrap().to_f32().unwrap();
    let stored = b.stored(dims, &[values.clone(), values].concat());
    assert_ne!(name, stored);
    stored
}

/// `x -> Conv -> Relu` whose channels 4..8 are copies of 0..4.
fn copies(b: &mut Builder) -> String {
    let (w, bias) = (twice(b, &[8, 3, 3, 3]), twice(b, &[8]));
    let a = b.node("Conv", &["x", &w, &bias], &[("pads", vec![1; 4])]);
    b.relu(&a)
}

type Reader = fn(&mut Builder, &str) -> String;

const READERS: &[(&str, Reader)] = &[
    ("strided convolution", |b, a| {
        let w = b.weight(&[6, 8, 3, 3]);
        b.node("Conv", &[a, &w], &[("strides", vec![2, 2]), ("pads", vec![0, 1, 1, 0])])
    }),
    ("dilated convolution, same padding", |b, a| {
        let w = b.weight(&[6, 8, 3, 3]);
        let y = b.with_text("Conv", &[a, &w], ("auto_pad", "SAME_UPPER"));
        b.relu(&y)
    }),
    ("transposed convolution", |b, a| {
        let (w, bias) = (b.weight(&[8, 5, 3, 3]), b.weight(&[5]));
        b.node("ConvTranspose", &[a, &w, &bias], &[("strides", vec![2, 2]), ("pads", vec![1; 4])])
    }),
    ("depthwise, then pointwise", |b, a| {
        let w = twice(b, &[8, 1, 3, 3]);
        let d = b.node("Conv", &[a, &w], &[("group", vec![8]), ("pads", vec![1; 4])]);
        let d = b.relu(&d);
        let w = b.weight(&[6, 8, 1, 1]);
        b.node("Conv", &[&d, &w], &[])
    }),
    ("batch normalisation behind", |b, a| {
        let w = b.weight(&[6, 8, 3, 3]);
        let y = b.node("Conv", &[a, &w], &[]);
        let [scale, shift, mean] = [(); 3].map(|()| b.weight(&[6]));
        let variance = b.floats(&[0.5, 1.0, 2.0, 0.3, 0.7, 1.5]);
        let y = b.node("BatchNormalization", &[&y, &scale, &shift, &mean, &variance], &[]);
        b.relu(&y)
    }),
    ("residual sum", |b, a| {
        let short = b.conv("x", 3, 6, 1);
        let y = b.conv(a, 8, 6, 1);
        let sum = b.node("Add", &[&short, &y], &[]);
        b.relu(&sum)
    }),
    ("concatenation", |b, a| {
        let other = b.conv("x", 3, 4, 1);
        let all = b.node("Concat", &[&other, a], &[("axis", vec![1])]);
        b.conv(&all, 12, 6, 1)
    }),
    ("product over the last axis, bias added", |b, a| {
        let t = b.node("Transpose", &[a], &[("perm", vec![0, 2, 3, 1])]);
        let (w, bias) = (b.weight(&[8, 6]), b.weight(&[6]));
        let y = b.node("MatMul", &[&t, &w], &[]);
        b.node("Add", &[&y, &bias], &[])
    }),
    ("pooled, then Gemm", |b, a| {
        let pooled = b.node("GlobalAveragePool", &[a], &[]);
        let flat = b.node("Flatten", &[&pooled], &[]);
        let w = b.weight(&[5, 8]);
        b.node("Gemm", &[&flat, &w], &[("transB", vec![1])])
    }),
];

#[test]
fn cutting_copies_costs_nothing_whoever_reads_them() {
    for (name, reader) in READERS {
        let mut b = Builder::new(&[1, 3, 9, 9]);
        let a = copies(&mut b);
        let output = reader(&mut b, &a);
        let dense = b.model(&output);
        let channels = analyse(&dense, &AnalyseOptions::default());
        let own = channels.groups.iter().position(|group| group.width() == 8).unwrap_or_else(|| panic!("{name}"));
        let cut = cut(&channels, |group, width| (0..if group == own { 4 } else { width }).collect());
        let (sliced, pruned, fits) = walked(&dense, &channels, &cut);
        let (before, after) = (error(&dense, &sliced), error(&dense, &pruned));
        assert!(!fits.is_empty() && before > 0.02, "{name}: {before}");
        // The least ridge is 1e-5 of the variance.
        assert!(after < 1e-4, "{name}: {before} -> {after}, {fits:?}");
    }
}

#[test]
fn layers_behind_a_cut_come_closer_to_the_dense_model_one_after_the_other() {
    let dense = support::small_model();
    let channels = analyse(&dense, &AnalyseOptions::default());
    let cut = cut(&channels, |_, width| (0..width / 2).collect());
    let (sliced, pruned, fits) = walked(&dense, &channels, &cut);
    // The first convolution reads the image, which is as it was.
    assert_eq!(fits.iter().map(|fit| fit.columns).collect::<Vec<_>>(), [4 * 9, 6 * 9, 4]);
    let repair = Repair { dense: &dense, channels: &channels, cut: &cut, sliced: &sliced, repaired: &pruned };
    for fit in &fits {
        let judged = repair.judge(engine().as_ref(), fit, &images(&dense, 70)[60..]);
        assert!(judged.after < 0.9 * judged.before, "{judged:?} {fit:?}");
    }
    assert!(error(&dense, &pruned) < 0.5 * error(&dense, &sliced));
}

#[test]
fn nothing_cut_nothing_changed() {
    let dense = support::small_model();
    let channels = analyse(&dense, &AnalyseOptions::default());
    let cut = cut(&channels, |_, width| (0..width).collect());
    let (sliced, pruned, fits) = walked(&dense, &channels, &cut);
    assert!(fits.is_empty());
    assert_eq!(sliced.to_bytes(), pruned.to_bytes());
}

#[test]
fn one_thread_and_two_give_the_same_weights() {
    let dense = support::small_model();
    let channels = analyse(&dense, &AnalyseOptions::default());
    let run = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| walked(&dense, &channels, &cut(&channels, |_, width| (0..width / 2).collect())).1.to_bytes())
    };
    assert_eq!(run(1), run(2));
}

/// Nothing is kept, or some values in half precision.
#[test]
fn little_memory_changes_nothing_but_the_time() {
    let dense = support::small_model();
    let channels = analyse(&dense, &AnalyseOptions::default());
    let cut = cut(&channels, |_, width| (0..width / 2).collect());
    let (_, pruned, _) = walked(&dense, &channels, &cut);
    let (engine, cancel) = (engine(), AtomicBool::new(false));
    let batches = images(&dense, 60);
    for memory in [0, 100_000, 150_000, 200_000, 300_000] {
        let mut other = slice(&dense, &channels, &cut).unwrap();
        let walk = Reconstruction {
            dense: &dense,
            channels: &channels,
            cut: &cut,
            engine: engine.as_ref(),
            batches: &batches,
            mirrored: 0,
            memory,
            images: usize::MAX,
            rows: 512 << 20,
            around: None,
            quick: false,
            seed: 0,
            cancel: &cancel,
        };
        walk.refit(&mut other, &mut |_| ()).unwrap();
        let off = error(&pruned, &other);
        assert!(off < if memory == 0 { 1e-8 } else { 1e-5 }, "{memory}: {off}");
    }
}
