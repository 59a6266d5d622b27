//! The `onnx-prune` command; everything is in the library.

fn main() -> onnx_prune::cli::ExitStatus {
    onnx_prune::cli::run(std::env::args_os())
}
