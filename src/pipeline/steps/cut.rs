//! From a plan to a smaller model that computes what the masked original computes; groups that break it are named.

use super::Proposal;
use crate::channels::Cut;
use crate::error::Error;
use crate::evaluate::{EvaluateError, compare, random_feeds};
use crate::model::Model;
use crate::model::node::node_name;
use crate::pipeline::record::{NOT_COMPARED, Record, Told};
use crate::pipeline::session::{Broken, Session};
use crate::plan::Plan;
use crate::plan::search::halving::culprits;
use crate::report::Verified;
use crate::rewrite::{self, RewriteError};

/// Runs of random inputs that the masked and the sliced model are compared on.
const COMPARED_RUNS: u64 = 2;

/// Why there is no candidate.
pub(in crate::pipeline) enum CandidateError {
    /// Cuts of these groups do not hold; the rest is to be planned anew.
    Broken(Vec<Broken>),
    /// Anything else.
    Failed(Error),
}

impl<E: Into<Error>> From<E> for CandidateError {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

/// A sliced model, and how well it agrees with the masked one.
pub(in crate::pipeline) struct CutModel {
    pub(in crate::pipeline) model: Model,
    pub(in crate::pipeline) verified: Option<Verified>,
}

/// Slices, and proves that the result is the masked original.
pub(in crate::pipeline) fn cut(session: &Session<'_>, proposal: &Proposal) -> Result<Told<CutModel>, CandidateError> {
    match sliced_and_verified(session, &proposal.cut) {
        Err(error) => Err(CandidateError::Broken(broken(session, &proposal.plan, error)?)),
        Ok(done) => Ok(done),
    }
}

fn sliced_and_verified(session: &Session<'_>, cut: &Cut) -> Result<Told<CutModel>, Error> {
    let mut record = Record::default();
    session.progress.phase("rewrite", None);
    let slice = |_: &mut Record| rewrite::slice(&session.model, &session.channels, cut).map_err(Error::from);
    let model = record.timed(session, "rewrite", slice)?;
    if session.options.skip_verification {
        record.notes.push(NOT_COMPARED.into());
        return Ok(Told::new(CutModel { model, verified: None }, record));
    }
    session.progress.phase("verify", None);
    let verified = Some(record.timed(session, "verify", |_| compared(session, &model, cut))?);
    Ok(Told::new(CutModel { model, verified }, record))
}

fn compared(session: &Session<'_>, sliced: &Model, cut: &Cut) -> Result<Verified, Error> {
    let masked = rewrite::mask(&session.model, &session.channels, cut)?;
    let feeds = random_feeds(&session.model, &session.options.model.sizes, COMPARED_RUNS, session.options.seed);
    let agreement = compare(session.engine.as_ref(), &masked, sliced, &feeds)?;
    Ok(Verified { agreement, runs: feeds.len() })
}

fn cut_and_compared(session: &Session<'_>, cut: &Cut) -> Result<Verified, Error> {
    compared(session, &rewrite::slice(&session.model, &session.channels, cut)?, cut)
}

/// The cut that makes a plan's changes in some groups only.
fn cut_of_some(session: &Session<'_>, plan: &Plan, some: &[usize]) -> Cut {
    let groups = session.channels.groups.iter().zip(&plan.groups).enumerate();
    let kept: Vec<Vec<usize>> = groups
        .map(
            |(index, (group, planned))| {
                if some.contains(&index) { planned.kept.clone() } else { (0..group.width()).collect() }
            },
        )
        .collect();
    Cut::new(&session.channels, &kept)
}

/// The groups behind a failed rewrite or verification; the error itself if they cannot be told.
fn broken(session: &Session<'_>, plan: &Plan, error: Error) -> Result<Vec<Broken>, Error> {
    if !matches!(error, Error::Rewrite(RewriteError::Operand { .. }) | Error::Evaluate(_)) {
        return Err(error);
    }
    let holds = |some: &[usize]| cut_and_compared(session, &cut_of_some(session, plan, some));
    if let Err(whole) = holds(&[]) {
        // The model does not even compare with itself: no group is to blame.
        return Err(match whole {
            Error::Evaluate(EvaluateError::Pruned(refusal)) => EvaluateError::Dense(refusal).into(),
            _ => error,
        });
    }
    let changed: Vec<usize> =
        (0..plan.groups.len()).filter(|&group| plan.groups[group].kept.len() < plan.groups[group].width).collect();
    let found = culprits(&changed, &mut |some| holds(some).is_ok());
    if found.is_empty() || session.interrupted().is_err() {
        return Err(error);
    }
    let names = |group: usize| -> Vec<String> {
        let producers = session.channels.groups[group].producers.iter();
        producers.map(|slices| node_name(&session.model.graph().node[slices.operator])).collect()
    };
    // Left alone once already and broken again: another round would be the same.
    let ignored = |name: &String| session.ignore.contains(&glob::Pattern::escape(name));
    if found.iter().any(|&group| names(group).iter().all(ignored)) {
        return Err(error);
    }
    let why = |group: usize| match holds(&[group]) {
        Err(error) => error.cause().unwrap_or_else(|| error.to_string()),
        Ok(_) => "it does not go together with the cuts of other groups".into(),
    };
    let broken = |group: usize| {
        let name = session.channels.groups[group].name.clone();
        Broken { name, producers: names(group), why: why(group) }
    };
    Ok(found.into_iter().map(broken).collect())
}
