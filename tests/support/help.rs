//! The pages of flags, `docs/flags.md` and `docs/commands.md`, from what the program prints as its help.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::{onnx_prune, text};

/// An argument or a flag: its name with the placeholder of its value, and what is told of it.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Clone)]
pub struct Item {
    pub term: String,
    pub about: String,
}

/// The help of one command.
#[derive(Debug)]
pub struct Help {
    pub about: String,
    pub usage: Vec<String>,
    /// Headings with what is below them, in order.
    pub groups: Vec<(String, Vec<Item>)>,
}

/// What `onnx-prune WORDS --help` prints, on every system alike.
pub fn help(words: &[&str]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let printed = text(&onnx_prune(&[words, &["--help"]].concat(), folder.path()).stdout);
    printed.replace("onnx-prune.exe", "onnx-prune").replace('\r', "")
}

/// The names of all commands but `help`.
pub fn commands(first: &str) -> Vec<String> {
    let listed = first.split("\nCommands:\n").nth(1).unwrap().lines().take_while(|line| !line.is_empty());
    let name = |line: &str| {
        let rest = line.strip_prefix("  ").filter(|rest| !rest.starts_with(' '))?;
        rest.split(' ').next().map(ToOwned::to_owned)
    };
    listed.filter_map(name).filter(|name| name != "help").collect()
}

/// Reads a help text: headings at the margin, terms behind few spaces, the rest belongs to the term before.
pub fn parsed(printed: &str) -> Help {
    let mut paragraphs = printed.split("\n\n");
    let about = paragraphs.next().unwrap().split_whitespace().collect::<Vec<_>>().join(" ");
    let mut found = Help { about, usage: Vec::new(), groups: Vec::new() };
    let mut lines = printed.lines().skip_while(|line| !line.starts_with("Usage:")).peekable();
    while let Some(line) = lines.next_if(|line| !line.is_empty()) {
        found.usage.push(line.trim_start_matches("Usage:").trim().to_owned());
    }
    let known = |line: &&str| !line.starts_with("Examples:") && !line.starts_with("Exit codes:");
    for line in lines.take_while(known).filter(|line| !line.is_empty()) {
        if let Some(heading) = line.strip_suffix(':').filter(|heading| !heading.starts_with(' ')) {
            found.groups.push((heading.to_owned(), Vec::new()));
        } else if let Some((_, items)) = found.groups.last_mut() {
            add(items, line);
        }
    }
    found
}

fn add(items: &mut Vec<Item>, line: &str) {
    let own = line.trim_start();
    if line.len() - own.len() <= 6 && own.starts_with(['-', '<', '[']) {
        let (term, about) = own.split_once("  ").unwrap_or((own, ""));
        items.push(Item { term: term.to_owned(), about: about.trim().to_owned() });
    } else if let Some(last) = items.last_mut() {
        // Values that are told of stand in lines of their own.
        let value = own.strip_prefix("- ").and_then(|own| own.split_once(':'));
        let own = value.map_or_else(|| own.to_owned(), |(name, told)| format!("{name}: {};", told.trim()));
        last.about += match own.as_str() {
            _ if last.about.is_empty() => "",
            "Possible values:" => ". ",
            _ => " ",
        };
        last.about += &own.replace("Possible values:", "One of:");
    }
}

/// Flags in backticks, and what Markdown would read taken out of the rest.
fn prose(about: &str) -> String {
    let word = |word: &str| {
        let flag = word.trim_start_matches('(').trim_end_matches([',', '.', ';', ':', ')']);
        if flag.starts_with("--") {
            return word.replacen(flag, &format!("`{flag}`"), 1);
        }
        word.replace('<', "&lt;").replace('*', "\\*").replace('_', "\\_")
    };
    about.split(' ').map(word).collect::<Vec<_>>().join(" ")
}

/// `[default: X]` and `[possible values: X, Y]` at the end of a text, as sentences.
fn sentences(about: &str) -> String {
    let (mut rest, mut more) = (about.trim_end().to_owned(), String::new());
    while rest.ends_with(']') {
        let kinds = [("[default: ", "Default"), ("[possible values: ", "One of")];
        let found = kinds.iter().filter_map(|(mark, name)| Some((rest.rfind(mark)?, *mark, *name))).max();
        let Some((at, mark, name)) = found else { break };
        let values = rest.get(at + mark.len()..rest.len() - 1).unwrap_or_default().to_owned();
        more = format!(" {name}: {}.{more}", prose(&values));
        rest.truncate(at);
        rest.truncate(rest.trim_end().len());
    }
    format!("{}.{more}", prose(rest.trim_end_matches(';')))
}

fn hidden(item: &Item) -> bool {
    ["-h, --help", "-V, --version"].contains(&item.term.as_str())
}

/// The part of one command; what the first command has too is only named.
fn section(title: &str, help: &Help, first: &BTreeSet<Item>) -> String {
    let mut out = format!("\n## {title}\n\n{}.\n\n```text\n{}\n```\n", help.about, help.usage.join("\n"));
    let mut named = Vec::new();
    for (heading, items) in help.groups.iter().filter(|(heading, _)| heading != "Commands") {
        let (same, own): (Vec<&Item>, Vec<&Item>) =
            items.iter().filter(|item| !hidden(item)).partition(|item| first.contains(item));
        named.extend(same.iter().map(|item| format!("`{}`", item.term.split(" <").next().unwrap_or(&item.term))));
        if !own.is_empty() {
            let _ = write!(out, "\n### {heading}\n\n");
        }
        for item in own {
            let _ = writeln!(out, "- `{}`: {}", item.term, sentences(&item.about));
        }
    }
    if !named.is_empty() {
        let _ = write!(out, "\nAs in a run: {}.\n", named.join(", "));
    }
    out
}

/// The pages of flags in `docs/`: those of a run, and those of the other commands.
pub fn pages_of_flags() -> [(&'static str, String); 2] {
    let printed = help(&[]);
    let first = parsed(&printed);
    let items: BTreeSet<Item> = first.groups.iter().flat_map(|(_, items)| items.clone()).collect();
    let run = "# Flags\n\nWhat `--help` prints of a run; those of the other commands are on [a page of their own](commands.md).\n";
    let others = "# Commands\n\nWhat `--help` prints of the commands beside [a run](flags.md). Flags that mean the same there are only named.\n";
    let mut commands_page = others.to_owned();
    for name in commands(&printed) {
        commands_page += &section(&name, &parsed(&help(&[&name])), &items);
    }
    [("flags.md", run.to_owned() + &section("A run", &first, &BTreeSet::new())), ("commands.md", commands_page)]
}
