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

use onnx_prune::channels::{AnalyseOptions, analyse};
use onnx_prune::model::{LoadOptions, Model};
use rand::RngExt as _;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

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

/// A file of a few kB must not ask for more in one piece: 16 M identities of 4 bytes and their copies in the analysis.
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

fn judge(bytes: Vec<u8>) -> Result<bool, String> {
    match Model::from_bytes(bytes.into(), &LoadOptions::default()) {
        Ok(model) => {
            for tensor in &model.graph().initializer {
                let _ = model.tensor(tensor);
            }
            assert!(!model.to_bytes().is_empty());
            let channels = analyse(&model, &AnalyseOptions::default());
            let _ = channels.macs(None);
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
