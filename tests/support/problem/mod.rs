//! Random graphs over the supported operators.

use std::collections::BTreeSet;

use onnx_prune::channels::Channels;
use onnx_prune::model::Model;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use super::Builder;

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

/// A value with its channels and its height (= width).
type ClassContext = (String, usize, usize);

impl Problem {
    pub fn build(&self) -> Model {
        let mut b = Builder::new(&[1, 4, 6, 6]).seeded(self.seed);
        let first = b.conv("x", 4, 8, 1);
        let mut values: Vec<ClassContext> = vec![(first, 8, 6)];
        for (step, pick) in &self.steps {
            let known = values[usize::from(*pick) % values.len()].clone();
            let made = add(&mut b, step, &known, &values);
            values.extend(made);
        }
        // The last value gets a convolution and a head; what nobody reads stays as it is.
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

fn add(b: &mut Builder, step: &Step, known: &ClassContext, values: &[ClassContext]) -> Vec<ClassContext> {
    let (x, c, side) = known;
    let one = |name: String, channels: usize| vec![(name, channels, *side)];
    match step {
        Step::Conv { width } => one(b.conv(x, *c, *width, 1), *width),
        Step::Grouped if c % 2 == 0 => one(b.conv(x, *c, 8, 2), 8),
        Step::Depthwise => one(b.conv(x, *c, *c, *c), *c),
        Step::Multiplier if *c <= 8 => one(b.conv(x, *c, 2 * c, *c), 2 * c),
        Step::Transposed { groups } if c % groups == 0 => {
            let w = b.weight(&[*c, 6 / groups, 3, 3]);
            let attributes = [("group", vec![*groups as i64]), ("pads", vec![1; 4])];
            one(b.node("ConvTranspose", &[x, &w], &attributes), 6)
        }
        Step::SharedWeight => {
            // One stored weight, read by two convolutions whose results meet.
            let w = b.weight(&[*c, *c, 3, 3]);
            let first = b.node("Conv", &[x, &w], &[("pads", vec![1; 4])]);
            let first = b.relu(&first);
            let second = b.node("Conv", &[&first, &w], &[("pads", vec![1; 4])]);
            one(b.relu(&second), *c)
        }
        Step::JoinedWeight => {
            let (front, back) = (b.weight(&[2, *c, 3, 3]), b.weight(&[4, *c, 3, 3]));
            let w = b.node("Concat", &[&front, &back], &[("axis", vec![0])]);
            one(b.node("Conv", &[x, &w], &[("pads", vec![1; 4])]), 6)
        }
        Step::FactoredWeight => {
            let (down, up, dims) = (b.weight(&[6, 2]), b.weight(&[2, *c]), b.ints(&[6, *c as i64, 1, 1]));
            let product = b.node("MatMul", &[&down, &up], &[]);
            let (own, half) = (b.weight(&[6, *c]), b.floats(&[0.5]));
            let product = b.node("Mul", &[&product, &half], &[]);
            let product = b.node("Add", &[&own, &product], &[]);
            let w = b.node("Reshape", &[&product, &dims], &[]);
            one(b.node("Conv", &[x, &w], &[]), 6)
        }
        Step::MergedBias => {
            let bias = b.weight(&[6]);
            let seen = b.node("Identity", &[&bias], &[]);
            let (v, w) = (b.weight(&[6, *c, 1, 1]), b.weight(&[6, 6, 1, 1]));
            let first = b.node("Conv", &[x, &v, &bias], &[]);
            one(b.node("Conv", &[&first, &w, &seen], &[]), 6)
        }
        Step::Pool if *side == 6 => {
            let pooled = b.node("MaxPool", &[x], &[("kernel_shape", vec![2, 2]), ("strides", vec![2, 2])]);
            vec![(pooled, *c, 3)]
        }
        Step::Upsample if *side == 3 => {
            let scales = b.floats(&[1.0, 1.0, 2.0, 2.0]);
            vec![(b.node("Resize", &[x, "", &scales], &[]), *c, 6)]
        }
        Step::NhwcProduct { width } => {
            let (w, bias) = (b.weight(&[*c, *width]), b.weight(&[*width]));
            let last = b.node("Transpose", &[x], &[("perm", vec![0, 2, 3, 1])]);
            let product = b.node("MatMul", &[&last, &w], &[]);
            let shifted = b.node("Add", &[&product, &bias], &[]);
            one(b.node("Transpose", &[&shifted], &[("perm", vec![0, 3, 1, 2])]), *width)
        }
        Step::Einsum { width } => {
            let w = b.weight(&[*width, *c]);
            one(b.with_text("Einsum", &[x, &w], ("equation", "nchw,dc->ndhw")), *width)
        }
        Step::SelfAttention => one(self_attention(b, x, *c, *side), 6),
        Step::Recurrent => recurrent(b, known),
        _ => rewire(b, step, known, values).unwrap_or_else(|| normalise(b, step, known)),
    }
}

/// Steps that move channels about; `None` for the others.
fn rewire(
    b: &mut Builder,
    step: &Step,
    (x, c, side): &ClassContext,
    values: &[ClassContext],
) -> Option<Vec<ClassContext>> {
    let one = |name: String, channels: usize| Some(vec![(name, channels, *side)]);
    let mate = || values.iter().rev().find(|(y, d, s)| d == c && s == side && y != x);
    match step {
        Step::Residual => {
            let (y, ..) = mate()?;
            one(b.node("Add", &[x, y], &[]), *c)
        }
        Step::Select => {
            let (y, ..) = mate()?;
            let zero = b.floats(&[0.0]);
            let positive = b.node("Greater", &[x, &zero], &[]);
            one(b.node("Where", &[&positive, x, y], &[]), *c)
        }
        Step::Concat => {
            let (y, d, _) = values.iter().find(|(_, _, s)| s == side)?;
            one(b.node("Concat", &[x, y], &[("axis", vec![1])]), c + d)
        }
        Step::ConcatNegated if *c <= 10 => {
            let negative = b.node("Neg", &[x], &[]);
            one(b.node("Concat", &[x, &negative], &[("axis", vec![1])]), 2 * c)
        }
        Step::SplitHalves if c % 2 == 0 => {
            let names = b.pair();
            b.nodes("Split", &[x], &[("axis", vec![1])], names.clone());
            Some(names.into_iter().map(|name| (name, c / 2, *side)).collect())
        }
        Step::SplitUneven if *c > 4 => {
            let (names, sizes) = (b.pair(), b.ints(&[3, *c as i64 - 3]));
            b.nodes("Split", &[x, &sizes], &[("axis", vec![1])], names.clone());
            Some(names.into_iter().zip([3, c - 3]).map(|(name, width)| (name, width, *side)).collect())
        }
        Step::SliceFront if *c > 3 => {
            let (starts, ends, axes) = (b.ints(&[1]), b.ints(&[*c as i64 - 1]), b.ints(&[1]));
            one(b.node("Slice", &[x, &starts, &ends, &axes], &[]), c - 2)
        }
        Step::SliceStrided if *c > 3 => {
            let (starts, ends) = (b.ints(&[1]), b.ints(&[i64::MAX]));
            let (axes, steps) = (b.ints(&[1]), b.ints(&[2]));
            one(b.node("Slice", &[x, &starts, &ends, &axes, &steps], &[]), c / 2)
        }
        Step::Permute => {
            let order: Vec<i64> = (0..*c as i64).rev().collect();
            let order = b.ints(&order);
            one(b.node("Gather", &[x, &order], &[("axis", vec![1])]), *c)
        }
        Step::Repeat if *c > 3 => {
            let picked = b.ints(&[0, 2, 2, 1, -1]);
            one(b.node("Gather", &[x, &picked], &[("axis", vec![1])]), 5)
        }
        Step::Table if *c > 3 => {
            let (table, size) = (b.table(&[2, 2], &[0, 3, 2, 1]), *side as i64);
            let picked = b.node("Gather", &[x, &table], &[("axis", vec![1])]);
            let flat = b.ints(&[0, -1, size, size]);
            one(b.node("Reshape", &[&picked, &flat], &[]), 4)
        }
        Step::Single => {
            let index = b.scalar_int(1);
            let single = b.node("Gather", &[x, &index], &[("axis", vec![1])]);
            let axes = b.ints(&[1]);
            let map = b.node("Unsqueeze", &[&single, &axes], &[]);
            one(b.node("Mul", &[x, &map], &[]), *c)
        }
        Step::Shuffle if c % 2 == 0 => {
            let (h, half) = (*side as i64, *c as i64 / 2);
            let (apart, together) = (b.ints(&[0, 2, half, h, h]), b.ints(&[0, -1, h, h]));
            let apart = b.node("Reshape", &[x, &apart], &[]);
            let swapped = b.node("Transpose", &[&apart], &[("perm", vec![0, 2, 1, 3, 4])]);
            one(b.node("Reshape", &[&swapped, &together], &[]), *c)
        }
        Step::RunTimeShuffle if c % 2 == 0 => one(run_time_shuffle(b, x), *c),
        Step::PadChannels => {
            let pads = b.ints(&[0, 1, 0, 0, 0, 2, 0, 0]);
            one(b.node("Pad", &[x, &pads], &[]), c + 3)
        }
        Step::DepthToSpace if c % 4 == 0 && *side == 3 => {
            Some(vec![(b.node("DepthToSpace", &[x], &[("blocksize", vec![2])]), c / 4, 6)])
        }
        Step::SpaceToDepth if *side == 6 && *c <= 4 => {
            Some(vec![(b.node("SpaceToDepth", &[x], &[("blocksize", vec![2])]), c * 4, 3)])
        }
        Step::Tile if *c <= 8 => {
            let repeats = b.ints(&[1, 2, 1, 1]);
            one(b.node("Tile", &[x, &repeats], &[]), 2 * c)
        }
        _ => None,
    }
}

/// Steps that keep the channels where they are.
fn normalise(b: &mut Builder, step: &Step, (x, c, side): &ClassContext) -> Vec<ClassContext> {
    const ACTIVATIONS: [&str; 8] = ["Relu", "Sigmoid", "HardSwish", "Tanh", "Elu", "LeakyRelu", "Softplus", "Abs"];
    let one = |name: String| vec![(name, *c, *side)];
    match step {
        Step::Activation(kind) => one(b.node(ACTIVATIONS[*kind], &[x], &[])),
        Step::Slopes => {
            let slopes = b.weight(&[*c, 1, 1]);
            one(b.node("PRelu", &[x, &slopes], &[]))
        }
        Step::Norm => {
            let parameters: Vec<String> = (0..3).map(|_| b.weight(&[*c])).collect();
            let raw = b.weight(&[*c]);
            // Variances are positive: a chain of constants stands in for a stored one.
            let variance = b.node("Abs", &[&raw], &[]);
            let p = &parameters;
            one(b.node("BatchNormalization", &[x, &p[0], &p[1], &p[2], &variance], &[]))
        }
        Step::InstanceNorm => {
            let (scale, shift) = (b.weight(&[*c]), b.weight(&[*c]));
            one(b.node("InstanceNormalization", &[x, &scale, &shift], &[]))
        }
        Step::GroupNorm if c % 2 == 0 => {
            let (apart, size) = (b.ints(&[0, 2, -1]), *side as i64);
            let apart = b.node("Reshape", &[x, &apart], &[]);
            let (scale, shift) = (b.floats(&[1.0, 1.0]), b.floats(&[0.0, 0.0]));
            let normal = b.node("InstanceNormalization", &[&apart, &scale, &shift], &[]);
            let together = b.ints(&[1, *c as i64, size, size]);
            one(b.node("Reshape", &[&normal, &together], &[]))
        }
        Step::LayerNorm => {
            let (scale, shift) = (b.weight(&[*c]), b.weight(&[*c]));
            let last = b.node("Transpose", &[x], &[("perm", vec![0, 2, 3, 1])]);
            let normal = b.node("LayerNormalization", &[&last, &scale, &shift], &[("axis", vec![-1])]);
            one(b.node("Transpose", &[&normal], &[("perm", vec![0, 3, 1, 2])]))
        }
        Step::SpelledLayerNorm => one(spelled_layer_norm(b, x, *c)),
        Step::LocalResponse => one(b.node("LRN", &[x], &[("size", vec![3])])),
        Step::Affine => {
            let (scale, shift) = (b.weight(&[1, *c, 1, 1]), b.weight(&[*c, 1, 1]));
            let scaled = b.node("Mul", &[&scale, x], &[]);
            one(b.node("Add", &[&scaled, &shift], &[]))
        }
        Step::ScaledByWidth => {
            // As attention is: divided by the root of the number of channels, which is computed from the shape.
            let shape = b.node("Shape", &[x], &[]);
            let (second, half) = (b.scalar_int(1), b.floats(&[-0.5]));
            let width = b.node("Gather", &[&shape, &second], &[("axis", vec![0])]);
            let width = b.node("Cast", &[&width], &[("to", vec![1])]);
            let scale = b.node("Pow", &[&width, &half], &[]);
            one(b.node("Mul", &[x, &scale], &[]))
        }
        Step::Gate => {
            let pooled = b.node("GlobalAveragePool", &[x], &[]);
            let w = b.weight(&[*c, *c, 1, 1]);
            let mixed = b.node("Conv", &[&pooled, &w], &[]);
            let gate = b.node("Sigmoid", &[&mixed], &[]);
            one(b.node("Mul", &[x, &gate], &[]))
        }
        Step::ProductGate => {
            let pooled = b.node("GlobalAveragePool", &[x], &[]);
            let flat = b.node("Flatten", &[&pooled], &[("axis", vec![1])]);
            let w = b.weight(&[*c, *c]);
            let mixed = b.node("Gemm", &[&flat, &w], &[]);
            let gate = b.node("Sigmoid", &[&mixed], &[]);
            let axes = b.ints(&[2, 3]);
            let gate = b.node("Unsqueeze", &[&gate, &axes], &[]);
            one(b.node("Mul", &[&gate, x], &[]))
        }
        Step::MapGate => {
            let w = b.weight(&[1, *c, 1, 1]);
            let map = b.node("Conv", &[x, &w], &[]);
            one(b.node("Mul", &[&map, x], &[]))
        }
        Step::SpatialAttention => {
            let mean = b.node("ReduceMean", &[x], &[("axes", vec![1])]);
            let most = b.node("ReduceMax", &[x], &[("axes", vec![1])]);
            let both = b.node("Concat", &[&mean, &most], &[("axis", vec![1])]);
            let w = b.weight(&[1, 2, 3, 3]);
            let map = b.node("Conv", &[&both, &w], &[("pads", vec![1; 4])]);
            one(b.node("Mul", &[x, &map], &[]))
        }
        Step::Softmax => one(b.node("Softmax", &[x], &[("axis", vec![1])])),
        _ => Vec::new(),
    }
}

/// Target sizes come from the shape of the tensor itself.
fn run_time_shuffle(b: &mut Builder, x: &str) -> String {
    let shape = b.node("Shape", &[x], &[]);
    let (first, second, third) = (b.ints(&[0]), b.ints(&[1]), b.ints(&[2]));
    let n = b.node("Gather", &[&shape, &first], &[("axis", vec![0])]);
    let c = b.node("Gather", &[&shape, &second], &[("axis", vec![0])]);
    let h = b.node("Gather", &[&shape, &third], &[("axis", vec![0])]);
    let two = b.ints(&[2]);
    let half = b.node("Div", &[&c, &two], &[]);
    let apart = b.node("Concat", &[&n, &two, &half, &h, &h], &[("axis", vec![0])]);
    let together = b.node("Concat", &[&n, &c, &h, &h], &[("axis", vec![0])]);
    let apart = b.node("Reshape", &[x, &apart], &[]);
    let swapped = b.node("Transpose", &[&apart], &[("perm", vec![0, 2, 1, 3, 4])]);
    b.node("Reshape", &[&swapped, &together], &[])
}

fn spelled_layer_norm(b: &mut Builder, x: &str, c: usize) -> String {
    let (epsilon, two) = (b.floats(&[1e-3]), b.floats(&[2.0]));
    let (scale, shift) = (b.weight(&[c, 1, 1]), b.weight(&[c, 1, 1]));
    let mean = b.node("ReduceMean", &[x], &[("axes", vec![1])]);
    let centred = b.node("Sub", &[x, &mean], &[]);
    let squared = b.node("Pow", &[&centred, &two], &[]);
    let variance = b.node("ReduceMean", &[&squared], &[("axes", vec![1])]);
    let safe = b.node("Add", &[&variance, &epsilon], &[]);
    let deviation = b.node("Sqrt", &[&safe], &[]);
    let normal = b.node("Div", &[&centred, &deviation], &[]);
    let scaled = b.node("Mul", &[&normal, &scale], &[]);
    b.node("Add", &[&scaled, &shift], &[])
}

/// Three heads of two features over the positions, with one weight for query, key and value; gives six channels.
fn self_attention(b: &mut Builder, x: &str, c: usize, side: usize) -> String {
    let (tokens, size) = ((side * side) as i64, side as i64);
    let (flat, heads) = (b.ints(&[0, c as i64, tokens]), b.ints(&[0, tokens, 3, 3, 2]));
    let (joined, image) = (b.ints(&[0, tokens, 6]), b.ints(&[0, 6, size, size]));
    let (w, project) = (b.weight(&[c, 18]), b.weight(&[6, 6]));
    let flat = b.node("Reshape", &[x, &flat], &[]);
    let rows = b.node("Transpose", &[&flat], &[("perm", vec![0, 2, 1])]);
    let qkv = b.node("MatMul", &[&rows, &w], &[]);
    let apart = b.node("Reshape", &[&qkv, &heads], &[]);
    let apart = b.node("Transpose", &[&apart], &[("perm", vec![2, 0, 3, 1, 4])]);
    let part = |b: &mut Builder, index: i64| {
        let index = b.scalar_int(index);
        b.node("Gather", &[&apart, &index], &[("axis", vec![0])])
    };
    let (q, k, v) = (part(b, 0), part(b, 1), part(b, 2));
    let k = b.node("Transpose", &[&k], &[("perm", vec![0, 1, 3, 2])]);
    // Small, or a softmax of large numbers turns rounding into a difference.
    let small = b.floats(&[0.01]);
    let scores = b.node("MatMul", &[&q, &k], &[]);
    let scores = b.node("Mul", &[&scores, &small], &[]);
    let weights = b.node("Softmax", &[&scores], &[("axis", vec![-1])]);
    let mixed = b.node("MatMul", &[&weights, &v], &[]);
    let mixed = b.node("Transpose", &[&mixed], &[("perm", vec![0, 2, 1, 3])]);
    let mixed = b.node("Reshape", &[&mixed, &joined], &[]);
    let out = b.node("MatMul", &[&mixed, &project], &[]);
    let out = b.node("Transpose", &[&out], &[("perm", vec![0, 2, 1])]);
    b.node("Reshape", &[&out, &image], &[])
}

/// The columns of the image through a recurrent layer whose last state gates four channels of a convolution.
fn recurrent(b: &mut Builder, (x, c, side): &ClassContext) -> Vec<ClassContext> {
    let (features, size) = (c * side, *side as i64);
    let flat = b.ints(&[0, features as i64, size]);
    let flat = b.node("Reshape", &[x, &flat], &[]);
    let steps = b.node("Transpose", &[&flat], &[("perm", vec![2, 0, 1])]);
    let (w, r) = (b.weight(&[1, 12, features]), b.weight(&[1, 12, 4]));
    let names = b.pair();
    b.nodes("GRU", &[&steps, &w, &r], &[("hidden_size", vec![4])], names.clone());
    let gate = b.ints(&[1, 4, 1, 1]);
    let gate = b.node("Reshape", &[&names[1], &gate], &[]);
    let main = b.conv(x, *c, 4, 1);
    vec![(b.node("Mul", &[&main, &gate], &[]), 4, *side)]
}
