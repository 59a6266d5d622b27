//! The page of a real run, in a real browser where there is one.
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

fn chromium() -> Option<&'static str> {
    let found = ["chromium", "chromium-browser", "google-chrome"]
        .into_iter()
        .find(|name| Command::new(name).arg("--version").output().is_ok_and(|output| output.status.success()));
    if found.is_none() {
        println!("skipped: the page in a browser: no Chromium is installed");
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

#[test]
fn the_page_of_a_run_fits_desk_and_phone() {
    let folder = tempfile::tempdir().unwrap();
    let root = support::root();
    let path = |name: &str| root.join(name).display().to_string();
    let (model, train, eval) =
        (path("models/fashion_resnet.onnx"), path("calibration/train"), path("calibration/eval"));
    let run = onnx_prune(
        &[
            &model,
            "--data",
            &train,
            "--samples",
            "100",
            "--eval",
            &eval,
            "--effort",
            "fast",
            "-o",
            "p.onnx",
            "--html",
            "page.html",
            "--markdown",
            "page.md",
            "-q",
        ],
        folder.path(),
    );
    assert!(run.status.success(), "{}", text(&run.stderr));
    let page = std::fs::read_to_string(folder.path().join("page.html")).unwrap();
    for title in ["Time of a run", "Class by class", "Widths", "How the classes are related", "How to reproduce it"] {
        assert!(page.contains(title), "{title}");
    }
    assert!(!page.contains("<script") && !page.contains("http://") && !page.contains("https://"));
    assert!(std::fs::read_to_string(folder.path().join("page.md")).unwrap().contains("| top-1 |"));
    let Some(browser) = chromium() else { return };
    for (size, dark) in [((1280, 900), false), ((600, 900), true)] {
        let (document, console) = opened(browser, folder.path(), size, dark);
        assert_eq!(console, "");
        let told = document.split("<pre id=\"o\">").nth(1).unwrap_or_default().split('<').next().unwrap_or_default();
        let numbers: Vec<u32> = told.split(' ').filter_map(|word| word.parse().ok()).collect();
        assert!(numbers.len() == 3 && numbers[0] <= numbers[1] && numbers[2] >= 4, "{size:?}: `{told}`");
    }
}
