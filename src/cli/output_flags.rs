//! What a pruning run writes and prints.

use std::path::PathBuf;

use clap::Args;

#[derive(Debug, Args)]
#[allow(clippy::struct_excessive_bools, reason = "one per switch")]
pub(super) struct OutputFlags {
    /// The pruned model [default: MODEL.pruned.onnx]
    #[arg(short, long, value_name = "FILE", help_heading = "Output")]
    pub(super) output: Option<PathBuf>,
    /// Where the plan goes, or none [default: beside the output, .plan.json]
    #[arg(long, value_name = "FILE|none", help_heading = "Output")]
    pub(super) plan: Option<PathBuf>,
    /// Write the report as JSON
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub(super) report: Option<PathBuf>,
    /// Write the report as one HTML page
    #[arg(long, value_name = "FILE.html", help_heading = "Output")]
    pub(super) html: Option<PathBuf>,
    /// Write the report as Markdown, for a comment on a merge request
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub(super) markdown: Option<PathBuf>,
    /// Write the time of every run of both models as CSV
    #[arg(long, value_name = "FILE.csv", conflicts_with = "no_timing", help_heading = "Output")]
    pub(super) times: Option<PathBuf>,
    /// Draw how the classes are related and what every cut takes from each
    #[arg(long, value_name = "FILE.svg", help_heading = "Output")]
    pub(super) classes_svg: Option<PathBuf>,
    /// Print the report as JSON
    #[arg(long, help_heading = "Output")]
    pub(super) json: bool,
    /// Print nothing but errors
    #[arg(short, long, conflicts_with = "json", help_heading = "Output")]
    pub(super) quiet: bool,
    /// Replace existing files
    #[arg(long, help_heading = "Output")]
    pub(super) force: bool,
    /// Do nothing if the report says that the same command came to its end, and the model is still what it wrote
    #[arg(long, requires = "report", help_heading = "Output")]
    pub(super) skip_done: bool,
    /// Do not time the models
    #[arg(long, help_heading = "Output")]
    pub(super) no_timing: bool,
    /// Do not compare the pruned model with the masked original
    #[arg(long, help_heading = "Output")]
    pub(super) no_verify: bool,
}
