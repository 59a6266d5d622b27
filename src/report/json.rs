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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::samples::full;

    /// The names are an interface: a change of this snapshot is a change of `schema_version`.
    #[test]
    fn fields_of_schema_version_1() {
        insta::assert_snapshot!(Json.render(&full()).unwrap());
    }

    #[test]
    fn a_report_can_be_read_back() {
        let text = Json.render(&full()).unwrap();
        let read: Summary = serde_json::from_str(&text).unwrap();
        assert_eq!(Json.render(&read).unwrap(), text);
    }
}
