//! Masked = sliced on random graphs of the supported operators.
#![allow(
    missing_docs,
    clippy::pedantic,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test binary"
)]

mod support;

use std::collections::BTreeMap;

use onnx_prune::channels::{AnalyseOptions, Cut, analyse};
use onnx_prune::engine::{EngineChoice, EngineOptions, open};
use onnx_prune::model::Model;
use onnx_prune::rewrite::{mask, slice};
use onnx_prune::verify::{compare, input_specs, random_inputs};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use support::Builder;

/// What a random graph is made of. Every step reads values that are there and adds one.
#[derive(Debug, Clone)]
enum Step {
    Conv { width: usize },
    Grouped,
    Depthwise,
    Relu,
    Norm,
    Affine,
    Residual,
    Concat,
    SplitHalves,
    SliceFront,
    Shuffle,
    PadChannels,
    Pool,
    Gate,
    NhwcProduct { width: usize },
}

/// A graph as a list of steps and a seed for weights, choices and the cut.
#[derive(Debug, Clone)]
struct Problem {
    steps: Vec<(Step, u8)>,
    flatten: bool,
    seed: u64,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (2usize..7).prop_map(|half| Step::Conv { width: 2 * half }),
        1 => Just(Step::Grouped),
        2 => Just(Step::Depthwise),
        2 => Just(Step::Relu),
        2 => Just(Step::Norm),
        1 => Just(Step::Affine),
        3 => Just(Step::Residual),
        2 => Just(Step::Concat),
        1 => Just(Step::SplitHalves),
        1 => Just(Step::SliceFront),
        1 => Just(Step::Shuffle),
        1 => Just(Step::PadChannels),
        1 => Just(Step::Pool),
        1 => Just(Step::Gate),
        1 => (2usize..5).prop_map(|half| Step::NhwcProduct { width: 2 * half }),
    ]
}

fn problem() -> impl Strategy<Value = Problem> {
    let steps = prop::collection::vec((step(), any::<u8>()), 3..10);
    (steps, any::<bool>(), any::<u64>()).prop_map(|(steps, flatten, seed)| Problem { steps, flatten, seed })
}

/// A value with its channels and its height (= width).
type Known = (String, usize, usize);

impl Problem {
    fn build(&self) -> Model {
        let mut b = Builder::new(&[1, 4, 6, 6]).seeded(self.seed);
        let first = b.conv("x", 4, 8, 1);
        let mut values: Vec<Known> = vec![(first, 8, 6)];
        for (step, pick) in &self.steps {
            let known = values[usize::from(*pick) % values.len()].clone();
            let made = add(&mut b, step, &known, &values);
            values.extend(made);
        }
        // Everything that nobody reads joins the head through its own convolution.
        let (last, channels, side) = values[values.len() - 1].clone();
        let deep = b.conv(&last, channels, 6, 1);
        let deep = b.relu(&deep);
        let (flat, features) = if self.flatten {
            (b.node("Flatten", &[&deep], &[("axis", vec![1])]), 6 * side * side)
        } else {
            let pooled = b.node("GlobalAveragePool", &[&deep], &[]);
            (b.node("Flatten", &[&pooled], &[("axis", vec![1])]), 6)
        };
        let w = b.weight(&[3, features]);
        let head = b.node("Gemm", &[&flat, &w], &[("transB", vec![1])]);
        b.model(&head)
    }
}

fn add(b: &mut Builder, step: &Step, (x, c, side): &Known, values: &[Known]) -> Vec<Known> {
    let one = |name: String, channels: usize| vec![(name, channels, *side)];
    match step {
        Step::Conv { width } => one(b.conv(x, *c, *width, 1), *width),
        Step::Grouped if c % 2 == 0 => one(b.conv(x, *c, 8, 2), 8),
        Step::Depthwise => one(b.conv(x, *c, *c, *c), *c),
        Step::Relu => one(b.relu(x), *c),
        Step::Norm => {
            let parameters: Vec<String> = (0..3).map(|_| b.weight(&[*c])).collect();
            let raw = b.weight(&[*c]);
            // Variances are positive: a Constant chain stands in for a stored one.
            let variance = b.node("Abs", &[&raw], &[]);
            let p = &parameters;
            one(b.node("BatchNormalization", &[x, &p[0], &p[1], &p[2], &variance], &[]), *c)
        }
        Step::Affine => {
            let scale = b.weight(&[1, *c, 1, 1]);
            let shift = b.weight(&[*c, 1, 1]);
            let scaled = b.node("Mul", &[&scale, x], &[]);
            one(b.node("Add", &[&scaled, &shift], &[]), *c)
        }
        Step::Residual => match values.iter().rev().find(|(y, d, s)| d == c && s == side && y != x) {
            Some((y, ..)) => one(b.node("Add", &[x, y], &[]), *c),
            None => Vec::new(),
        },
        Step::Concat => match values.iter().find(|(_, _, s)| s == side) {
            Some((y, d, _)) => one(b.node("Concat", &[x, y], &[("axis", vec![1])]), c + d),
            None => Vec::new(),
        },
        Step::SplitHalves if c % 2 == 0 => {
            let outputs = vec![format!("{x}_front"), format!("{x}_back")];
            if b.graph.node.iter().any(|node| node.output.contains(&outputs[0])) {
                return Vec::new();
            }
            b.nodes("Split", &[x], &[("axis", vec![1])], outputs.clone());
            outputs.into_iter().map(|name| (name, c / 2, *side)).collect()
        }
        Step::SliceFront if *c > 3 => {
            let (starts, ends, axes) = (b.ints(&[1]), b.ints(&[*c as i64 - 1]), b.ints(&[1]));
            one(b.node("Slice", &[x, &starts, &ends, &axes], &[]), c - 2)
        }
        Step::Shuffle if c % 2 == 0 => {
            let (h, half) = (*side as i64, *c as i64 / 2);
            let apart = b.ints(&[0, 2, half, h, h]);
            let together = b.ints(&[0, -1, h, h]);
            let apart = b.node("Reshape", &[x, &apart], &[]);
            let swapped = b.node("Transpose", &[&apart], &[("perm", vec![0, 2, 1, 3, 4])]);
            one(b.node("Reshape", &[&swapped, &together], &[]), *c)
        }
        Step::PadChannels => {
            let pads = b.ints(&[0, 1, 0, 0, 0, 2, 0, 0]);
            one(b.node("Pad", &[x, &pads], &[]), c + 3)
        }
        Step::Pool if *side == 6 => {
            let pooled = b.node("MaxPool", &[x], &[("kernel_shape", vec![2, 2]), ("strides", vec![2, 2])]);
            vec![(pooled, *c, 3)]
        }
        Step::Gate => {
            let pooled = b.node("GlobalAveragePool", &[x], &[]);
            let w = b.weight(&[*c, *c, 1, 1]);
            let mixed = b.node("Conv", &[&pooled, &w], &[]);
            let gate = b.node("Sigmoid", &[&mixed], &[]);
            one(b.node("Mul", &[x, &gate], &[]), *c)
        }
        Step::NhwcProduct { width } => {
            let w = b.weight(&[*c, *width]);
            let bias = b.weight(&[*width]);
            let last = b.node("Transpose", &[x], &[("perm", vec![0, 2, 3, 1])]);
            let product = b.node("MatMul", &[&last, &w], &[]);
            let shifted = b.node("Add", &[&product, &bias], &[]);
            one(b.node("Transpose", &[&shifted], &[("perm", vec![0, 3, 1, 2])]), *width)
        }
        _ => Vec::new(),
    }
}

#[test]
fn masked_equals_sliced_on_random_graphs() {
    let cases = std::env::var("ONNX_PRUNE_GRAPHS").ok().and_then(|n| n.parse().ok()).unwrap_or(2000);
    let engine = open(&EngineOptions { engine: EngineChoice::Tract, ..EngineOptions::default() }).unwrap().engine;
    let mut runner = TestRunner::new_with_rng(
        Config { cases, failure_persistence: None, max_shrink_iters: 500, ..Config::default() },
        proptest::test_runner::TestRng::deterministic_rng(proptest::test_runner::RngAlgorithm::ChaCha),
    );
    let cut_channels = std::cell::Cell::new(0_usize);
    let result = runner.run(&problem(), |problem| {
        let model = problem.build();
        let channels = analyse(&model, &AnalyseOptions::default());
        // A pseudo-random choice of what stays, at least one atom per group.
        let kept: Vec<Vec<usize>> = channels
            .groups
            .iter()
            .enumerate()
            .map(|(g, group)| {
                let stays = |atom: &usize| (problem.seed >> ((atom * 7 + g * 13) % 61)) & 1 == 0;
                let kept: Vec<usize> = (0..group.width()).filter(stays).collect();
                if kept.is_empty() { vec![0] } else { kept }
            })
            .collect();
        cut_channels.set(
            cut_channels.get() + channels.groups.iter().zip(&kept).map(|(g, k)| g.width() - k.len()).sum::<usize>(),
        );
        let cut = Cut::new(&channels, &kept);
        let sliced = slice(&model, &channels, &cut).map_err(|error| TestCaseError::fail(error.to_string()))?;
        let masked = mask(&model, &channels, &cut).map_err(|error| TestCaseError::fail(error.to_string()))?;
        prop_assert_eq!(channels.macs(Some(&cut)), analyse(&sliced, &AnalyseOptions::default()).macs(None));
        let feed = random_inputs(&input_specs(&model), &BTreeMap::new(), 1, problem.seed);
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
    assert!(cut_channels.get() > cases as usize, "the graphs had nothing to cut");
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
