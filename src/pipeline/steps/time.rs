//! Times the dense and the pruned model for the report.

use crate::bench::latency::{Timed, TimingOptions};
use crate::bench::profile::{Profile, profile};
use crate::error::Error;
use crate::model::Model;
use crate::pipeline::record::{Record, Told};
use crate::pipeline::session::Session;

/// Times of both models, and where the time goes.
pub(in crate::pipeline) struct TimedModels {
    pub(in crate::pipeline) timed: Timed,
    pub(in crate::pipeline) profile: Option<Profile>,
}

/// Times both models; `None` where that is not wanted.
pub(in crate::pipeline) fn time(session: &Session<'_>, pruned: &Model) -> Result<Told<Option<TimedModels>>, Error> {
    let mut record = Record::default();
    if session.options.skip_timing {
        return Ok(Told::new(None, record));
    }
    session.progress.phase("time", None);
    let found = record.timed(session, "time", |record| {
        let feed = session.timing_feed();
        let pairing = session.pairing(&session.model, pruned, &feed);
        let options = TimingOptions::default();
        let timed = pairing.summarise(session.compare_times(&pairing, &options)?, &options);
        let ms = [timed.change.before, timed.change.after];
        let models = [&session.model, pruned];
        let profile = profile(session.engine.as_ref(), models, &feed, &session.options.model.sizes, ms)?;
        record.notes.extend(timed.remarks.iter().cloned());
        Ok::<_, Error>(TimedModels { timed, profile })
    })?;
    Ok(Told::new(Some(found), record))
}
