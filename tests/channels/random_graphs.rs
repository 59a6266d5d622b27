//! Masked = sliced on random graphs of the supported operators, and an oracle of single cuts.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};

use onnx_prune::channels::{AnalyseOptions, Cut, Group, Reason, analyse};
use onnx_prune::evaluate::{compare, input_specs, random_inputs};
use onnx_prune::rewrite::{mask, slice};
use proptest::prelude::*;

use crate::support::problem::{cases, kept, problem, runner};
use crate::support::{self, Builder};
use crate::{engine, refused_graphs, shapes, survives};

#[test]
fn masked_equals_sliced_on_random_graphs() {
    let cases = cases("ONNX_PRUNE_GRAPHS", 2000);
    let engine = engine();
    let (cut_channels, refused) = (Cell::new(0_usize), Cell::new(0));
    let result = runner(cases).run(&problem(3..10), |problem| {
        let model = problem.build();
        let feed = random_inputs(&input_specs(&model), &BTreeMap::new(), 1, problem.seed);
        if shapes(engine.as_ref(), &model, &feed).is_err() {
            refused.set(refused.get() + 1);
            return Ok(());
        }
        let channels = analyse(&model, &AnalyseOptions::default());
        let kept = kept(&channels, problem.seed);
        cut_channels.set(
            cut_channels.get() + channels.groups.iter().zip(&kept).map(|(g, k)| g.width() - k.len()).sum::<usize>(),
        );
        let cut = Cut::new(&channels, &kept);
        let sliced = slice(&model, &channels, &cut).map_err(|error| TestCaseError::fail(error.to_string()))?;
        let masked = mask(&model, &channels, &cut).map_err(|error| TestCaseError::fail(error.to_string()))?;
        prop_assert_eq!(channels.macs(Some(&cut)), analyse(&sliced, &AnalyseOptions::default()).macs(None));
        if let Err(error) = compare(engine.as_ref(), &masked, &sliced, &[feed]) {
            let error = onnx_prune::Error::from(error);
            return Err(TestCaseError::fail(error.render()));
        }
        Ok(())
    });
    if let Err(error) = result {
        panic!("{error}");
    }
    println!("{cases} graphs, {} channels cut, no mismatch", cut_channels.get());
    assert!(refused.get() < cases / 5, "the engine refuses too many of the graphs");
    refused_graphs("masked_equals_sliced_on_random_graphs", engine.as_ref(), refused.get(), cases);
    assert!(cut_channels.get() > cases as usize, "the graphs had nothing to cut");
}

/// Whether some value would be left without channels if this pruning unit alone went.
fn last_one(group: &Group, unit: usize) -> bool {
    group.width() == 1 || group.keep_sets.iter().any(|keep_set| keep_set == &[unit])
}

/// Cuts single channels, free and protected ones alike, and lets the engine say what comes of it.
#[test]
fn single_channels_survive_if_and_only_if_they_are_free_or_have_a_reason() {
    let name = "single_channels_survive_if_and_only_if_they_are_free_or_have_a_reason";
    let cases = cases("ONNX_PRUNE_ORACLE", 2000);
    let engine = engine();
    let (free, protected, refused) = (Cell::new(0), Cell::new(0), Cell::new(0));
    let needless = RefCell::new(BTreeMap::<String, usize>::new());
    let result = runner(cases).run(&problem(2..6), |problem| {
        let model = problem.build();
        let feed = random_inputs(&input_specs(&model), &BTreeMap::new(), 1, problem.seed);
        if shapes(engine.as_ref(), &model, &feed).is_err() {
            refused.set(refused.get() + 1);
            return Ok(());
        }
        let channels = analyse(&model, &AnalyseOptions::default());
        let mut seen = BTreeSet::new();
        for node in 0..model.graph().node.len() {
            let width = channels.made_by(node);
            if width == 0 {
                continue;
            }
            let index = (problem.seed as usize).wrapping_add(node * 5) % width;
            let coupled = channels.coupled(node, index).unwrap();
            match coupled.unit {
                Some((group, unit)) if last_one(&channels.groups[group], unit) || !seen.insert(group) => {}
                Some(_) => {
                    free.set(free.get() + 1);
                    if let Err(why) = survives(engine.as_ref(), &model, &channels, &coupled.cut, problem.seed) {
                        return Err(TestCaseError::fail(format!("channel {index} of node {node} is not free: {why}")));
                    }
                }
                None if coupled.reasons.is_empty() => {
                    let why = format!("channel {index} of node {node} is protected without a reason");
                    return Err(TestCaseError::fail(why));
                }
                None => {
                    protected.set(protected.get() + 1);
                    // Cut all the same: whether it would have worked is worth knowing, not a failure.
                    if survives(engine.as_ref(), &model, &channels, &coupled.cut, problem.seed).is_ok() {
                        let reason = match &coupled.reasons[0] {
                            Reason::Operator { op, why, .. } => format!("{op}: {why}"),
                            other => other.to_string(),
                        };
                        *needless.borrow_mut().entry(reason).or_default() += 1;
                    }
                }
            }
        }
        Ok(())
    });
    if let Err(error) = result {
        panic!("{error}");
    }
    println!("{cases} graphs: {} free channels survive; {} protected, of which", free.get(), protected.get());
    for (reason, count) in needless.borrow().iter() {
        println!("  {count:>5} would have survived: {reason}");
    }
    assert!(refused.get() < cases / 5, "the engine refuses too many of the graphs");
    refused_graphs(name, engine.as_ref(), refused.get(), cases);
    assert!(free.get() > cases && protected.get() > cases / 4, "the graphs had too little to cut");
}

#[test]
fn shapes_declared_for_weights_follow_the_cut() {
    // Some exporters list initializers among the values with declared shapes.
    let mut model = support::small_model();
    let declared: Vec<_> = model
        .graph()
        .initializer
        .iter()
        .map(|tensor| {
            let dims: Vec<usize> = tensor.dims.iter().map(|&dim| dim as usize).collect();
            support::info(tensor.name(), &dims)
        })
        .collect();
    model.graph_mut().value_info = declared;
    let channels = analyse(&model, &AnalyseOptions::default());
    let kept: Vec<Vec<usize>> = channels.groups.iter().map(|group| (0..group.width() / 2).collect()).collect();
    let sliced = slice(&model, &channels, &Cut::new(&channels, &kept)).unwrap();
    for tensor in &sliced.graph().initializer {
        let dims: Vec<usize> = tensor.dims.iter().map(|&dim| dim as usize).collect();
        let declared = sliced.graph().value_info.iter().find(|value| value.name() == tensor.name()).unwrap();
        assert_eq!(declared, &support::info(tensor.name(), &dims));
    }
}

#[test]
fn a_channel_that_is_split_off_alone_stays() {
    // Halves of one channel each have no channel axis left, yet their channels are read.
    let mut b = Builder::new(&[1, 4, 6, 6]);
    let a = b.conv("x", 4, 2, 1);
    b.nodes("Split", &[&a], &[("axis", vec![1])], vec!["front".into(), "back".into()]);
    let c = b.conv("front", 1, 6, 1);
    let d = b.conv("back", 1, 6, 1);
    let sum = b.node("Add", &[&c, &d], &[]);
    let last = b.conv(&sum, 6, 3, 1);
    let channels = analyse(&b.model(&last), &AnalyseOptions::default());
    let widths: Vec<usize> = channels.groups.iter().map(|group| group.width()).collect();
    assert_eq!(widths, [6], "only the summed channels can go");
}
