//! The `onnx-prune` command; everything is in the library.

#[cfg(not(feature = "cli"))]
use onnx_prune::device::run_agent as run;

#[cfg(feature = "cli")]
use onnx_prune::cli::{ExitStatus, run};

/// What the first thread has elsewhere; on Windows it has an eighth of it.
#[cfg(feature = "cli")]
const STACK: usize = 8 << 20;

#[cfg(feature = "cli")]
fn main() -> ExitStatus {
    let run = || run(std::env::args_os());
    if !cfg!(windows) {
        return run();
    }
    match std::thread::Builder::new().stack_size(STACK).spawn(run).map(std::thread::JoinHandle::join) {
        Ok(Ok(status)) => status,
        Ok(Err(panic)) => std::panic::resume_unwind(panic),
        Err(_) => run(),
    }
}

/// A build for devices: `onnx-prune agent`.
#[cfg(not(feature = "cli"))]
fn main() -> std::process::ExitCode {
    run(std::env::args_os().skip(1))
}
