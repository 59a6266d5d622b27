//! From options to the analysis, and from the analysis to words.

use std::collections::BTreeMap;

use crate::channels::{AnalyseOptions, Channels};
use crate::error::Error;
use crate::plan::{Budget, Target};
use crate::report::count;

/// Analysis options: sizes of symbolic dims, names or patterns of nodes whose channels stay.
pub(super) fn analyse_options(sizes: &BTreeMap<String, usize>, ignore: &[String]) -> Result<AnalyseOptions, Error> {
    let ignore = ignore
        .iter()
        .map(|pattern| {
            glob::Pattern::new(pattern).map_err(|error| Error::Usage {
                what: format!("`--ignore {pattern}` is not a pattern: {}", error.msg),
                help: "`*` stands for any characters, `?` for one; `[` must be written `[[]`".into(),
            })
        })
        .collect::<Result<_, _>>()?;
    Ok(AnalyseOptions { sizes: sizes.clone(), ignore, ..AnalyseOptions::default() })
}

/// The commonest reasons for protection, in one line.
pub(super) fn reasons(channels: &Channels) -> String {
    let mut all: Vec<String> = channels
        .protected
        .iter()
        .filter_map(|found| found.reasons.first().map(|reason| format!("`{}` ({reason})", found.node)))
        .collect();
    all.dedup();
    if all.is_empty() {
        // An operator that is not understood leaves the shapes behind it unknown: it is the cause, the rest follows.
        let follows = |why: &str| why.contains("is not known") || why.contains("no node produces");
        let cause = channels.opaque.iter().find(|(_, opaque)| !follows(&opaque.why));
        return match cause.or(channels.opaque.iter().next()) {
            Some((op, opaque)) => format!("{op} `{}` is not analysed: {}", opaque.node, opaque.why),
            None => "the model has no convolution or matrix product with a stored weight".into(),
        };
    }
    format!("every channel is protected: {}", crate::explain::Names(&all, 3))
}

/// A budget in words.
pub(super) fn describe(budget: &Budget) -> String {
    let target = |target: &Target| match target {
        Target::Share(share) => format!("x{}", (share * 1e4).round() / 1e4),
        Target::Absolute(number) => count(*number),
    };
    match budget {
        Budget::Ratio(ratio) => format!("{:.0} % of the channels cut", 100.0 * ratio),
        Budget::Macs(macs) => format!("MACs {}", target(macs)),
        Budget::Params(params) => format!("parameters {}", target(params)),
        Budget::Both { macs, params } => format!("MACs {}, parameters {}", target(macs), target(params)),
    }
}
