//! What calibration gathered, as a file: statistics of some shards of a data set, merged into those of the whole, and read in place
//! of the images.
//!
//! The file is in the safetensors format. Its metadata hold a description ([`StatisticsHead`]) and a checksum. Names of tensors say
//! how parts are merged: those under `sum/` are added; those under `rows/SET/` have a row for each image, ordered by `rows/SET/#key`.

mod file;
mod head;
mod merge;
mod read;
mod tensors;
mod write;

pub use file::StatisticsFile;
pub use head::{GatherSettings, STATISTICS_SCHEMA_VERSION, StatisticsHead};
pub use merge::merge_statistics;
pub use read::KeptImages;
pub use write::{Gathered, write_statistics};

/// Sets of rows: images whose outputs and features are kept, inputs for the repair, inputs that judge it.
const SAMPLED: &str = "sampled";
const KEPT: &str = "kept";
const JUDGING: &str = "judging";

/// The tensor that orders the rows of a set, and that of the labels of its images; -1 where one has none.
const KEY: &str = "#key";
const LABEL: &str = "#label";

fn row_name(set: &str, name: &str) -> String {
    format!("rows/{set}/{name}")
}

fn sum_name(name: &str) -> String {
    format!("sum/{name}")
}
