//! Why nothing can be pruned, in words.

use crate::channels::Channels;
use crate::explain::Names;

/// The commonest reasons for protection, in one line.
pub fn protection_reasons(channels: &Channels) -> String {
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
    format!("every channel is protected: {}", Names(&all, 3))
}
