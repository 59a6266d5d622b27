//! `onnx-prune.toml`: values of flags, for those that the command line does not give.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::CommandFactory as _;
use toml::Value;

use super::flags::Cli;
use crate::error::Error;

/// The file that is looked for in the current folder.
const FILE: &str = "onnx-prune.toml";

/// The table of the command without a name.
const UNNAMED: &str = "prune";

/// The arguments with those of the settings file before the user's own, which win. The path says which file was read.
///
/// # Errors
/// If the file cannot be read or holds a key that is no flag.
pub(super) fn with_settings(arguments: Vec<OsString>) -> Result<(Vec<OsString>, Option<PathBuf>), Error> {
    let path = match asked_for(&arguments) {
        Some(path) if path == "none" => return Ok((arguments, None)),
        Some(path) => PathBuf::from(path),
        None if Path::new(FILE).is_file() => PathBuf::from(FILE),
        None => return Ok((arguments, None)),
    };
    let bad = |why: String| Error::Usage {
        what: format!("cannot use the settings of `{}`: {why}", path.display()),
        help: "a table for each command ([prune], [check], ...), a key for each flag; `--config none` ignores it"
            .into(),
    };
    let text = std::fs::read_to_string(&path).map_err(|error| bad(error.to_string()))?;
    let mut command = Cli::command();
    command.build();
    let name = arguments.get(1).and_then(|own| own.to_str()).and_then(|own| command.find_subcommand(own));
    let table = name.map_or(UNNAMED, clap::Command::get_name).to_owned();
    let flags = given(&text, &command, &table).map_err(bad)?;
    if flags.is_empty() {
        return Ok((arguments, None));
    }
    let place = if table == UNNAMED { 1 } else { 2 }.min(arguments.len());
    let mut all = arguments;
    all.splice(place..place, flags.into_iter().map(OsString::from));
    Ok((all, Some(path)))
}

/// What `--config` says.
fn asked_for(arguments: &[OsString]) -> Option<OsString> {
    let text = |own: &OsString| own.to_str().map(ToOwned::to_owned);
    let at = arguments.iter().position(|own| text(own).is_some_and(|own| own.split('=').next() == Some("--config")))?;
    match text(&arguments[at])?.split_once('=') {
        Some((_, path)) => Some(path.into()),
        None => arguments.get(at + 1).cloned(),
    }
}

/// The flags of a table. Every table is looked at, so that a mistake does not wait for its command.
fn given(text: &str, command: &clap::Command, wanted: &str) -> Result<Vec<String>, String> {
    let settings: toml::Table = text.parse().map_err(|error: toml::de::Error| error.message().to_owned())?;
    let mut flags = Vec::new();
    for (name, table) in &settings {
        let Value::Table(table) = table else { return Err(format!("`{name}` stands outside of a table")) };
        let own = if name == UNNAMED { Some(command) } else { command.find_subcommand(name) };
        let own = own.ok_or_else(|| format!("`{name}` is no command"))?;
        for (key, value) in table {
            let found = flag(own, key, value).map_err(|why| format!("`{key}` in [{name}] {why}"))?;
            if name == wanted {
                flags.extend(found);
            }
        }
    }
    Ok(flags)
}

fn flag(command: &clap::Command, key: &str, value: &Value) -> Result<Vec<String>, String> {
    let argument =
        command.get_arguments().find(|own| own.get_long() == Some(key)).ok_or("is no flag of the command")?;
    let takes = argument.get_action().takes_values();
    let repeated = matches!(argument.get_action(), clap::ArgAction::Append) && argument.get_value_delimiter().is_none();
    let one = |value: &Value| match value {
        Value::String(text) => Ok(text.clone()),
        Value::Integer(number) => Ok(number.to_string()),
        Value::Float(number) => Ok(number.to_string()),
        _ => Err("wants a string or a number"),
    };
    Ok(match value {
        Value::Boolean(true) if !takes => vec![format!("--{key}")],
        Value::Boolean(false) if !takes => Vec::new(),
        _ if !takes => return Err("wants true or false".into()),
        Value::Array(all) if repeated => {
            all.iter().map(|own| Ok(format!("--{key}={}", one(own)?))).collect::<Result<_, &str>>()?
        }
        Value::Array(all) => {
            let all: Vec<String> = all.iter().map(one).collect::<Result<_, _>>()?;
            vec![format!("--{key}={}", all.join(","))]
        }
        other => vec![format!("--{key}={}", one(other)?)],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flags(text: &str, table: &str) -> Result<Vec<String>, String> {
        let mut command = Cli::command();
        command.build();
        given(text, &command, table)
    }

    #[test]
    fn keys_become_flags_of_their_command() {
        let text = "[prune]\ntarget-macs = 0.5\nmean = [0.5, 0.25]\nignore = [\"a\", \"b\"]\nno-timing = true\n\
                    force = false\n[check]\nmax-drop = 1\n";
        let own = ["--force", "--ignore=a", "--ignore=b", "--mean=0.5,0.25", "--no-timing", "--target-macs=0.5"];
        let mut found = flags(text, "prune").unwrap();
        found.sort();
        assert_eq!(found, &own[1..]);
        assert_eq!(flags(text, "check").unwrap(), ["--max-drop=1"]);
        assert!(flags(text, "bench").unwrap().is_empty());
    }

    #[test]
    fn mistakes_are_named_wherever_they_are() {
        for (text, why) in [
            ("[prune]\nnope = 1", "`nope` in [prune] is no flag"),
            ("[check]\nno-timing = 1", "wants true or false"),
            ("[prune]\ndata = true", "wants a string"),
            ("[nope]\n", "no command"),
            ("data = 'x'", "outside of a table"),
            ("[prune", ""),
        ] {
            let error = flags(text, "prune").unwrap_err();
            assert!(error.contains(why), "{text}: {error}");
        }
    }
}
