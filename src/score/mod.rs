//! Scores: one number per pruning unit (the unit that is cut) of a coupled group; larger means keep.
//!
//! A criterion is one file behind the [`Criterion`] trait. It sees plain arrays ([`GroupInput`]) and never a graph.
//!
//! # Comparing groups
//! Scores of one criterion may be compared across groups, so that one threshold can rule the whole model: norm scores
//! are divided by their mean over the group (a score of 1 is the group's average pruning unit), lasso scores by the
//! largest of the group (`docs/method.md` 6.3), random scores are uniform in `[0, 1)`. Scores of different criteria may
//! not be compared.

mod apib;
mod bn_scale;
mod classwise;
mod criterion;
mod error;
mod fpgm;
mod hrank;
mod l1;
mod l2;
mod lasso;
mod mixed;
mod norm;
mod obs;
mod options;
mod random;
pub mod relatedness;
pub mod responses;
mod sglp_ib;
pub mod solver;
mod stlp_ib;
mod sweep;
mod wanda;

pub use apib::Apib;
pub use bn_scale::BnScale;
pub use criterion::{Criterion, GroupInput, GroupScores, Needs, PathInfo, Regression};
pub use error::ScoreError;
pub use fpgm::Fpgm;
pub use hrank::HRank;
pub use l1::L1;
pub use l2::L2;
pub use mixed::{Mixed, Mixture, Structure};
pub use obs::Obs;
pub use options::{LassoOptions, Pairs, Response};
pub use random::Random;
pub use sglp_ib::SglpIb;
pub use solver::Sign;
pub use stlp_ib::StlpIb;
pub use wanda::Wanda;

/// Names that [`by_name`] knows.
pub const NAMES: &[&str] = &[
    "random", "l1", "l2", "bn-scale", "fpgm", "hrank", "wanda", "apib", "obs", "sglp-ib", "stlp-ib", "sglp-obs",
    "stlp-obs",
];

/// The criterion of that name, or `None` for a name that is not in [`NAMES`]. The options are those of the lasso
/// criteria and their mixtures; the others have none.
pub fn by_name(name: &str, options: LassoOptions, mixture: Mixture) -> Option<Box<dyn Criterion>> {
    let mixed = |structure| Mixed { structure, mixture, options };
    Some(match name {
        "random" => Box::new(Random),
        "l1" => Box::new(L1),
        "l2" => Box::new(L2),
        "bn-scale" => Box::new(BnScale),
        "fpgm" => Box::new(Fpgm),
        "hrank" => Box::new(HRank),
        "wanda" => Box::new(Wanda),
        "apib" => Box::new(Apib { options }),
        "obs" => Box::new(Obs),
        "sglp-ib" => Box::new(SglpIb { options }),
        "stlp-ib" => Box::new(StlpIb { options }),
        "sglp-obs" => Box::new(mixed(Structure::Graph)),
        "stlp-obs" => Box::new(mixed(Structure::Tree)),
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
            ..GroupInput::default()
        }
    }

    #[test]
    fn every_name_is_known_and_no_other() {
        for &name in NAMES {
            assert_eq!(by_name(name, LassoOptions::default(), Mixture::default()).unwrap().name(), name);
        }
        assert!(by_name("L1", LassoOptions::default(), Mixture::default()).is_none());
    }
}
