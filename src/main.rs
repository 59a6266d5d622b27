//! The `onnx-prune` command; everything is in the library.

use onnx_prune::cli::{ExitStatus, run};

/// What the first thread has elsewhere; on Windows it has an eighth of it.
const STACK: usize = 8 << 20;

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
