//! Repair of a pruned model: consumers alone, then layer after layer.

use std::collections::BTreeMap;
use std::sync::Arc;

use ndarray::{ArrayD, Axis, Slice};

use super::dense::Observed;
use super::run::Run;
use crate::calibration::Layout;
use crate::channels::Cut;
use crate::engine::Tensor;
use crate::error::Error;
use crate::model::Model;
use crate::repair::global::{RefineOptions, Refined, Teacher, refine};
use crate::repair::{Compensation, Reconstruction, Refit, refit};
use crate::report::Repair;

/// Multiply-accumulates of the dense model on the images of the walk, about.
const WALKED_MACS: f64 = 1.5e12;

/// Bytes of images that refinement draws from.
const REFINED_IMAGES: usize = 256 << 20;

/// Mirror images are added while all images stay below this.
const MOST_MIRRORED: usize = 256 << 20;

impl Run<'_> {
    /// Compensates and refines.
    pub(super) fn compensate(
        &mut self,
        pruned: &mut Model,
        cut: &Cut,
        observed: Option<&Observed>,
        compensation: Compensation,
    ) -> Result<Repair, Error> {
        let refit = self.refitted(pruned, cut, observed, compensation)?;
        let refined = match observed {
            Some(observed) => self.refined(pruned, cut, observed, compensation)?,
            None => None,
        };
        Ok(Repair { refit, refined })
    }

    /// Consumers alone, then layer after layer.
    pub(super) fn refitted(
        &mut self,
        pruned: &mut Model,
        cut: &Cut,
        observed: Option<&Observed>,
        compensation: Compensation,
    ) -> Result<Refit, Error> {
        let Some((observed, moments)) = observed.and_then(|own| Some((own, own.moments.as_ref()?))) else {
            return Ok(Refit::default());
        };
        self.progress.phase("compensate", None);
        self.timed("compensate", |run| {
            let mut refit = refit(&run.model, pruned, &run.channels, cut, moments, compensation)?;
            if compensation == Compensation::Sequential {
                run.walk(pruned, cut, &observed.batches, &mut refit)?;
            }
            Ok(refit)
        })
    }

    /// All layers at once, where the repair goes that far.
    pub(super) fn refined(
        &mut self,
        pruned: &mut Model,
        cut: &Cut,
        observed: &Observed,
        compensation: Compensation,
    ) -> Result<Option<Refined>, Error> {
        if compensation != Compensation::Sequential || observed.moments.is_none() {
            return Ok(None);
        }
        self.timed("refine", |run| run.refine(pruned, cut, &observed.batches))
    }

    fn walk(&mut self, pruned: &mut Model, cut: &Cut, images: &[Arc<Tensor>], report: &mut Refit) -> Result<(), Error> {
        let specs = crate::evaluate::input_specs(&self.model);
        let Some(input) = specs.first().filter(|_| !images.is_empty()) else { return Ok(()) };
        let batches = self.mirrored(images);
        let walk = Reconstruction {
            dense: &self.model,
            channels: &self.channels,
            cut,
            engine: self.engine.as_ref(),
            input: &input.name,
            batches: &batches,
            memory: self.shares.activations,
            images: self.walked_images(),
            rows: self.shares.rows,
            seed: self.options.seed,
            cancel: self.cancel,
        };
        let progress = self.progress;
        let walked = walk.refit(pruned, &mut |layers| match layers {
            0 => progress.advance(1),
            count => progress.phase("compensate", Some(count as u64)),
        })?;
        report.layers = walked.layers;
        if let Some((name, why)) = walked.left.first() {
            let others = walked.left.len() - 1;
            self.notes.push(format!(
                "`{name}` and {others} other layers were not refitted on the pruned model's activations: {why}"
            ));
        }
        Ok(())
    }

    /// Images of the walk: as many as the model's size allows.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count of images, saturated")]
    fn walked_images(&self) -> usize {
        (WALKED_MACS / (self.channels.macs(None) as f64).max(1.0)) as usize
    }

    /// All layers at once, towards the dense model's values.
    fn refine(&mut self, pruned: &mut Model, cut: &Cut, batches: &[Arc<Tensor>]) -> Result<Option<Refined>, Error> {
        let Some(options) = self.options.effort.refinement(self.options.seed) else { return Ok(None) };
        let seconds = self.options.refine.unwrap_or(options.seconds);
        if seconds <= 0.0 || batches.is_empty() {
            return Ok(None);
        }
        self.progress.phase("refine", None);
        let bytes: usize = batches.iter().map(|batch| 4 * batch.shape().iter().product::<usize>()).sum();
        let every = bytes.div_ceil(REFINED_IMAGES).max(1);
        let images: Vec<ArrayD<f32>> = batches.iter().step_by(every).map(|batch| batch.to_f32()).collect();
        // Who asks for it gets it, however small the draws are.
        let least_draw = if self.options.refine.is_some() { 1 } else { options.least_draw };
        let options = RefineOptions { least_draw, seconds, ..options };
        let teacher = Teacher { model: &self.model, kept: self.left(cut) };
        match refine(&teacher, pruned, self.engine.as_ref(), &images, &options, self.cancel).map_err(Error::from) {
            Ok(refined) => Ok(Some(refined)),
            Err(Error::Engine(why)) => {
                self.notes.push(format!("the weights were not refined: {why}"));
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Values that lose channels along one axis, and what is left of them.
    fn left(&self, cut: &Cut) -> BTreeMap<String, (usize, Vec<usize>)> {
        let names = self.model.graph().node.iter().flat_map(|node| &node.output);
        let left = |name: &String| {
            let ids = self.channels.value_ids(name)?;
            let kept = |axis: usize| self.channels.kept(cut, ids, axis);
            let mut shorter = (0..ids.rank()).filter(|&axis| kept(axis).len() < ids.shape[axis]);
            let axis = shorter.next().filter(|_| shorter.next().is_none())?;
            Some((name.clone(), (axis, kept(axis))))
        };
        names.filter_map(left).collect()
    }

    /// The images and their mirror images (7.8), where those are small.
    fn mirrored(&self, images: &[Arc<Tensor>]) -> Vec<Arc<Tensor>> {
        let mut batches = images.to_vec();
        let bytes: usize = images.iter().map(|batch| 4 * batch.shape().iter().product::<usize>()).sum();
        if bytes <= MOST_MIRRORED {
            let nhwc = self.options.data.preprocess.layout == Some(Layout::Nhwc);
            batches.extend(images.iter().filter_map(|batch| mirror(batch, nhwc)).map(Arc::new));
        }
        batches
    }
}

/// Left and right exchanged, `[N, C, H, W]`, or `[N, H, W, C]`.
fn mirror(batch: &Tensor, nhwc: bool) -> Option<Tensor> {
    let Tensor::F32(images) = batch else { return None };
    let axis = images.ndim().checked_sub(if nhwc { 2 } else { 1 }).filter(|_| images.ndim() == 4)?;
    let mut turned = images.view();
    turned.slice_axis_inplace(Axis(axis), Slice::new(0, None, -1));
    Some(Tensor::F32(turned.as_standard_layout().to_owned()))
}
