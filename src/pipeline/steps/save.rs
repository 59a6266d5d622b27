//! Writes the pruned model and its plan.

use std::io::Write as _;

use crate::engine::CompileOptions;
use crate::error::Error;
use crate::model::{Model, SaveOptions, write_atomically};
use crate::pipeline::record::Told;
use crate::pipeline::session::{FileDigest, Session};
use crate::pipeline::writing::{self, Files};
use crate::plan::Plan;

/// Saves, once the engine accepts the very model that is written.
pub(crate) fn save(
    session: &Session<'_>,
    pruned: &Model,
    plan: &Plan,
    files: &Files,
) -> Result<Told<FileDigest>, Error> {
    session.step("save", |_| {
        if !session.options.skip_verification {
            session.engine.compile(pruned, &CompileOptions::default())?;
        }
        let save = SaveOptions { force: session.options.force, ..SaveOptions::default() };
        pruned.save(&files.model, &save)?;
        if let Some(path) = &files.plan {
            let json = plan.to_json()?;
            write_atomically(path, |file| file.write_all(json.as_bytes()))?;
        }
        writing::digest(&files.model)
    })
}
