//! Rolling back what breaks a model: which groups it is, and by which names they are known.

use super::run::Run;
use crate::channels::Cut;
use crate::error::Error;
use crate::evaluate::VerifyError;
use crate::model::node::node_name;
use crate::plan::Plan;
use crate::rewrite::RewriteError;

/// A group whose cut the engine did not confirm.
pub(super) struct Broken {
    pub(super) name: String,
    /// Names of the nodes that make its channels.
    pub(super) producers: Vec<String>,
    pub(super) why: String,
}

impl Run<'_> {
    /// The groups behind a failed rewrite or verification; the error itself if they cannot be told.
    pub(super) fn broken(&self, plan: &Plan, error: Error) -> Result<Vec<Broken>, Error> {
        if !matches!(error, Error::Rewrite(RewriteError::Operand { .. }) | Error::Verify(_)) {
            return Err(error);
        }
        let cut = |some: &[usize]| {
            let kept: Vec<Vec<usize>> = self
                .channels
                .groups
                .iter()
                .zip(&plan.groups)
                .enumerate()
                .map(
                    |(index, (group, planned))| {
                        if some.contains(&index) { planned.kept.clone() } else { (0..group.width()).collect() }
                    },
                )
                .collect();
            Cut::new(&self.channels, &kept)
        };
        let mut works = |some: &[usize]| self.cut_and_compare(&cut(some)).is_ok();
        if let Err(whole) = self.cut_and_compare(&cut(&[])) {
            // The model does not even compare with itself: no group is to blame.
            return Err(match whole {
                Error::Verify(VerifyError::Engine(refusal)) => VerifyError::Dense(refusal).into(),
                _ => error,
            });
        }
        let changed: Vec<usize> =
            (0..plan.groups.len()).filter(|&group| plan.groups[group].kept.len() < plan.groups[group].width).collect();
        let found = culprits(&changed, &mut works);
        if found.is_empty() || self.interrupted().is_err() {
            return Err(error);
        }
        let names = |group: usize| -> Vec<String> {
            let producers = self.channels.groups[group].producers.iter();
            producers.map(|slices| node_name(&self.model.graph().node[slices.operator])).collect()
        };
        // Left alone once already and broken again: another round would be the same.
        let ignored = |name: &String| self.ignore.contains(&glob::Pattern::escape(name));
        if found.iter().any(|&group| names(group).iter().all(ignored)) {
            return Err(error);
        }
        let why = |group: usize| match self.cut_and_compare(&cut(&[group])) {
            Err(error) => error.cause().unwrap_or_else(|| error.to_string()),
            Ok(_) => "it does not go together with the cuts of other groups".into(),
        };
        let broken = |group: usize| Broken {
            name: self.channels.groups[group].name.clone(),
            producers: names(group),
            why: why(group),
        };
        Ok(found.into_iter().map(broken).collect())
    }
}

/// The fewest parts of `all` that must be left out for `works` to hold, found by halving; what works alone but not
/// together is blamed on the later half.
pub(super) fn culprits(all: &[usize], works: &mut impl FnMut(&[usize]) -> bool) -> Vec<usize> {
    if works(all) {
        return Vec::new();
    }
    if all.len() < 2 {
        return all.to_vec();
    }
    let (front, back) = all.split_at(all.len() / 2);
    let mut found = culprits(front, works);
    found.extend(culprits(back, works));
    if found.is_empty() { back.to_vec() } else { found }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn single_culprits_are_found_among_many() {
        let all: Vec<usize> = (0..40).collect();
        let mut runs = 0;
        let found = culprits(&all, &mut |some| {
            runs += 1;
            !some.contains(&3) && !some.contains(&29)
        });
        assert_eq!(found, [3, 29]);
        assert!(runs < 40, "{runs}");
    }

    #[test]
    fn what_only_breaks_together_is_parted() {
        assert_eq!(culprits(&[1, 2], &mut |some| some.len() < 2), [2]);
        assert_eq!(culprits(&[7], &mut |_| true), [0; 0]);
    }
}
