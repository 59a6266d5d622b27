//! `JUnit` XML, which most services show as tests: a case for each bound.

use std::fmt::Write as _;

use super::{CheckFormat, model_name};
use crate::check::{Checked, Outcome};

/// One test suite with a case for each bound; what is inconclusive is skipped, with the reason.
#[derive(Debug, Clone, Copy, Default)]
pub struct Junit;

impl CheckFormat for Junit {
    fn name(&self) -> &'static str {
        "junit"
    }

    fn render(&self, checked: &Checked) -> Result<String, String> {
        write(checked).map_err(|error| error.to_string())
    }
}

fn write(checked: &Checked) -> Result<String, std::fmt::Error> {
    let count = |outcome: Outcome| checked.gates.iter().filter(|gate| gate.outcome == outcome).count();
    let strict = checked.outcome == Outcome::Failed && count(Outcome::Failed) == 0;
    let (failed, skipped) =
        if strict { (count(Outcome::Inconclusive), 0) } else { (count(Outcome::Failed), count(Outcome::Inconclusive)) };
    let (tests, seconds) = (checked.gates.len(), checked.seconds);
    let totals = format!(r#"tests="{tests}" failures="{failed}" errors="0" skipped="{skipped}" time="{seconds:.3}""#);
    let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n");
    writeln!(out, r#"  <testsuite name="onnx-prune check" {totals}>"#)?;
    let model = escape(&model_name(checked));
    for gate in &checked.gates {
        let text = escape(&gate.describe());
        write!(out, r#"    <testcase classname="{model}" name="{}" time="0.000""#, escape(gate.quantity.name()))?;
        match gate.outcome {
            Outcome::Passed => writeln!(out, "/>")?,
            Outcome::Inconclusive if !strict => {
                writeln!(out, ">\n      <skipped message=\"inconclusive: {text}\"/>\n    </testcase>")?;
            }
            outcome => {
                let kind = outcome.word();
                writeln!(
                    out,
                    ">\n      <failure message=\"{text}\" type=\"{kind}\">{text}</failure>\n    </testcase>"
                )?;
            }
        }
    }
    if !checked.warnings.is_empty() {
        writeln!(out, "    <system-out>{}</system-out>", escape(&checked.warnings.join("\n")))?;
    }
    out.push_str("  </testsuite>\n</testsuites>\n");
    Ok(out)
}

/// Text as XML 1.0 takes it: markup escaped, characters that it does not allow replaced.
fn escape(text: &str) -> String {
    let allowed =
        |c: char| matches!(c, '\t' | '\n' | '\r' | '\u{20}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..);
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&apos;"),
            c if allowed(c) => out.push(c),
            _ => out.push('\u{fffd}'),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::formats::samples::checked;

    #[test]
    fn a_case_for_each_bound() {
        insta::assert_snapshot!(Junit.render(&checked()).unwrap());
    }

    #[test]
    fn inconclusive_bounds_fail_a_strict_check() {
        let mut own = checked();
        own.gates.retain(|gate| gate.outcome != Outcome::Failed);
        own.outcome = Checked::verdict(&own.gates, true);
        let text = Junit.render(&own).unwrap();
        assert!(text.contains(r#"failures="1" errors="0" skipped="0""#), "{text}");
        assert!(text.contains(r#"type="inconclusive""#) && !text.contains("<skipped"), "{text}");
    }
}
