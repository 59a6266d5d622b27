//! Reports of real runs: pages in a real browser, JSON by its schemas.
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

use std::path::Path;
use std::process::Command;

use support::{onnx_prune, text};

fn chromium(test: &str) -> Option<&'static str> {
    let found = ["chromium", "chromium-browser", "google-chrome"]
        .into_iter()
        .find(|name| Command::new(name).arg("--version").output().is_ok_and(|output| output.status.success()));
    if found.is_none() {
        support::skip(test, support::Need::Browser, "the page is not opened: no Chromium is installed");
    }
    found
}

/// Runs the browser and returns what it says of the document and on its console.
fn opened(browser: &str, folder: &Path, (width, height): (u32, u32), dark: bool) -> (String, String) {
    // The page itself holds no script; a frame around it measures it.
    let wrapper = "<iframe id=f src=page.html style='border:0;width:100vw;height:90vh'></iframe><pre id=o></pre><script>\
                   f.onload=()=>{const d=f.contentDocument.documentElement;\
                   o.textContent='width '+d.scrollWidth+' of '+f.clientWidth+' tables '+\
                   f.contentDocument.querySelectorAll('table').length}</script>";
    std::fs::write(folder.join("wrapper.html"), wrapper).unwrap();
    let run = Command::new(browser)
        .args(["--headless=new", "--no-sandbox", "--disable-gpu", "--allow-file-access-from-files", "--dump-dom"])
        .args(["--virtual-time-budget=2000", "--enable-logging=stderr", "--v=0"])
        .arg(format!("--user-data-dir={}", folder.join("profile").display()))
        .arg(format!("--window-size={width},{height}"))
        .arg(format!("--blink-settings=preferredColorScheme={}", u8::from(!dark)))
        .arg(format!("file://{}", folder.join("wrapper.html").display()))
        .output()
        .unwrap();
    let told = text(&run.stderr);
    let console: Vec<&str> = told.lines().filter(|line| line.contains("CONSOLE")).collect();
    (text(&run.stdout), console.join("\n"))
}

/// The page fits, has its tables, and the console is silent.
fn looked_at(test: &str, folder: &Path, page: &str, tables: u32) {
    let Some(browser) = chromium(test) else { return };
    std::fs::copy(folder.join(page), folder.join("page.html")).unwrap();
    for (size, dark) in [((1280, 900), false), ((600, 900), true)] {
        let (document, console) = opened(browser, folder, size, dark);
        assert_eq!(console, "");
        let told = document.split("<pre id=\"o\">").nth(1).unwrap_or_default().split('<').next().unwrap_or_default();
        let numbers: Vec<u32> = told.split(' ').filter_map(|word| word.parse().ok()).collect();
        let fits = numbers.len() == 3 && numbers[0] <= numbers[1] && numbers[2] >= tables;
        assert!(fits, "{page} {size:?}: `{told}`, at least {tables} tables");
    }
}

fn run(folder: &Path, line: &str) {
    let root = support::root();
    let path = |name: &str| root.join(name).display().to_string();
    let (model, train, eval) =
        (path("models/fashion_resnet.onnx"), path("calibration/train"), path("calibration/eval"));
    let line = line.replace("MODEL", &model).replace("TRAIN", &train).replace("EVAL", &eval);
    let words: Vec<&str> = line.split_whitespace().collect();
    let run = onnx_prune(&words, folder);
    assert!(run.status.success(), "{}", text(&run.stderr));
}

/// JSON files against the schemas that are checked in.
fn valid(test: &str, folder: &Path, files: &[(&str, &str)]) {
    let Some(python) = support::python(test, "jsonschema") else { return };
    let script = "import json, sys, jsonschema\n\
                  load = lambda path: json.load(open(path))\n\
                  for path, schema in zip(sys.argv[1::2], sys.argv[2::2]):\n\
                  \x20   jsonschema.Draft202012Validator.check_schema(load(schema))\n\
                  \x20   jsonschema.Draft202012Validator(load(schema)).validate(load(path))\n";
    let schema = |name: &str| support::root().join(format!("src/cli/schemas/{name}.schema.json")).display().to_string();
    let run = Command::new(python)
        .args(["-c", script])
        .args(files.iter().flat_map(|(path, name)| [(*path).to_owned(), schema(name)]))
        .current_dir(folder)
        .output()
        .unwrap();
    assert!(run.status.success(), "{}", text(&run.stderr));
}

#[test]
fn a_run_in_every_form() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    run(
        folder,
        "MODEL --data TRAIN --samples 100 --eval EVAL --effort fast -o p.onnx --plan plan.json --report r.json --html r.html \
         --markdown r.md --times r.csv -q",
    );
    let read = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
    let page = read("r.html");
    for title in ["Time of a run", "Class by class", "Widths", "How the classes are related", "How to reproduce it"] {
        assert!(page.contains(title), "{title}");
    }
    assert!(!page.contains("<script") && !page.contains("http://") && !page.contains("https://"));
    assert!(read("r.md").contains("| top-1 |"));
    assert!(read("r.csv").starts_with("part,pair,before_ms,after_ms\n1,1,"));
    let report: serde_json::Value = serde_json::from_str(&read("r.json")).unwrap();
    assert_eq!(read("r.csv").lines().count() as u64, 1 + report["latency_ms"]["pairs"].as_u64().unwrap());
    valid("a_run_in_every_form", folder, &[("r.json", "report"), ("plan.json", "plan")]);
    looked_at("a_run_in_every_form", folder, "r.html", 4);
}

#[test]
fn a_sweep_and_a_check_as_pages() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    run(
        folder,
        "MODEL --data TRAIN --samples 50 --eval EVAL --effort fast --compensate bias --sweep 0.8..0.5:0.3 -o s.onnx \
         --html s.html --report s.json -q",
    );
    valid("a_sweep_and_a_check_as_pages", folder, &[("s.json", "sweep")]);
    looked_at("a_sweep_and_a_check_as_pages", folder, "s.html", 1);
    run(folder, "check MODEL s.x0.50.onnx --data EVAL --time 1 --max-macs-ratio 0.6 --html c.html -q");
    looked_at("a_sweep_and_a_check_as_pages", folder, "c.html", 4);
}
