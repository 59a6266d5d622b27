//! What the cuts take from each class.

use super::Scored;
use crate::number::whole_number;
use crate::pipeline::session::Session;
use crate::plan::Plan;
use crate::report::{Classwise, FollowedClass, GroupClasses};
use crate::statistics::Centring;

/// The classes' part of the report, for a plan or with everything kept; `None` where there are fewer than two, or nothing
/// was gathered about them.
pub(crate) fn class_report(session: &Session<'_>, scored: &Scored<'_>, plan: Option<&Plan>) -> Option<Classwise> {
    let found = scored.calibration.zip(scored.class_context.as_ref());
    let (calibration, context) = found.filter(|(own, _)| own.classes.count() > 1)?;
    let (observed, classes) = (&calibration.observed, &calibration.classes);
    let names = calibration.source.dataset.class_names();
    let followed = |class: usize| FollowedClass {
        name: classes.name(class, names),
        outputs: classes.members[class].clone(),
        images: whole_number(observed.classes.get(class).map_or(0.0, |own| own[0])),
        weight: context.weights.get(class).copied().unwrap_or(1.0),
    };
    let edges = session.options.criteria.lasso.edges();
    let mut report = Classwise::related((0..classes.count()).map(followed).collect(), &context.relatedness, edges);
    for (index, group) in session.channels.groups.iter().enumerate() {
        let consumers = observed.contributions(&session.model, group, Centring::Global);
        let kept = match plan {
            Some(plan) => plan.groups[index].kept.clone(),
            None => (0..group.width()).collect(),
        };
        report.groups.extend(GroupClasses::new(group, kept, &consumers));
    }
    Some(report)
}
