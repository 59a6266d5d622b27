//! The code keeps to ARCHITECTURE.md: a room uses only rooms before it, no file outgrows a page or two, and signatures
//! say what they take.
#![allow(
    missing_docs,
    clippy::pedantic,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::string_slice,
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

/// Parameters of a function at most, the receiver left out.
const MOST_PARAMETERS: usize = 6;

/// Name and parameter list of every function of a file, code of tests included.
fn signatures(text: &str) -> Vec<(String, String)> {
    let code: String = text.lines().map(|line| line.split("//").next().unwrap_or("")).collect::<Vec<_>>().join("\n");
    let mut found = Vec::new();
    for (at, _) in code.match_indices("fn ") {
        if at > 0 && code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_') {
            continue;
        }
        let rest = &code[at + 3..];
        let name: String = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        let after = &rest[name.len()..];
        // Generic parameters may hold parentheses: the list begins at the first one outside of angle brackets.
        let (mut angle, mut open) = (0i32, None);
        for (at, own) in after.char_indices() {
            match own {
                '<' => angle += 1,
                '>' if !after[..at].ends_with('-') => angle -= 1,
                '(' if angle == 0 => {
                    open = Some(at);
                    break;
                }
                '{' | ';' => break,
                _ => {}
            }
        }
        let Some(open) = open.filter(|_| !name.is_empty()) else { continue };
        let mut depth = 0i32;
        let end = after[open..].char_indices().find(|(_, own)| {
            depth += i32::from(*own == '(') - i32::from(*own == ')');
            depth == 0
        });
        let list = &after[open + 1..open + end.unwrap().0];
        found.push((name, list.to_owned()));
    }
    found
}

/// The parts of a list that commas outside of brackets divide.
fn divided(list: &str) -> Vec<String> {
    let (mut depth, mut parts) = (0i32, vec![String::new()]);
    for (at, own) in list.char_indices() {
        depth += i32::from("([{<".contains(own));
        depth -= i32::from(")]}".contains(own) || own == '>' && !list[..at].ends_with(['-', '=']));
        if own == ',' && depth == 0 {
            parts.push(String::new());
        } else {
            parts.last_mut().unwrap().push(own);
        }
    }
    parts
        .into_iter()
        .map(|part| part.split_whitespace().collect::<Vec<_>>().join(" "))
        .filter(|p| !p.is_empty())
        .collect()
}

/// What is wrong with the parameters of a function.
fn faults(list: &str) -> Option<String> {
    let parameters: Vec<String> = divided(list).into_iter().filter(|own| !own.trim_end().ends_with("self")).collect();
    if parameters.len() > MOST_PARAMETERS {
        return Some(format!("{} parameters", parameters.len()));
    }
    // A name for a pair as a whole does not name its parts; a pattern `(a, b): (A, B)` does.
    let unnamed = |own: &&String| {
        let Some((name, kind)) = own.split_once(": ") else { return false };
        let kind = kind.trim_start_matches('&').trim_start_matches("mut ").trim();
        !name.starts_with('(')
            && !name.starts_with("&(")
            && kind.starts_with('(')
            && divided(&kind[1..kind.len() - 1]).len() > 1
    };
    parameters.iter().find(unnamed).map(|own| format!("`{own}`"))
}

#[test]
fn signatures_say_what_they_take() {
    let mut wrong = Vec::new();
    for path in sources(&root().join("src")) {
        for (name, list) in signatures(&std::fs::read_to_string(&path).unwrap()) {
            wrong.extend(faults(&list).map(|why| format!("{}: {name}: {why}", path.display())));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn signatures_are_found_however_they_are_written() {
    let text = "fn a(x: u8) {}\npub fn b<T: Fn(u8) -> u8>(\n    &self, // (\n    y: (u8, u8),\n) -> u8 {}\nfn c((a, b): (u8, u8), f: &dyn Fn(u8, u8) -> u8, g: fn(u8)) {}\n\
                fn d(&mut self, a: A, b: B, c: C, d: D, e: E, f: HashMap<A, (B, C)>) {}\nfn e(a: A, b: B, c: C, d: D, e: E, f: F, g: G) {}";
    let found: Vec<_> = signatures(text).into_iter().map(|(name, list)| (name, faults(&list))).collect();
    let expected = [("a", None), ("b", Some("`y: (u8, u8)`")), ("c", None), ("d", None), ("e", Some("7 parameters"))];
    let expected: Vec<_> = expected.map(|(name, why)| (name.to_owned(), why.map(str::to_owned))).into();
    assert_eq!(found, expected);
}
