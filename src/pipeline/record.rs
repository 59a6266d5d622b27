//! What a step tells beside its result.

use std::collections::BTreeMap;
use std::time::Instant;

use super::session::Session;
use crate::error::Error;

/// Said once, however many candidates it holds for.
pub(super) const NOT_COMPARED: &str = "the pruned model was not compared with the masked original";

/// Notes, warnings and timings, in the order in which they came up.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Record {
    /// What a person should know.
    pub(super) notes: Vec<String>,
    /// What a person should know first.
    pub(super) warnings: Vec<String>,
    /// Seconds by phase.
    pub(super) timings: BTreeMap<String, f64>,
}

impl Record {
    /// Runs a part of a step and counts its seconds towards a phase.
    ///
    /// # Errors
    /// What `f` returns, and on interruption.
    pub(super) fn timed<T>(
        &mut self,
        session: &Session<'_>,
        phase: &str,
        f: impl FnOnce(&mut Self) -> Result<T, Error>,
    ) -> Result<T, Error> {
        session.interrupted()?;
        let begin = Instant::now();
        let result = f(self);
        self.took(phase, begin.elapsed().as_secs_f64());
        result
    }

    /// Counts seconds towards a phase.
    pub(super) fn took(&mut self, phase: &str, seconds: f64) {
        *self.timings.entry(phase.to_owned()).or_insert(0.0) += seconds;
    }

    /// Adds what a later step tells.
    pub(super) fn merge(&mut self, other: Self) {
        // What is true of several candidates is said once.
        for note in other.notes {
            if !self.notes.contains(&note) {
                self.notes.push(note);
            }
        }
        self.warnings.extend(other.warnings);
        for (phase, seconds) in other.timings {
            self.took(&phase, seconds);
        }
    }
}

/// Result of a step, with what the step tells.
pub(super) struct Told<T> {
    value: T,
    record: Record,
}

impl Session<'_> {
    /// Runs a step of one phase.
    ///
    /// # Errors
    /// What `f` returns, and on interruption.
    pub(super) fn step<T>(
        &self,
        phase: &str,
        f: impl FnOnce(&mut Record) -> Result<T, Error>,
    ) -> Result<Told<T>, Error> {
        let mut record = Record::default();
        let value = record.timed(self, phase, f)?;
        Ok(Told { value, record })
    }
}

impl<T> Told<T> {
    pub(super) fn new(value: T, record: Record) -> Self {
        Self { value, record }
    }

    /// A result with nothing to tell.
    pub(super) fn quiet(value: T) -> Self {
        Self::new(value, Record::default())
    }

    /// The result; what was told goes to the caller's record.
    pub(super) fn merge_into(self, record: &mut Record) -> T {
        record.merge(self.record);
        self.value
    }
}
