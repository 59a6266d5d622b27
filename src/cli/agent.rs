//! `onnx-prune agent`.

use clap::Args;

use super::engine_flags::EngineFlags;
use super::parse;
use crate::device::{AgentOptions, end, serve};
use crate::error::Error;

#[derive(Debug, Args)]
pub(super) struct Agent {
    #[command(flatten)]
    engine: EngineFlags,
    /// Memory that models and inputs may take, such as 2G [default: 4G]
    #[arg(long, value_name = "SIZE", value_parser = parse::memory, help_heading = "Engine")]
    memory: Option<u64>,
}

/// Serves the program at the other end of standard input and output until it goes.
pub(super) fn run(flags: &Agent) -> Result<(), Error> {
    let mut options = AgentOptions::new(flags.engine.options(), end);
    options.memory = flags.memory.unwrap_or(options.memory);
    serve(std::io::stdin(), std::io::stdout(), &options).map_err(|why| Error::Usage {
        what: format!("what comes on standard input is no onnx-prune of this version: {why}"),
        help: "this command is started by `onnx-prune ... --device ssh://HOST`, not by hand".into(),
    })
}
