//! Hostile files: every mutant of a valid model is either a model or one clear line.
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

use std::alloc::{GlobalAlloc, Layout, System};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};

use onnx_prune::channels::{AnalyseOptions, Cut, analyse};
use onnx_prune::model::{LoadOptions, Model};
use onnx_prune::rewrite::{mask, slice};
use onnx_prune::surgery::inline_functions;
use proptest::strategy::{Strategy as _, ValueTree as _};
use proptest::test_runner::TestRunner;
use rand::RngExt as _;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use support::problem::problem;

/// Largest single request seen since the last reset: what a file can make the program ask for.
static LARGEST: AtomicUsize = AtomicUsize::new(0);

struct Watching;

#[allow(unsafe_code, reason = "a global allocator that notes the size and passes the request on")]
// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Watching {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LARGEST.fetch_max(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's contract is that of the system's allocator.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: `at` came from the system's allocator with this layout.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Watching = Watching;

const MUTANTS: u64 = 100_000;

/// A file of a few kB must not ask for more in one piece: 16 M channel indices of 4 bytes and their copies in the analysis.
const MOST_BYTES: usize = 256 << 20;

fn seeds() -> Vec<Vec<u8>> {
    let mut models = vec![support::small_model()];
    let mut b = support::Builder::new(&[1, 4, 6, 6]);
    let a = b.conv("x", 4, 8, 1);
    let s = b.ints(&[0, 2, 4, 6, 6]);
    let r = b.node("Reshape", &[&a, &s], &[]);
    let t = b.node("Transpose", &[&r], &[("perm", vec![0, 2, 1, 3, 4])]);
    let back = b.ints(&[0, 8, 6, 6]);
    let u = b.node("Reshape", &[&t, &back], &[]);
    let pads = b.ints(&[0, 2, 0, 0, 0, 2, 0, 0]);
    let p = b.node("Pad", &[&u, &pads], &[]);
    let parts = b.ints(&[4, 8]);
    b.nodes("Split", &[&p, &parts], &[("axis", vec![1])], vec!["p1".into(), "p2".into()]);
    let d = b.conv("p2", 8, 8, 8);
    let e = b.conv("p1", 4, 6, 2);
    let j = b.node("Concat", &[&d, &e], &[("axis", vec![1])]);
    let (starts, ends, axes) = (b.ints(&[1]), b.ints(&[9]), b.ints(&[1]));
    let k = b.node("Slice", &[&j, &starts, &ends, &axes], &[]);
    let last = b.conv(&k, 8, 4, 1);
    models.push(b.model(&last));
    models.iter().map(|model| model.to_bytes().to_vec()).collect()
}

fn mutate(seed: &[u8], rng: &mut ChaCha8Rng) -> Vec<u8> {
    let mut bytes = seed.to_vec();
    for _ in 0..rng.random_range(1..4) {
        if bytes.is_empty() {
            break;
        }
        let at = rng.random_range(0..bytes.len());
        let to = rng.random_range(at..bytes.len().min(at + 64) + 1).min(bytes.len());
        match rng.random_range(0..7) {
            0 => bytes[at] ^= 1 << rng.random_range(0..8),
            1 => bytes[at] = rng.random(),
            2 => bytes.truncate(at),
            3 => drop(bytes.drain(at..to)),
            4 => {
                let piece = bytes[at..to].to_vec();
                bytes.splice(at..at, piece);
            }
            // Lengths and sizes of up to 2^63.
            5 => drop(bytes.splice(at..=at, vec![0xff; rng.random_range(1..9)].into_iter().chain([0x7f]))),
            _ => {
                let from = rng.random_range(0..bytes.len());
                let piece = bytes[from..bytes.len().min(from + 32)].to_vec();
                bytes.splice(at..to, piece);
            }
        }
    }
    bytes
}

/// The whole way of a model through analysis and surgery; errors are fine, panics are not.
fn cut_in_half(mut model: Model) {
    inline_functions(&mut model);
    let channels = analyse(&model, &AnalyseOptions::default());
    let _ = channels.macs(None);
    let _ = channels.cost_model();
    let kept: Vec<Vec<usize>> = channels.groups.iter().map(|group| (0..group.width().div_ceil(2)).collect()).collect();
    let cut = Cut::new(&channels, &kept);
    let _ = slice(&model, &channels, &cut);
    let _ = mask(&model, &channels, &cut);
}

/// Changes what nodes are, read and say, so that rules meet operands that they were not made for.
fn mutate_graph(model: &mut Model, rng: &mut ChaCha8Rng) {
    const ODD: [i64; 12] = [0, 1, -1, 2, -2, 3, 5, 7, 64, 1 << 40, i64::MAX, i64::MIN];
    let names: Vec<String> = model.graph().node.iter().flat_map(|node| node.output.clone()).collect();
    let ops: Vec<String> = model.graph().node.iter().map(|node| node.op_type().to_owned()).collect();
    let opset = [1, 6, 7, 9, 10, 11, 13, 17, 18, 21, 23][rng.random_range(0..11)];
    for _ in 0..rng.random_range(1..4) {
        let graph = model.graph_mut();
        let (at, odd) = (rng.random_range(0..graph.node.len()), ODD[rng.random_range(0..ODD.len())]);
        let node = &mut graph.node[at];
        match rng.random_range(0..8) {
            0 => node.op_type = Some(ops[rng.random_range(0..ops.len())].clone()),
            1 => {
                let (domain, op) = OTHERS[rng.random_range(0..OTHERS.len())].rsplit_once('/').unwrap_or_default();
                node.domain = Some(domain.to_owned());
                node.op_type = Some(op.to_owned());
                for name in COUNTS {
                    node.set(name, [odd, 1, 2, 4][rng.random_range(0..4)]);
                }
            }
            2 if !node.input.is_empty() => {
                let input = rng.random_range(0..node.input.len());
                node.input[input] = names[rng.random_range(0..names.len())].clone();
            }
            3 => drop(node.input.pop()),
            4 => node.input.push(names[rng.random_range(0..names.len())].clone()),
            5 if !node.attribute.is_empty() => {
                let number = rng.random_range(0..node.attribute.len());
                let attribute = &mut node.attribute[number];
                attribute.i = attribute.i.map(|_| odd);
                if let Some(value) = attribute.ints.first_mut() {
                    *value = odd;
                }
                if rng.random_range(0..3) == 0 {
                    attribute.ints.push(odd);
                }
            }
            6 => {
                let number = rng.random_range(0..graph.initializer.len());
                let tensor = &mut graph.initializer[number];
                if tensor.data_type() == 7 && tensor.raw_data.as_ref().is_some_and(|raw| raw.len() >= 8) {
                    let mut raw = tensor.raw_data.clone().unwrap().to_vec();
                    raw[..8].copy_from_slice(&odd.to_le_bytes());
                    tensor.raw_data = Some(raw.into());
                } else if let Some(dim) = tensor.dims.first_mut() {
                    *dim = odd;
                }
            }
            _ => model.proto_mut().opset_import[0].version = Some(opset),
        }
    }
}

/// Attributes that count heads and groups.
const COUNTS: [&str; 5] = ["q_num_heads", "kv_num_heads", "num_heads", "offset_group", "group"];

/// Operators with rules that random graphs do not hold, by `DOMAIN/NAME`.
const OTHERS: [&str; 48] = [
    "/Attention",
    "/TopK",
    "/ScatterND",
    "/GatherND",
    "/GatherElements",
    "/RoiAlign",
    "/GridSample",
    "/OneHot",
    "/Range",
    "/EyeLike",
    "/ConstantOfShape",
    "/Trilu",
    "/MeanVarianceNormalization",
    "/GroupNormalization",
    "/LpNormalization",
    "/RMSNormalization",
    "/LSTM",
    "/Resize",
    "/Upsample",
    "/Expand",
    "/Tile",
    "/Einsum",
    "/Gather",
    "/Squeeze",
    "/Flatten",
    "/CumSum",
    "/QuantizeLinear",
    "/DequantizeLinear",
    "/ArgMax",
    "/ReduceSum",
    "/RotaryEmbedding",
    "/DeformConv",
    "/ConvInteger",
    "/QLinearConv",
    "/MatMulInteger",
    "/QLinearMatMul",
    "/DynamicQuantizeLinear",
    "/SimplifiedLayerNormalization",
    "com.microsoft/RotaryEmbedding",
    "com.microsoft/GroupQueryAttention",
    "com.microsoft/QGemm",
    "com.microsoft/QLinearAdd",
    "com.microsoft/QLinearConcat",
    "com.microsoft/QLinearAveragePool",
    "com.microsoft/QLinearGlobalAveragePool",
    "ai.onnx.ml/Scaler",
    "ai.onnx.ml/Normalizer",
    "ai.onnx.ml/Binarizer",
];

#[test]
fn no_odd_graph_panics() {
    let count = std::env::var("ONNX_PRUNE_MUTANTS").ok().and_then(|n| n.parse().ok()).unwrap_or(MUTANTS) / 5;
    let mut runner = TestRunner::deterministic();
    let seeds: Vec<Model> = (0..200).map(|_| problem(4..10).new_tree(&mut runner).unwrap().current().build()).collect();
    for number in 0..count {
        let mut rng = ChaCha8Rng::seed_from_u64(number);
        let mut model = seeds[(number % seeds.len() as u64) as usize].clone();
        mutate_graph(&mut model, &mut rng);
        let outcome = catch_unwind(AssertUnwindSafe(|| judge(model.to_bytes().to_vec())));
        match outcome {
            Ok(Ok(_)) => {}
            Ok(Err(why)) => panic!("odd graph {number}: {why}"),
            Err(_) => panic!("odd graph {number} panicked"),
        }
    }
    println!("{count} odd graphs");
}

fn judge(bytes: Vec<u8>) -> Result<bool, String> {
    match Model::from_bytes(bytes.into(), &LoadOptions::default()) {
        Ok(model) => {
            for tensor in &model.graph().initializer {
                let _ = model.tensor(tensor);
            }
            assert!(!model.to_bytes().is_empty());
            cut_in_half(model);
            Ok(true)
        }
        Err(error) => {
            let line = error.to_string();
            if line.is_empty() || line.contains('\n') { Err(format!("no clear line: {line:?}")) } else { Ok(false) }
        }
    }
}

#[test]
fn no_mutant_panics_or_takes_much_memory() {
    let seeds = seeds();
    let count = std::env::var("ONNX_PRUNE_MUTANTS").ok().and_then(|n| n.parse().ok()).unwrap_or(MUTANTS);
    let mut accepted = 0;
    for number in 0..count {
        let mut rng = ChaCha8Rng::seed_from_u64(number);
        let mutant = mutate(&seeds[(number % seeds.len() as u64) as usize], &mut rng);
        LARGEST.store(0, Ordering::Relaxed);
        let outcome = catch_unwind(AssertUnwindSafe(|| judge(mutant)));
        match outcome {
            Ok(Ok(valid)) => accepted += u64::from(valid),
            Ok(Err(why)) => panic!("mutant {number}: {why}"),
            Err(_) => panic!("mutant {number} panicked"),
        }
        let largest = LARGEST.load(Ordering::Relaxed);
        assert!(largest <= MOST_BYTES, "mutant {number} asked for {largest} bytes");
    }
    println!("{count} mutants, {accepted} of them valid models");
    assert!(accepted > 0 && accepted < count);
}
