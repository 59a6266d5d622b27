//! Sweeps of several models and devices as one table and one page.

use std::fmt::{self, Write as _};

use super::{Swept, sweep_table};
use crate::explain::Names;
use crate::report::Style;
use crate::report::html::{Page, sweep_section};

/// Names of missing results that are told.
const MOST_NAMED: usize = 8;

/// What the jobs of a sweep gave.
#[derive(Debug, Clone)]
pub struct Collected {
    /// One for each model and device.
    pub sweeps: Vec<Swept>,
    /// How many jobs there are.
    pub jobs: usize,
    /// Names of those without a result.
    pub missing: Vec<String>,
}

impl Collected {
    fn told(&self) -> String {
        let done = self.jobs - self.missing.len();
        if self.missing.is_empty() {
            return format!("all {done} jobs are done");
        }
        format!("{done} of {} jobs are done; missing: {}", self.jobs, Names(&self.missing, MOST_NAMED))
    }
}

/// Tables for a terminal.
///
/// # Errors
/// If the text cannot be written.
pub fn collected_table(collected: &Collected, style: Style) -> Result<String, fmt::Error> {
    let mut out = String::new();
    for swept in &collected.sweeps {
        writeln!(out, "{}", sweep_table(swept, style)?)?;
    }
    writeln!(out, "{}", collected.told())?;
    Ok(out)
}

/// One self-contained HTML file.
///
/// # Errors
/// If the text cannot be written.
pub fn collected_html(collected: &Collected) -> Result<String, fmt::Error> {
    let mut page = Page::new("onnx-prune sweep")?;
    writeln!(page.0, "<h1>Sweep</h1>")?;
    page.paragraph(if collected.missing.is_empty() { "soft" } else { "warning" }, &collected.told())?;
    for swept in &collected.sweeps {
        let name = swept.models.first().map_or_else(String::new, |own| own.summary.model.path.display().to_string());
        let place = swept.device().map(|own| format!(" on {}", own.device)).unwrap_or_default();
        page.title(&format!("{name}{place}"))?;
        sweep_section(&mut page, swept)?;
    }
    Ok(page.finish())
}
