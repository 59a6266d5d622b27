//! Where results, remarks and progress of a command go: to the terminal, or to a program that runs the command in itself.

use std::cell::RefCell;
use std::io::{self, IsTerminal as _, Write as _};
use std::sync::atomic::AtomicBool;

use super::exit::ExitStatus;
use super::progress::Bar;
use crate::error::Error;
use crate::evaluate::Metric;
use crate::model::ModelError;
use crate::pipeline::Progress;
use crate::report::{Style, printable};

/// A program that runs commands in itself.
pub struct Host<'a> {
    /// Is told what goes on.
    pub progress: &'a dyn Progress,
    /// Ends the command when it is set.
    pub cancel: &'a AtomicBool,
    /// Judges models in place of `--metric`.
    pub metric: Option<Metric>,
}

/// What a command prints to and is ended by.
pub(super) struct Console<'a> {
    pub(super) cancel: &'a AtomicBool,
    /// The command line, for reports.
    pub(super) command: Vec<String>,
    host: Option<&'a Host<'a>>,
    printed: RefCell<String>,
}

impl<'a> Console<'a> {
    /// A terminal, or what stands in its place.
    pub(super) fn terminal(cancel: &'a AtomicBool) -> Self {
        let command = std::env::args_os().map(|own| own.to_string_lossy().into_owned()).collect();
        Self { cancel, command, host: None, printed: RefCell::default() }
    }

    /// A program.
    pub(super) fn host(host: &'a Host<'a>, command: Vec<String>) -> Self {
        Self { cancel: host.cancel, command, host: Some(host), printed: RefCell::default() }
    }

    /// Prints a result. A reader that has gone away is no error.
    pub(super) fn print(&self, text: &str) -> Result<(), Error> {
        if self.host.is_some() {
            self.printed.borrow_mut().push_str(text);
            return Ok(());
        }
        match io::stdout().lock().write_all(text.as_bytes()) {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                Err(ModelError::Write { path: "standard output".into(), why: error.to_string() }.into())
            }
            _ => Ok(()),
        }
    }

    /// What was printed for a program.
    pub(super) fn printed(self) -> String {
        self.printed.into_inner()
    }

    pub(super) fn style(&self) -> Style {
        let terminal = self.host.is_none() && io::stdout().is_terminal();
        let said = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        if terminal && coloured(std::env::consts::OS, said) { Style::Colour } else { Style::Plain }
    }

    pub(super) fn progress(&self, quiet: bool) -> Shown<'a> {
        self.host.map_or_else(|| Shown::Bar(Bar::new(quiet)), |host| Shown::Host(host.progress))
    }

    /// What judges models, where a program does.
    pub(super) fn metric(&self) -> Option<Metric> {
        self.host.and_then(|host| host.metric.clone())
    }
}

/// Progress on a terminal's stderr or of a program.
pub(super) enum Shown<'a> {
    Bar(Bar),
    Host(&'a dyn Progress),
}

impl Shown<'_> {
    /// Takes a bar off the terminal.
    pub(super) fn clear(&self) {
        if let Self::Bar(bar) = self {
            bar.clear();
        }
    }

    fn own(&self) -> &dyn Progress {
        match self {
            Self::Bar(bar) => bar,
            Self::Host(progress) => *progress,
        }
    }
}

impl Progress for Shown<'_> {
    fn phase(&self, name: &str, total: Option<u64>) {
        self.own().phase(name, total);
    }

    fn advance(&self, units: u64) {
        self.own().advance(units);
    }

    fn say(&self, line: &str) {
        self.own().say(line);
    }
}

/// Whether a terminal is to show colours, and understands how. The console of Windows may print the sequences as they are;
/// terminals that do not are known by variables of theirs.
fn coloured(os: &str, said: impl Fn(&str) -> bool) -> bool {
    let understands = || ["WT_SESSION", "TERM", "TERM_PROGRAM", "ConEmuANSI", "ANSICON"].into_iter().any(&said);
    !said("NO_COLOR") && (os != "windows" || understands())
}

/// Prints an error. Its parts may quote a model: nothing in them may steer the terminal.
#[allow(clippy::print_stderr, reason = "errors go to stderr")]
pub(super) fn complain(error: &Error) -> ExitStatus {
    let lines: Vec<String> = error.render().lines().map(printable).collect();
    eprintln!("error: {}", lines.join("\n"));
    ExitStatus::from(error)
}

/// Says something beside the results.
#[allow(clippy::print_stderr, reason = "remarks go to stderr")]
pub(super) fn remark(line: &str) {
    eprintln!("{}", printable(line));
}

#[cfg(test)]
mod tests {
    use super::coloured;

    #[test]
    fn colours_are_for_terminals_that_understand_them() {
        let with = |os: &str, names: &[&str]| coloured(os, |name| names.contains(&name));
        assert!(with("linux", &[]) && with("macos", &["TERM"]));
        assert!(!with("windows", &[]) && with("windows", &["WT_SESSION"]));
        assert!(!with("linux", &["NO_COLOR"]) && !with("windows", &["NO_COLOR", "TERM"]));
    }
}
