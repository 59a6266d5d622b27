//! The walk on random graphs: it ends, does no harm on held-out rows, and leaves a model that the engine runs.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use onnx_prune::channels::{AnalyseOptions, Cut, analyse};
use onnx_prune::engine::{CompileOptions, Engine, EngineOptions, Tensor, open};
use onnx_prune::evaluate::{input_specs, random_inputs};
use onnx_prune::model::Model;
use onnx_prune::repair::Reconstruction;
use onnx_prune::rewrite::slice;
use proptest::prelude::*;

use crate::support::problem::{cases, kept, problem, runner};

const IMAGES: u64 = 20;

fn outputs(engine: &dyn Engine, model: &Model, images: &[Arc<Tensor>], name: &str) -> Result<Vec<Tensor>, String> {
    let mut session = engine.compile(model, &CompileOptions::default()).map_err(|error| error.to_string())?;
    let mut run = |image: &Arc<Tensor>| session.run(&[(name, image.as_ref())]).map_err(|error| error.to_string());
    images.iter().map(|image| Ok(run(image)?.remove(0))).collect()
}

#[test]
fn layers_of_random_graphs_are_refitted_without_harm() {
    let cases = cases("ONNX_PRUNE_WALKS", 150);
    let engine = open(&EngineOptions::default()).unwrap().engine;
    let (fitted, gained) = (Cell::new(0), Cell::new(0));
    let result = runner(cases).run(&problem(3..10), |problem| {
        let model = problem.build();
        let specs = input_specs(&model);
        let [input] = &specs[..] else { return Ok(()) };
        let image = |seed| Arc::new(random_inputs(&specs, &BTreeMap::new(), 1, problem.seed ^ seed).remove(0).1);
        let images: Vec<Arc<Tensor>> = (0..IMAGES).map(image).collect();
        let Ok(dense) = outputs(engine.as_ref(), &model, &images[..1], &input.name) else { return Ok(()) };
        let channels = analyse(&model, &AnalyseOptions::default());
        let cut = Cut::new(&channels, &kept(&channels, problem.seed));
        let mut pruned = slice(&model, &channels, &cut).map_err(|error| TestCaseError::fail(error.to_string()))?;
        let cancel = AtomicBool::new(false);
        let walk = Reconstruction {
            dense: &model,
            channels: &channels,
            cut: &cut,
            engine: engine.as_ref(),
            input: &input.name,
            batches: &images,
            memory: if problem.seed % 2 == 0 { 1 << 30 } else { 20_000 },
            images: usize::MAX,
            rows: 1 << 24,
            seed: 0,
            cancel: &cancel,
        };
        let walked = walk.refit(&mut pruned, &mut |_| ()).map_err(|error| TestCaseError::fail(error.to_string()))?;
        prop_assert!(walked.left.is_empty(), "{:?}", walked.left);
        for fit in &walked.layers {
            let (before, after) = fit.error;
            prop_assert!(after <= before * (1.0 + 1e-6) + 1e-9, "{}: {before} -> {after}", fit.name);
            gained.set(gained.get() + usize::from(after < 0.99 * before));
        }
        fitted.set(fitted.get() + walked.layers.len());
        let found = outputs(engine.as_ref(), &pruned, &images[..1], &input.name).map_err(TestCaseError::fail)?;
        prop_assert_eq!(found[0].shape(), dense[0].shape());
        let finite = |tensor: &Tensor| tensor.to_f32().iter().all(|value| value.is_finite());
        prop_assert!(!finite(&dense[0]) || finite(&found[0]), "the repaired model is not finite");
        Ok(())
    });
    if let Err(error) = result {
        panic!("{error}");
    }
    println!(
        "{cases} graphs, {} layers refitted, {} of them closer by more than a hundredth",
        fitted.get(),
        gained.get()
    );
    assert!(gained.get() > cases as usize / 4, "hardly anything was repaired");
}
