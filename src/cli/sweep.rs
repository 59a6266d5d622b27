//! `--sweep`: many models, a table and a picture.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use super::commands::unprintable;
use super::console::Console;
use super::flags::Prune;
use super::targets::Targets;
use crate::error::Error;
use crate::model::replaceable;
use crate::model::write_atomically;
use crate::pipeline::{self, PlanFile, PruneOptions};
use crate::report::{Swept, sweep_csv, sweep_html, sweep_svg, sweep_table};

/// Where table and picture of a device go.
struct Results {
    table: PathBuf,
    picture: PathBuf,
}

impl Results {
    /// Writes both; whether there was something to draw.
    fn write(&self, swept: &Swept) -> Result<bool, Error> {
        write(&self.table, &sweep_csv(swept).map_err(unprintable)?)?;
        let picture = sweep_svg(swept).map_err(|error| unprintable(error.to_string()))?;
        picture.as_ref().map_or(Ok(()), |picture| write(&self.picture, picture))?;
        Ok(picture.is_some())
    }
}

pub(super) fn run(flags: &Prune, options: &PruneOptions, shares: &[f64], console: &Console<'_>) -> Result<(), Error> {
    let results = check(flags, options, shares)?;
    let bar = console.progress(flags.results.quiet || flags.results.json);
    let found = pipeline::sweep(options, shares, &bar, console.cancel);
    bar.clear();
    let swept = found?;
    let others = swept.on_other_devices();
    let mut drawn = true;
    for (results, swept) in results.iter().zip(std::iter::once(&swept).chain(&others)) {
        drawn &= results.write(swept)?;
    }
    if !drawn {
        pipeline::Progress::say(&bar, "no images, no accuracy: the picture is left out");
    }
    if let Some(path) = &flags.results.html {
        write(path, &sweep_html(&swept).map_err(|error| unprintable(error.to_string()))?)?;
    }
    let json = || serde_json::to_string_pretty(&swept).map_err(|error| unprintable(error.to_string()));
    if let Some(path) = &flags.results.report {
        write(path, &(json()? + "\n"))?;
    }
    if flags.results.json {
        return console.print(&(json()? + "\n"));
    }
    if flags.results.quiet {
        return Ok(());
    }
    let table = |swept: &Swept| sweep_table(swept, console.style()).map_err(|error| unprintable(error.to_string()));
    let tables = std::iter::once(&swept).chain(&others).map(table).collect::<Result<Vec<_>, _>>()?;
    console.print(&tables.join("\n"))
}

/// Fails before the work if a result would be lost or would replace something else.
fn check(flags: &Prune, options: &PruneOptions, shares: &[f64]) -> Result<Vec<Results>, Error> {
    let results = &flags.results;
    let alone = results.classes_svg.is_some() || results.markdown.is_some() || results.times.is_some();
    if matches!(options.plan, PlanFile::At(_)) || alone {
        return Err(Error::Usage {
            what: "one file cannot hold what a sweep makes for every model".into(),
            help:
                "leave out `--plan FILE`, `--markdown`, `--times` and `--classes-svg`; the plans go beside the models"
                    .into(),
        });
    }
    let beside = |extension: &str| {
        let first = options.swept_path(1.0);
        // `STEM.x1.00.onnx`: both of its extensions go.
        first.with_extension("").with_extension("").with_extension(extension)
    };
    // The first device has the plain name, the others their number.
    let name = |device: usize, extension: &str| match device {
        0 | 1 => beside(&format!("sweep.{extension}")),
        _ => beside(&format!("sweep.device{device}.{extension}")),
    };
    let devices = 1..=options.devices.len().max(1);
    let results: Vec<Results> =
        devices.map(|device| Results { table: name(device, "csv"), picture: name(device, "svg") }).collect();
    let mut targets = Targets::default().input(&options.model.path);
    for path in options.swept_paths(shares) {
        targets = targets.output(&path, "a model of the sweep")?;
    }
    let of_device = |own: &'_ Results| [(own.table.clone(), "the table"), (own.picture.clone(), "the picture")];
    let mut more: Vec<(PathBuf, &str)> = results.iter().flat_map(of_device).collect();
    more.extend(flags.results.report.as_ref().map(|path| (path.clone(), "the report")));
    more.extend(flags.results.html.as_ref().map(|path| (path.clone(), "the page")));
    for (path, name) in more {
        targets = targets.output(&path, name)?;
        replaceable(&path, flags.results.force)?;
    }
    Ok(results)
}

fn write(path: &Path, text: &str) -> Result<(), Error> {
    Ok(write_atomically(path, |file| file.write_all(text.as_bytes()))?)
}
