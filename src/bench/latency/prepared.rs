//! What loading a model takes.

use std::sync::Once;
use std::time::Instant;

use serde::{Deserialize, Serialize};

use crate::bench::BenchError;
use crate::engine::{CompileOptions, Engine, Feed, Session, bytes_told, feed, one_convolution};
use crate::model::Model;

/// What two models took until their first results.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Prepared {
    /// Milliseconds of each: session, engine build, first run.
    pub ms: [f64; 2],
    /// Bytes of memory that each session holds, where that can be told.
    pub memory_bytes: Option<[u64; 2]>,
}

impl Prepared {
    /// The same of the models in the other order.
    #[must_use]
    pub fn swapped(self) -> Self {
        let [first, last] = self.ms;
        Self { ms: [last, first], memory_bytes: self.memory_bytes.map(|[first, last]| [last, first]) }
    }

    /// With another time: milliseconds add up, and of the memory the larger counts, since what an earlier session gave back is
    /// used again without growing.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        let [a, b] = self.ms;
        let larger = |own: [u64; 2], other: [u64; 2]| [own[0].max(other[0]), own[1].max(other[1])];
        let memory_bytes = match (self.memory_bytes, other.memory_bytes) {
            (Some(own), Some(other)) => Some(larger(own, other)),
            (own, other) => own.or(other),
        };
        Self { ms: [a + other.ms[0], b + other.ms[1]], memory_bytes }
    }
}

/// A session that gave its first result, the milliseconds until then, and the bytes that it holds where that can be told.
type Ready = (Box<dyn Session>, f64, Option<u64>);

/// Makes a session and runs it once.
pub(super) fn prepared(engine: &dyn Engine, model: &Model, feed: &Feed) -> Result<Ready, BenchError> {
    // What the engine's library allocates once is no part of a session.
    static FIRST: Once = Once::new();
    FIRST.call_once(|| drop(engine.compile(&one_convolution(8, 8), &CompileOptions::default())));
    let (begin, before) = (Instant::now(), resident_bytes());
    let mut session = engine.compile(model, &CompileOptions::default())?;
    session.bind(&feed::pairs(feed))?.run()?;
    let ms = 1e3 * begin.elapsed().as_secs_f64();
    let grown = before.zip(resident_bytes()).map(|(before, after)| after.saturating_sub(before));
    // Less than the weights: the session uses memory that the process held before. A GPU's memory is not seen here.
    let told = grown.filter(|&grown| grown >= stored_bytes(model) && !engine.info().in_gpu_memory());
    Ok((session, ms, told))
}

/// Bytes of the weights in a model.
fn stored_bytes(model: &Model) -> u64 {
    let stored = model.graph().initializer.iter().filter_map(|tensor| tensor.raw_data.as_ref());
    stored.map(|data| data.len() as u64).sum()
}

/// Bytes of memory that this process holds, without the files that it maps; `None` where the system does not tell.
fn resident_bytes() -> Option<u64> {
    bytes_told("/proc/self/status", "RssAnon:")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_add_up_and_the_larger_memory_counts() {
        let first = Prepared { ms: [1.0, 2.0], memory_bytes: Some([5, 7]) };
        let all = first.and(first.swapped()).and(Prepared { ms: [1.0, 1.0], memory_bytes: None });
        assert_eq!(all, Prepared { ms: [4.0, 4.0], memory_bytes: Some([7, 7]) });
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn what_is_held_is_resident() {
        let held = vec![1_u8; 64 << 20];
        assert!(resident_bytes().unwrap() >= held.iter().map(|&byte| u64::from(byte)).sum());
    }
}
