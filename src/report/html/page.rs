//! A page under way, and its pieces.

use std::fmt::{self, Write as _};

use crate::report::text::escaped;

const STYLE: &str = include_str!("style.css");

/// HTML that grows.
pub(crate) struct Page(pub(crate) String);

impl Page {
    pub(crate) fn new(title: &str) -> Result<Self, fmt::Error> {
        let mut out = String::from("<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n");
        writeln!(out, "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">")?;
        writeln!(out, "<title>{}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>", escaped(title))?;
        Ok(Self(out))
    }

    pub(crate) fn finish(mut self) -> String {
        self.0.push_str("</body>\n</html>\n");
        self.0
    }

    pub(crate) fn title(&mut self, text: &str) -> fmt::Result {
        writeln!(self.0, "<h2>{}</h2>", escaped(text))
    }

    pub(crate) fn paragraph(&mut self, class: &str, text: &str) -> fmt::Result {
        writeln!(self.0, "<p class=\"{class}\">{}</p>", coded(text))
    }

    /// A figure with its name and a remark.
    pub(crate) fn card(&mut self, name: &str, figure: &str, remark: &str) -> fmt::Result {
        let (name, figure, remark) = (escaped(name), escaped(figure), escaped(remark));
        writeln!(self.0, "<div class=\"card\"><span>{name}</span><b>{figure}</b><span>{remark}</span></div>")
    }

    /// A table; `classes`: one for each column.
    pub(crate) fn table(&mut self, classes: &[&str], heads: &[&str], rows: &[Vec<Cell>]) -> fmt::Result {
        writeln!(self.0, "<div class=\"scroll\"><table>\n<thead><tr>")?;
        for (class, head) in classes.iter().zip(heads) {
            write!(self.0, "<th class=\"{class}\">{}</th>", escaped(head))?;
        }
        writeln!(self.0, "</tr></thead>\n<tbody>")?;
        for row in rows {
            self.0.push_str("<tr>");
            for (class, cell) in classes.iter().zip(row) {
                match cell {
                    Cell::Text(text) => write!(self.0, "<td class=\"{class}\">{}</td>", escaped(text))?,
                    Cell::Marked(mark, text) => {
                        write!(self.0, "<td class=\"{class}\"><span class=\"{mark}\">{}</span></td>", escaped(text))?;
                    }
                    Cell::Bars(before, after) => {
                        let bar = |share: &f64| (100.0 * share).clamp(0.0, 100.0);
                        let (before, after) = (bar(before), bar(after));
                        write!(
                            self.0,
                            "<td class=\"{class}\"><div class=\"bar\" style=\"width:{before:.1}%\"></div>\
                             <div class=\"bar after\" style=\"width:{after:.1}%\"></div></td>"
                        )?;
                    }
                }
            }
            self.0.push_str("</tr>\n");
        }
        writeln!(self.0, "</tbody></table></div>")
    }

    /// What a reader may unfold.
    pub(crate) fn folded(&mut self, summary: &str, inside: impl FnOnce(&mut Self) -> fmt::Result) -> fmt::Result {
        writeln!(self.0, "<details><summary>{}</summary>", escaped(summary))?;
        inside(self)?;
        writeln!(self.0, "</details>")
    }

    /// Names and what they stand for.
    pub(crate) fn list(&mut self, entries: &[(&str, String)]) -> fmt::Result {
        self.0.push_str("<dl>\n");
        for (name, text) in entries {
            writeln!(self.0, "<dt>{}</dt><dd>{}</dd>", escaped(name), coded(text))?;
        }
        writeln!(self.0, "</dl>")
    }
}

/// Text whose `words` between backticks stand out.
fn coded(text: &str) -> String {
    let text = escaped(text);
    let parts: Vec<&str> = text.split('`').collect();
    if parts.len().is_multiple_of(2) {
        return text;
    }
    let part =
        |(at, part): (usize, &&str)| if at % 2 == 1 { format!("<code>{part}</code>") } else { (*part).to_owned() };
    parts.iter().enumerate().map(part).collect()
}

/// A cell of a table.
pub(crate) enum Cell {
    Text(String),
    /// Text in a colour of its own: `good`, `bad` or `soft`.
    Marked(&'static str, String),
    /// Two bars, as shares of the cell: before, and after.
    Bars(f64, f64),
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self::Text(text.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_between_backticks_stand_out() {
        assert_eq!(coded("`--cpus` <b>"), "<code>--cpus</code> &lt;b&gt;");
        assert_eq!(coded("a ` alone"), "a ` alone");
    }
}
