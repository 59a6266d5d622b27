//! GitLab's code quality report: a subset of the Code Climate format.

use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::CheckFormat;
use crate::check::{Checked, Outcome};
use crate::number::hex;

/// An issue for each bound that is not met for certain.
#[derive(Debug, Clone, Copy, Default)]
pub struct CodeQuality;

impl CheckFormat for CodeQuality {
    fn name(&self) -> &'static str {
        "gitlab code quality"
    }

    fn render(&self, checked: &Checked) -> Result<String, String> {
        let path = checked.new.path.to_string_lossy();
        let issue = |gate: &crate::check::Gate| {
            let severity = match gate.outcome {
                Outcome::Passed => return None,
                Outcome::Inconclusive => "minor",
                Outcome::Failed => "major",
            };
            let slug = gate.quantity.slug();
            // The same bound of the same file is the same issue in the next run.
            let hash = Sha256::digest(format!("{slug}:{path}"));
            let fingerprint = hex(&hash);
            Some(json!({
                "description": gate.describe(),
                "check_name": slug,
                "fingerprint": fingerprint,
                "severity": severity,
                "location": { "path": path.trim_start_matches("./"), "lines": { "begin": 1 } },
            }))
        };
        let issues: Vec<_> = checked.gates.iter().filter_map(issue).collect();
        serde_json::to_string_pretty(&issues).map(|text| text + "\n").map_err(|error| error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::formats::samples::checked;

    #[test]
    fn an_issue_for_each_bound_that_is_not_met() {
        let issues: Vec<serde_json::Value> = serde_json::from_str(&CodeQuality.render(&checked()).unwrap()).unwrap();
        assert_eq!(issues.len(), 2);
        assert_eq!((&issues[0]["severity"], &issues[1]["severity"]), (&json!("major"), &json!("minor")));
        assert_ne!(issues[0]["fingerprint"], issues[1]["fingerprint"]);
    }
}
