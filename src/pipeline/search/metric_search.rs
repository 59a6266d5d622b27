//! Candidates by what they lose of a metric of the user's own: pruned, repaired, and given to the command.

use super::drop_search::{Strongest, Verdict, ended_early, mildest_first};
use super::planner::Planner;
use super::{Bound, Found};
use crate::error::Error;
use crate::evaluate::{EvaluateError, Measured, Metric};
use crate::number::significant;
use crate::pipeline::steps::{CandidateError, Proposal};
use crate::plan::PlanError;
use crate::report::MetricLoss;

/// Goes from the mildest cut to the strongest that the other bounds ask for, `last`, while the metric loses at most `most`
/// against the dense model's, `dense`. The command gives one number for each model: no interval is computed.
pub(super) fn within_metric(
    planner: &mut Planner<'_>,
    bound: Bound,
    (metric, dense): (&Metric, f64),
    most: f64,
    last: Option<&Proposal>,
) -> Result<Found, CandidateError> {
    let (mut mildest, mut best) = (None, None);
    let found = mildest_first(planner, bound, last, &mut |planner, pruned| {
        let session = planner.session;
        session.progress.phase("metric", None);
        let after = planner.record.timed(session, "metric", |_| {
            Ok::<_, Error>(metric.of_model(pruned, Measured::Pruned, session.cancel)?)
        })?;
        let loss = metric.change(dense, after).loss();
        mildest.get_or_insert(after);
        let accepted = within(loss, most, dense);
        best = if accepted { Some(after) } else { best };
        Ok(Verdict { accepted, loss: None, metric: Some(MetricLoss { metric: after, loss }) })
    })?;
    let Strongest { candidate, mut findings, all } = found;
    let Some(candidate) = candidate else {
        return Err(match mildest {
            None => PlanError::Nothing { why: "the bounds leave every channel".into() }.into(),
            Some(mildest) => EvaluateError::MetricLoss { allowed: most, dense, mildest }.into(),
        });
    };
    if !all && !bound.limits.none() {
        let most = format!("{} in the metric", significant(most));
        findings.warnings.push(ended_early(planner, &candidate, &most));
    }
    Ok(Found { candidate, findings, dense: None, metric: best })
}

/// Whether a loss is within a bound, but for the last digits of the subtraction.
fn within(loss: f64, most: f64, dense: f64) -> bool {
    const ROUNDING: f64 = 1e-12;
    loss <= most + ROUNDING * dense.abs().max(most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loss_at_the_bound_is_within_it() {
        assert!(within(0.91 - 0.9, 0.01, 0.91) && within(-5.0, 0.0, 1.0) && within(0.0, 0.0, 0.0));
        assert!(!within(0.0101, 0.01, 0.91) && !within(f64::NAN, 1.0, 1.0));
    }
}
