//! Detections of models with boxes and scores: how many of the dense model's another model has too.

mod boxes;
mod layout;
mod scores;
#[cfg(test)]
mod tests;

pub use boxes::BoxForm;

use std::sync::atomic::{AtomicBool, Ordering};

use ndarray::ArrayD;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use self::boxes::{Detection, Matched, by_score, matched, suppressed};
use self::layout::Layout;
use super::{EvaluateError, Pass, Reference, compared};
use crate::engine::{CompileOptions, Engine, Feed, Session, Tensor, feed, readable_outputs};
use crate::model::Model;

/// Score above which a box is a detection: what YOLO's tools show by default.
const THRESHOLD: f32 = 0.25;

/// Numbers of outputs that are held to tell what they are.
const MOST_NUMBERS: usize = 1 << 25;

/// Outputs with boxes and scores, as the user names them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedOutputs {
    /// Name of the output with the boxes.
    pub boxes: String,
    /// What its numbers are; told by the numbers by default.
    pub form: Option<BoxForm>,
    /// Name of the output with the scores; that of the boxes where one output holds both.
    pub scores: String,
}

impl NamedOutputs {
    /// Refuses names that are no outputs.
    ///
    /// # Errors
    /// If the model has no such output.
    pub fn check(&self, model: &Model) -> Result<(), EvaluateError> {
        let known: Vec<&str> = model.graph().output.iter().map(crate::proto::onnx::ValueInfoProto::name).collect();
        let Some(name) = [&self.boxes, &self.scores].into_iter().find(|name| !known.contains(&name.as_str())) else {
            return Ok(());
        };
        let known: Vec<String> = known.iter().map(|name| format!("`{name}`")).collect();
        Err(EvaluateError::Usage {
            what: format!("`--outputs` names `{name}`, which is no output of the model"),
            help: format!("its outputs are {}", known.join(", ")),
        })
    }
}

/// Detections of two models on the same inputs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DetectionFigures {
    /// Outputs that the detections are read from.
    pub outputs: Vec<String>,
    /// What the four numbers of a box are taken for.
    pub form: BoxForm,
    /// How that, the scores and the boxes of one object were read, in words.
    pub read: String,
    /// Score above which a box is a detection.
    pub threshold: f64,
    /// Whether non-maximum suppression was applied to both models' boxes, since the model has none inside.
    pub suppressed: bool,
    /// Inputs that both models ran on.
    pub inputs: usize,
    /// Detections of the dense model.
    pub dense: usize,
    /// Those that the other model has too: the same class, intersection over union of at least 0.5, one to one.
    pub kept: usize,
    /// Detections that the other model alone has.
    pub added: usize,
    /// Mean change of the scores of those that both have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub score_change: Option<f64>,
}

impl DetectionFigures {
    /// Share of the dense model's detections that are kept; 1 where there are none.
    pub fn kept_share(&self) -> f64 {
        if self.dense == 0 { 1.0 } else { self.kept as f64 / self.dense as f64 }
    }
}

/// Reads detections off a model's outputs.
#[derive(Debug, Clone)]
struct Detector {
    names: Vec<String>,
    layout: Layout,
    suppress: bool,
}

impl Detector {
    /// How a model's detections are read: from the outputs that are `named`, else from those that shapes and numbers on
    /// some `feeds` confirm; `None` where there are none. With the outputs of as many runs as were looked at.
    ///
    /// # Errors
    /// If named outputs are not boxes and scores, the engine fails, or on interruption.
    fn of<'a>(
        engine: &dyn Engine,
        model: &Model,
        named: Option<&NamedOutputs>,
        feeds: impl Iterator<Item = &'a Feed>,
        cancel: &AtomicBool,
    ) -> Result<Option<Looked>, EvaluateError> {
        let names = readable_outputs(model);
        let options = CompileOptions { outputs: names.clone(), ..CompileOptions::default() };
        let mut session = engine.compile(model, &options)?;
        let (mut runs, mut numbers) = (Vec::new(), 0);
        for feed in feeds {
            let run = run(session.as_mut(), feed, cancel)?;
            if runs.is_empty() && named.is_none() && !possible(&run) {
                return Ok(None);
            }
            numbers += run.iter().map(ArrayD::len).sum::<usize>();
            runs.push(run);
            if numbers > MOST_NUMBERS {
                break;
            }
        }
        let layout = match named {
            Some(named) => Some(named_layout(&names, &runs, named)?),
            None => Layout::recognised(&runs),
        };
        let inside = model.graph().node.iter().any(compared::suppresses);
        let detector = |layout: Layout| Self { names, suppress: !inside && !layout.is_final(), layout };
        Ok(layout.map(|layout| Looked { detector: detector(layout), session, runs }))
    }

    /// The outputs that are run for, for sessions whose runs are read.
    fn outputs(&self) -> CompileOptions {
        CompileOptions { outputs: self.names.clone(), ..CompileOptions::default() }
    }

    /// Detections of the samples of a run; none where the outputs have other shapes.
    fn read(&self, run: &[ArrayD<f32>], samples: usize) -> Vec<Vec<Detection>> {
        let mut all = self.layout.read(run, THRESHOLD).unwrap_or_default();
        all.truncate(samples);
        let ordered = all.into_iter().map(by_score);
        if self.suppress { ordered.map(suppressed).collect() } else { ordered.collect() }
    }

    fn figures(&self, sums: Sums) -> DetectionFigures {
        let Matched { dense, kept, added, change } = sums.matched;
        let form = if self.layout.named { "as named" } else { "by their numbers" };
        let suppression = if self.suppress { "NMS at IoU 0.5" } else { "no NMS but the model's own" };
        DetectionFigures {
            outputs: self.layout.outputs().into_iter().map(|at| self.names[at].clone()).collect(),
            form: self.layout.form,
            read: format!(
                "boxes {} {form}; {}, above {THRESHOLD}; {suppression}",
                self.layout.form.name(),
                self.layout.describe_scores()
            ),
            threshold: f64::from(THRESHOLD),
            suppressed: self.suppress,
            inputs: sums.inputs,
            dense,
            kept,
            added,
            score_change: (kept > 0).then(|| change / kept as f64),
        }
    }
}

/// A detector, a session of the model that it was found for, and the runs that were looked at.
struct Looked {
    detector: Detector,
    session: Box<dyn Session>,
    runs: Vec<Vec<ArrayD<f32>>>,
}

/// Counts over the inputs.
#[derive(Debug, Clone, Copy, Default)]
struct Sums {
    inputs: usize,
    matched: Matched,
}

/// Counts what becomes of detections, input by input.
#[derive(Debug, Clone)]
struct Tally<'a> {
    detector: &'a Detector,
    sums: Sums,
}

impl<'a> Tally<'a> {
    /// Nothing counted yet.
    fn new(detector: &'a Detector) -> Self {
        Self { detector, sums: Sums::default() }
    }

    /// Adds the samples of one run. Samples that one of both lacks have no detections.
    fn add(&mut self, dense: &[Vec<Detection>], own: &[Vec<Detection>]) {
        for (at, dense) in dense.iter().enumerate() {
            let found = matched(dense, own.get(at).map_or(&[], Vec::as_slice));
            let all = &mut self.sums.matched;
            self.sums.inputs += 1;
            all.dense += found.dense;
            all.kept += found.kept;
            all.added += found.added;
            all.change += found.change;
        }
    }

    /// The figures.
    fn figures(&self) -> DetectionFigures {
        self.detector.figures(self.sums)
    }
}

/// Whether some outputs of a run have shapes that detections have.
fn possible(run: &[ArrayD<f32>]) -> bool {
    let wide = |own: &ArrayD<f32>| own.ndim() == 3 && own.shape().iter().skip(1).min().is_some_and(|size| *size >= 4);
    run.iter().any(wide)
}

fn run(session: &mut dyn Session, feed: &Feed, cancel: &AtomicBool) -> Result<Vec<ArrayD<f32>>, EvaluateError> {
    if cancel.load(Ordering::Relaxed) {
        return Err(EvaluateError::Interrupted);
    }
    Ok(session.run(&feed::pairs(feed))?.iter().map(Tensor::to_f32).collect())
}

fn named_layout(names: &[String], runs: &[Vec<ArrayD<f32>>], named: &NamedOutputs) -> Result<Layout, EvaluateError> {
    let unfit = |why: String| EvaluateError::Usage {
        what: format!(
            "`--outputs boxes={},scores={}` cannot be read as boxes and scores: {why}",
            named.boxes, named.scores
        ),
        help: "boxes need no anchors: four numbers each, in the image; name other outputs, or measure the model by a \
               command of your own (`--metric`)"
            .into(),
    };
    let at = |name: &String| {
        names.iter().position(|own| own == name).ok_or_else(|| unfit(format!("`{name}` holds no numbers")))
    };
    Layout::named(runs, (at(&named.boxes)?, at(&named.scores)?), named.form).map_err(unfit)
}

/// The dense model's detections on the inputs of a reference.
#[derive(Debug, Clone)]
pub struct DenseDetections {
    detector: Detector,
    runs: Vec<Vec<Vec<Detection>>>,
}

impl DenseDetections {
    /// Runs the dense model for its detections; `None` where it has none.
    ///
    /// # Errors
    /// As [`Pass::detections`].
    pub fn gather(
        engine: &dyn Engine,
        model: &Model,
        reference: &Reference,
        named: Option<&NamedOutputs>,
        cancel: &AtomicBool,
    ) -> Result<Option<Self>, EvaluateError> {
        let feeds = reference.runs().map(|(feed, _)| feed);
        let Some(looked) = Detector::of(engine, model, named, feeds, cancel)? else { return Ok(None) };
        let Looked { detector, mut session, runs: outputs } = looked;
        let mut runs = Vec::new();
        for (at, (feed, rows)) in reference.runs().enumerate() {
            let found = match outputs.get(at) {
                Some(outputs) => detector.read(outputs, rows),
                None => detector.read(&run(session.as_mut(), feed, cancel)?, rows),
            };
            runs.push(found);
        }
        let any = named.is_some() || runs.iter().flatten().any(|own| !own.is_empty());
        Ok(any.then_some(Self { detector, runs }))
    }

    /// What becomes of them in another model.
    ///
    /// # Errors
    /// If the engine fails, or on interruption.
    pub fn figures(
        &self,
        engine: &dyn Engine,
        model: &Model,
        reference: &Reference,
        cancel: &AtomicBool,
    ) -> Result<DetectionFigures, EvaluateError> {
        let mut session = engine.compile(model, &self.detector.outputs())?;
        let mut tally = Tally::new(&self.detector);
        for (dense, (feed, rows)) in self.runs.iter().zip(reference.runs()) {
            tally.add(dense, &self.detector.read(&run(session.as_mut(), feed, cancel)?, rows));
        }
        Ok(tally.figures())
    }
}

/// Samples that are looked at to tell how detections are read.
const LOOKED_AT: usize = 32;

impl Pass<'_> {
    /// What becomes of the detections of one model in another, on the images of the pass; `None` where the first has none.
    ///
    /// # Errors
    /// If named outputs are not boxes and scores, an image or the engine is unusable, or on interruption.
    pub fn detections(
        &self,
        base: &Model,
        new: &Model,
        named: Option<&NamedOutputs>,
    ) -> Result<Option<DetectionFigures>, EvaluateError> {
        let Self { engine, indices, cancel, .. } = *self;
        let first = Pass { indices: &indices[..indices.len().min(LOOKED_AT)], advance: &|_| (), ..*self };
        let reference = Reference::gather(&first, base)?;
        let feeds = reference.runs().map(|(feed, _)| feed);
        let Some(Looked { detector, mut session, .. }) = Detector::of(engine, base, named, feeds, cancel)? else {
            return Ok(None);
        };
        let mut other = engine.compile(new, &detector.outputs())?;
        let mut tally = Tally::new(&detector);
        self.run(session.as_mut(), |batch, outputs| {
            let own = run(other.as_mut(), &batch.inputs, cancel)?;
            let samples = batch.items.len();
            tally.add(&detector.read(&outputs, samples), &detector.read(&own, samples));
            Ok(())
        })?;
        Ok(Some(tally.figures()).filter(|own| named.is_some() || own.dense > 0))
    }
}
