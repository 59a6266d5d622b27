//! How channels are scored.

use clap::{Args, ValueEnum};

use super::parse;
use crate::pipeline::Criteria;
use crate::score::{LassoOptions, Mixture, Response};
use crate::statistics::{Centring, Normalisation};

#[derive(Debug, Args)]
pub(super) struct CriterionFlags {
    /// How channels are scored: random, l1, l2, bn-scale, fpgm need no images; hrank, wanda,
    /// obs need images; apib, sglp-ib, stlp-ib, sglp-obs, stlp-obs follow their classes
    /// [default: stlp-obs with images, l2 without]
    #[arg(long, value_name = "NAME", help_heading = "Criterion")]
    criterion: Option<String>,
    /// What the lasso criteria explain: the outputs of the layers that read the channels,
    /// class by class; the labels; the model's class probabilities; or (literal) the labels
    /// by HSIC with Gaussian kernels of unit norm
    #[arg(long, value_enum, default_value = "outputs", help_heading = "Criterion")]
    response: ResponseFlag,
    /// energy: strong channels count as strong; frobenius: all count the same
    #[arg(long, value_enum, default_value = "energy", help_heading = "Criterion")]
    normalise: NormaliseFlag,
    /// Centre of each class: its own mean, or that of all images
    #[arg(long, value_enum, default_value = "class", help_heading = "Criterion")]
    centring: CentringFlag,
    /// How sglp-obs and stlp-obs mix: the lasso weighs the second-order costs, or channels
    /// are exchanged after the lasso
    #[arg(long, value_enum, default_value = "prior", help_heading = "Criterion")]
    mixture: MixtureFlag,
    /// Classes to prune for: NAME=W,... or a file of such lines; classes that are not named
    /// weigh 1, or what *=W says
    #[arg(long, value_name = "FILE|NAME=W,...", value_parser = parse::class_weights, help_heading = "Criterion")]
    class_weights: Option<parse::ClassWeights>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum ResponseFlag {
    Outputs,
    Labels,
    Soft,
    Literal,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum NormaliseFlag {
    Energy,
    Frobenius,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum CentringFlag {
    Class,
    Global,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum MixtureFlag {
    Prior,
    Exchange,
}

impl CriterionFlags {
    /// The criterion with its settings; everything about widths and budgets is the default.
    pub(super) fn options(&self) -> Criteria {
        let labels = LassoOptions { response: Response::Labels, ..LassoOptions::default() };
        let lasso = match self.response {
            ResponseFlag::Outputs => LassoOptions::default(),
            ResponseFlag::Labels => labels,
            ResponseFlag::Soft => LassoOptions { response: Response::Soft, ..labels },
            ResponseFlag::Literal => LassoOptions::literal(),
        };
        let normalisation = match self.normalise {
            NormaliseFlag::Energy => lasso.normalisation,
            NormaliseFlag::Frobenius => Normalisation::Frobenius,
        };
        let centring = match self.centring {
            CentringFlag::Global => Centring::Global,
            CentringFlag::Class => Centring::Class,
        };
        Criteria {
            criterion: self.criterion.clone(),
            lasso: LassoOptions { centring, normalisation, ..lasso },
            mixture: match self.mixture {
                MixtureFlag::Exchange => Mixture::Exchange,
                MixtureFlag::Prior => Mixture::Prior,
            },
            class_weights: self.class_weights.clone().map(|weights| weights.0).unwrap_or_default(),
            ..Criteria::default()
        }
    }
}
