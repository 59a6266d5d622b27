//! Refines a pruned model and writes the result.
//!
//!     cargo bench --bench refine -- DENSE PRUNED IMAGES.npy OUT [rounds draws images seconds seed]
//!
//! `IMAGES.npy` holds preprocessed images, `[N, C, H, W]` single precision. With 0 rounds it takes as many as the seconds hold.
//!
//! Also prints what it computes in a second, setting up and judging included, beside products of large matrices on as many
//! threads: multiply-accumulates of the dense model once and of the pruned one three times (forward, back, weights) an image.

#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::panic, reason = "a benchmark prints its figures")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, Par};
use ndarray::{ArrayD, Axis};
use onnx_prune::channels::{AnalyseOptions, Measure, analyse};
use onnx_prune::engine::{EngineOptions, open};
use onnx_prune::model::{LoadOptions, Model, SaveOptions};
use onnx_prune::repair::global::{RefineOptions, Teacher, refine};

fn main() {
    let given: Vec<String> = std::env::args().skip(1).filter(|own| !own.starts_with("--")).collect();
    let [dense, pruned, images, out, numbers @ ..] = given.as_slice() else { return };
    let number = |index: usize, default: f64| numbers.get(index).map_or(default, |own| own.parse().unwrap());
    let load = |path: &String| Model::load(Path::new(path), &LoadOptions::default()).unwrap();
    let (dense, mut pruned) = (load(dense), load(pruned));
    let all: ArrayD<f32> = ndarray_npy::read_npy(images).unwrap();
    let batches: Vec<ArrayD<f32>> =
        all.axis_chunks_iter(Axis(0), 64).map(|batch| batch.as_standard_layout().into_owned()).collect();
    let engine = open(&EngineOptions::default()).unwrap().engine;
    let standard = RefineOptions::default();
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small counts")]
    let options = RefineOptions {
        rounds: Some(number(0, 6.0) as usize).filter(|&rounds| rounds > 0),
        draws: number(1, standard.draws as f64) as usize,
        images_per_draw: number(2, standard.images_per_draw as f64) as usize,
        seconds: number(3, standard.seconds),
        memory: 1 << 31,
        seed: number(4, 0.0) as u64,
        least_draw: 1,
    };
    let small = macs(&pruned);
    let teacher = Teacher { model: &dense, kept: BTreeMap::new(), passed_on: BTreeSet::new() };
    let begin = Instant::now();
    let refined = refine(&teacher, &mut pruned, engine.as_ref(), &batches, &options, &AtomicBool::new(false)).unwrap();
    let seconds = begin.elapsed().as_secs_f64();
    println!("{:.1} s, {} of {} rounds kept, {:?}", seconds, refined.kept, refined.rounds, refined.stopped_by);
    println!("{} numbers in {} nodes, compared: {}", refined.parameters, refined.nodes, refined.compared.join(", "));
    println!("held-out: {:.4?}", refined.errors);
    let rate = refined.drawn as f64 * (macs(&dense) + 3.0 * small) / seconds;
    let products = product_rate();
    println!(
        "{} images drawn, {:.1e} multiply-accumulates a second, x{:.2} of products of matrices ({products:.1e})",
        refined.drawn,
        rate,
        rate / products
    );
    for (node, why) in &refined.left_out {
        println!("left out: {node}: {why}");
    }
    let mut saving = SaveOptions::default();
    saving.force = true;
    pruned.save(Path::new(out), &saving).unwrap();
}

/// Multiply-accumulates of one image.
fn macs(model: &Model) -> f64 {
    analyse(model, &AnalyseOptions::default()).cost_model().dense(Measure::Macs)
}

/// Multiply-accumulates a second of products of matrices of 2,048 rows, the best of five, on all threads.
fn product_rate() -> f64 {
    const SIZE: usize = 2048;
    let matrix = Mat::<f32>::from_fn(SIZE, SIZE, |row, column| (row + column) as f32 / SIZE as f32);
    let mut product = Mat::<f32>::zeros(SIZE, SIZE);
    let once = |product: &mut Mat<f32>| {
        let begin = Instant::now();
        matmul(product.as_mut(), Accum::Replace, matrix.as_ref(), matrix.as_ref(), 1.0, Par::rayon(0));
        begin.elapsed().as_secs_f64()
    };
    let best = (0..5).map(|_| once(&mut product)).fold(f64::INFINITY, f64::min);
    SIZE.pow(3) as f64 / best
}
