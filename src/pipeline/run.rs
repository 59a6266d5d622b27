//! What a run has in hand: model, analysis, engine, and the one pass over the images.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use super::classes::{Classes, class_scores, decided, usable};
use super::dense::{self, Observed, Source, Wanted};
use super::explain::{analyse_options, reasons};
use super::measure::near_chance;
use super::memory::Shares;
use super::options::{Criteria, Effort, PruneOptions};
use super::rollback::Broken;
use super::{Progress, class_weights, writing};
use crate::channels::{Channels, CostModel, analyse};
use crate::engine::{Engine, open};
use crate::error::Error;
use crate::evaluate::Predictions;
use crate::model::Model;
use crate::plan::{Allocation, Budget, Curve, PlanError};
use crate::repair::{Compensation, MomentOptions, Moments, Products};
use crate::report::Inspection;
use crate::score::relatedness::Relatedness;
use crate::score::{Criterion, Needs};

/// State of a run.
pub(super) struct Run<'a> {
    pub(super) options: &'a PruneOptions,
    pub(super) progress: &'a dyn Progress,
    pub(super) cancel: &'a AtomicBool,
    pub(super) model: Model,
    /// Size in bytes and SHA-256 of the file: writing functions out changes the model.
    pub(super) file: (u64, String),
    pub(super) channels: Channels,
    pub(super) cost: CostModel,
    pub(super) engine: Box<dyn Engine>,
    pub(super) output: std::path::PathBuf,
    pub(super) plan_path: Option<std::path::PathBuf>,
    /// The dense model's answers on the held-out images, once they were needed.
    pub(super) judged: Option<Predictions>,
    /// Nodes whose channels stay: as asked for, and those of broken groups.
    pub(super) ignore: Vec<String>,
    /// What a person should know first.
    pub(super) warnings: Vec<String>,
    pub(super) notes: Vec<String>,
    pub(super) timings: BTreeMap<String, f64>,
    /// Curves of the scores that they were measured with.
    pub(super) curves: Option<(Vec<Vec<f64>>, Vec<Curve>)>,
    /// What each part of the run may hold.
    pub(super) shares: Shares,
}

impl<'a> Run<'a> {
    pub(super) fn start(
        options: &'a PruneOptions,
        (mut model, loaded): (Model, f64),
        broken: &[Broken],
        progress: &'a dyn Progress,
        cancel: &'a AtomicBool,
    ) -> Result<Self, Error> {
        let begin = Instant::now();
        let mut ignore = options.model.ignore.clone();
        ignore.extend(broken.iter().flat_map(|group| &group.producers).map(|name| glob::Pattern::escape(name)));
        let analysis = analyse_options(&options.model.sizes, &ignore)?;
        let as_read = model.clone();
        let work = || {
            let written_out = writing::write_out(&mut model, &analysis);
            (written_out, analyse(&model, &analysis))
        };
        // Hashing a large file takes as long as analysing it.
        let (file, ((functions, branches), channels)) =
            rayon::join(|| (as_read.size_bytes(), as_read.sha256().to_owned()), work);
        if functions + branches == 0 {
            // The same model, with its hash.
            model = as_read;
        }
        let analysed = begin.elapsed().as_secs_f64();
        if channels.groups.is_empty() {
            return Err(PlanError::Nothing { why: reasons(&channels) }.into());
        }
        let mut warnings: Vec<String> = broken
            .iter()
            .map(|Broken { name, why, .. }| format!("`{name}` was left alone, since its cut did not hold: {why}"))
            .collect();
        let inspection = Inspection::new(&model, &channels);
        let obstacles = inspection.obstacles();
        if !obstacles.is_empty() {
            let share = 100.0 * inspection.prunable_macs_share;
            warnings.push(format!("only {share:.0} % of the MACs can be pruned; {}", obstacles.join("; ")));
        }
        let opened = open(&options.engine)?;
        let info = opened.engine.info();
        progress.say(&format!("engine: {}", info.describe()));
        let cost = channels.cost_model();
        let timings = BTreeMap::from([("load".into(), loaded), ("analyse".into(), analysed)]);
        let (engine, mut notes, output) = (opened.engine, opened.notes, options.output_path());
        if functions + branches > 0 {
            notes.push(format!(
                "written out: {functions} calls of functions, {branches} branches that are always taken"
            ));
        }
        Ok(Self {
            options,
            progress,
            cancel,
            model,
            file,
            channels,
            cost,
            engine,
            output,
            plan_path: options.plan_path(),
            judged: None,
            ignore,
            warnings,
            notes,
            timings,
            curves: None,
            shares: Shares::default(),
        })
    }

    pub(super) fn timed<T>(&mut self, phase: &str, f: impl FnOnce(&mut Self) -> Result<T, Error>) -> Result<T, Error> {
        self.interrupted()?;
        let begin = Instant::now();
        let result = f(self);
        *self.timings.entry(phase.to_owned()).or_insert(0.0) += begin.elapsed().as_secs_f64();
        result
    }

    pub(super) fn interrupted(&self) -> Result<(), Error> {
        if self.cancel.load(Ordering::Relaxed) { Err(Error::Interrupted) } else { Ok(()) }
    }

    pub(super) fn source(&mut self, path: Option<&Path>) -> Result<Option<Source>, Error> {
        let Some(path) = path else { return Ok(None) };
        let source = Source::open(&self.model, path, &self.options.data)?;
        self.progress.say(&format!("preprocessing: {}", source.preprocess.describe()));
        self.notes.extend(source.dataset.notes().iter().cloned());
        Ok(Some(source))
    }

    /// The criterion that was asked for, or the best that the data allow.
    pub(super) fn criterion(&self, data: bool) -> Result<Box<dyn Criterion>, Error> {
        let mut criteria = self.options.criteria.clone();
        if !data && criteria.criterion.is_none() {
            criteria.criterion = Some(Criteria::DEFAULT_WITHOUT_IMAGES.into());
        }
        let criterion = criteria.build()?;
        if !data && criterion.needs().images() {
            return Err(Error::Usage {
                what: format!("the criterion `{}` needs images", criterion.name()),
                help: "give them with `--data DIR`, or use `--criterion l2`".into(),
            });
        }
        Ok(criterion)
    }

    /// Decides which class every image belongs to: the labels where they suffice, else the dense model's outputs on
    /// the images.
    fn classes(&self, source: &Source, indices: &[usize], needs: Needs) -> Result<Classes, Error> {
        let weighted = !self.options.criteria.class_weights.is_empty();
        let Some(scores) = class_scores(&self.model, &self.channels) else {
            let mut classes = Classes::single(indices);
            if needs.contributions || needs.outputs {
                let why = "the model's first output is not a row of class scores: all images count as one class";
                classes.notes.push(why.into());
            }
            return Ok(classes);
        };
        if !(needs.contributions || needs.outputs || weighted) {
            return Ok(Classes::single(indices));
        }
        let given: Option<BTreeMap<usize, usize>> =
            indices.iter().map(|&item| Some((item, source.dataset.label(item)?))).collect();
        if let Some(labels) = &given
            && usable(labels)
            && labels.values().all(|&label| label < scores)
        {
            return Classes::new(labels.clone(), None);
        }
        let engine = self.engine.as_ref();
        let pass = (self.progress, self.cancel);
        let (items, outputs) = dense::outputs_only(&self.model, engine, source, (indices, &self.options.data), pass)?;
        let Some(outputs) = outputs else { return Ok(Classes::single(indices)) };
        let unlabelled = given.is_none();
        let labels = match given {
            Some(labels) => items.iter().filter_map(|item| Some((*item, *labels.get(item)?))).collect(),
            None => decided(&items, &outputs)?,
        };
        let mut classes = Classes::new(labels, Some(&Relatedness::from_outputs(outputs.view())))?;
        if unlabelled {
            classes.notes.push("the images have no labels: the dense model's answers stand for them".into());
        }
        Ok(classes)
    }

    /// One pass over the calibration images for everything that is needed.
    pub(super) fn observe(
        &mut self,
        source: Option<&Source>,
        needs: Needs,
    ) -> Result<Option<(Observed, Classes)>, Error> {
        let Some(source) = source else { return Ok(None) };
        self.share_memory(source)?;
        self.timed("calibrate", |run| {
            let indices = dense::chosen(source, &run.options.data, run.options.seed);
            let mut classes = run.classes(source, &indices, needs)?;
            let weights = &run.options.criteria.class_weights;
            classes.image_weights = class_weights::of_images(weights, &classes, source.dataset.class_names())?;
            let wanted = run.wanted(needs, indices.len(), &classes)?;
            run.note_narrowed(wanted.moments.as_ref());
            let observed = dense::observe(
                &run.model,
                &run.channels,
                run.engine.as_ref(),
                source,
                (&classes.sorted(&indices), &run.options.data, &classes),
                wanted,
                (run.progress, run.cancel),
            )?;
            if let Some(scores) = class_scores(&run.model, &run.channels) {
                near_chance(&observed, scores)?;
            }
            if !observed.skipped.names.is_empty() {
                let names = crate::explain::Names(&observed.skipped.names, 3);
                run.notes.push(format!("{} images could not be read: {names}", observed.skipped.names.len()));
            }
            run.notes.extend(classes.notes.iter().cloned());
            Ok(Some((observed, classes)))
        })
    }

    /// How widths are shared out.
    pub(super) fn allocation(&self, criteria: &Criteria, images: bool) -> Allocation {
        let measured = images && self.options.effort > Effort::Fast && !matches!(criteria.budget, Budget::Ratio(_));
        let own = if measured { Allocation::Sensitivity } else { Allocation::Uniform };
        criteria.allocation.unwrap_or(own)
    }

    fn wanted(&self, needs: Needs, images: usize, classes: &Classes) -> Result<Wanted, Error> {
        let products = match self.options.compensation {
            _ if needs.moments || needs.contributions => Some(Products::Pairs),
            Compensation::None => None,
            Compensation::Bias => Some(Products::Means),
            Compensation::Local | Compensation::Sequential => Some(Products::Pairs),
        };
        let options = |products| MomentOptions {
            images,
            seed: self.options.seed,
            products,
            classes: needs.contributions.then(|| classes.count()),
            weighted: needs.moments && classes.image_weights.is_some(),
            memory: self.shares.moments,
        };
        let moments =
            products.map(|products| Moments::new(&self.model, &self.channels, options(products))).transpose()?;
        // With contributions, features only serve the groups that have none.
        let told = |group: &crate::channels::Group| {
            needs.contributions
                && moments
                    .as_ref()
                    .is_some_and(|own| group.consumer_inputs.iter().any(|consumer_input| own.classwise(consumer_input)))
        };
        let feature = |group| (needs.features || needs.fallback && !told(group)).then_some(needs.pool);
        let features = self.channels.groups.iter().map(feature).collect();
        let images = self.options.compensation == Compensation::Sequential
            || self.allocation(&self.options.criteria, true) == Allocation::Sensitivity;
        Ok(Wanted { features, ranks: needs.ranks, moments, images: images.then_some(self.shares.images) })
    }

    fn note_narrowed(&mut self, moments: Option<&Moments>) {
        let Some((narrowed, of)) = moments.map(Moments::narrowed).filter(|(narrowed, _)| *narrowed > 0) else { return };
        let room = crate::report::bytes(self.shares.moments as f64);
        self.notes.push(format!(
            "moments of {narrowed} of {of} consumers were gathered in part, to stay within {room}; `--memory` allows more"
        ));
    }
}
