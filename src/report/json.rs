//! The report as one JSON document.

use super::{Format, Summary};

/// Versioned JSON; the form is that of [`Summary`].
#[derive(Debug, Clone, Copy, Default)]
pub struct Json;

impl Format for Json {
    fn name(&self) -> &'static str {
        "json"
    }

    fn render(&self, summary: &Summary) -> Result<String, String> {
        serde_json::to_string_pretty(summary).map(|text| text + "\n").map_err(|error| error.to_string())
    }
}
