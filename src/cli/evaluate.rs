//! `onnx-prune evaluate` and `merge`: models on many images, on one machine or on many.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

use clap::Args;

use super::calibrate::told;
use super::commands::unprintable;
use super::console::Console;
use super::engine_flags::EngineFlags;
use super::parse;
use super::preprocess_flags::PreprocessFlags;
use super::targets::Targets;
use crate::calibration::{PreprocessOptions, Shard};
use crate::error::Error;
use crate::evaluate::Evaluation;
use crate::model::{replaceable, write_atomically};
use crate::pipeline::{self, DataOptions, EvaluateOptions, ModelOptions};
use crate::report::evaluation_table;

const EXAMPLES: &str = "\
Examples:
  Two models on all images:
    onnx-prune evaluate model.onnx model.pruned.onnx --data val/

  An eighth of the images, and the parts together:
    onnx-prune evaluate model.onnx model.pruned.onnx --data val/ --shard 0/8 -o part0.json
    onnx-prune merge part*.json -o all.json

Exit codes: 0 done, 2 bad input or usage, 130 interrupted";

/// `onnx-prune evaluate`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Evaluate {
    /// The models; the others are compared with the first
    #[arg(value_name = "MODEL", required = true)]
    models: Vec<PathBuf>,
    /// Images: class folders, a flat folder with a table of labels, tar files (`WebDataset`), Parquet (Hugging Face), @list.txt, CIFAR-10 .bin, or .npz
    /// and .npy
    #[arg(long, value_name = "DIR", help_heading = "Input")]
    data: PathBuf,
    /// Map of class folders to outputs: json, csv, or a list whose line i names output i
    #[arg(long, value_name = "FILE", help_heading = "Input")]
    classes: Option<PathBuf>,
    #[command(flatten)]
    shard: ShardFlags,
    /// Stop at the first image that cannot be read
    #[arg(long, help_heading = "Input")]
    strict: bool,
    /// Size of a symbolic dim, by its name or by INPUT:AXIS; may be repeated
    #[arg(long = "dim", value_name = "NAME=SIZE", value_parser = parse::dim, help_heading = "Input")]
    dims: Vec<(String, usize)>,
    #[command(flatten)]
    preprocess: PreprocessFlags,
    #[command(flatten)]
    engine: EngineFlags,
    #[command(flatten)]
    results: EvaluationFlags,
}

/// The part of the data for one of many machines.
#[derive(Debug, Args)]
pub(super) struct ShardFlags {
    /// The part of the images that is run: I/N, counted from 0, or auto: as `ONNX_PRUNE_SHARD`, a Slurm array or an indexed job
    /// says. An image is in a part by its name
    #[arg(long, value_name = "I/N|auto", help_heading = "Input")]
    shard: Option<String>,
    /// Number of parts, for --shard auto where the scheduler does not tell
    #[arg(long, value_name = "N", requires = "shard", value_parser = clap::value_parser!(u32).range(1..), help_heading = "Input")]
    shards: Option<u32>,
}

/// `onnx-prune merge`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Merge {
    /// Files that calibrate -o, evaluate -o or merge -o wrote, in any order
    #[arg(value_name = "PART", required = true)]
    parts: Vec<PathBuf>,
    /// Merge although shards are missing; the result can be merged with the others
    #[arg(long)]
    partial: bool,
    #[command(flatten)]
    results: EvaluationFlags,
}

/// Where an evaluation goes.
#[derive(Debug, Args)]
struct EvaluationFlags {
    /// Write the counts as JSON, or the statistics, with a checksum: what merge reads
    #[arg(short, long, value_name = "FILE", help_heading = "Output")]
    output: Option<PathBuf>,
    /// Replace an existing file
    #[arg(long, help_heading = "Output")]
    force: bool,
    /// Print JSON
    #[arg(long, help_heading = "Output")]
    json: bool,
    /// Print nothing but errors
    #[arg(short, long, conflicts_with = "json", help_heading = "Output")]
    quiet: bool,
}

impl EvaluationFlags {
    /// Fails before the work if the result would be lost or would replace something else.
    fn check(&self, inputs: &[PathBuf]) -> Result<(), Error> {
        let Some(path) = &self.output else { return Ok(()) };
        let targets = inputs.iter().fold(Targets::default(), |targets, own| targets.input(own));
        targets.output(path, "the counts")?;
        Ok(replaceable(path, self.force)?)
    }

    fn tell(&self, found: &Evaluation, console: &Console<'_>) -> Result<(), Error> {
        let json = found.to_json().map_err(|error| unprintable(error.to_string()))?;
        if let Some(path) = &self.output {
            write_atomically(path, |file| file.write_all(json.as_bytes()))?;
        }
        match (self.json, self.quiet) {
            (true, _) => console.print(&json),
            (_, true) => Ok(()),
            _ => console
                .print(&evaluation_table(found, console.style()).map_err(|error| unprintable(error.to_string()))?),
        }
    }
}

impl Evaluate {
    fn options(&self, file: PreprocessOptions) -> Result<EvaluateOptions, Error> {
        let model = |path: &PathBuf| ModelOptions {
            path: path.clone(),
            sizes: self.dims.iter().cloned().collect(),
            ..ModelOptions::default()
        };
        Ok(EvaluateOptions {
            models: self.models.iter().map(model).collect(),
            data: DataOptions {
                data: Some(self.data.clone()),
                classes: self.classes.clone(),
                preprocess: self.preprocess.options().or(file),
                strict: self.strict,
                ..DataOptions::default()
            },
            shard: self.shard.shard()?,
            engine: self.engine.options(),
        })
    }
}

impl ShardFlags {
    pub(super) fn shard(&self) -> Result<Shard, Error> {
        let read = match self.shard.as_deref() {
            None => return Ok(Shard::default()),
            Some("auto") => {
                let count = self.shards.and_then(|count| usize::try_from(count).ok());
                Shard::of_job(|name| std::env::var(name).ok(), count)
            }
            Some(text) => text.parse(),
        };
        read.map_err(|why| Error::Usage {
            what: format!("`--shard {}`: {why}", self.shard.as_deref().unwrap_or_default()),
            help: "`--shard 0/8` is the first of eight".into(),
        })
    }
}

pub(super) fn run(flags: &Evaluate, console: &Console<'_>) -> Result<(), Error> {
    let file = flags.preprocess.file.as_ref().map(|path| PreprocessOptions::from_file(path)).transpose()?;
    let options = flags.options(file.unwrap_or_default())?;
    flags.results.check(&flags.models)?;
    let bar = console.progress(flags.results.quiet || flags.results.json);
    let found = pipeline::evaluate(&options, &bar, console.cancel);
    bar.clear();
    flags.results.tell(&found?, console)
}

pub(super) fn merge(flags: &Merge, console: &Console<'_>) -> Result<(), Error> {
    flags.results.check(&flags.parts)?;
    if !flags.parts.first().is_some_and(|path| is_statistics(path)) {
        return flags.results.tell(&pipeline::merge(&flags.parts, flags.partial)?, console);
    }
    let EvaluationFlags { output: Some(output), json: false, quiet, .. } = &flags.results else {
        return Err(Error::Usage {
            what: "merged statistics go to a file".into(),
            help: "give it with `-o FILE`, without `--json`".into(),
        });
    };
    let head = pipeline::merge_parts(&flags.parts, output, flags.partial)?;
    if *quiet { Ok(()) } else { console.print(&told(&head, output)) }
}

/// Whether a file does not begin as JSON does.
fn is_statistics(path: &Path) -> bool {
    let mut first = [0];
    let read = File::open(path).and_then(|mut file| file.read_exact(&mut first));
    read.is_ok() && first != *b"{"
}
