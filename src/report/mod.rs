//! Reports: one [`Summary`], one file per format.

mod classes;
mod dependencies;
mod evaluated;
mod figures;
mod format;
mod html;
mod inspection;
mod json;
mod markdown;
mod memory;
mod protection;
mod quantized;
mod quantized_text;
mod repair;
#[cfg(test)]
pub(crate) mod samples;
mod schema;
mod scored;
mod searched;
mod summary;
mod swept;
mod terminal;
mod text;
mod times;

pub use crate::bench::latency::LatencyChange;
pub use crate::number::{bytes, count};
pub use classes::{ClassEdge, ClassMerge, Classwise, FollowedClass, GroupClasses, classes_svg};
pub use dependencies::{Dot, Drawing, Svg};
pub use evaluated::evaluation_table;
pub(crate) use figures::{Figures, detections, metric_change};
pub use format::{Format, Style};
pub(crate) use html::{Cell, Page, again, cards, class_by_class, first_result, held_by, percentiles, where_time_goes};
pub use html::{Html, quantize_html, sweep_html};
pub use inspection::{InspectedBlock, InspectedGroup, InspectedOperator, Inspection, Members};
pub use json::Json;
pub use markdown::{Markdown, quantize_markdown};
pub(crate) use markdown::{lost_most, metric_command, not_faster};
pub use memory::peak_memory_bytes;

pub use protection::protection_reasons;
pub use quantized::{FloatProduct, QUANTIZE_SCHEMA_VERSION, QuantizeStep, QuantizeSummary, Quantized};
pub use repair::{Repair, RepairStage, StageError};
pub use schema::json_schema;
pub use scored::{SCORES_SCHEMA_VERSION, Scored, ScoredGroup};
pub use searched::{Loss, MetricLoss, Searched, Tried};
pub use summary::{
    AccuracyChange, BlockChange, Calibrated, Change, ClassChange, DeviceLatency, FileInfo, GroupChange,
    ProtectedChannels, REPORT_SCHEMA_VERSION, Summary, Verified,
};
pub use swept::{
    Collected, SWEEP_SCHEMA_VERSION, Swept, SweptModel, collected_html, collected_table, sweep_csv, sweep_svg,
    sweep_table,
};
pub use terminal::Terminal;
pub(crate) use terminal::lines;
pub use text::printable;
pub(crate) use text::{escaped, markdown};
pub use times::{Times, times_csv};
