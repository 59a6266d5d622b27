//! A metric of the user's own: a command that is given a model file and prints one number.

mod number;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::EvaluateError;
use crate::model::{Model, ModelError, SaveOptions};
use crate::shell::{self, Stopped};

/// A command that measures what a model is worth.
#[derive(Debug, Clone)]
pub struct Metric {
    /// A line for the shell (`sh -c`, on Windows `cmd /C`). `{model}` stands for the path of the model's file; without it
    /// the path is the last argument. Of a function: its name.
    pub command: String,
    /// Whether a smaller number is a better one.
    pub lower_is_better: bool,
    /// A function in place of the command.
    pub function: Option<MetricFunction>,
}

/// What the model of a file is worth, or why that cannot be said.
type OfFile = dyn Fn(&Path) -> Result<f64, String> + Send + Sync;

/// A function that measures what the model of a file is worth.
#[derive(Clone)]
pub struct MetricFunction(pub Arc<OfFile>);

impl fmt::Debug for MetricFunction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MetricFunction")
    }
}

/// Which model is measured, for messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Measured {
    /// The model before any cut.
    Dense,
    /// A pruned model.
    Pruned,
    /// The model that is compared with.
    Base,
    /// The model that is checked.
    New,
}

impl Measured {
    /// In one word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Dense => "dense",
            Self::Pruned => "pruned",
            Self::Base => "base",
            Self::New => "new",
        }
    }
}

/// What a metric says of two models.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MetricChange {
    /// The command.
    pub command: String,
    /// Whether a smaller number is a better one.
    #[serde(default)]
    pub lower_is_better: bool,
    /// Of the dense or base model.
    pub before: f64,
    /// Of the pruned or new model.
    pub after: f64,
}

impl MetricChange {
    /// By how much the second model is worse, in units of the metric; negative where it is better.
    pub fn loss(&self) -> f64 {
        if self.lower_is_better { self.after - self.before } else { self.before - self.after }
    }
}

impl Metric {
    /// The metric of a model's file. The path is made absolute, so that the command may change its folder.
    ///
    /// # Errors
    /// [`EvaluateError::Metric`] if the function fails, or the command cannot be started, does not end with status 0, or prints no finite number;
    /// on interruption, after the command and what it started have been ended.
    pub fn of_file(&self, path: &Path, which: Measured, cancel: &AtomicBool) -> Result<f64, EvaluateError> {
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let failed = |what: String, said: Option<String>| EvaluateError::Metric {
            command: self.command.clone(),
            model: which,
            what,
            said,
        };
        if let Some(MetricFunction(function)) = &self.function {
            let found = function(&path);
            if cancel.load(Ordering::Relaxed) {
                return Err(EvaluateError::Interrupted);
            }
            let finite = |value: f64| if value.is_finite() { Ok(value) } else { Err(format!("gave {value}")) };
            return found.and_then(finite).map_err(|why| failed(why, None));
        }
        let ended = shell::run(&shell::line(&self.command, &path), None, cancel).map_err(|error| match error {
            Stopped::Interrupted | Stopped::Late => EvaluateError::Interrupted,
            Stopped::Failed(why) => failed(format!("cannot be started: {why}"), None),
        })?;
        let said = shell::last_line(&ended.stderr).map(ToOwned::to_owned);
        if let Some(status) = ended.failure {
            return Err(failed(format!("ended with {status}"), said));
        }
        number::of(&ended.stdout).map_err(|why| failed(why, said))
    }

    /// The metric of a model that is in no file: it is saved in a temporary folder first, which is gone afterwards.
    ///
    /// # Errors
    /// As [`Metric::of_file`], and if the model cannot be saved.
    pub fn of_model(&self, model: &Model, which: Measured, cancel: &AtomicBool) -> Result<f64, EvaluateError> {
        let folder = tempfile::Builder::new().prefix("onnx-prune-").tempdir().map_err(|error| ModelError::Write {
            path: std::env::temp_dir().display().to_string(),
            why: error.to_string(),
        })?;
        let path: PathBuf = folder.path().join("model.onnx");
        model.save(&path, &SaveOptions::default())?;
        self.of_file(&path, which, cancel)
    }

    /// The metric of a model that was loaded from `path`: of that file, or of a copy where it is `-`, standard input.
    ///
    /// # Errors
    /// As [`Metric::of_model`].
    pub fn of_loaded(
        &self,
        path: &Path,
        model: &Model,
        which: Measured,
        cancel: &AtomicBool,
    ) -> Result<f64, EvaluateError> {
        if path.as_os_str() == "-" { self.of_model(model, which, cancel) } else { self.of_file(path, which, cancel) }
    }

    /// What is said of the metric where its numbers stand: the command, and which way is better.
    pub fn change(&self, before: f64, after: f64) -> MetricChange {
        MetricChange { command: self.command.clone(), lower_is_better: self.lower_is_better, before, after }
    }
}

#[cfg(test)]
mod tests;
