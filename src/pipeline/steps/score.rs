//! Scores of all groups by one criterion.

use super::Calibration;
use crate::error::Error;
use crate::evaluate::{ClassContext, Scorer};
use crate::pipeline::options::Criteria;
use crate::pipeline::record::{Record, Told};
use crate::pipeline::session::Session;
use crate::score::{Criterion, GroupScores, Response};

/// What is known before the first plan: one pass over the images, one score for every channel.
pub(crate) struct Scored<'a> {
    pub(crate) criterion: &'a dyn Criterion,
    pub(crate) calibration: Option<&'a Calibration>,
    pub(crate) class_context: Option<ClassContext>,
    pub(crate) scores: Vec<GroupScores>,
}

impl<'a> Scored<'a> {
    /// What scored the groups, for the choice within a group.
    pub(super) fn scorer(&'a self, session: &'a Session<'_>) -> Scorer<'a> {
        scorer(session, self.criterion, self.calibration, self.class_context.as_ref())
    }
}

/// The criterion that was asked for, or the best that the data allow; `images`: whether there are some.
pub(crate) fn criterion(criteria: &Criteria, images: bool) -> Result<Box<dyn Criterion>, Error> {
    let mut criteria = criteria.clone();
    if !images && criteria.criterion.is_none() {
        criteria.criterion = Some(Criteria::DEFAULT_WITHOUT_IMAGES.into());
    }
    let criterion = criteria.build()?;
    if !images && criterion.needs().images() {
        return Err(Error::Usage {
            what: format!("the criterion `{}` needs images", criterion.name()),
            help: "give them with `--data DIR`, or use `--criterion l2`".into(),
        });
    }
    Ok(criterion)
}

/// One score for every pruning unit of every group.
pub(crate) fn score<'a>(
    session: &Session<'_>,
    criterion: &'a dyn Criterion,
    calibration: Option<&'a Calibration>,
    response: Response,
) -> Result<Told<Scored<'a>>, Error> {
    let weighted = !session.options.criteria.class_weights.is_empty();
    let followed = calibration.filter(|_| criterion.needs().outputs || weighted);
    let class_context = followed.map(|own| ClassContext::new(&own.observed, &own.classes, response)).transpose()?;
    session.progress.phase("score", None);
    let mut record = Record::default();
    let scorer = scorer(session, criterion, calibration, class_context.as_ref());
    let scores = record.timed(session, "score", |_| Ok(scorer.scores()?))?;
    Ok(Told::new(Scored { criterion, calibration, class_context, scores }, record))
}

fn scorer<'a>(
    session: &'a Session<'_>,
    criterion: &'a dyn Criterion,
    calibration: Option<&'a Calibration>,
    class_context: Option<&'a ClassContext>,
) -> Scorer<'a> {
    let Session { model, channels, options, .. } = session;
    let observed = calibration.map(|own| &own.observed);
    Scorer { model, channels, criterion, observed, class_context, seed: options.seed }
}
