//! Everything, as JSON.

use super::CheckFormat;
use crate::check::Checked;

/// Versioned JSON; the form is that of [`Checked`], and `onnx-prune schema check` describes it.
#[derive(Debug, Clone, Copy, Default)]
pub struct CheckJson;

impl CheckFormat for CheckJson {
    fn name(&self) -> &'static str {
        "json"
    }

    fn render(&self, checked: &Checked) -> Result<String, String> {
        serde_json::to_string_pretty(checked).map(|text| text + "\n").map_err(|error| error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::formats::samples::checked;

    /// The names are an interface: a change of this snapshot is a change of `schema_version`.
    #[test]
    fn fields_of_schema_version_1() {
        let text = CheckJson.render(&checked()).unwrap();
        let read: Checked = serde_json::from_str(&text).unwrap();
        assert_eq!(CheckJson.render(&read).unwrap(), text);
        insta::assert_snapshot!(text);
    }
}
