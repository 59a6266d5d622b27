//! Single times, as CSV.

use super::CheckFormat;
use crate::check::Checked;
use crate::report::times_csv;

/// A line for each pair of runs.
#[derive(Debug, Clone, Copy, Default)]
pub struct CheckTimes;

impl CheckFormat for CheckTimes {
    fn name(&self) -> &'static str {
        "csv"
    }

    fn render(&self, checked: &Checked) -> Result<String, String> {
        times_csv(checked.samples.as_ref().ok_or("nothing was timed")?)
    }
}
