//! The reconstruction of random graphs: it ends, makes layers better on images that it did not see, and leaves a model that the
//! engine runs.

use std::cell::RefCell;
use std::sync::atomic::AtomicBool;

use onnx_prune::channels::{AnalyseOptions, Cut, analyse};
use onnx_prune::engine::feed::pairs;
use onnx_prune::engine::{CompileOptions, Engine, Feed, Tensor};
use onnx_prune::evaluate::input_specs;
use onnx_prune::model::Model;
use onnx_prune::repair::{LayerFit, Reconstructed, Reconstruction};
use onnx_prune::rewrite::slice;
use proptest::prelude::*;

use crate::held_out::{Judged, Repair};
use crate::support::problem::{Problem, cases, kept, problem, runner};
use crate::support::{self, Need};

const NAME: &str = "layers_of_random_graphs_are_refitted_without_harm";

/// Images that layers are fitted on, and that they are judged on.
const IMAGES: u64 = 60;

/// Rows for every weight of an output from which on a fit must never do harm. The heads have one row per image and more
/// weights than that.
const ENOUGH: usize = 10;

fn outputs(engine: &dyn Engine, model: &Model, images: &[Feed]) -> Result<Vec<Tensor>, String> {
    let mut session = engine.compile(model, &CompileOptions::default()).map_err(|error| error.to_string())?;
    let mut run = |image: &Feed| session.run(&pairs(image)).map_err(|error| error.to_string());
    images.iter().map(|image| Ok(run(image)?.remove(0))).collect()
}

/// What the layers of all graphs came to.
#[derive(Default)]
struct Found {
    refused: u32,
    /// With enough rows, and with few.
    enough: Vec<Judged>,
    few: Vec<Judged>,
}

/// Fits the layers of one graph and judges each; `None` if the engine does not run the graph.
fn refit(engine: &dyn Engine, problem: &Problem) -> Result<Option<Vec<(LayerFit, Judged)>>, String> {
    let model = problem.build();
    let specs = input_specs(&model);
    assert_eq!(specs.len(), 1);
    let image = |seed| super::image(&specs, problem.seed ^ seed);
    let images: Vec<Feed> = (0..IMAGES).map(image).collect();
    let Ok(dense) = outputs(engine, &model, &images[..1]) else { return Ok(None) };
    let channels = analyse(&model, &AnalyseOptions::default());
    let cut = Cut::new(&channels, &kept(&channels, problem.seed));
    let sliced = slice(&model, &channels, &cut).map_err(|error| error.to_string())?;
    let mut repaired = sliced.clone();
    let walk = Reconstruction {
        dense: &model,
        channels: &channels,
        cut: &cut,
        engine,
        batches: &images,
        mirrored: 0,
        memory: if problem.seed.is_multiple_of(2) { 1 << 30 } else { 20_000 },
        images: usize::MAX,
        rows: 1 << 24,
        around: None,
        quick: false,
        seed: 0,
        cancel: &AtomicBool::new(false),
    };
    let Reconstructed { layers, left } = walk.refit(&mut repaired, &mut |_| ()).map_err(|error| error.to_string())?;
    if !left.is_empty() {
        return Err(format!("left: {left:?}"));
    }
    let found = outputs(engine, &repaired, &images[..1])?;
    let finite = |tensor: &Tensor| tensor.to_f32().iter().all(|value| value.is_finite());
    if found[0].shape() != dense[0].shape() || finite(&dense[0]) && !finite(&found[0]) {
        return Err("the repaired model gives something else".into());
    }
    let others: Vec<Feed> = (1000..1000 + IMAGES).map(image).collect();
    let (channels, cut) = (&channels, &cut);
    let repair = Repair { dense: &model, channels, cut, sliced: &sliced, repaired: &repaired };
    Ok(Some(layers.into_iter().map(|fit| (fit.clone(), repair.judge(engine, &fit, &others))).collect()))
}

#[test]
fn layers_of_random_graphs_are_refitted_without_harm() {
    let cases = cases("ONNX_PRUNE_WALKS", 150);
    let engine = support::onnx_runtime().unwrap_or_else(|_| super::engine());
    let all = RefCell::new(Found::default());
    let result = runner(cases).run(&problem(3..10), |problem| {
        let mut all = all.borrow_mut();
        let Some(layers) = refit(engine.as_ref(), &problem).map_err(TestCaseError::fail)? else {
            all.refused += 1;
            return Ok(());
        };
        for (fit, judged) in layers {
            if fit.rows < ENOUGH * fit.columns {
                all.few.push(judged);
                continue;
            }
            prop_assert!(!judged.is_worse(), "{judged:?} {fit:?}");
            all.enough.push(judged);
        }
        Ok(())
    });
    if let Err(error) = result {
        panic!("{error}");
    }
    let Found { refused, enough, few } = all.into_inner();
    if refused > 0 {
        assert_eq!(engine.info().name, "tract", "ONNX Runtime refuses {refused} of {cases} graphs");
        support::skip(NAME, Need::OnnxRuntime, &format!("the embedded engine refuses {refused} of {cases} graphs"));
    }
    assert!(refused < cases / 5, "the engine refuses too many of the graphs");
    for (what, judged, worse) in [("enough", &enough, 0), ("few", &few, few.len() / 20)] {
        let found = judged.iter().filter(|own| own.is_worse()).count();
        let better = judged.iter().filter(|own| own.after < 0.9 * own.before).count();
        println!("{} layers with {what} rows: {found} worse, {better} better by a tenth", judged.len());
        assert!(judged.len() > cases as usize / 4, "only {} layers with {what} rows", judged.len());
        assert!(found <= worse, "{found} of {} layers with {what} rows are worse", judged.len());
        assert!(2 * better > judged.len(), "hardly a layer with {what} rows is better: {better} of {}", judged.len());
    }
}
