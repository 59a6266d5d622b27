//! What a run tells while it runs.

/// Receives the steps of a run; the command line shows them as a bar.
pub trait Progress {
    /// A phase begins. `total` is the number of units it will advance by, if that is known.
    fn phase(&self, name: &str, total: Option<u64>);

    /// So many units are done.
    fn advance(&self, units: u64);

    /// A line that the user should see now: a choice that was made, a default that was taken.
    fn say(&self, line: &str);
}

/// Tells nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Progress for Silent {
    fn phase(&self, _name: &str, _total: Option<u64>) {}
    fn advance(&self, _units: u64) {}
    fn say(&self, _line: &str) {}
}
