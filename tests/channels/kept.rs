//! What a cut says to leave of stored tensors is what slicing leaves.

use std::cell::Cell;

use onnx_prune::channels::{AnalyseOptions, Cut, analyse};
use onnx_prune::model::{Model, TensorData};
use onnx_prune::rewrite::slice;
use proptest::prelude::*;

use crate::support::problem::{cases, kept, problem, runner};

/// A stored tensor by name.
fn stored(model: &Model, name: &str) -> Option<TensorData> {
    let found = model.graph().initializer.iter().find(|own| own.name() == name)?;
    model.tensor(found).ok()
}

#[test]
fn kept_tensors_are_those_of_the_sliced_model() {
    let compared = Cell::new(0_usize);
    let result = runner(cases("ONNX_PRUNE_KEPT", 200)).run(&problem(3..8), |problem| {
        let model = problem.build();
        let channels = analyse(&model, &AnalyseOptions::default());
        let cut = Cut::new(&channels, &kept(&channels, problem.seed));
        let sliced = slice(&model, &channels, &cut).map_err(|error| TestCaseError::fail(error.to_string()))?;
        for own in channels.kept_tensors(&model, &cut) {
            let node = &model.graph().node[own.node];
            let Some(twin) = sliced.graph().node.iter().find(|other| other.output == node.output) else { continue };
            // Operands of shapes are adapted, not sliced.
            let weight = ["Conv", "Gemm", "MatMul", "BatchNormalization"].contains(&node.op_type()) && own.input > 0;
            let (Some(dense), Some(found)) = (stored(&model, &own.name), stored(&sliced, &twin.input[own.input]))
            else {
                continue;
            };
            if !weight {
                continue;
            }
            let cut =
                own.kept.iter().enumerate().try_fold(dense, |left, (axis, kept)| left.select(axis, kept)).unwrap();
            prop_assert_eq!(&cut.dims, &found.dims);
            prop_assert_eq!(cut.to_f32(), found.to_f32());
            compared.set(compared.get() + 1);
        }
        Ok(())
    });
    if let Err(error) = result {
        panic!("{error}");
    }
    assert!(compared.get() > 500, "{} tensors were compared", compared.get());
}
