//! Progress on a terminal's stderr.

use std::fmt;
use std::io::IsTerminal as _;
use std::sync::Mutex;

use indicatif::{HumanDuration, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};

use crate::pipeline::Progress;
use crate::report::printable;

/// `151/s, 2s left`; nothing before the first step, when neither is known.
fn rate(state: &ProgressState, out: &mut dyn fmt::Write) {
    if state.pos() > 0 {
        // The line is redrawn soon: a failed write is no loss.
        let _ = write!(out, "{:.0}/s, {} left", state.per_sec(), HumanDuration(state.eta()));
    }
}

/// A bar with rate and remaining time; nothing where stderr is no terminal.
pub(super) struct Bar {
    shown: Mutex<ProgressBar>,
    visible: bool,
    quiet: bool,
}

impl Bar {
    pub(super) fn new(quiet: bool) -> Self {
        let visible = !quiet && std::io::stderr().is_terminal();
        Self { shown: Mutex::new(ProgressBar::hidden()), visible, quiet }
    }

    fn current(&self) -> ProgressBar {
        self.shown.lock().map_or_else(|_| ProgressBar::hidden(), |bar| bar.clone())
    }

    /// Takes the bar off the terminal.
    pub(super) fn clear(&self) {
        self.current().finish_and_clear();
    }
}

impl Progress for Bar {
    fn phase(&self, name: &str, total: Option<u64>) {
        if !self.visible {
            return;
        }
        let template = match total {
            Some(_) => "{msg:>10} [{bar:28}] {pos}/{len}  {rate}",
            None => "{msg:>10} {spinner} {elapsed}",
        };
        let bar = ProgressBar::with_draw_target(total, ProgressDrawTarget::stderr());
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.progress_chars("#>.").with_key("rate", rate));
        }
        bar.set_message(name.to_owned());
        bar.enable_steady_tick(std::time::Duration::from_millis(120));
        if let Ok(mut current) = self.shown.lock() {
            current.finish_and_clear();
            *current = bar;
        }
    }

    fn advance(&self, units: u64) {
        self.current().inc(units);
    }

    #[allow(clippy::print_stderr, reason = "choices and defaults are told on stderr")]
    fn say(&self, line: &str) {
        if !self.quiet {
            self.current().suspend(|| eprintln!("{}", printable(line)));
        }
    }
}
