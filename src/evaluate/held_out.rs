//! Which labelled images decide about the loss of accuracy.

use std::path::Path;

use super::{DataOptions, EvaluateError, Paired};

/// Images that are held out of the calibration images at most, unless told otherwise.
const MOST: usize = 5000;

/// A part of the calibration images that is held out.
#[derive(Debug, Clone)]
pub struct SetAside {
    /// The images, parted.
    pub data: DataOptions,
    /// What a person should know.
    pub note: String,
}

/// Checks the images on which a loss of at most `points` of accuracy is to be shown. Without held-out images a part of the calibration
/// images is set aside.
///
/// # Errors
/// If there are no labelled images, or too few for the bound.
pub fn set_aside(data: &DataOptions, points: f64) -> Result<Option<SetAside>, EvaluateError> {
    if let Some(eval) = &data.eval {
        let labelled = labelled(eval, data)?.labelled;
        suffices(labelled.min(data.eval_samples.unwrap_or(labelled)), points)?;
        return Ok(None);
    }
    let Some(path) = &data.data else { return Err(unlabelled("no images are given")) };
    let Counts { labelled, all } = labelled(path, data)?;
    if labelled < all {
        return Err(unlabelled(&format!("only {labelled} of the {all} in `{}` have labels", path.display())));
    }
    let calibrate = data.samples.unwrap_or(DataOptions::DEFAULT_SAMPLES).min(all / 2);
    let held_out = data.eval_samples.unwrap_or(MOST).min(all - calibrate);
    suffices(held_out, points)?;
    let note = format!(
        "of the {all} images of `--data`, {calibrate} calibrate and {held_out} others judge the loss; if the model was \
         trained on them, it may lose more on new images: give such with `--eval`"
    );
    let data = DataOptions {
        eval: Some(path.clone()),
        samples: Some(calibrate),
        eval_skip: calibrate,
        eval_samples: Some(held_out),
        ..data.clone()
    };
    Ok(Some(SetAside { data, note }))
}

/// Images of a data set.
struct Counts {
    labelled: usize,
    all: usize,
}

fn labelled(path: &Path, data: &DataOptions) -> Result<Counts, EvaluateError> {
    let dataset = data.open(path, Vec::new())?;
    let count = (0..dataset.len()).filter(|&item| dataset.label(item).is_some()).count();
    if count == 0 {
        return Err(unlabelled(&format!("those in `{}` have no labels", path.display())));
    }
    Ok(Counts { labelled: count, all: dataset.len() })
}

fn suffices(images: usize, points: f64) -> Result<(), EvaluateError> {
    let fewest = Paired::fewest(points);
    if images >= fewest {
        return Ok(());
    }
    Err(EvaluateError::Usage {
        what: format!("{images} held-out images cannot show a loss of at most {points} points"),
        help: format!(
            "it takes {fewest} at least: give more labelled images with `--eval DIR`, or a larger `--max-drop`"
        ),
    })
}

/// What a bound on the loss of accuracy wants.
fn unlabelled(why: &str) -> EvaluateError {
    EvaluateError::Usage {
        what: format!("`--max-drop` needs labelled images, and {why}"),
        help: "give held-out images in class folders with `--eval DIR`".into(),
    }
}
