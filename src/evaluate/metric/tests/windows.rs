//! Commands of `cmd`.

use super::*;

#[test]
fn a_command_is_given_the_file_and_its_number_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a model, and more.onnx");
    std::fs::write(&path, [0; 321]).unwrap();
    for command in ["for %I in ({model}) do @echo %~zI", "cd \\ && for %I in (\"{model}\") do @echo %~zI"] {
        let found = metric(command).of_file(&path, Measured::Dense, &AtomicBool::new(false)).unwrap();
        assert!((found - 321.0).abs() < 1e-9, "{command}");
    }
}

#[test]
fn failures_tell_the_command_and_its_status() {
    assert!((run("echo 0.5&rem").unwrap() - 0.5).abs() < 1e-9);
    assert!(run("exit 3 &rem").unwrap_err().contains("exit status 3"));
    assert!(run("echo much&rem").unwrap_err().contains("`much`"));
    assert!(run("rem").unwrap_err().contains("nothing"));
}
