//! Masked = sliced for the cuts of a model, and which groups break it.

use std::sync::atomic::{AtomicBool, Ordering};

use super::{Agreement, EvaluateError, compare};
use crate::channels::{Channels, Cut};
use crate::engine::{CompileOptions, Engine, EngineError, Feed, feed};
use crate::model::Model;
use crate::plan::search::halving::culprits;
use crate::rewrite;

/// A model whose cuts are compared with masked ones.
#[derive(Clone, Copy)]
pub struct Proof<'a> {
    /// The dense model.
    pub model: &'a Model,
    /// Its analysis.
    pub channels: &'a Channels,
    /// What runs the models.
    pub engine: &'a dyn Engine,
    /// Inputs of every run.
    pub feeds: &'a [Feed],
}

/// The feeds that a model runs with.
///
/// # Errors
/// The engine's refusal where it runs with none of them.
pub fn runnable(engine: &dyn Engine, model: &Model, feeds: &[Feed]) -> Result<Vec<Feed>, EngineError> {
    let mut session = engine.compile(model, &CompileOptions::default())?;
    let (mut good, mut refusal) = (Vec::new(), None);
    for feed in feeds {
        match session.run(&feed::pairs(feed)) {
            Ok(_) => good.push(feed.clone()),
            Err(error) => refusal = Some(error),
        }
    }
    match refusal {
        Some(error) if good.is_empty() => Err(error),
        _ => Ok(good),
    }
}

/// A group whose cut breaks the model.
#[derive(Debug)]
pub struct BrokenGroup {
    /// Its place in the analysis.
    pub group: usize,
    /// What its cut alone leads to; `None` if it only breaks together with others.
    pub alone: Option<EvaluateError>,
}

impl Proof<'_> {
    /// Compares a sliced model with the masked one.
    ///
    /// # Errors
    /// As [`compare`], and if the model cannot be masked.
    pub fn compare(&self, sliced: &Model, cut: &Cut) -> Result<Agreement, EvaluateError> {
        let masked = rewrite::mask(self.model, self.channels, cut)?;
        let compared = compare(self.engine, &masked, sliced, self.feeds);
        if !matches!(compared, Err(EvaluateError::Pruned(_))) {
            return compared;
        }
        // A model may run with one sample only, whatever its file says.
        match self.runnable()? {
            feeds if feeds.len() < self.feeds.len() => compare(self.engine, &masked, sliced, &feeds),
            _ => compared,
        }
    }

    /// The feeds that the dense model runs with.
    ///
    /// # Errors
    /// If it runs with none of them.
    fn runnable(&self) -> Result<Vec<Feed>, EvaluateError> {
        runnable(self.engine, self.model, self.feeds).map_err(EvaluateError::Dense)
    }

    /// Groups without which the cut that leaves `kept` of every group holds, found by halving.
    ///
    /// # Errors
    /// If the model does not even compare with itself: no group is to blame; on interruption.
    pub fn broken_groups(&self, kept: &[Vec<usize>], cancel: &AtomicBool) -> Result<Vec<BrokenGroup>, EvaluateError> {
        self.cut_some(kept, &[])?;
        let width = |group: usize| self.channels.groups[group].width();
        let changed: Vec<usize> = (0..kept.len()).filter(|&group| kept[group].len() < width(group)).collect();
        let interrupted = || cancel.load(Ordering::Relaxed);
        let found = culprits(&changed, &mut |some| interrupted() || self.cut_some(kept, some).is_ok());
        if interrupted() {
            return Err(EvaluateError::Interrupted);
        }
        let broken = |group: usize| BrokenGroup { group, alone: self.cut_some(kept, &[group]).err() };
        Ok(found.into_iter().map(broken).collect())
    }

    /// Cuts some groups only, and compares.
    fn cut_some(&self, kept: &[Vec<usize>], some: &[usize]) -> Result<Agreement, EvaluateError> {
        let all = self.channels.groups.iter().zip(kept).enumerate();
        let kept: Vec<Vec<usize>> = all
            .map(
                |(index, (group, kept))| {
                    if some.contains(&index) { kept.clone() } else { (0..group.width()).collect() }
                },
            )
            .collect();
        let cut = Cut::new(self.channels, &kept);
        self.compare(&rewrite::slice(self.model, self.channels, &cut)?, &cut)
    }
}
