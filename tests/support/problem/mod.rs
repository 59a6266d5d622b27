//! Random graphs over the supported operators.

mod layers;
mod plain;
mod rewiring;

use std::collections::BTreeSet;

use onnx_prune::channels::Channels;
use onnx_prune::model::Model;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use super::Builder;
use layers::add;

/// How many graphs to try: a default, or as the environment says.
pub fn cases(variable: &str, default: u32) -> u32 {
    std::env::var(variable).ok().and_then(|n| n.parse().ok()).unwrap_or(default)
}

pub fn runner(cases: u32) -> TestRunner {
    TestRunner::new_with_rng(
        Config { cases, failure_persistence: None, max_shrink_iters: 500, ..Config::default() },
        TestRng::deterministic_rng(RngAlgorithm::ChaCha),
    )
}

/// A pseudo-random choice of the pruning units that stay, at least one per group and cover.
pub fn kept(channels: &Channels, seed: u64) -> Vec<Vec<usize>> {
    let of_group = |(g, group): (usize, &onnx_prune::channels::Group)| {
        let stays = |unit: &usize| (seed >> ((unit * 7 + g * 13) % 61)) & 1 == 0;
        let mut kept: BTreeSet<usize> = (0..group.width()).filter(stays).collect();
        // A group is its own cover: something of it must stay.
        let whole: Vec<usize> = (0..group.width()).collect();
        for keep_set in group.keep_sets.iter().chain([&whole]) {
            if !keep_set.iter().any(|unit| kept.contains(unit)) {
                kept.insert(keep_set[0]);
            }
        }
        kept.into_iter().collect()
    };
    channels.groups.iter().enumerate().map(of_group).collect()
}

/// What a random graph is made of. Every step reads values that are there and adds one or more.
#[derive(Debug, Clone)]
pub enum Step {
    Conv { width: usize },
    Grouped,
    Depthwise,
    Multiplier,
    Transposed { groups: usize },
    Activation(usize),
    Slopes,
    Norm,
    InstanceNorm,
    GroupNorm,
    LayerNorm,
    SpelledLayerNorm,
    LocalResponse,
    Affine,
    Residual,
    Select,
    Concat,
    ConcatNegated,
    SplitHalves,
    SplitUneven,
    SliceFront,
    SliceStrided,
    Permute,
    Repeat,
    Table,
    Single,
    ScaledByWidth,
    Shuffle,
    RunTimeShuffle,
    PadChannels,
    Widen,
    Repeated,
    Pool,
    Upsample,
    DepthToSpace,
    SpaceToDepth,
    Gate,
    ProductGate,
    MapGate,
    SpatialAttention,
    SelfAttention,
    Softmax,
    NhwcProduct { width: usize },
    Einsum { width: usize },
    SharedWeight,
    JoinedWeight,
    FactoredWeight,
    MergedBias,
    Tile,
    Recurrent,
}

/// A graph as a list of steps and a seed for weights, choices and the cut.
#[derive(Debug, Clone)]
pub struct Problem {
    pub steps: Vec<(Step, u8)>,
    pub flatten: bool,
    pub seed: u64,
}

fn step() -> impl Strategy<Value = Step> {
    let rewiring = prop_oneof![
        4 => Just(Step::Residual),
        2 => Just(Step::Concat),
        1 => Just(Step::ConcatNegated),
        1 => Just(Step::Select),
        1 => Just(Step::SplitHalves),
        1 => Just(Step::SplitUneven),
        1 => Just(Step::SliceFront),
        1 => Just(Step::SliceStrided),
        1 => Just(Step::Permute),
        1 => Just(Step::Repeat),
        1 => Just(Step::Table),
        1 => Just(Step::Single),
        1 => Just(Step::Shuffle),
        1 => Just(Step::RunTimeShuffle),
        1 => Just(Step::PadChannels),
        1 => Just(Step::Widen),
        1 => Just(Step::Repeated),
        1 => Just(Step::DepthToSpace),
        1 => Just(Step::SpaceToDepth),
        1 => Just(Step::Tile),
    ];
    let weighted = prop_oneof![
        5 => (2usize..7).prop_map(|half| Step::Conv { width: 2 * half }),
        1 => Just(Step::Grouped),
        2 => Just(Step::Depthwise),
        1 => Just(Step::Multiplier),
        1 => (1usize..3).prop_map(|groups| Step::Transposed { groups }),
        1 => (2usize..5).prop_map(|half| Step::NhwcProduct { width: 2 * half }),
        1 => (2usize..5).prop_map(|half| Step::Einsum { width: 2 * half }),
        1 => Just(Step::SharedWeight),
        1 => Just(Step::JoinedWeight),
        1 => Just(Step::FactoredWeight),
        1 => Just(Step::MergedBias),
        1 => Just(Step::SelfAttention),
        1 => Just(Step::Recurrent),
    ];
    let others = prop_oneof![
        2 => (0usize..8).prop_map(Step::Activation),
        1 => Just(Step::Slopes),
        2 => Just(Step::Norm),
        1 => Just(Step::InstanceNorm),
        1 => Just(Step::GroupNorm),
        1 => Just(Step::LayerNorm),
        1 => Just(Step::SpelledLayerNorm),
        1 => Just(Step::LocalResponse),
        1 => Just(Step::Affine),
        1 => Just(Step::Pool),
        1 => Just(Step::Upsample),
        1 => Just(Step::Gate),
        1 => Just(Step::ScaledByWidth),
        1 => Just(Step::ProductGate),
        1 => Just(Step::MapGate),
        1 => Just(Step::SpatialAttention),
        1 => Just(Step::Softmax),
    ];
    prop_oneof![2 => weighted, 2 => rewiring, 2 => others]
}

/// Graphs of `steps.start` to `steps.end` steps.
pub fn problem(steps: std::ops::Range<usize>) -> impl Strategy<Value = Problem> {
    let steps = prop::collection::vec((step(), any::<u8>()), steps);
    (steps, any::<bool>(), any::<u64>()).prop_map(|(steps, flatten, seed)| Problem { steps, flatten, seed })
}

/// A value of the graph.
#[derive(Debug, Clone)]
struct FeatureMap {
    name: String,
    channels: usize,
    /// Height, and width.
    side: usize,
}

fn map(name: String, channels: usize, side: usize) -> FeatureMap {
    FeatureMap { name, channels, side }
}

impl Problem {
    pub fn build(&self) -> Model {
        let mut b = Builder::new(&[1, 4, 6, 6]).seeded(self.seed);
        let first = b.conv("x", 4, 8, 1);
        let mut values: Vec<FeatureMap> = vec![map(first, 8, 6)];
        for (step, pick) in &self.steps {
            let known = values[usize::from(*pick) % values.len()].clone();
            let made = add(&mut b, step, &known, &values);
            values.extend(made);
        }
        // The last value gets a convolution and a head; what nobody reads stays as it is.
        let FeatureMap { name: last, channels, side } = values[values.len() - 1].clone();
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
