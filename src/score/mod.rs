//! Scores: one number per atom (the unit that is cut) of a coupled group; larger means keep.
//!
//! A criterion is one file behind the [`Criterion`] trait. It sees plain arrays ([`GroupInput`]) and never a graph.
//!
//! # Comparing groups
//! Scores of one criterion may be compared across groups, so that one threshold can rule the whole model: norm scores are
//! divided by their mean over the group (a score of 1 is the group's average atom), lasso scores by the largest of
//! the group (`method.md` 6.3, `--scale layer`), random scores are uniform in `[0, 1)`. Scores of different criteria
//! may not be compared.

mod apib;
mod criterion;
mod error;
mod l1;
mod l2;
mod lasso;
mod norm;
mod obs;
mod random;
pub mod relatedness;
pub mod responses;
mod sglp_ib;
pub mod solver;
mod stlp_ib;

pub use apib::Apib;
pub use criterion::{Criterion, GroupInput, GroupScores, Needs, PathInfo, Regression};
pub use error::ScoreError;
pub use l1::L1;
pub use l2::L2;
pub use lasso::{LassoOptions, Pairs};
pub use obs::Obs;
pub use random::Random;
pub use sglp_ib::SglpIb;
pub use stlp_ib::StlpIb;

/// Names that [`by_name`] knows.
pub const NAMES: &[&str] = &["random", "l1", "l2", "obs", "apib", "sglp-ib", "stlp-ib"];

/// The criterion of that name with its default options, or `None` for a name that is not in [`NAMES`].
pub fn by_name(name: &str) -> Option<Box<dyn Criterion>> {
    Some(match name {
        "random" => Box::new(Random),
        "l1" => Box::new(L1),
        "l2" => Box::new(L2),
        "obs" => Box::new(Obs),
        "apib" => Box::new(Apib::default()),
        "sglp-ib" => Box::new(SglpIb::default()),
        "stlp-ib" => Box::new(StlpIb::default()),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use ndarray::Array2;

    use super::*;

    /// A group that has nothing but producing weights.
    pub(super) fn weights_only<'a>(width: usize, producers: &[&'a Array2<f32>]) -> GroupInput<'a> {
        GroupInput {
            name: "group",
            width,
            producer_weights: producers.iter().map(|matrix| matrix.view()).collect(),
            consumer_weights: Vec::new(),
            taps: &[],
            regressions: &[],
            responses: None,
            relatedness: None,
            seed: 0,
        }
    }

    #[test]
    fn every_name_is_known_and_no_other() {
        for &name in NAMES {
            assert_eq!(by_name(name).unwrap().name(), name);
        }
        assert!(by_name("L1").is_none());
    }
}
