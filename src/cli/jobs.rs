//! `onnx-prune sweep`: jobs for a scheduler, and their results together.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use clap::{Args, Parser as _};

use super::commands::unprintable;
use super::console::Console;
use super::flags::Cli;
use crate::error::Error;
use crate::model::{replaceable, write_atomically};
use crate::pipeline::{Job, Jobs, SweepOptions};
use crate::report::{collected_html, collected_table, sweep_csv, sweep_svg};
use crate::shell::quoted;

const EXAMPLES: &str = "\
Examples:
  Twelve commands, run four at a time, and their results as a table and a page:
    onnx-prune sweep a.onnx b.onnx --target-macs 0.7,0.5 --criteria stlp-obs,obs,l2 \\
      --jobs jobs.txt --folder results -- --data calib/ --eval val/ --no-timing
    parallel -j 4 < jobs.txt
    onnx-prune sweep --collect results

  What was killed or failed, again:
    onnx-prune sweep --collect results --missing | parallel -j 4

Exit codes: 0 done, 2 bad input or usage";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Sweep {
    /// The models
    #[arg(value_name = "MODEL", required_unless_present = "collect")]
    models: Vec<PathBuf>,
    /// Write a command for every combination, one a line; - prints them
    #[arg(long, value_name = "FILE|-", required_unless_present = "collect")]
    jobs: Option<PathBuf>,
    /// Where the results go
    #[arg(long, value_name = "DIR", default_value = "sweep")]
    folder: PathBuf,
    /// Budgets, each on its own: multiply-accumulates kept
    #[arg(long, value_name = "X,...", value_delimiter = ',', help_heading = "Choices")]
    target_macs: Vec<String>,
    /// Budgets, each on its own: measured time of a run
    #[arg(long, value_name = "X,...", value_delimiter = ',', help_heading = "Choices")]
    target_latency: Vec<String>,
    /// Budgets, each on its own: bytes of the file
    #[arg(long, value_name = "X,...", value_delimiter = ',', help_heading = "Choices")]
    target_size: Vec<String>,
    /// Budgets, each on its own: points of accuracy that may be lost
    #[arg(long, value_name = "POINTS,...", value_delimiter = ',', help_heading = "Choices")]
    max_drop: Vec<String>,
    /// Criteria
    #[arg(long, value_name = "NAME,...", value_delimiter = ',', help_heading = "Choices")]
    criteria: Vec<String>,
    /// Seeds
    #[arg(long, value_name = "S,...", value_delimiter = ',', help_heading = "Choices")]
    seeds: Vec<u64>,
    /// Devices that time
    #[arg(long, value_name = "DEVICE,...", value_delimiter = ',', help_heading = "Choices")]
    devices: Vec<String>,
    /// How the jobs call this program
    #[arg(long, value_name = "PROGRAM", default_value = "onnx-prune")]
    program: String,
    /// Flags of every run, behind --
    #[arg(last = true, value_name = "FLAGS")]
    flags: Vec<String>,
    /// Read the results in a folder: prints tables, writes sweep.csv and sweep.svg for the first model and device,
    /// sweep.2.csv and so on for the others, and sweep.html with all
    #[arg(
        long,
        value_name = "DIR",
        conflicts_with_all = [
            "models", "jobs", "folder", "target_macs", "target_latency", "target_size", "max_drop", "criteria", "seeds",
            "devices", "program", "flags"
        ]
    )]
    collect: Option<PathBuf>,
    /// Print the commands of the jobs that have no result, one a line, and nothing else
    #[arg(long, requires = "collect")]
    missing: bool,
    /// Replace an existing file of jobs
    #[arg(long)]
    force: bool,
}

impl Sweep {
    fn options(&self) -> SweepOptions {
        let budgets = [
            ("--target-macs", &self.target_macs),
            ("--target-latency", &self.target_latency),
            ("--target-size", &self.target_size),
            ("--max-drop", &self.max_drop),
        ];
        let budget = |(flag, values): (&str, &Vec<String>)| -> Vec<[String; 2]> {
            values.iter().map(|value| [flag.to_owned(), value.clone()]).collect()
        };
        SweepOptions {
            models: self.models.clone(),
            budgets: budgets.into_iter().flat_map(budget).collect(),
            criteria: self.criteria.clone(),
            seeds: self.seeds.clone(),
            devices: self.devices.clone(),
            flags: self.flags.clone(),
            folder: self.folder.clone(),
            program: self.program.clone(),
        }
    }
}

pub(super) fn run(flags: &Sweep, console: &Console<'_>) -> Result<(), Error> {
    match (&flags.collect, &flags.jobs) {
        (Some(folder), _) => collect(folder, flags.missing, console),
        (None, Some(file)) => write_jobs(flags, file, console),
        (None, None) => Ok(()),
    }
}

fn write_jobs(flags: &Sweep, file: &Path, console: &Console<'_>) -> Result<(), Error> {
    let jobs = Jobs::of(&flags.options());
    // A wrong flag is told here and not by every job.
    for job in &jobs.jobs {
        Cli::try_parse_from(&job.command).map_err(|error| Error::Usage {
            what: format!("`{}` is no command: {}", lines(std::slice::from_ref(job)).trim_end(), reason(&error)),
            help: "flags of every run stand behind `--`; `onnx-prune --help` names them".into(),
        })?;
    }
    let text = lines(&jobs.jobs);
    if file.as_os_str() == "-" {
        jobs.write(&flags.folder)?;
        return console.print(&text);
    }
    replaceable(file, flags.force)?;
    jobs.write(&flags.folder)?;
    Ok(write_atomically(file, |file| file.write_all(text.as_bytes()))?)
}

fn reason(error: &clap::Error) -> String {
    let text = error.to_string();
    text.lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned()
}

/// Commands as a shell reads them.
fn lines(jobs: &[Job]) -> String {
    let mut text = String::new();
    for job in jobs {
        let words: Vec<String> = job.command.iter().map(|word| quoted(word, cfg!(windows))).collect();
        text.push_str(&words.join(" "));
        text.push('\n');
    }
    text
}

fn collect(folder: &Path, missing_alone: bool, console: &Console<'_>) -> Result<(), Error> {
    let (collected, missing) = Jobs::collect(folder)?;
    if missing_alone {
        return console.print(&lines(&missing));
    }
    let fail = |error: std::fmt::Error| unprintable(error.to_string());
    let write = |name: &str, text: &str| write_atomically(&folder.join(name), |file| file.write_all(text.as_bytes()));
    for (at, swept) in collected.sweeps.iter().enumerate() {
        let name = |extension: &str| match at {
            0 => format!("sweep.{extension}"),
            _ => format!("sweep.{}.{extension}", at + 1),
        };
        write(&name("csv"), &sweep_csv(swept).map_err(unprintable)?)?;
        if let Some(picture) = sweep_svg(swept).map_err(fail)? {
            write(&name("svg"), &picture)?;
        }
    }
    write("sweep.html", &collected_html(&collected).map_err(fail)?)?;
    console.print(&collected_table(&collected, console.style()).map_err(fail)?)
}
