//! What is generated from the flags: completions, manual pages, the schema of the settings file.

use std::io::Write as _;

use clap::{Args, CommandFactory as _, ValueEnum};
use clap_complete::Shell;
use serde_json::{Map, Value, json};

use super::commands::unprintable;
use super::console::Console;
use super::flags::Cli;
use crate::check::{CHECK_SCHEMA_VERSION, Checked};
use crate::error::Error;
use crate::evaluate::{EVALUATION_SCHEMA_VERSION, Evaluation};
use crate::plan::{PLAN_SCHEMA_VERSION, Plan};
use crate::report::{
    QUANTIZE_SCHEMA_VERSION, QuantizeSummary, REPORT_SCHEMA_VERSION, SWEEP_SCHEMA_VERSION, Summary, Swept, json_schema,
};

#[derive(Debug, Args)]
pub(super) struct Completions {
    /// The shell
    #[arg(value_name = "SHELL", value_enum)]
    shell: Shell,
}

#[derive(Debug, Args)]
pub(super) struct Man {
    /// The command; without it the page of onnx-prune itself
    #[arg(value_name = "COMMAND")]
    command: Option<String>,
}

#[derive(Debug, Args)]
pub(super) struct Schema {
    /// Of what
    #[arg(value_name = "WHAT", value_enum)]
    what: SchemaOf,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum SchemaOf {
    /// The report of a pruning run (--report)
    Report,
    /// The report of a sweep (--sweep --report)
    Sweep,
    /// plan.json
    Plan,
    /// The report of quantize
    Quantize,
    /// The report of check
    Check,
    /// What evaluate and merge write
    Evaluation,
    /// onnx-prune.toml
    Settings,
}

impl SchemaOf {
    fn schema(self) -> Value {
        match self {
            Self::Report => json_schema::<Summary>("report of onnx-prune", REPORT_SCHEMA_VERSION),
            Self::Sweep => json_schema::<Swept>("report of onnx-prune --sweep", SWEEP_SCHEMA_VERSION),
            Self::Plan => json_schema::<Plan>("plan of onnx-prune", PLAN_SCHEMA_VERSION),
            Self::Quantize => json_schema::<QuantizeSummary>("report of onnx-prune quantize", QUANTIZE_SCHEMA_VERSION),
            Self::Check => json_schema::<Checked>("report of onnx-prune check", CHECK_SCHEMA_VERSION),
            Self::Evaluation => json_schema::<Evaluation>("counts of onnx-prune evaluate", EVALUATION_SCHEMA_VERSION),
            Self::Settings => settings(),
        }
    }
}

pub(super) fn completions(flags: &Completions, console: &Console<'_>) -> Result<(), Error> {
    let mut bytes = Vec::new();
    clap_complete::generate(flags.shell, &mut Cli::command(), "onnx-prune", &mut bytes);
    console.print(&String::from_utf8_lossy(&bytes))
}

pub(super) fn man(flags: &Man, console: &Console<'_>) -> Result<(), Error> {
    let mut all = Cli::command();
    all.build();
    let named = flags.command.as_deref();
    let command = match named.map(|name| (name, all.find_subcommand(name))) {
        None => all,
        Some((name, Some(found))) => found.clone().display_name(format!("onnx-prune {name}")),
        Some((name, None)) => {
            let names: Vec<&str> = all.get_subcommands().map(clap::Command::get_name).collect();
            return Err(Error::Usage {
                what: format!("there is no command `{name}`"),
                help: format!("commands are {}", names.join(", ")),
            });
        }
    };
    console.print(&page(command).map_err(|error| unprintable(error.to_string()))?)
}

/// A manual page in roff.
fn page(command: clap::Command) -> std::io::Result<String> {
    let mut bytes = Vec::new();
    clap_mangen::Man::new(command).render(&mut bytes)?;
    bytes.flush()?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

pub(super) fn schema(flags: &Schema, console: &Console<'_>) -> Result<(), Error> {
    let text = serde_json::to_string_pretty(&flags.what.schema()).map_err(|error| unprintable(error.to_string()))?;
    console.print(&(text + "\n"))
}

/// JSON schema of `onnx-prune.toml`: a table for each command, a key for each flag.
pub(super) fn settings() -> Value {
    let mut all = Cli::command();
    all.build();
    let mut tables = Map::new();
    tables.insert("prune".into(), table(&all));
    for command in all.get_subcommands().filter(|own| own.get_name() != "help") {
        tables.insert(command.get_name().into(), table(command));
    }
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "onnx-prune.toml",
        "description": "Settings of onnx-prune: a table for each command, a key for each of its flags.",
        "type": "object",
        "additionalProperties": false,
        "properties": tables,
    })
}

fn table(command: &clap::Command) -> Value {
    let mut keys = Map::new();
    for argument in command.get_arguments() {
        let Some(name) = argument.get_long().filter(|name| !["help", "version", "config"].contains(name)) else {
            continue;
        };
        let help = argument.get_help().map(ToString::to_string).unwrap_or_default();
        let mut entry = value(argument);
        if let Some(entry) = entry.as_object_mut() {
            entry.insert("description".into(), help.split_whitespace().collect::<Vec<_>>().join(" ").into());
        }
        keys.insert(name.into(), entry);
    }
    json!({ "type": "object", "additionalProperties": false, "properties": keys })
}

fn value(argument: &clap::Arg) -> Value {
    let named: Vec<String> = argument.get_possible_values().iter().map(|own| own.get_name().to_owned()).collect();
    if !argument.get_action().takes_values() {
        return json!({ "type": "boolean" });
    }
    if !named.is_empty() {
        return json!({ "enum": named });
    }
    let many = argument.get_value_delimiter().is_some() || matches!(argument.get_action(), clap::ArgAction::Append);
    if many { json!({ "type": ["string", "number", "array"] }) } else { json!({ "type": ["string", "number"] }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn commands() -> Vec<clap::Command> {
        let mut all = Cli::command();
        all.build();
        let own = all.get_subcommands().filter(|own| own.get_name() != "help");
        let subcommands: Vec<clap::Command> = own.cloned().collect();
        std::iter::once(all).chain(subcommands).collect()
    }

    fn flags(command: &clap::Command) -> Vec<String> {
        let long = |own: &clap::Arg| own.get_long().filter(|_| !own.is_hide_set()).map(ToOwned::to_owned);
        command.get_arguments().filter_map(long).collect()
    }

    #[test]
    fn help_manual_and_completions_name_the_same_flags() {
        let mut bash = Vec::new();
        clap_complete::generate(Shell::Bash, &mut Cli::command(), "onnx-prune", &mut bash);
        let bash = String::from_utf8(bash).unwrap();
        for command in commands() {
            let flags = flags(&command);
            assert!(flags.len() > 1, "{}", command.get_name());
            let help = command.clone().render_long_help().to_string();
            let manual = page(command.clone()).unwrap().replace("\\-", "-");
            for flag in flags {
                let flag = format!("--{flag}");
                for (name, text) in [("help", &help), ("manual", &manual), ("completions", &bash)] {
                    assert!(text.contains(&flag), "{name} of {} lacks {flag}", command.get_name());
                }
            }
        }
    }

    #[test]
    fn every_flag_is_a_key_of_the_settings() {
        let schema = settings();
        for command in commands() {
            let name = if command.get_name() == "onnx-prune" { "prune" } else { command.get_name() };
            let keys = schema["properties"][name]["properties"].as_object().unwrap();
            for flag in flags(&command) {
                assert!(["help", "version", "config"].contains(&flag.as_str()) || keys.contains_key(&flag), "{flag}");
            }
        }
    }

    /// The files are what editors and other programs use; `onnx-prune schema` prints them.
    #[test]
    fn the_checked_in_schemas_are_those_of_the_structs() {
        for what in SchemaOf::value_variants() {
            let name = what.to_possible_value().unwrap();
            let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/cli/schemas");
            let path = format!("{folder}/{}.schema.json", name.get_name());
            let text = serde_json::to_string_pretty(&what.schema()).unwrap() + "\n";
            if std::env::var_os("INSTA_UPDATE").is_some_and(|value| value == "always") {
                std::fs::write(&path, &text).unwrap();
            }
            assert_eq!(std::fs::read_to_string(&path).unwrap_or_default(), text, "INSTA_UPDATE=always writes {path}");
        }
    }
}
