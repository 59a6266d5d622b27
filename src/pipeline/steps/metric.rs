//! The user's own metric of a pruned model.

use crate::error::Error;
use crate::evaluate::{Measured, MetricChange};
use crate::model::Model;
use crate::pipeline::record::Told;
use crate::pipeline::session::Session;

/// The metric before and after, if there is one. `after`: where it is known.
pub(crate) fn metric(
    session: &Session<'_>,
    pruned: &Model,
    after: Option<f64>,
) -> Result<Told<Option<MetricChange>>, Error> {
    let Some((metric, dense)) = session.options.metric.as_ref().zip(session.dense_metric) else {
        return Ok(Told::quiet(None));
    };
    if let Some(after) = after {
        return Ok(Told::quiet(Some(metric.change(dense, after))));
    }
    session.progress.phase("metric", None);
    session.step("metric", |_| {
        let after = metric.of_model(pruned, Measured::Pruned, session.cancel)?;
        Ok(Some(metric.change(dense, after)))
    })
}
