//! Times the dense and the pruned model for the report.

use crate::bench::latency::{Pairing, Timed, TimedOn, TimingOptions};
use crate::bench::profile::{Profile, profile};
use crate::error::Error;
use crate::model::Model;
use crate::pipeline::record::Told;
use crate::pipeline::session::Session;
use crate::plan::LatencyTarget;
use crate::report::DeviceLatency;

/// Times of both models, and where the time goes.
pub(crate) struct TimedModels {
    pub(crate) timed: Timed,
    pub(crate) profile: Option<Profile>,
    /// Times on the devices beside the first, with what was asked for there.
    pub(crate) others: Vec<(DeviceLatency, Option<LatencyTarget>)>,
}

/// Times both models; `None` where that is not wanted.
pub(crate) fn time(session: &Session<'_>, pruned: &Model) -> Result<Told<Option<TimedModels>>, Error> {
    if session.options.skip_timing {
        return Ok(Told::quiet(None));
    }
    session.progress.phase("time", None);
    session.step("time", |record| {
        let feed = session.timing_feed();
        let pairing = session.pairing(&session.model, pruned, &feed);
        let options = TimingOptions::default();
        let timed = pairing.summarise(pairing.compare(&options)?, &options);
        let ms = [timed.change.before, timed.change.after];
        let models = [&session.model, pruned];
        let profile = profile(session.device().engine(), models, &feed, &session.sizes, ms)?;
        record.notes.extend(timed.remarks.iter().cloned());
        let mut others = Vec::new();
        for (device, target) in session.other_devices() {
            let pairing = Pairing { device, ..pairing };
            let own = pairing.summarise(pairing.compare(&options)?, &options);
            let Some(device) = TimedOn::new(device) else { continue };
            record.notes.extend(own.remarks.iter().map(|remark| format!("{}: {remark}", device.device)));
            others.push((DeviceLatency { device, latency_ms: own.change }, target));
        }
        Ok(Some(TimedModels { timed, profile, others }))
    })
}
