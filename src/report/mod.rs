//! Reports: one [`Summary`], one file per format.

mod classes;
mod dependencies;
mod format;
mod html;
mod inspection;
mod json;
mod markdown;
mod memory;
mod number;
mod repair;
#[cfg(test)]
mod samples;
mod scored;
mod searched;
mod summary;
mod swept;
mod terminal;
mod text;

pub use classes::{ClassEdge, ClassMerge, Classwise, FollowedClass, GroupClasses, classes_svg};
pub use dependencies::{Dot, Drawing, Svg};
pub use format::{Format, Style};
pub use html::{Html, sweep_html};
pub use inspection::{InspectedGroup, InspectedOperator, Inspection, Members};
pub use json::Json;
pub use markdown::Markdown;
pub use memory::peak_memory_bytes;
pub use number::{bytes, count};
pub use repair::Repair;
pub use scored::{SCORES_SCHEMA_VERSION, Scored, ScoredGroup};
pub use searched::{Loss, Searched, Tried};
pub use summary::{
    AccuracyChange, Calibrated, Change, ClassChange, FileInfo, GroupChange, LatencyChange, ProtectedChannels,
    REPORT_SCHEMA_VERSION, Summary, Verified,
};
pub use swept::{SWEEP_SCHEMA_VERSION, Swept, SweptModel, sweep_csv, sweep_svg, sweep_table};
pub use terminal::Terminal;
pub(crate) use terminal::lines;
pub(crate) use text::markdown;
pub use text::printable;
