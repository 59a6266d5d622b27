//! What every report format does.

use super::Summary;

/// One way to write a report.
pub trait Format {
    /// Name in flags.
    fn name(&self) -> &'static str;

    /// The whole report, ending in a newline.
    ///
    /// # Errors
    /// If a value cannot be written in this format.
    fn render(&self, summary: &Summary) -> Result<String, String>;
}

/// Colours of the terminal, or none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Style {
    /// Plain text.
    #[default]
    Plain,
    /// ANSI escapes.
    Colour,
}

impl Style {
    fn wrap(self, code: &str, text: &str) -> String {
        match self {
            Self::Plain => text.to_owned(),
            Self::Colour => format!("\u{1b}[{code}m{text}\u{1b}[0m"),
        }
    }

    /// Headings and the figures that matter.
    pub(crate) fn strong(self, text: &str) -> String {
        self.wrap("1", text)
    }

    /// Explanations.
    pub(crate) fn faint(self, text: &str) -> String {
        self.wrap("2", text)
    }

    /// What did not go as asked.
    pub(crate) fn bad(self, text: &str) -> String {
        self.wrap("33", text)
    }

    /// What went well.
    pub(crate) fn good(self, text: &str) -> String {
        self.wrap("32", text)
    }
}
