//! The command `onnx-prune quantize`: a model in integers, nothing pruned.

use std::sync::atomic::AtomicBool;

use crate::engine::CompileOptions;
use crate::error::Error;
use crate::model::SaveOptions;
use crate::pipeline::Progress;
use crate::pipeline::options::PruneOptions;
use crate::pipeline::record::Record;
use crate::pipeline::session::{FileDigest, Session, Watch, connected_all};
use crate::pipeline::steps::{
    QuantizedModel, calibrate, detections, evaluate, open_data, output_figures, quantize as write_integers, time,
    wants_data,
};
use crate::pipeline::writing::{self, check_images};
use crate::repair::Compensation;
use crate::report::{Change, FileInfo, QUANTIZE_SCHEMA_VERSION, QuantizeSummary, peak_memory_bytes};
use crate::score::Needs;

/// Writes a model in integers. Of the options, those of the model, the images, the engine, the output and
/// [`PruneOptions::quantize`] count.
///
/// # Errors
/// If something given is unusable; nothing is written then.
pub fn quantize(
    options: &PruneOptions,
    progress: &dyn Progress,
    cancel: &AtomicBool,
) -> Result<QuantizeSummary, Error> {
    let output = options.quantized_path();
    writing::check(&options.model.path, &output, options.force)?;
    check_images(options)?;
    let options = &PruneOptions { compensation: Compensation::None, ..options.clone() };
    let own = options.quantize.clone().unwrap_or_default();
    let mut record = Record::default();
    progress.phase("load", None);
    let connected = connected_all(options, progress, cancel)?;
    let watch = Watch { devices: &connected, ..Watch::new(progress, cancel) };
    let session = &Session::load(options, watch)?.merge_into(&mut record);
    let data = open_data(session)?.merge_into(&mut record);
    let calibration = calibrate(session, data, Needs::default())?.merge_into(&mut record);
    let Some(calibration) = calibration.as_ref() else { return Err(wants_data()) };
    let QuantizedModel { model, report } =
        write_integers(session, &session.model, calibration, &own)?.merge_into(&mut record);
    let evaluated = evaluate(session, Some(calibration), &model, None)?.merge_into(&mut record);
    let outputs = output_figures(session, Some(calibration), &model)?.merge_into(&mut record);
    let detections = detections(session, Some(calibration), &model)?.merge_into(&mut record);
    session.interrupted()?;
    session.engine.compile(&model, &CompileOptions::default())?;
    // Before anything is written: a device may be lost.
    let timed = time(session, &model)?.merge_into(&mut record).map(|own| own.timed);
    session.interrupted()?;
    model.save(&output, &SaveOptions { force: options.force, ..SaveOptions::default() })?;
    let FileDigest { bytes, sha256 } = writing::digest(&output)?;
    Ok(QuantizeSummary {
        schema_version: QUANTIZE_SCHEMA_VERSION,
        tool_version: env!("CARGO_PKG_VERSION").into(),
        model: session.file_info(),
        output: FileInfo { path: output, sha256 },
        engine: session.engine.info().clone(),
        device: session.timed_on(),
        bytes: Change { before: session.file.bytes, after: bytes },
        latency_ms: timed.as_ref().map(|own| own.change),
        accuracy: evaluated.accuracy,
        agreement: evaluated.agreement,
        shift_consistency: evaluated.shift_consistency,
        outputs,
        detections,
        quantized: report,
        calibration: calibration.describe(),
        warnings: record.warnings,
        notes: record.notes,
        seed: options.seed,
        command: Vec::new(),
        timings_s: record.timings,
        peak_memory_bytes: peak_memory_bytes(),
    })
}
