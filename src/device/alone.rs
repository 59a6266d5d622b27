//! A program that is an agent and nothing else.

use std::ffi::OsString;
use std::io::Write as _;
use std::process::ExitCode;

use super::agent::{AgentOptions, serve};
use crate::engine::EngineOptions;

/// What it says where it is called otherwise.
const USAGE: &str = "onnx-prune agent [--onnxruntime FILE] [--threads N]
Times models for a program on another machine, which starts this command there: `onnx-prune MODEL --device ssh://HOST`.
This build has no other commands.";

/// Runs the command line of a build without the feature `cli`; `arguments` without the program's name. Exit code 2 where it
/// or what comes on standard input is not understood.
pub fn run_agent(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let said = match options(arguments) {
        Some(engine) => serve(std::io::stdin(), std::io::stdout(), &AgentOptions::new(engine, end)),
        None => Err(USAGE.into()),
    };
    let Err(why) = said else { return ExitCode::SUCCESS };
    // Who cannot be told either is gone.
    let _ = writeln!(std::io::stderr(), "{why}");
    ExitCode::from(2)
}

fn options(mut arguments: impl Iterator<Item = OsString>) -> Option<EngineOptions> {
    if arguments.next()? != "agent" {
        return None;
    }
    let mut engine = EngineOptions::default();
    while let Some(flag) = arguments.next() {
        match flag.to_str()? {
            "--onnxruntime" => engine.library = Some(arguments.next()?.into()),
            "--threads" => engine.threads = Some(arguments.next()?.to_str()?.parse().ok().filter(|&count| count > 0)?),
            _ => return None,
        }
    }
    Some(engine)
}

/// The program at the other end is gone, and an engine cannot be interrupted.
#[allow(clippy::exit, reason = "nobody is left to answer to")]
pub(crate) fn end() {
    std::process::exit(2);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Option<EngineOptions> {
        options(line.split_whitespace().map(OsString::from))
    }

    #[test]
    fn only_an_agent_is_started() {
        let own = EngineOptions { threads: Some(4), library: Some("a.so".into()), ..EngineOptions::default() };
        assert_eq!(read("agent --threads 4 --onnxruntime a.so"), Some(own));
        assert_eq!(read("agent"), Some(EngineOptions::default()));
        for line in ["", "model.onnx", "agent --threads 0", "agent --threads", "agent -x"] {
            assert_eq!(read(line), None, "{line}");
        }
    }
}
