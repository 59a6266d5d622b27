//! A stage of the repair counts only where it brings the outputs nearer to the dense model's.

use std::collections::VecDeque;

use crate::error::Error;
use crate::evaluate::Reference;
use crate::model::Model;
use crate::pipeline::session::Session;
use crate::repair::{ChangedLayer, changed_layers, with_layers};
use crate::report::{RepairStage, StageError};

/// Runs that look for layers whose change helps, where a stage as a whole does not.
const MOST_TRIALS: usize = 10;

/// Mean error of a model's outputs on the held-out inputs; `None` without such inputs.
pub(super) fn output_error(
    session: &Session<'_>,
    reference: Option<&Reference>,
    model: &Model,
) -> Result<Option<f64>, Error> {
    let errors = reference.map(|own| own.errors(session.engine.as_ref(), model, session.cancel)).transpose()?;
    Ok(errors.map(|own| own.mean()))
}

/// A model under repair, and how far its outputs are from the dense model's.
pub(super) struct Trial<'a> {
    session: &'a Session<'a>,
    reference: Option<&'a Reference>,
    pub(super) model: Model,
    error: Option<f64>,
    pub(super) stages: Vec<StageError>,
}

impl<'a> Trial<'a> {
    /// Starts from a model. `stages`: those that led to it.
    pub(super) fn new(
        session: &'a Session<'a>,
        reference: Option<&'a Reference>,
        model: Model,
        stages: Vec<StageError>,
    ) -> Result<Self, Error> {
        let mut trial = Self { session, reference, model, error: None, stages };
        trial.error = match trial.stages.last() {
            Some(last) => Some(last.after),
            None => trial.error_of(&trial.model)?,
        };
        Ok(trial)
    }

    fn error_of(&self, model: &Model) -> Result<Option<f64>, Error> {
        output_error(self.session, self.reference, model)
    }

    /// Takes what a stage made of the model: as a whole if the outputs come nearer, else those of its layers with which
    /// they do.
    pub(super) fn take(&mut self, stage: RepairStage, made: Model) -> Result<(), Error> {
        let layers = changed_layers(&self.model, &made);
        let (Some(before), false) = (self.error, layers.is_empty()) else {
            self.model = made;
            return Ok(());
        };
        let whole = self.error_of(&made)?.unwrap_or(f64::INFINITY);
        let mut told = StageError { stage, before, whole, after: whole, layers: layers.len(), rolled_back: Vec::new() };
        if whole < before {
            self.model = made;
        } else {
            let kept = self.helping(&made, &layers, before)?;
            told.after = kept.error;
            let back = layers.iter().enumerate().filter(|(at, _)| !kept.layers.contains(at));
            told.rolled_back = back.map(|(_, layer)| layer.name.clone()).collect();
            self.model = kept.model.unwrap_or_else(|| self.model.clone());
        }
        self.error = Some(told.after);
        self.stages.push(told);
        Ok(())
    }

    /// Halves the layers until those are found whose change helps.
    fn helping(&self, made: &Model, layers: &[ChangedLayer], before: f64) -> Result<Kept, Error> {
        let mut kept = Kept { model: None, layers: Vec::new(), error: before };
        let mut open = VecDeque::from(halves(&(0..layers.len()).collect::<Vec<_>>()));
        for _ in 0..MOST_TRIALS {
            let Some(part) = open.pop_front() else { break };
            self.session.interrupted()?;
            let mut tried = kept.layers.clone();
            tried.extend(&part);
            let chosen: Vec<&ChangedLayer> = tried.iter().map(|&at| &layers[at]).collect();
            let model = with_layers(&self.model, made, &chosen)?;
            let error = self.error_of(&model)?.unwrap_or(f64::INFINITY);
            if error < kept.error {
                kept = Kept { model: Some(model), layers: tried, error };
            } else {
                open.extend(halves(&part));
            }
        }
        Ok(kept)
    }
}

/// What was kept of a stage.
struct Kept {
    model: Option<Model>,
    layers: Vec<usize>,
    error: f64,
}

/// The two halves of what can be halved.
fn halves(part: &[usize]) -> Vec<Vec<usize>> {
    if part.len() < 2 {
        return Vec::new();
    }
    let (first, second) = part.split_at(part.len() / 2);
    vec![first.to_vec(), second.to_vec()]
}
