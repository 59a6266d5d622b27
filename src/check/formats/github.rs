//! Annotations of GitHub Actions: workflow commands on standard output.

use super::{CheckFormat, model_name};
use crate::check::{Checked, Outcome};

/// An error for each bound that is exceeded, a warning for each that is inconclusive, a notice for the rest.
#[derive(Debug, Clone, Copy, Default)]
pub struct GithubAnnotations;

impl CheckFormat for GithubAnnotations {
    fn name(&self) -> &'static str {
        "github"
    }

    fn render(&self, checked: &Checked) -> Result<String, String> {
        let line = |gate: &crate::check::Gate| {
            let level = match gate.outcome {
                Outcome::Passed => "notice",
                Outcome::Inconclusive => "warning",
                Outcome::Failed => "error",
            };
            let title = property(&format!("{}: {} {}", model_name(checked), gate.quantity.name(), gate.outcome.word()));
            format!("::{level} title={title}::{}\n", data(&gate.describe()))
        };
        Ok(checked.gates.iter().map(line).collect())
    }
}

/// The message of a workflow command.
fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// A property of a workflow command.
fn property(text: &str) -> String {
    let text: String = text.chars().map(|c| if c.is_control() && c != '\n' && c != '\r' { ' ' } else { c }).collect();
    data(&text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::formats::samples::checked;

    #[test]
    fn a_command_for_each_bound() {
        insta::assert_snapshot!(GithubAnnotations.render(&checked()).unwrap());
    }

    #[test]
    fn a_name_cannot_give_commands() {
        let mut own = checked();
        own.new.path = "a\n::error::b,c:%.onnx".into();
        let text = GithubAnnotations.render(&own).unwrap();
        assert_eq!(text.lines().count(), own.gates.len());
        assert!(text.contains("a%0A%3A%3Aerror%3A%3Ab%2Cc%3A%25.onnx"), "{text}");
    }
}
