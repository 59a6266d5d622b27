//! What the cuts take from each class.

use super::classes::Classes;
use super::dense::Observed;
use super::run::Run;
use super::scoring::{ClassContext, contributions};
use crate::channels::Group;
use crate::error::Error;
use crate::plan::Plan;
use crate::report::{Classwise, FollowedClass, GroupClasses};
use crate::statistics::{Centring, ClassGram};

impl Run<'_> {
    /// The classes' part of the report, for a plan or with everything kept; `None` where there are fewer than two, or nothing was gathered about them.
    pub(super) fn classwise(
        &self,
        found: Option<(&Observed, &Classes)>,
        known: Option<&ClassContext>,
        plan: Option<&Plan>,
        names: &[String],
    ) -> Result<Option<Classwise>, Error> {
        let Some(((observed, classes), known)) = found.zip(known).filter(|((_, classes), _)| classes.count() > 1)
        else {
            return Ok(None);
        };
        let graph = self.options.criteria.lasso.edges();
        let followed = |class: usize| FollowedClass {
            name: classes.name(class, names),
            outputs: classes.members[class].clone(),
            images: observed.labels.iter().filter(|&&label| label == class).count(),
            weight: known.weights.get(class).copied().unwrap_or(1.0),
        };
        let mut report = Classwise::related((0..classes.count()).map(followed).collect(), &known.relatedness, graph);
        for (index, group) in self.channels.groups.iter().enumerate() {
            let consumers = contributions(&self.model, &self.channels, group, observed, Centring::Global)?;
            let kept = match plan {
                Some(plan) => plan.groups[index].kept.clone(),
                None => (0..group.width()).collect(),
            };
            report.groups.extend(group_classes(group, kept, &consumers));
        }
        Ok(Some(report))
    }
}

/// `None` where no consumer's outputs can be told apart by channel.
fn group_classes(group: &Group, kept: Vec<usize>, consumers: &[ClassGram]) -> Option<GroupClasses> {
    let classes = consumers.first()?.classes();
    let gone: Vec<usize> = (0..group.width()).filter(|unit| kept.binary_search(unit).is_err()).collect();
    let mean = |of: &dyn Fn(&ClassGram) -> f64| consumers.iter().map(of).sum::<f64>() / consumers.len() as f64;
    let lost: Vec<f64> = (0..classes).map(|class| mean(&|own| own.lost(class, &gone))).collect();
    #[allow(clippy::cast_possible_truncation, reason = "shares for pictures")]
    let share = |class: usize, unit: usize| mean(&|own| own.lost(class, &[unit])) as f32;
    let worst = (0..classes).max_by(|&a, &b| lost[a].total_cmp(&lost[b]).then(b.cmp(&a)));
    Some(GroupClasses {
        name: group.name.clone(),
        most_at_risk: worst.filter(|_| !gone.is_empty()),
        lost,
        kept,
        shares: (0..classes).map(|class| (0..group.width()).map(|unit| share(class, unit)).collect()).collect(),
    })
}
