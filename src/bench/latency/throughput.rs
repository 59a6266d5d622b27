//! Images a second with several requests at a time.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::engine::{EngineError, Session, Tensor};

/// Runs a second of all sessions together, each run by a thread of its own over and over for so long.
///
/// # Errors
/// The first error of a session.
pub fn throughput(
    sessions: &mut [Box<dyn Session>],
    inputs: &[(&str, &Tensor)],
    duration: Duration,
    cancel: &AtomicBool,
) -> Result<f64, EngineError> {
    let runs = AtomicU64::new(0);
    let begin = Instant::now();
    let worker = |session: &mut Box<dyn Session>| -> Result<(), EngineError> {
        let mut session = session.bind(inputs)?;
        while begin.elapsed() < duration && !cancel.load(Ordering::Relaxed) {
            session.run()?;
            runs.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    };
    let ends: Vec<Result<(), EngineError>> = std::thread::scope(|scope| {
        let threads: Vec<_> = sessions.iter_mut().map(|session| scope.spawn(|| worker(session))).collect();
        threads
            .into_iter()
            .map(|thread| {
                thread.join().unwrap_or_else(|_| {
                    Err(EngineError::Run { engine: "a stream".into(), why: "its thread ended early".into() })
                })
            })
            .collect()
    });
    ends.into_iter().collect::<Result<(), _>>()?;
    Ok(runs.load(Ordering::Relaxed) as f64 / begin.elapsed().as_secs_f64().max(f64::MIN_POSITIVE))
}
