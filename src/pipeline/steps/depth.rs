//! Nested sets of blocks that go, by what the outputs lose without them.

use super::Scored;
use crate::error::Error;
use crate::evaluate::{BlockTrials, Reference, TrialLimits};
use crate::model::Model;
use crate::pipeline::record::Told;
use crate::pipeline::session::Session;
use crate::plan::search::depth::{Limit, Removal, exchanged, nested};

/// Whether sets larger than this one, of this loss, are wanted.
pub(crate) type GoesOn<'a> = dyn FnMut(&[usize], f64) -> Result<bool, Error> + 'a;

/// Whether blocks can be tried: there are some, and inputs to refit layers on and to judge by.
pub(crate) fn can_try_blocks(session: &Session<'_>, scored: &Scored<'_>) -> bool {
    let measured = |own: &super::Calibration| !own.observed.batches.is_empty() && own.reference.is_some();
    !session.channels.blocks.is_empty() && scored.calibration.is_some_and(measured)
}

/// Sets of blocks, the first of them empty, each one block larger than the one before. `macs`: multiply-accumulates that the
/// trials usually take, about; `saved`: what a set saves, as a share; `goes_on`: whether larger sets than one are wanted.
pub(crate) fn removals(
    session: &Session<'_>,
    scored: &Scored<'_>,
    (limit, macs): (Limit, f64),
    saved: &dyn Fn(&[usize]) -> f64,
    goes_on: &mut GoesOn<'_>,
) -> Result<Told<Vec<Removal<()>>>, Error> {
    let Session { model, channels, engine, options, cancel, progress, .. } = session;
    session.step("blocks", |_| {
        let Some(calibration) = scored.calibration else { return Ok(Vec::new()) };
        let judging = calibration.reference.as_ref().map(Reference::feeds).unwrap_or_default();
        progress.phase("blocks", None);
        let inputs = [&calibration.observed.batches[..], &judging[..]];
        let shares = calibration.shares;
        let effort = options.trials(macs);
        let limits = TrialLimits { effort, activations: shares.activations, rows: shares.rows };
        let trials = BlockTrials::new((model, channels), engine.as_ref(), inputs, limits, options.seed, cancel)?;
        let without = |base: &Model, block: usize| {
            session.interrupted()?;
            progress.advance(1);
            Ok::<_, Error>(trials.without(base, block)?)
        };
        let mut ended = false;
        let mut found = nested(limit, model.clone(), saved, without, |own| {
            let on = goes_on(&own.blocks, own.loss)?;
            ended = !on;
            Ok(on)
        })?;
        // Sets that the caller ended lead nowhere.
        if !ended {
            exchanged(limit, &mut found, saved, |blocks| {
                let mut state = (model.clone(), 0.0);
                for &block in blocks {
                    session.interrupted()?;
                    state = trials.without(&state.0, block)?;
                }
                Ok::<_, Error>(state.1)
            })?;
        }
        Ok(found
            .sets
            .into_iter()
            .map(|Removal { blocks, loss, saved, .. }| Removal { blocks, loss, saved, state: () })
            .collect())
    })
}
