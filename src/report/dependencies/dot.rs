//! Graphviz: <https://graphviz.org/doc/info/lang.html>.

use std::fmt::{Error, Write as _};

use super::Drawing;
use crate::report::Inspection;
use crate::report::text::printable;

/// Operators as boxes, groups as ellipses; arrows from what makes channels to what reads them.
#[derive(Debug, Clone, Copy, Default)]
pub struct Dot;

impl Drawing for Dot {
    fn name(&self) -> &'static str {
        "dot"
    }

    fn draw(&self, inspection: &Inspection) -> Result<String, Error> {
        let mut out =
            String::from("digraph channels {\n  rankdir=TB;\n  node [fontname=\"sans-serif\", fontsize=10];\n");
        for (number, operator) in inspection.operators.iter().enumerate() {
            let label = format!("{}\\n{}", quoted(&operator.op), quoted(&operator.name));
            let style = match operator.protected.first() {
                Some(reason) => format!(", color=\"#b3261e\", tooltip=\"{}\"", quoted(reason)),
                None => String::new(),
            };
            writeln!(out, "  op{number} [shape=box, label=\"{label}\"{style}];")?;
        }
        for (number, group) in inspection.groups.iter().enumerate() {
            let label = format!(
                "{}\\n{} channels, {:.1} % of MACs",
                quoted(&group.name),
                group.width,
                100.0 * group.macs_share
            );
            writeln!(out, "  group{number} [shape=ellipse, style=filled, fillcolor=\"#d7e8d4\", label=\"{label}\"];")?;
        }
        for (number, operator) in inspection.operators.iter().enumerate() {
            for group in &operator.makes {
                writeln!(out, "  op{number} -> group{group};")?;
            }
            for group in &operator.sums {
                writeln!(out, "  group{group} -> op{number};")?;
            }
            for group in &operator.carries {
                writeln!(out, "  group{group} -> op{number} [dir=none, style=dotted];")?;
            }
        }
        out.push_str("}\n");
        Ok(out)
    }
}

/// Text fit for a double-quoted string.
fn quoted(text: &str) -> String {
    printable(text).replace('\\', "\\\\").replace('"', "\\\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_leave_their_quotes() {
        assert_eq!(quoted("a\"b\\n\n"), "a\\\"b\\\\n\\\\u{a}");
    }
}
