//! The code keeps to ARCHITECTURE.md: a room uses only rooms before it, and no file outgrows a page or two.
#![allow(
    missing_docs,
    clippy::pedantic,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test binary"
)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Lines of a file at most; generated code is not counted.
const MOST_LINES: usize = 450;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Rust files below a folder, generated ones left out.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.ends_with("proto/generate") {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|own| own == "rs") && !path.ends_with("proto/onnx.rs") {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// Rooms in the order of the table in ARCHITECTURE.md, and their rank.
fn rooms() -> BTreeMap<String, usize> {
    let page = std::fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let names =
        page.lines().skip_while(|line| !line.starts_with("| room")).skip(2).take_while(|line| line.starts_with('|'));
    let name = |line: &str| line.split('`').nth(1).map(|name| name.trim_end_matches(".rs").to_owned());
    names.filter_map(name).enumerate().map(|(rank, name)| (name, rank)).collect()
}

/// The room of a file below `src`.
fn room(path: &Path) -> String {
    let inside = path.strip_prefix(root().join("src")).unwrap();
    inside.iter().next().unwrap().to_str().unwrap().trim_end_matches(".rs").to_owned()
}

/// Names behind `crate::` in code, comments left out: `crate::a::b` and `crate::{a::b, c}` name a, a and c.
fn used(text: &str) -> Vec<String> {
    let code: String = text
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .fold(String::new(), |all, line| all + line + "\n");
    let mut names = Vec::new();
    for part in code.split("crate::").skip(1) {
        let listed = part.strip_prefix('{').and_then(|part| part.split('}').next());
        for item in listed.map_or_else(|| vec![part], |list| list.split(',').collect()) {
            let name: String = item.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            names.push(match name.as_str() {
                "Error" | "ErrorKind" => "error".to_owned(),
                "Explain" => "explain".to_owned(),
                _ => name,
            });
        }
    }
    names
}

#[test]
fn a_room_uses_only_rooms_before_it() {
    let rooms = rooms();
    assert!(rooms.len() > 15, "{rooms:?}");
    let mut wrong = Vec::new();
    for path in sources(&root().join("src")) {
        let own = room(&path);
        if ["lib", "main"].contains(&own.as_str()) {
            continue;
        }
        let rank = *rooms.get(&own).unwrap_or_else(|| panic!("ARCHITECTURE.md does not name `{own}`"));
        let text = std::fs::read_to_string(&path).unwrap();
        let above = |name: &String| rooms.get(name).is_some_and(|other| *other > rank);
        wrong.extend(used(&text).into_iter().filter(above).map(|name| format!("{} uses {name}", path.display())));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn uses_are_found_however_they_are_written() {
    let found = used("use crate::a::b;\n// crate::c\nuse crate::{d::e, f};\nlet x: crate::Error = crate::g::h();");
    assert_eq!(found, ["a", "d", "f", "error", "g"]);
}

#[test]
fn no_file_is_too_long() {
    let mut long = Vec::new();
    for folder in ["src", "tests", "benches", "examples"] {
        for path in sources(&root().join(folder)) {
            let lines = std::fs::read_to_string(&path).unwrap().lines().count();
            if lines > MOST_LINES {
                long.push(format!("{}: {lines} lines", path.display()));
            }
        }
    }
    assert!(long.is_empty(), "{}", long.join("\n"));
}
