//! The command `onnx-prune sweep`: many runs as jobs for whatever starts them, and their results together.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::pipeline::writing;
use crate::report::{Collected, SWEEP_SCHEMA_VERSION, Summary, Swept, SweptModel};

/// Version of the form of [`Jobs`].
pub const JOBS_SCHEMA_VERSION: u32 = 1;

/// The file in the folder of the results that says which jobs there are.
const LIST: &str = "jobs.json";

/// What is run: every model with every budget, criterion and seed, on every device. An empty list leaves a choice to `flags`.
#[derive(Debug, Clone, Default)]
pub struct SweepOptions {
    /// The models.
    pub models: Vec<PathBuf>,
    /// Budgets: a flag and its value each.
    pub budgets: Vec<[String; 2]>,
    /// Criteria.
    pub criteria: Vec<String>,
    /// Seeds.
    pub seeds: Vec<u64>,
    /// Devices that time.
    pub devices: Vec<String>,
    /// Flags of every run, such as those of the data.
    pub flags: Vec<String>,
    /// Where the results go.
    pub folder: PathBuf,
    /// How the program is called.
    pub program: String,
}

/// One run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// Name of its result: `NAME.onnx` and `NAME.json` in the folder.
    pub name: String,
    /// What tells it from the other jobs of its model and device.
    pub label: String,
    /// The command, word by word.
    pub command: Vec<String>,
}

/// All runs of a sweep.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Jobs {
    /// [`JOBS_SCHEMA_VERSION`].
    pub schema_version: u32,
    /// The jobs.
    pub jobs: Vec<Job>,
}

impl Jobs {
    /// The jobs of a sweep, those of one model side by side.
    pub fn of(options: &SweepOptions) -> Self {
        let mut jobs = Vec::new();
        for (stem, model) in stems(&options.models) {
            for choice in choices(options) {
                let words: Vec<&str> =
                    choice.iter().map(|own| own.label.as_str()).filter(|own| !own.is_empty()).collect();
                let parts: Vec<String> = words.iter().map(|own| file_safe(own)).collect();
                let name = [std::slice::from_ref(&stem), &parts].concat().join(".");
                let at = |extension: &str| options.folder.join(format!("{name}.{extension}")).display().to_string();
                let mut command = vec![options.program.clone(), model.display().to_string()];
                command.extend(choice.iter().flat_map(|own| own.words.iter().cloned()));
                command.extend(options.flags.iter().cloned());
                command.extend(["-o".into(), at("onnx"), "--report".into(), at("json")]);
                command.extend(["--quiet", "--force", "--skip-done"].map(String::from));
                jobs.push(Job { name, label: words.join(" "), command });
            }
        }
        Self { schema_version: JOBS_SCHEMA_VERSION, jobs }
    }

    /// Writes the list into the folder of the results, which is made.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn write(&self, folder: &Path) -> Result<(), Error> {
        let path = folder.join(LIST);
        let fail = |why: String| Error::Usage {
            what: format!("cannot write `{}`: {why}", path.display()),
            help: "give another folder with `--folder DIR`".into(),
        };
        std::fs::create_dir_all(folder).map_err(|error| fail(error.to_string()))?;
        let text = serde_json::to_vec_pretty(self).map_err(|error| fail(error.to_string()))?;
        Ok(crate::model::write_atomically(&path, |file| std::io::Write::write_all(file, &text))?)
    }

    /// The list in a folder of results.
    ///
    /// # Errors
    /// If there is none, or it cannot be read.
    pub fn read(folder: &Path) -> Result<Self, Error> {
        let path = folder.join(LIST);
        let fail = |why: String| Error::Usage {
            what: format!("cannot read `{}`: {why}", path.display()),
            help: "`onnx-prune sweep MODEL --jobs FILE --folder DIR` writes it".into(),
        };
        let text = std::fs::read(&path).map_err(|error| fail(error.to_string()))?;
        let own: Self = serde_json::from_slice(&text).map_err(|error| fail(error.to_string()))?;
        if own.schema_version == JOBS_SCHEMA_VERSION {
            Ok(own)
        } else {
            Err(fail(format!("its form is version {}, this program reads {JOBS_SCHEMA_VERSION}", own.schema_version)))
        }
    }

    /// The results in a folder, and the jobs that have none.
    ///
    /// # Errors
    /// If there is no list of jobs.
    pub fn collect(folder: &Path) -> Result<(Collected, Vec<Job>), Error> {
        let Self { jobs, .. } = Self::read(folder)?;
        let mut sweeps: BTreeMap<(String, String), Vec<SweptModel>> = BTreeMap::new();
        let (all, mut missing) = (jobs.len(), Vec::new());
        for job in jobs {
            let Some(summary) = finished(&folder.join(format!("{}.json", job.name)), &job.command) else {
                missing.push(job);
                continue;
            };
            let device = summary.device.as_ref().map(|own| own.device.clone()).unwrap_or_default();
            let model = SweptModel { share: summary.macs.ratio(), name: Some(job.label), summary };
            sweeps.entry((model.summary.model.path.display().to_string(), device)).or_default().push(model);
        }
        let sweep = |mut models: Vec<SweptModel>| {
            models.sort_by(|a, b| b.share.total_cmp(&a.share));
            Swept { schema_version: SWEEP_SCHEMA_VERSION, models, warnings: Vec::new() }
        };
        let missing_names = missing.iter().map(|job| job.name.clone()).collect();
        let sweeps = sweeps.into_values().map(sweep).collect();
        Ok((Collected { sweeps, jobs: all, missing: missing_names }, missing))
    }
}

/// The report of a run that came to its end: it is written last, and says which model it is of. `command`: that of the run.
pub fn finished(report: &Path, command: &[String]) -> Option<Summary> {
    let summary: Summary = serde_json::from_slice(&std::fs::read(report).ok()?).ok()?;
    // How the program was called does not matter.
    let same = summary.command.get(1..) == command.get(1..);
    let whole = || writing::digest(&summary.output.path).is_ok_and(|own| own.sha256 == summary.output.sha256);
    (same && whole()).then_some(summary)
}

/// One choice of a job: its words, and what tells it from others.
#[derive(Clone)]
struct Choice {
    words: Vec<String>,
    label: String,
}

/// Every budget with every criterion, seed and device.
fn choices(options: &SweepOptions) -> Vec<Vec<Choice>> {
    let flag = |name: &str, value: &str, label: String| Choice { words: vec![name.into(), value.into()], label };
    let several = |count: usize, label: String| if count > 1 { label } else { String::new() };
    let budget = |[name, value]: &[String; 2]| {
        let short = name.trim_start_matches("--target-").trim_start_matches("--");
        let share = if short == "macs" { format!("x{value}") } else { format!("{short} {value}") };
        flag(name, value, share)
    };
    let (criteria, seeds, devices) = (options.criteria.len(), options.seeds.len(), options.devices.len());
    let axes: [Vec<Choice>; 4] = [
        options.budgets.iter().map(budget).collect(),
        options.criteria.iter().map(|own| flag("--criterion", own, several(criteria, own.clone()))).collect(),
        options
            .seeds
            .iter()
            .map(|own| flag("--seed", &own.to_string(), several(seeds, format!("seed {own}"))))
            .collect(),
        options.devices.iter().map(|own| flag("--device", own, several(devices, own.clone()))).collect(),
    ];
    let mut all = vec![Vec::new()];
    for axis in axes.iter().filter(|own| !own.is_empty()) {
        all = all
            .iter()
            .flat_map(|before| axis.iter().map(move |own| [&before[..], std::slice::from_ref(own)].concat()))
            .collect();
    }
    all
}

/// Models with names that differ: the file's without its end, and a number where several have it.
fn stems(models: &[PathBuf]) -> Vec<(String, &PathBuf)> {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    let one = |model| {
        let path: &PathBuf = model;
        let stem = path.file_stem().map(|own| own.to_string_lossy().into_owned()).unwrap_or_default();
        let count = counts.entry(stem.clone()).or_default();
        *count += 1;
        (if *count > 1 { format!("{stem}-{count}") } else { stem }, path)
    };
    models.iter().map(one).collect()
}

fn file_safe(text: &str) -> String {
    text.chars().map(|own| if own.is_ascii_alphanumeric() || "._-+".contains(own) { own } else { '-' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_combination_is_a_job_with_a_name_of_its_own() {
        let options = SweepOptions {
            models: vec!["a/net.onnx".into(), "b/net.onnx".into()],
            budgets: [("--target-macs", "0.7"), ("--target-latency", "5ms")]
                .map(|own| [own.0.into(), own.1.into()])
                .into(),
            criteria: vec!["l2".into(), "obs".into()],
            seeds: vec![0],
            devices: vec!["ssh:board".into(), "ssh:phone".into()],
            flags: vec!["--data".into(), "calib".into()],
            folder: "out".into(),
            program: "onnx-prune".into(),
        };
        let Jobs { jobs, .. } = Jobs::of(&options);
        let names: std::collections::BTreeSet<&str> = jobs.iter().map(|own| own.name.as_str()).collect();
        assert_eq!((jobs.len(), names.len()), (16, 16));
        assert!(
            names.contains("net-2.x0.7.l2.ssh-board") && names.contains("net.latency-5ms.obs.ssh-phone"),
            "{names:?}"
        );
        let words = jobs[0].command.join(" ");
        assert_eq!(
            words,
            "onnx-prune a/net.onnx --target-macs 0.7 --criterion l2 --seed 0 --device ssh:board --data calib -o \
             out/net.x0.7.l2.ssh-board.onnx --report out/net.x0.7.l2.ssh-board.json --quiet --force --skip-done"
        );
        assert_eq!(jobs[0].label, "x0.7 l2 ssh:board");
    }
}
