//! A command of the user's own that times a model's file: `trtexec`, a vendor's profiler, a script.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use regex_lite::Regex;
use serde_json::Value;
use tempfile::TempDir;

use super::target::DeviceOptions;
use crate::bench::BenchError;
use crate::bench::latency::{
    Clock as _, Comparison, Device, Loaded, MonotonicClock, Prepared, TimingOptions, percentile, take_turns,
};
use crate::engine::{CompileOptions, Engine, EngineError, EngineInfo, Feed, Machine, Session};
use crate::model::{Model, SaveOptions};
use crate::shell::{self, Stopped};

/// Keys under which a JSON object may have its time in milliseconds.
const KEYS: [&str; 4] = ["ms", "latency_ms", "median_ms", "mean_ms"];

/// A device that is known by a command alone.
pub(super) struct Timed<'a> {
    name: String,
    line: String,
    pattern: Option<Regex>,
    limit: Duration,
    cancel: &'a AtomicBool,
    info: EngineInfo,
}

impl<'a> Timed<'a> {
    pub(super) fn new(line: &str, options: &DeviceOptions, cancel: &'a AtomicBool) -> Result<Self, EngineError> {
        let pattern = options.pattern.as_deref().map(pattern).transpose()?;
        Ok(Self {
            name: options.target.to_string(),
            line: line.to_owned(),
            pattern,
            limit: Duration::from_secs_f64(options.limit_s),
            cancel,
            info: EngineInfo {
                name: "command".into(),
                version: String::new(),
                provider: "command".into(),
                library: None,
                threads: 0,
            },
        })
    }

    /// Milliseconds of a run of the model in a file.
    fn of_file(&self, path: &Path) -> Result<f64, EngineError> {
        let failed = |why: String, said: Option<&str>| {
            EngineError::Device {
            what: format!("`{}` does not tell the time of a model", self.line),
            why: said.map_or_else(|| why.clone(), |said| format!("{why}; it said `{said}`")),
            help: "it is to print milliseconds as its last line, or as JSON under `ms`; `--time-pattern REGEX` reads others"
                .into(),
        }
        };
        let line = shell::line(&self.line, path);
        let ended = shell::run(&line, Some(self.limit), self.cancel).map_err(|stopped| match stopped {
            Stopped::Interrupted => EngineError::Interrupted,
            Stopped::Late => failed(format!("it took more than {:.0} s", self.limit.as_secs_f64()), None),
            Stopped::Failed(why) => failed(format!("it does not start: {why}"), None),
        })?;
        let said = shell::last_line(&ended.stderr);
        if let Some(status) = ended.failure {
            return Err(failed(format!("it ended with {status}"), said));
        }
        let found = match &self.pattern {
            Some(pattern) => matched(pattern, &ended.stdout),
            None => printed(&ended.stdout),
        };
        match found {
            Ok(ms) if ms.is_finite() && ms > 0.0 => Ok(ms),
            Ok(ms) => Err(failed(format!("it printed {ms}, which is no time"), said)),
            Err(why) => Err(failed(why, said)),
        }
    }
}

/// A regular expression with one group.
fn pattern(text: &str) -> Result<Regex, EngineError> {
    let refused = |why: String| EngineError::Device {
        what: format!("`--time-pattern {text}` cannot be used"),
        why,
        help: "give a regular expression with one group around the number, such as 'mean = ([0-9.]+) ms'".into(),
    };
    let pattern = Regex::new(text).map_err(|error| refused(error.to_string()))?;
    if pattern.captures_len() == 2 { Ok(pattern) } else { Err(refused("it has not just one group".into())) }
}

/// The number of the last place that matches.
fn matched(pattern: &Regex, text: &str) -> Result<f64, String> {
    let last = pattern.captures_iter(text).last().and_then(|found| found.get(1));
    let number = last.ok_or("nothing that it printed matches the pattern")?.as_str();
    number.parse().map_err(|_| format!("what matches is `{number}`, which is no number"))
}

/// The number in what a command printed: a JSON document, or the last line that is a number.
fn printed(text: &str) -> Result<f64, String> {
    if let Some(found) = serde_json::from_str(text.trim()).ok().as_ref().and_then(of_json) {
        return Ok(found);
    }
    let own = |line: &str| {
        let line = line.trim();
        line.parse::<f64>().ok().or_else(|| of_json(&serde_json::from_str(line).ok()?))
    };
    text.lines().rev().find_map(own).ok_or_else(|| match shell::last_line(text) {
        Some(last) => format!("its last line is `{}`, which is no number", last.chars().take(80).collect::<String>()),
        None => "it printed nothing".into(),
    })
}

/// A number, the median of several, or what an object has under a name of a time.
fn of_json(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => number.as_f64(),
        Value::Array(all) => {
            let all: Option<Vec<f64>> = all.iter().map(Value::as_f64).collect();
            all.filter(|all| !all.is_empty()).map(|all| percentile(&all, 0.5))
        }
        Value::Object(own) => KEYS.iter().find_map(|key| of_json(own.get(*key)?)),
        _ => None,
    }
}

impl Engine for Timed<'_> {
    fn info(&self) -> &EngineInfo {
        &self.info
    }

    fn compile(&self, _model: &Model, _options: &CompileOptions) -> Result<Box<dyn Session>, EngineError> {
        Err(EngineError::Unavailable {
            engine: format!("an engine on `{}`", self.name),
            why: "a command that times runs no models for others".into(),
            help: "reach the device by `ssh://` or `exec:`".into(),
        })
    }

    fn machine(&self) -> Machine {
        Machine { platform: "unknown".into(), processor: self.line.clone(), ..Machine::default() }
    }
}

impl Device for Timed<'_> {
    fn engine(&self) -> &dyn Engine {
        self
    }

    fn load<'b>(&'b self, models: [&Model; 2], _feed: &Feed) -> Result<Box<dyn Loaded + 'b>, BenchError> {
        let failed = |why: String| EngineError::Device {
            what: format!("`{}` cannot be given a model", self.line),
            why,
            help: "make room in the folder of temporary files (`TMPDIR`)".into(),
        };
        let folder = tempfile::Builder::new().prefix("onnx-prune-").tempdir();
        let folder = folder.map_err(|error| failed(error.to_string()))?;
        let paths = ["first.onnx", "last.onnx"].map(|name| folder.path().join(name));
        for (model, path) in models.into_iter().zip(&paths) {
            model.save(path, &SaveOptions::default()).map_err(|error| failed(error.to_string()))?;
        }
        Ok(Box::new(Files { timed: self, paths, _folder: folder }))
    }

    fn name(&self) -> Option<&str> {
        Some(&self.name)
    }
}

/// Two models in files.
struct Files<'a> {
    timed: &'a Timed<'a>,
    paths: [PathBuf; 2],
    _folder: TempDir,
}

impl Loaded for Files<'_> {
    /// A command does not tell.
    fn prepared(&self) -> Prepared {
        Prepared { ms: [f64::NAN; 2], memory_bytes: None }
    }

    fn time(&mut self, options: &TimingOptions, cancel: &AtomicBool) -> Result<(Comparison, f64), BenchError> {
        let clock = MonotonicClock::default();
        let [first, last] = self.paths.each_ref().map(|path| || self.timed.of_file(path));
        let found = take_turns(first, last, options, &clock, cancel)?;
        Ok((found, clock.now_ms()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_found_in_what_commands_print() {
        for (text, ms) in [
            ("3.5\n", 3.5),
            ("loading\n 2.25 \ndone\n", 2.25),
            ("[3, 1, 2]", 2.0),
            ("{\"latency_ms\": {\"ms\": 4}}", 4.0),
            ("log\n{\"ms\": [1, 9, 2]}\n", 2.0),
            ("{\n \"median_ms\": 0.5\n}\n", 0.5),
        ] {
            assert_eq!(printed(text), Ok(ms), "{text}");
        }
        for text in ["", "fast\n", "{\"speed\": 3}", "[]"] {
            assert!(printed(text).is_err(), "{text}");
        }
    }

    #[test]
    fn patterns_read_what_profilers_print() {
        let own = pattern("mean = ([0-9.]+) ms").unwrap();
        assert_eq!(matched(&own, "H2D mean = 9 ms\nLatency: min = 1 ms, mean = 1.5 ms\n"), Ok(1.5));
        assert!(matched(&own, "nothing").is_err());
        assert!(pattern("mean").is_err() && pattern("(").is_err());
    }
}
