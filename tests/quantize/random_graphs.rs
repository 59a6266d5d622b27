//! Random graphs in integers: the engine computes what the file says, and the outputs stay within the bound that the scales
//! imply.

use std::cell::{Cell, RefCell};

use onnx_prune::engine::CompileOptions;
use onnx_prune::evaluate::prove_integers;
use onnx_prune::quantize::QuantizeError;
use proptest::prelude::*;

use crate::bound::variances;
use crate::support::problem::{cases, problem, runner};
use crate::{engine, form, fuses, inputs, outputs, written};

/// Squared error of the outputs relative to their size that the scales allow on graphs of a few operators, whatever those
/// amplify.
const MOST: f64 = 0.5;

/// Root mean squared error of an output in deviations that its scales imply: elements are not independent.
const MOST_DEVIATIONS: f64 = 1.5;

#[test]
fn integers_are_what_the_file_says_and_outputs_stay_near() {
    let cases = cases("ONNX_PRUNE_INTEGERS", 300);
    let engine = engine();
    if !fuses(engine.as_ref(), "integers_are_what_the_file_says_and_outputs_stay_near") {
        return;
    }
    let (tried, operators) = (Cell::new(0_u32), Cell::new(0_usize));
    let (errors, shares) = (RefCell::new(Vec::new()), RefCell::new(Vec::new()));
    let result = runner(cases).run(&problem(3..10), |problem| {
        let model = problem.build();
        let feed = inputs(&model, problem.seed);
        let engine = engine.as_ref();
        let runs = engine.compile(&model, &CompileOptions::default());
        if runs.is_err() || runs.unwrap().run(&onnx_prune::engine::feed::pairs(&feed)).is_err() {
            return Ok(());
        }
        let made = match written(engine, &model, &form()) {
            Ok(made) => made,
            Err(QuantizeError::Nothing { .. }) => return Ok(()),
            Err(error) => return Err(TestCaseError::fail(error.to_string())),
        };
        tried.set(tried.get() + 1);
        let feed = inputs(&model, 2);
        let proof = prove_integers(engine, &made.model, &feed, &false.into());
        let proof = proof.map_err(|error| TestCaseError::fail(error.to_string()))?;
        prop_assert_eq!(&proof.broken, &Vec::<String>::new());
        operators.set(operators.get() + proof.operators);
        let options = CompileOptions::default();
        let [dense, own] = [&model, &made.model].map(|own| outputs(engine, own, &feed, &options));
        if let Some(noise) = variances(&made.model) {
            let plain = CompileOptions { plain: true, ..CompileOptions::default() };
            let implied = outputs(engine, &noise, &feed, &plain);
            for ((dense, own), variance) in dense.iter().zip(&own).zip(&implied) {
                let error: f64 = dense.iter().zip(own).map(|(a, b)| f64::from(a - b).powi(2)).sum();
                let implied: f64 = variance.iter().map(|own| f64::from(*own)).sum();
                if !error.is_finite() || !implied.is_finite() {
                    continue;
                }
                let share = (error / implied.max(1e-12)).sqrt();
                prop_assert!(share <= MOST_DEVIATIONS, "{share} times the deviation that the scales imply");
                shares.borrow_mut().push(share);
            }
        }
        for (dense, own) in dense.iter().zip(&own) {
            prop_assert_eq!(dense.shape(), own.shape());
            let square = |values: &mut dyn Iterator<Item = f64>| values.map(|value| value * value).sum::<f64>();
            let error = square(&mut dense.iter().zip(own).map(|(a, b)| f64::from(a - b)));
            let whole = square(&mut dense.iter().map(|a| f64::from(*a))).max(1e-12);
            if error.is_finite() && whole.is_finite() {
                errors.borrow_mut().push(error / whole);
            }
        }
        Ok(())
    });
    if let Err(error) = result {
        panic!("{error}");
    }
    let (mut errors, mut shares) = (errors.into_inner(), shares.into_inner());
    shares.sort_by(f64::total_cmp);
    errors.sort_by(f64::total_cmp);
    let at = |share: f64| errors[((errors.len() - 1) as f64 * share) as usize];
    println!(
        "{} outputs by the deviation that scales imply: median {:.2} of it, most {:.2}",
        shares.len(),
        shares.get(shares.len() / 2).unwrap_or(&0.0),
        shares.last().unwrap_or(&0.0)
    );
    println!(
        "{} of {cases} graphs in integers, {} operators compared; error of the outputs: median {:.1e}, 95 % {:.1e}, most {:.1e}",
        tried.get(),
        operators.get(),
        at(0.5),
        at(0.95),
        at(1.0)
    );
    assert!(shares.len() > cases as usize / 8, "the scales imply something of {} outputs", shares.len());
    assert!(tried.get() > cases / 3 && operators.get() > cases as usize);
    assert!(at(0.5) < 5e-3 && at(0.95) < MOST, "median {} 95 % {}", at(0.5), at(0.95));
}
