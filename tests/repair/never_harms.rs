//! Whole runs on random graphs: every stage of the repair is on, and on inputs that the run did not see the outputs are no
//! farther from the dense model's than without repair. No run ends but with a model or with an error that says why.

use std::cell::RefCell;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use ndarray::{ArrayD, Axis, concatenate};
use onnx_prune::Error;
use onnx_prune::engine::feed::pairs;
use onnx_prune::engine::{CompileOptions, Engine, EngineChoice, EngineOptions, Feed};
use onnx_prune::evaluate::input_specs;
use onnx_prune::model::{LoadOptions, Model, SaveOptions};
use onnx_prune::pipeline::{
    ApplyOptions, Criteria, DataOptions, ModelOptions, PruneOptions, RoundTo, Silent, apply, prune,
};
use onnx_prune::plan::{Budget, Target};
use proptest::prelude::*;

use crate::support::problem::{Problem, cases, problem, runner};
use crate::support::{self, Need};

/// Inputs that a run is given, and inputs that it is judged on.
const GIVEN: u64 = 120;
const UNSEEN: u64 = 200;

/// Seconds of the global repair.
const REFINE: f64 = 0.5;

/// What a run came to.
enum Ran {
    /// Errors of the outputs on unseen inputs, input by input: without repair, and with it.
    Repaired(Vec<[f64; 2]>),
    /// Why there is no model.
    Refused(String),
}

fn options(folder: &Path, choice: EngineChoice, seed: u64) -> PruneOptions {
    PruneOptions {
        model: ModelOptions { path: folder.join("model.onnx"), ..ModelOptions::default() },
        data: DataOptions { data: Some(folder.join("inputs.npy")), ..DataOptions::default() },
        engine: EngineOptions { engine: choice, ..EngineOptions::default() },
        criteria: Criteria {
            budget: Budget::Macs(Target::Share(0.7)),
            round_to: RoundTo::Multiple(1),
            ..Criteria::default()
        },
        refine: Some(REFINE),
        skip_timing: true,
        seed,
        ..PruneOptions::default()
    }
}

/// A whole run of one graph.
fn run(problem: &Problem, engine: &dyn Engine, choice: EngineChoice) -> Result<Ran, String> {
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let model = problem.build();
    let specs = input_specs(&model);
    let image = |seed: u64| super::image(&specs, problem.seed.wrapping_mul(31).wrapping_add(seed));
    model.save(&folder.path().join("model.onnx"), &SaveOptions::default()).map_err(|error| error.to_string())?;
    let given: Vec<ArrayD<f32>> = (0..GIVEN).map(|seed| image(seed)["x"].to_f32().into_owned()).collect();
    let given = concatenate(Axis(0), &given.iter().map(|own| own.view()).collect::<Vec<_>>()).unwrap();
    ndarray_npy::write_npy(folder.path().join("inputs.npy"), &given).map_err(|error| error.to_string())?;
    let options = options(folder.path(), choice, problem.seed);
    if let Err(error) = prune(&options, &Silent, &AtomicBool::new(false)) {
        return refusal(&error);
    }
    let load = |path: &Path| Model::load(path, &LoadOptions::default()).map_err(|error| error.to_string());
    let repaired = load(&options.output_path())?;
    let sliced = ApplyOptions {
        model: options.model.clone(),
        plan: options.plan_path().unwrap(),
        output: folder.path().join("sliced.onnx"),
        masked: false,
        force: false,
    };
    apply(&sliced).map_err(|error| error.to_string())?;
    let bare = load(&sliced.output)?;
    let unseen: Vec<Feed> = (10_000..10_000 + UNSEEN).map(image).collect();
    let [dense, bare, repaired] = [&model, &bare, &repaired].map(|model| outputs(engine, model, &unseen));
    Ok(Ran::Repaired(errors(&dense?, &bare?, &repaired?)))
}

/// Only what is wrong with the input may end a run.
fn refusal(error: &Error) -> Result<Ran, String> {
    match error.kind() {
        onnx_prune::ErrorKind::Input => Ok(Ran::Refused(error.to_string())),
        _ => Err(error.to_string()),
    }
}

fn outputs(engine: &dyn Engine, model: &Model, inputs: &[Feed]) -> Result<Vec<ArrayD<f32>>, String> {
    let mut session = engine.compile(model, &CompileOptions::default()).map_err(|error| error.to_string())?;
    let mut run = |input: &Feed| session.run(&pairs(input)).map_err(|error| error.to_string());
    inputs.iter().map(|input| Ok(run(input)?.remove(0).to_f32().into_owned())).collect()
}

/// Squared error of every input, as a share of the mean squared deviation of the dense model's outputs.
fn errors(dense: &[ArrayD<f32>], bare: &[ArrayD<f32>], repaired: &[ArrayD<f32>]) -> Vec<[f64; 2]> {
    let count = dense.len() as f32;
    let mean = dense.iter().fold(ArrayD::zeros(dense[0].raw_dim()), |sum: ArrayD<f32>, own| sum + own) / count;
    let square = |a: &ArrayD<f32>, b: &ArrayD<f32>| {
        a.iter().zip(b).map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2)).sum::<f64>()
    };
    let spread = dense.iter().map(|own| square(own, &mean)).sum::<f64>() / f64::from(count);
    let spread = spread.max(f64::MIN_POSITIVE);
    (0..dense.len()).map(|at| [&bare[at], &repaired[at]].map(|own| square(own, &dense[at]) / spread)).collect()
}

/// Mean errors, and two standard errors of their difference: what other inputs may make of it.
fn judged(errors: &[[f64; 2]]) -> ([f64; 2], f64) {
    let count = errors.len() as f64;
    let mean = [0, 1].map(|at| errors.iter().map(|own| own[at]).sum::<f64>() / count);
    let difference = mean[1] - mean[0];
    let spread = errors.iter().map(|own| (own[1] - own[0] - difference).powi(2)).sum::<f64>() / (count - 1.0);
    (mean, 2.0 * (spread / count).sqrt())
}

#[derive(Default)]
struct Found {
    refused: Vec<String>,
    repaired: u32,
    halved: u32,
    /// Graphs that are worse on the inputs that were drawn, by no more than these leave open.
    within_noise: u32,
}

fn no_harm(variable: &str, default: u32, choice: EngineChoice, engine: &dyn Engine) {
    let count = cases(variable, default);
    let all = RefCell::new(Found::default());
    let result = runner(count).run(&problem(2..9), |problem| {
        let mut all = all.borrow_mut();
        let errors = match run(&problem, engine, choice).map_err(TestCaseError::fail)? {
            Ran::Repaired(errors) => errors,
            Ran::Refused(why) => {
                all.refused.push(why);
                return Ok(());
            }
        };
        let ([before, after], noise) = judged(&errors);
        if !before.is_finite() {
            return Ok(());
        }
        all.repaired += 1;
        all.halved += u32::from(after < 0.5 * before);
        if after > before * (1.0 + 1e-4) + 1e-9 {
            all.within_noise += 1;
            prop_assert!(after <= before + noise, "{before} -> {after}, noise {noise}");
        }
        Ok(())
    });
    if let Err(error) = result {
        panic!("{error}");
    }
    let Found { refused, repaired, halved, within_noise } = all.into_inner();
    println!("{repaired} repaired, {halved} of them halved, {within_noise} worse within noise");
    println!("{} refused: {refused:#?}", refused.len());
    assert!(repaired > count / 2, "only {repaired} of {count} graphs were repaired");
    assert!(4 * halved > repaired, "only {halved} of {repaired} are halved");
    assert!(20 * within_noise <= repaired, "{within_noise} of {repaired} are worse");
}

#[test]
fn no_run_leaves_outputs_worse_than_without_repair() {
    let name = "no_run_leaves_outputs_worse_than_without_repair";
    let engine = match support::onnx_runtime() {
        Ok(engine) => engine,
        Err(why) => return support::skip(name, Need::OnnxRuntime, &why),
    };
    no_harm("ONNX_PRUNE_RUNS", 40, EngineChoice::OnnxRuntime, engine.as_ref());
}

#[test]
fn nor_does_one_with_the_embedded_engine() {
    no_harm("ONNX_PRUNE_RUNS", 25, EngineChoice::Tract, super::engine().as_ref());
}
