//! The documentation holds together: what the code cites exists, links lead somewhere, flags are those of the program,
//! and the words are the field's.
#![allow(
    missing_docs,
    clippy::pedantic,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::string_slice,
    reason = "tests"
)]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use support::help::{commands, help, pages_of_flags};
use support::pages::{files, name, pages};
use support::root;

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap()
}

/// Lines of a page outside of fenced blocks.
fn prose(page: &str) -> impl Iterator<Item = &str> {
    let mut fenced = false;
    page.lines().filter(move |line| {
        let fence = line.starts_with("```");
        fenced ^= fence;
        !fenced && !fence
    })
}

/// Headings without their marks.
fn headings(page: &str) -> Vec<String> {
    let heading = |line: &str| line.starts_with('#').then(|| line.trim_start_matches('#').trim().to_owned());
    prose(page).filter_map(heading).collect()
}

/// Section numbers such as `4` and `4.2` that a page has.
fn sections(page: &str) -> BTreeSet<String> {
    let number = |heading: String| heading.split(' ').next().filter(|word| is_number(word)).map(ToOwned::to_owned);
    headings(page).into_iter().filter_map(number).collect()
}

fn is_number(word: &str) -> bool {
    let parts: Vec<&str> = word.split('.').collect();
    parts.len() <= 2 && parts.iter().all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Numbers at the head of a text, separated by commas, `and` or `to`.
fn numbers(text: &str) -> Vec<String> {
    let words = text.split_whitespace().filter(|word| !matches!(*word, "and" | "to" | "section" | "sections"));
    let mut found = Vec::new();
    for word in words {
        let number = word.trim_end_matches([',', '.', ')', ';', ':', '`', '"']);
        if !is_number(number) {
            break;
        }
        found.push(number.to_owned());
        if !word.ends_with(',') && word != number {
            break;
        }
    }
    found
}

/// The comments of a source file, or a JSON file, as one text: citations may run over the end of a line.
fn comments(source: &str) -> String {
    let line = |line: &str| -> Option<String> {
        let at = line.find("//")?;
        Some(line[at..].trim_start_matches(['/', '!']).trim().to_owned())
    };
    source.lines().filter_map(line).collect::<Vec<_>>().join(" ")
}

/// Names of Markdown files in backticks, with what follows each.
fn cited(text: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for (at, _) in text.match_indices(".md`") {
        let start = text[..at].rfind('`').map_or(0, |start| start + 1);
        found.push((text[start..at + 3].to_owned(), text[at + 4..].chars().take(80).collect()));
    }
    found
}

/// All sections of the method, and the page that each is on.
fn method() -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    for path in files(&root().join("docs/method"), &[".md"]) {
        for section in sections(&read(&path)) {
            let before = all.insert(section.clone(), name(&path));
            assert_eq!(before, None, "{section} is on {} too", name(&path));
        }
    }
    all
}

#[test]
fn what_the_code_cites_exists() {
    let (method, mut count) = (method(), 0);
    let folders = ["src", "benches", "tests"].map(|folder| files(&root().join(folder), &[".rs", ".json"]));
    for path in folders.concat().into_iter().filter(|path| !path.ends_with("tests/docs.rs")) {
        let source = read(&path);
        let own = if path.extension().is_some_and(|ending| ending == "json") {
            source.replace("\\n", " ")
        } else {
            comments(&source)
        };
        for (file, after) in cited(&own) {
            assert!(root().join(&file).is_file(), "{} cites `{file}`, which is not there", name(&path));
            if file == "docs/method.md" {
                let sections = numbers(&after);
                assert!(!sections.is_empty(), "{} cites `{file}` without a section: {after}", name(&path));
                for section in sections {
                    assert!(method.contains_key(&section), "{} cites {section} of `{file}`", name(&path));
                    count += 1;
                }
            }
        }
    }
    assert!(count > 50, "only {count} citations were found");
}

#[test]
fn sections_are_on_the_pages_that_the_index_names() {
    let index = read(&root().join("docs/method.md"));
    let rows: Vec<&str> = index.lines().filter(|line| line.starts_with("| ") && line.contains("](method/")).collect();
    for (section, page) in method() {
        let chapter = section.split('.').next().unwrap();
        let link = format!("]({})", page.strip_prefix("docs/").unwrap());
        let listed = |row: &&&str| row.contains(&link) && row.split(['|', ',']).any(|cell| starts(cell, chapter));
        assert!(rows.iter().any(|row| listed(&row)), "the index does not lead from {chapter} to {page}");
    }
}

fn starts(cell: &str, number: &str) -> bool {
    cell.trim_start().strip_prefix(number).is_some_and(|rest| rest.starts_with(' '))
}

/// GitHub's anchor of a heading.
fn anchor(heading: &str) -> String {
    let keeps = |c: &char| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_');
    heading.to_lowercase().chars().filter(keeps).collect::<String>().replace(' ', "-")
}

#[test]
fn links_lead_somewhere() {
    let mut count = 0;
    let others = ["ARCHITECTURE.md", "CONTRIBUTING.md"].map(|name| root().join(name));
    for path in pages().into_iter().chain(others) {
        for target in read(&path).split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if target.contains("://") {
                continue;
            }
            let (file, part) = target.split_once('#').unwrap_or((target, ""));
            let file = if file.is_empty() { path.clone() } else { path.parent().unwrap().join(file) };
            assert!(file.is_file(), "{} links to {target}", name(&path));
            let known = part.is_empty() || headings(&read(&file)).iter().any(|heading| anchor(heading) == part);
            assert!(known, "{} links to {target}", name(&path));
            count += 1;
        }
    }
    assert!(count > 20, "only {count} links were found");
}

/// `--flag` words of a text.
fn flags(text: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (at, _) in text.match_indices("--") {
        let word: String = text[at + 2..].chars().take_while(|c| c.is_ascii_lowercase() || *c == '-').collect();
        let apart = text[..at].chars().next_back().is_none_or(|c| c.is_whitespace() || "`([|/{".contains(c));
        if apart && !word.is_empty() && !word.starts_with('-') {
            found.insert(format!("--{word}"));
        }
    }
    found
}

#[test]
fn every_flag_of_the_documentation_is_one_of_the_program() {
    let first = help(&[]);
    let mut known = flags(&first);
    for command in commands(&first) {
        known.extend(flags(&help(&[&command])));
    }
    assert!(known.len() > 60, "{known:?}");
    for path in pages() {
        // Those of other programs.
        let page = read(&path);
        let own: String = page.lines().filter(|line| !is_of_another(line)).collect::<Vec<_>>().join("\n");
        for flag in flags(&own) {
            assert!(known.contains(&flag), "{} names {flag}", name(&path));
        }
    }
}

#[test]
fn the_pages_of_flags_are_what_help_prints() {
    let mut flags = 0;
    for (file, page) in pages_of_flags() {
        let path = root().join("docs").join(file);
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(&path, &page).unwrap();
        }
        flags += page.lines().filter(|line| line.starts_with("- `")).count();
        let stale = read(&path).lines().zip(page.lines()).find(|(old, new)| old != new).map(|(old, _)| old.to_owned());
        assert!(read(&path) == page, "{file}: {stale:?}: UPDATE_DOCS=1 writes it anew");
    }
    assert!(flags > 100, "only {flags} flags");
}

/// Words before colons of the lines that are indented by `depth` below a line.
fn keys(text: &str, above: &str, depth: usize) -> BTreeSet<String> {
    let below = text.lines().skip_while(|line| line.trim() != above).skip(1);
    let inside = below.take_while(|line| line.len() - line.trim_start().len() >= depth);
    let own = inside.filter(|line| line.len() - line.trim_start().len() == depth);
    own.filter_map(|line| Some(line.trim().split_once(':')?.0.to_owned())).collect()
}

#[test]
fn what_pages_give_to_the_jobs_of_services_is_what_these_take() {
    let page = read(&root().join("docs/guides/ci.md"));
    let (given, taken) = (keys(&page, "with:", 4), keys(&read(&root().join("action.yml")), "inputs:", 2));
    assert!(given.len() > 2 && given.is_subset(&taken), "{given:?}, {taken:?}");
    let job = read(&root().join(".gitlab/onnx-prune-check.yml"));
    let given = keys(&page, "variables:", 4);
    assert!(given.len() > 2 && given.iter().all(|name| job.contains(name)), "{given:?}");
}

fn is_of_another(line: &str) -> bool {
    [
        "cargo test",
        "cargo bench",
        "cargo install",
        "cargo doc",
        "cargo run",
        "trtexec",
        "#SBATCH",
        "sbatch",
        "snakemake",
    ]
    .iter()
    .any(|other| line.contains(other))
}

#[test]
fn the_readme_is_one_screen_and_pages_are_short() {
    assert!(read(&root().join("README.md")).lines().count() <= 66);
    for path in pages() {
        assert!(read(&path).lines().count() <= 450, "{}", name(&path));
    }
}

#[test]
fn what_schedulers_are_given_is_short_told_and_known() {
    let page = read(&root().join("docs/scale.md"));
    let mut known = flags(&help(&["calibrate"]));
    known.extend(flags(&help(&[])));
    let folders = ["deploy", "deploy/kubernetes"].map(|folder| std::fs::read_dir(root().join(folder)).unwrap());
    let files: Vec<PathBuf> =
        folders.into_iter().flatten().map(|own| own.unwrap().path()).filter(|path| path.is_file()).collect();
    assert!(files.len() >= 7);
    for path in files {
        let text = read(&path);
        assert!(text.lines().count() < 60, "{}", name(&path));
        assert!(
            page.contains(path.file_name().unwrap().to_str().unwrap()),
            "docs/scale.md does not tell of {}",
            name(&path)
        );
        if path.extension().is_some_and(|own| own == "yaml") {
            let own: String = text.lines().filter(|line| !line.starts_with('#')).collect::<Vec<_>>().join("\n");
            assert!(flags(&own).is_subset(&known), "{}", name(&path));
        }
    }
}

/// Words of the code's past that a reader who knows ONNX and PyTorch cannot know.
const PRIVATE: &[&str] = &[
    "atom", "atoms", "lane", "lanes", "freeze", "freezes", "frozen", "tap", "taps", "judge", "judges", "judged",
    "walk", "walks", "walked", "road", "roads", "house", "houses", "room", "rooms", "keeper", "weighed",
];

#[test]
fn the_words_are_those_of_the_field() {
    for path in pages() {
        for line in prose(&read(&path)) {
            let words = line.split(|c: char| !c.is_alphanumeric()).map(str::to_lowercase);
            for word in words {
                assert!(!PRIVATE.contains(&word.as_str()), "{}: `{word}` in: {line}", name(&path));
            }
        }
    }
}
