//! `onnx-prune calibrate`: statistics of many images, on one machine or on many.

use std::path::PathBuf;

use clap::Args;

use super::console::Console;
use super::criterion_flags::CriterionFlags;
use super::engine_flags::EngineFlags;
use super::evaluate::ShardFlags;
use super::flags::{DataFlags, ModelFlags};
use super::parse;
use super::preprocess_flags::PreprocessFlags;
use super::targets::Targets;
use crate::calibration::PreprocessOptions;
use crate::error::Error;
use crate::evaluate::StatisticsHead;
use crate::model::replaceable;
use crate::number::{bytes, plural};
use crate::pipeline::{self, PruneOptions};

const EXAMPLES: &str = "\
Examples:
  Gather once, prune several times:
    onnx-prune calibrate model.onnx --data calib/ -o model.stats
    onnx-prune model.onnx --statistics model.stats --target-macs 0.5

  An eighth of the images on each of eight machines:
    onnx-prune calibrate model.onnx --data calib/ --shard 0/8 -o part0.stats
    onnx-prune merge part*.stats -o model.stats

Exit codes: 0 done, 2 bad input or usage, 130 interrupted";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Calibrate {
    /// The model, or - for standard input
    #[arg(value_name = "MODEL")]
    model: PathBuf,
    #[command(flatten)]
    data: DataFlags,
    #[command(flatten)]
    shard: ShardFlags,
    #[command(flatten)]
    flags: ModelFlags,
    #[command(flatten)]
    criterion: CriterionFlags,
    /// Seed of every random choice
    #[arg(long, value_name = "S", default_value_t = 0, help_heading = "Criterion")]
    seed: u64,
    /// Memory that the run may take, about, such as 2G; the same for all shards [default: aim at 4G]
    #[arg(long, value_name = "SIZE", value_parser = parse::memory, help_heading = "Criterion")]
    memory: Option<u64>,
    #[command(flatten)]
    preprocess: PreprocessFlags,
    #[command(flatten)]
    engine: EngineFlags,
    /// Where the statistics go
    #[arg(short, long, value_name = "FILE", help_heading = "Output")]
    output: PathBuf,
    /// Replace an existing file
    #[arg(long, help_heading = "Output")]
    force: bool,
    /// Print nothing but errors
    #[arg(short, long, help_heading = "Output")]
    quiet: bool,
}

impl Calibrate {
    fn options(&self, file: PreprocessOptions) -> PruneOptions {
        let mut data = self.data.options(self.preprocess.options().or(file));
        // Who gathers from many images says so by giving them.
        data.samples = data.samples.or(Some(usize::MAX));
        PruneOptions {
            model: self.flags.options(&self.model),
            data,
            engine: self.engine.options(),
            criteria: self.criterion.options(),
            memory: self.memory,
            seed: self.seed,
            ..PruneOptions::default()
        }
    }
}

pub(super) fn run(flags: &Calibrate, console: &Console<'_>) -> Result<(), Error> {
    let file = flags.preprocess.file.as_ref().map(|path| PreprocessOptions::from_file(path)).transpose()?;
    let (options, shard) = (flags.options(file.unwrap_or_default()), flags.shard.shard()?);
    Targets::default().input(&flags.model).output(&flags.output, "the statistics")?;
    replaceable(&flags.output, flags.force)?;
    super::memory::keep_blocks();
    let bar = console.progress(flags.quiet);
    let found = pipeline::calibrate(&options, shard, &flags.output, &bar, console.cancel);
    bar.clear();
    if flags.quiet { found.map(|_| ()) } else { console.print(&told(&found?, &flags.output)) }
}

/// What a file of statistics holds, in lines.
pub(super) fn told(head: &StatisticsHead, path: &std::path::Path) -> String {
    let size = std::fs::metadata(path).map_or(0, |own| own.len());
    let shards = match head.shards.count {
        1 => String::new(),
        count => format!(", {} of {count} shards", head.shards.held.len()),
    };
    let mut lines = vec![format!(
        "statistics  {} of {}{shards}, {} in classes; {} in `{}`",
        plural(head.answers.images, "image"),
        head.settings.samples,
        head.settings.classes.len(),
        bytes(size as f64),
        path.display()
    )];
    if !head.skipped.is_empty() {
        lines.push(format!("skipped     {}: {}", head.skipped.len(), crate::explain::Names(&head.skipped, 3)));
    }
    lines.extend(head.notes.iter().map(|note| format!("note        {note}")));
    lines.join("\n") + "\n"
}
