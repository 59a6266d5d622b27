use super::*;
use crate::report::samples::{bare, file, full, group, guarded};
use crate::report::text::COLUMNS;

fn plain(summary: &Summary) -> String {
    Terminal::default().render(summary).unwrap()
}

#[test]
fn a_bare_run() {
    insta::assert_snapshot!(plain(&bare()));
}

#[test]
fn a_full_run() {
    insta::assert_snapshot!(plain(&full()));
}

#[test]
fn lines_fit_the_terminal() {
    let text = plain(&full());
    for line in text.lines().filter(|line| !line.contains("libonnxruntime")) {
        assert!(line.chars().count() <= COLUMNS, "{line}");
    }
}

#[test]
fn colours_change_no_text() {
    let coloured = Terminal { style: Style::Colour }.render(&full()).unwrap();
    assert!(coloured.contains("\u{1b}[1m"));
    let bare = ["\u{1b}[0m", "\u{1b}[1m", "\u{1b}[2m", "\u{1b}[32m", "\u{1b}[33m"];
    let stripped = bare.iter().fold(coloured, |text, code| text.replace(code, ""));
    assert_eq!(stripped, plain(&full()));
}

#[test]
fn words_of_a_model_cannot_steer_the_terminal() {
    let evil = "x\u{1b}[2J\u{7}\u{202e}";
    let mut summary = bare();
    summary.groups = vec![group(evil, 4, 2)];
    summary.protected = vec![guarded(evil, &[evil])];
    summary.notes = vec![evil.into()];
    summary.model = file(evil);
    summary.engine.version = evil.into();
    let text = plain(&summary);
    assert!(text.chars().all(|c| c == '\n' || !c.is_control()) && !text.contains('\u{202e}'), "{text}");
    assert_eq!(text.matches("\\u{1b}[2J").count(), 6);
}
