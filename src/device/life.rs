//! Whether the other side is there: by when something last came from it.

use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Time between two signs of life.
pub(super) const BEAT: Duration = Duration::from_secs(4);

/// Time without a byte after which the other side is taken for lost.
pub(super) const SILENCE: Duration = Duration::from_secs(20);

/// When something last came.
pub(super) struct Heard {
    begin: Instant,
    at_ms: AtomicU64,
}

impl Default for Heard {
    fn default() -> Self {
        Self { begin: Instant::now(), at_ms: AtomicU64::new(0) }
    }
}

impl Heard {
    /// Whether nothing came for too long.
    pub(super) fn is_silent(&self) -> bool {
        let heard = Duration::from_millis(self.at_ms.load(Ordering::Relaxed));
        self.begin.elapsed().saturating_sub(heard) > SILENCE
    }

    fn now(&self) {
        let ms = u64::try_from(self.begin.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.at_ms.store(ms, Ordering::Relaxed);
    }
}

/// A stream that notes when something came.
pub(super) struct Hearing<R>(pub(super) R, pub(super) Arc<Heard>);

impl<R: Read> Read for Hearing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.0.read(buffer);
        self.1.now();
        read
    }
}
