//! A release is of one piece: its archives are where `cargo binstall` looks, manifests and changelog have one version, what is
//! repeated is the same.
#![cfg(unix)]
#![allow(missing_docs, clippy::pedantic, clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod support;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use support::{Need, root, skip, text};

fn read(name: &str) -> String {
    std::fs::read_to_string(root().join(name)).unwrap()
}

fn manifest(name: &str) -> toml::Table {
    read(name).parse().unwrap()
}

/// What follows a key on the lines of a text that have it.
fn values(text: &str, key: &str) -> Vec<String> {
    text.lines().filter_map(|line| line.trim_start().strip_prefix(key)).map(|value| value.trim().to_owned()).collect()
}

/// The lines of a job.
fn job(workflow: &str, name: &str) -> String {
    let inside = workflow.lines().skip_while(|line| *line != format!("  {name}:")).skip(1);
    inside.take_while(|line| line.is_empty() || line.starts_with("   ")).map(|line| format!("{line}\n")).collect()
}

fn release(arguments: &[&str]) -> Output {
    released_from(None, arguments)
}

/// The same in a repository on GitHub.
fn released_from(repository: Option<&str>, arguments: &[&str]) -> Output {
    let mut command = Command::new("bash");
    command
        .arg(root().join(".ci/release"))
        .args(arguments)
        .env_remove("GITHUB_SERVER_URL")
        .env_remove("GITHUB_REPOSITORY");
    if let Some(repository) = repository {
        command.env("GITHUB_SERVER_URL", "https://github.com").env("GITHUB_REPOSITORY", repository);
    }
    command.output().unwrap()
}

/// The metadata of `cargo binstall` for a target, with its own over those for all.
fn binstall(target: &str, key: &str) -> String {
    let found = manifest("Cargo.toml");
    let package = found["package"].as_table().unwrap();
    let all = package["metadata"]["binstall"].as_table().unwrap();
    let own = all["overrides"].get(target).and_then(|own| own.get(key));
    let binary = if target.contains("windows") { ".exe" } else { "" };
    let mut value = own.unwrap_or(&all[key]).as_str().unwrap().to_owned();
    for (name, text) in [
        ("repo", package["repository"].as_str().unwrap()),
        ("name", package["name"].as_str().unwrap()),
        ("version", package["version"].as_str().unwrap()),
        ("target", target),
        ("bin", "onnx-prune"),
        ("binary-ext", binary),
    ] {
        value = value.replace(&format!("{{ {name} }}"), text);
    }
    assert!(!value.contains('{'), "{value}");
    value
}

/// An archive as the workflow makes it, of a script in place of the binary.
fn packed(target: &str, folder: &Path) -> PathBuf {
    use std::os::unix::fs::PermissionsExt as _;
    let binary = folder.join(if target.contains("windows") { "onnx-prune.exe" } else { "onnx-prune" });
    std::fs::write(&binary, "#!/bin/sh\necho \"$@\"\n").unwrap();
    std::fs::set_permissions(&binary, std::fs::Permissions::from_mode(0o755)).unwrap();
    let out = folder.join("dist");
    let made = release(&["package", target, binary.to_str().unwrap(), out.to_str().unwrap()]);
    assert!(made.status.success(), "{}", text(&made.stderr));
    PathBuf::from(text(&made.stdout).trim())
}

#[test]
fn archives_are_where_binstall_looks_for_them() {
    if !Command::new("python3").arg("--version").output().is_ok_and(|output| output.status.success()) {
        return skip("archives_are_where_binstall_looks_for_them", Need::Python, "there is no python3");
    }
    let workflow = read(".github/workflows/release.yml");
    let targets = values(&job(&workflow, "binaries"), "- target:");
    assert_eq!(targets.len(), 5, "{targets:?}");
    for target in &targets {
        let folder = tempfile::tempdir().unwrap();
        let archive = packed(target, folder.path());
        let name = archive.file_name().unwrap().to_str().unwrap();
        let url = binstall(target, "pkg-url");
        let version = env!("CARGO_PKG_VERSION");
        assert!(url.ends_with(&format!("/releases/download/v{version}/{name}")), "{url}, but {name}");
        let kind = if name.ends_with(".zip") { "zip" } else { "tgz" };
        assert_eq!(binstall(target, "pkg-fmt"), kind);
        // What lies in it, as it lies in it.
        let unpack: &[&str] = if kind == "zip" { &["python3", "-m", "zipfile", "-e"] } else { &["tar", "-xzf"] };
        let mut unpack: Vec<&str> = [unpack, &[archive.to_str().unwrap()]].concat();
        unpack.extend((kind == "zip").then_some("."));
        let done = Command::new(unpack[0]).args(&unpack[1..]).current_dir(folder.path()).output().unwrap();
        assert!(done.status.success(), "{}", text(&done.stderr));
        let binary = folder.path().join(binstall(target, "bin-dir"));
        assert!(binary.is_file(), "{}", binary.display());
        for beside in ["LICENSE-MIT", "LICENSE-APACHE", "README.md", "onnx-prune.1", "completions/onnx-prune.bash"] {
            assert!(binary.with_file_name(beside).is_file(), "{target}: {beside}");
        }
    }
}

#[test]
fn an_archive_that_was_changed_is_not_unpacked() {
    if !Command::new("python3").arg("--version").output().is_ok_and(|output| output.status.success()) {
        return skip("an_archive_that_was_changed_is_not_unpacked", Need::Python, "there is no python3");
    }
    let folder = tempfile::tempdir().unwrap();
    let archive = packed("x86_64-unknown-linux-gnu", folder.path());
    let into = folder.path().join("unpacked");
    let unpack = || release(&["unpack", archive.to_str().unwrap(), into.to_str().unwrap()]);
    assert!(unpack().status.success());
    assert!(into.join("onnx-prune").is_file());
    let sum = std::fs::read_to_string(format!("{}.sha256", archive.display())).unwrap();
    assert!(sum.ends_with(&format!("  {}\n", archive.file_name().unwrap().to_str().unwrap())), "{sum}");
    std::fs::write(&archive, "something else").unwrap();
    assert!(text(&unpack().stderr).contains("another SHA-256"));
}

#[test]
fn the_version_is_that_of_all_manifests_and_of_the_tag() {
    let version = env!("CARGO_PKG_VERSION");
    let told = release(&["version"]);
    assert_eq!(text(&told.stdout).trim(), version, "{}", text(&told.stderr));
    let other = release(&["version", "v99.0.0"]);
    assert!(!other.status.success() && text(&other.stderr).contains("the tag is v99.0.0"), "{}", text(&other.stderr));
    let elsewhere = released_from(Some("someone/else"), &["version", &format!("v{version}")]);
    assert!(text(&elsewhere.stderr).contains("this is https://github.com/someone/else"), "{}", text(&elsewhere.stderr));
    // A version has notes, or is not released yet.
    let section = read("CHANGELOG.md").lines().any(|line| line.split(' ').take(2).eq(["##", version]));
    assert_eq!(!text(&release(&["notes"]).stdout).trim().is_empty(), section);
    assert_eq!(release(&["version", &format!("v{version}")]).status.success(), section);
}

#[test]
fn what_is_repeated_is_the_same() {
    for licence in ["LICENSE-MIT", "LICENSE-APACHE"] {
        assert_eq!(read(licence), read(&format!("python/licenses/{licence}")), "{licence}");
    }
    let (cargo, python) = (manifest("Cargo.toml"), manifest("python/pyproject.toml"));
    assert_eq!(cargo["package"]["repository"], python["project"]["urls"]["Repository"]);
    assert_eq!(cargo["package"]["license"], python["project"]["license"]);
    let release = read(".github/workflows/release.yml");
    let targets = |name: &str| values(&job(&release, name), "- target:");
    assert_eq!(targets("binaries"), targets("wheels"));
    let compilers = |name: &str| values(&read(&format!(".github/workflows/{name}.yml")), "RUSTUP_TOOLCHAIN:");
    assert_eq!(compilers("release").len(), 1);
    assert_eq!(compilers("ci"), compilers("release"));
    assert_eq!(compilers("docs"), compilers("release"));
}

/// One action has one version in all workflows, and the version is written beside its commit.
#[test]
fn actions_are_pinned_to_one_commit() {
    let all: String = ["ci", "docs", "release"].map(|name| read(&format!(".github/workflows/{name}.yml"))).concat();
    let used = all.lines().filter_map(|line| line.split_once("uses: ")).map(|(_, used)| used);
    let mut pins = std::collections::BTreeMap::new();
    for line in used {
        let (action, pin) = line.split_once('@').unwrap();
        let (commit, version) = pin.split_once(" # v").unwrap_or_else(|| panic!("{line}"));
        assert!(commit.len() == 40 && commit.bytes().all(|byte| byte.is_ascii_hexdigit()), "{line}");
        assert!(version.split('.').count() == 3, "{line}");
        assert_eq!(*pins.entry(action).or_insert(pin), pin, "{action}");
    }
    assert!(pins.len() > 5);
}
