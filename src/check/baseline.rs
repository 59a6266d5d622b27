//! Against an earlier check: what became worse since.

use std::path::Path;

use super::{CHECK_SCHEMA_VERSION, CheckError, Checked, Gate, Quantity};
use crate::bench::latency::Interval;

/// How much worse than the baseline the new model may be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Regression {
    /// As a share: 0.05 allows 5 %.
    pub most: f64,
    /// Whether a baseline from another machine or engine counts.
    pub other_machine: bool,
}

/// Reads the report of an earlier check.
///
/// # Errors
/// If the file cannot be read, is no such report, or is of another version.
pub fn read_baseline(path: &Path) -> Result<Checked, CheckError> {
    let bad = |why: String| CheckError::Baseline { path: path.display().to_string(), why };
    let text = std::fs::read_to_string(path).map_err(|error| bad(error.to_string()))?;
    let read: Checked = serde_json::from_str(&text).map_err(|error| bad(error.to_string()))?;
    if read.schema_version == CHECK_SCHEMA_VERSION {
        Ok(read)
    } else {
        Err(bad(format!("its form is version {}, this program reads {CHECK_SCHEMA_VERSION}", read.schema_version)))
    }
}

/// Whether a check may be compared with an earlier one.
///
/// # Errors
/// If the baseline is of another base model, or of another machine and that is not allowed.
pub fn comparable(now: &Checked, then: &Checked, regression: Regression) -> Result<(), CheckError> {
    if now.base.sha256 != then.base.sha256 {
        return Err(CheckError::OtherBase { then: then.base.sha256.clone(), now: now.base.sha256.clone() });
    }
    let differs = now.machine.differs(&now.engine, &then.machine, &then.engine);
    if !differs.is_empty() && !regression.other_machine {
        return Err(CheckError::OtherMachine { differs: differs.join("; ") });
    }
    Ok(())
}

/// Bounds on what is counted, against an earlier check.
pub fn size_regressions(now: &Checked, then: &Checked, regression: Regression) -> Vec<Gate> {
    let limit = 1.0 + regression.most;
    vec![
        Gate::exact(Quantity::MacsRegression, quotient(now.macs.after, then.macs.after), limit),
        Gate::exact(Quantity::SizeRegression, quotient(now.bytes.after, then.bytes.after), limit),
    ]
}

/// The bound on time against an earlier check, if that was timed. Times are compared as ratios to the base that was timed
/// beside them, so that a machine that is slower today is no regression. `noise`: of the ratio, as a share.
pub fn latency_regression(ratio: Interval, noise: f64, then: &Checked, regression: Regression) -> Option<Gate> {
    let old = then.latency_ms?;
    let own = Interval {
        median: ratio.median / old.ratio,
        low: ratio.low / old.ratio_high,
        high: ratio.high / old.ratio_low,
    };
    let noise = noise + noise_share(then.noise);
    Some(Gate::measured(Quantity::LatencyRegression, own, 1.0 + regression.most, noise))
}

fn quotient(now: u64, then: u64) -> f64 {
    if then == 0 { 1.0 } else { now as f64 / then as f64 }
}

/// By how much a model may differ from itself, as a share.
pub fn noise_share(measured: Option<Interval>) -> f64 {
    measured.map_or(0.0, |own| (own.high - 1.0).abs().max((1.0 - own.low).abs()))
}
