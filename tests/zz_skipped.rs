//! The list of tests that were skipped. The name puts it last: `cargo test` runs test binaries in the order of their names,
//! and `.config/nextest.toml` says so to nextest.
#![allow(
    missing_docs,
    clippy::pedantic,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "tests"
)]

mod support;

use std::collections::BTreeSet;
use std::io::Write as _;
use std::time::Duration;

use support::skips::{Need, REQUIRE, Skip, listed, record, required, skips};

/// Files of runs that never came to their end go after a day.
fn remove_old_records() {
    let old = |path: &std::path::Path| {
        let age = path.metadata().and_then(|meta| meta.modified()).map(|time| time.elapsed().unwrap_or_default());
        age.is_ok_and(|age| age > Duration::from_secs(24 * 60 * 60))
    };
    let all = std::fs::read_dir(record().parent().unwrap()).into_iter().flatten().flatten();
    for path in all.map(|entry| entry.path()).filter(|path| old(path)) {
        let _ = std::fs::remove_file(path);
    }
}

#[test]
fn skipped_tests_are_listed() {
    remove_old_records();
    let text = std::fs::read_to_string(record()).unwrap_or_default();
    let all = skips(&text).unwrap();
    // The handle itself, since what `print!` writes would be captured.
    std::io::stderr().write_all(format!("\n{}", listed(&all)).as_bytes()).unwrap();
    let _ = std::fs::remove_file(record());
    let required = required(&std::env::var(REQUIRE).unwrap_or_default()).unwrap();
    let forbidden: Vec<&Skip> = all.iter().filter(|skip| required.contains(&skip.need)).collect();
    assert!(forbidden.is_empty(), "{forbidden:?}");
}

fn skipped(need: Need, test: &str) -> Skip {
    Skip { need, test: test.into(), why: "it is\nnot there".into() }
}

#[test]
fn what_is_required_is_named() {
    let of = |list: &str| required(list).unwrap().into_iter().collect::<Vec<_>>();
    assert_eq!(of(""), []);
    assert_eq!(of("all"), Need::ALL);
    assert_eq!(of("python, shared"), [Need::Shared, Need::Python]);
    assert_eq!(
        of("all,-browser,-python"),
        [Need::Shared, Need::OnnxRuntime, Need::OnnxModels, Need::PlugIn, Need::Pins]
    );
    for wrong in ["al", "all,-chromium", "shared;python", "1"] {
        let why = required(wrong).unwrap_err();
        assert!(why.contains("is not known; there are all, shared, python"), "{wrong}: {why}");
    }
}

#[test]
fn a_skip_is_noted_once_and_fails_where_it_is_required() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("skipped/run");
    let own = skipped(Need::Browser, "a_page");
    for required in ["browser", "all", "-shared,browser"] {
        let why = own.note(&required_set(required), &file).unwrap_err();
        assert!(why.contains("a_page") && why.contains("`browser`"), "{why}");
        assert!(!file.exists());
    }
    for _ in 0..2 {
        own.note(&required_set("all,-browser"), &file).unwrap();
        skipped(Need::Shared, "a_model").note(&BTreeSet::new(), &file).unwrap();
    }
    let text = std::fs::read_to_string(&file).unwrap();
    assert_eq!(text.lines().count(), 4);
    let found = skips(&text).unwrap();
    let told = listed(&found);
    let lines: Vec<&str> = told.lines().collect();
    assert_eq!(lines.len(), 4, "{told}");
    assert!(lines[0].ends_with(": 2") && lines[1].contains("a_model: it is not there"), "{told}");
    assert!(lines[2].trim_start().starts_with("browser"), "{told}");
    assert!(skips("browser\tonly two").is_err() && skips("cow\ta\tb").is_err());
}

fn required_set(list: &str) -> BTreeSet<Need> {
    required(list).unwrap()
}
