//! Commands that measure, and commands that do not.

#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

use super::*;
use crate::explain::Explain as _;

fn metric(command: &str) -> Metric {
    Metric { command: command.into(), lower_is_better: false, function: None }
}

fn run(command: &str) -> Result<f64, String> {
    let found = metric(command).of_file(Path::new("m.onnx"), Measured::Dense, &AtomicBool::new(false));
    let told = |error: &EvaluateError| {
        [Some(error.to_string()), error.why(), error.help()].into_iter().flatten().collect::<Vec<_>>().join("\n")
    };
    found.map_err(|error| told(&error))
}

#[test]
fn the_number_is_at_the_end() {
    for (text, number) in [
        ("0.5", 0.5),
        ("loading\n 0.25 \n\nbye\n", 0.25),
        ("1\n2\n", 2.0),
        ("-1e-3", -1e-3),
        ("{\"metric\": 0.75}", 0.75),
        ("9\n{\"metric\": 3, \"other\": {\"metric\": 4}}\n", 3.0),
        ("{\n  \"a\": {\"b\": 1},\n  \"metric\": 7\n}\n", 7.0),
    ] {
        assert_eq!(number::of(text), Ok(number), "{text}");
    }
    for (text, why) in [
        ("", "nothing"),
        ("accuracy: 0.9", "its last one is `accuracy: 0.9`"),
        ("0.5\nNaN", "finite"),
        ("inf", "finite"),
        ("0.5\n{\"top1\": 0.9}", "without a number under `metric`"),
        ("{\"metric\": \"0.9\"}", "without a number under `metric`"),
    ] {
        let found = number::of(text).unwrap_err();
        assert!(found.contains(why), "{text}: {found}");
    }
}

#[cfg(unix)]
#[test]
fn the_path_takes_its_place_as_one_word() {
    let line = |command: &str, path: &str| shell::line(command, Path::new(path));
    assert_eq!(line("f {model} -v", "/a/b.onnx"), "f /a/b.onnx -v");
    assert_eq!(line("f", "/a/b.onnx"), "f /a/b.onnx");
    for place in ["{model}", "\"{model}\"", "'{model}'"] {
        assert_eq!(line(&format!("f {place}"), "/a b/it's $x.onnx"), r"f '/a b/it'\''s $x.onnx'");
    }
}

#[test]
fn a_path_is_quoted_as_its_shell_reads_it() {
    for (path, sh, cmd) in [
        ("/a/b-1.onnx", "/a/b-1.onnx", "/a/b-1.onnx"),
        (r"C:\a\b.onnx", r"'C:\a\b.onnx'", r"C:\a\b.onnx"),
        (r"C:\a b\c&d.onnx", r"'C:\a b\c&d.onnx'", r#""C:\a b\c&d.onnx""#),
        // What separates words for `cmd`, and does not for `sh`.
        ("a=1,2.onnx", "a=1,2.onnx", r#""a=1,2.onnx""#),
    ] {
        assert_eq!((shell::quoted(path, false), shell::quoted(path, true)), (sh.to_owned(), cmd.to_owned()));
    }
}

#[test]
fn worse_is_a_loss_whichever_way_is_better() {
    let change = |lower_is_better| MetricChange { command: "c".into(), lower_is_better, before: 3.0, after: 2.0 };
    assert_eq!((change(false).loss(), change(true).loss()), (1.0, -1.0));
}
