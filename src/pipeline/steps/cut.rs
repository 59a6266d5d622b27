//! From a plan to a smaller model that computes what the masked original computes; groups that break it are named.

use super::Proposal;
use crate::channels::Cut;
use crate::engine::Feed;
use crate::error::Error;
use crate::evaluate::{BrokenGroup, EvaluateError, Proof, Source, random_feeds};
use crate::model::Model;
use crate::model::node::node_name;
use crate::pipeline::record::{NOT_COMPARED, Record, Told};
use crate::pipeline::session::{Broken, Session};
use crate::plan::Plan;
use crate::report::Verified;
use crate::rewrite::{self, RewriteError};

/// Runs of random inputs that the masked and the sliced model are compared on.
const COMPARED_RUNS: u8 = 2;

/// Why there is no candidate.
pub(crate) enum CandidateError {
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
pub(crate) struct CutModel {
    pub(crate) model: Model,
    pub(crate) verified: Option<Verified>,
}

/// Slices, and proves that the result is the masked original.
pub(crate) fn cut(
    session: &Session<'_>,
    proposal: &Proposal,
    source: Option<&Source>,
) -> Result<Told<CutModel>, CandidateError> {
    let feeds = proof_feeds(session, source)?;
    match sliced_and_verified(session, &proposal.cut, &feeds) {
        Err(error) => Err(CandidateError::Broken(broken(session, &proposal.plan, &feeds, error)?)),
        Ok(done) => Ok(done),
    }
}

fn sliced_and_verified(session: &Session<'_>, cut: &Cut, feeds: &[Feed]) -> Result<Told<CutModel>, Error> {
    let mut record = Record::default();
    session.progress.phase("rewrite", None);
    let slice = |_: &mut Record| rewrite::slice(&session.model, &session.channels, cut).map_err(Error::from);
    let model = record.timed(session, "rewrite", slice)?;
    if session.options.skip_verification {
        record.notes.push(NOT_COMPARED.into());
        return Ok(Told::new(CutModel { model, verified: None }, record));
    }
    session.progress.phase("verify", None);
    let compare = |_: &mut Record| Ok(proof(session, feeds).compare(&model, cut)?);
    let agreement = record.timed(session, "verify", compare)?;
    let verified = Some(Verified { agreement, runs: feeds.len() });
    Ok(Told::new(CutModel { model, verified }, record))
}

/// What cuts are proven by.
fn proof<'a>(session: &'a Session<'_>, feeds: &'a [Feed]) -> Proof<'a> {
    Proof { model: &session.model, channels: &session.channels, engine: session.engine.as_ref(), feeds }
}

/// Inputs that models are compared on: of the calibration data where there are some, else random.
fn proof_feeds(session: &Session<'_>, source: Option<&Source>) -> Result<Vec<Feed>, Error> {
    let Session { model, options, sizes, cancel, .. } = session;
    if session.options.skip_verification {
        return Ok(Vec::new());
    }
    let Some(source) = source else {
        return Ok(random_feeds(model, sizes, COMPARED_RUNS.into(), options.seed));
    };
    let images = session.calibration_images(source);
    Ok(source.examples(&images.fitted.all, cancel)?)
}

/// The groups behind a failed rewrite or verification; the error itself if they cannot be told.
fn broken(session: &Session<'_>, plan: &Plan, feeds: &[Feed], error: Error) -> Result<Vec<Broken>, Error> {
    if !matches!(error, Error::Rewrite(RewriteError::Operand { .. }) | Error::Evaluate(_)) {
        return Err(error);
    }
    session.interrupted()?;
    let kept: Vec<Vec<usize>> = plan.groups.iter().map(|group| group.kept.clone()).collect();
    let found = match proof(session, feeds).broken_groups(&kept, session.cancel) {
        Ok(found) => found,
        Err(EvaluateError::Pruned(refusal) | EvaluateError::Dense(refusal)) => return Err(session.refused(refusal)),
        Err(EvaluateError::Interrupted) => return Err(Error::Interrupted),
        Err(_) => return Err(error),
    };
    session.interrupted()?;
    if found.is_empty() {
        return Err(error);
    }
    let mut broken = Vec::new();
    for BrokenGroup { group, alone } in found {
        let own = &session.channels.groups[group];
        let node = |operator: usize| node_name(&session.model.graph().node[operator]);
        let producers: Vec<String> = own.producers.iter().map(|slices| node(slices.operator)).collect();
        // Left alone once already and broken again: another round would be the same.
        if producers.iter().all(|name| session.ignore.contains(&glob::Pattern::escape(name))) {
            return Err(error);
        }
        let why = match alone.map(Error::from) {
            Some(error) => error.cause().unwrap_or_else(|| error.to_string()),
            None => "it does not go together with the cuts of other groups".into(),
        };
        broken.push(Broken { name: own.name.clone(), producers, why });
    }
    Ok(broken)
}
